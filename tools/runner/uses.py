# SPDX-License-Identifier: MIT
"""What altp2m costs where users use much of it: a Linux that boots on a view, a thousand
breakpoints, hundreds of views, gibibytes. The same guests run on Facet and on real Xen.

Guests print "BENCH name NUMBER" (tests/guest/bench.c, tests/guest/bench/). What Xen gave is in
tests/recorded/use-NAME.txt: those lines, and of its own "BENCH tables N" (what dom0 was told of
the ended guest's tables) and "ENDED how".
"""

import errno
import os
import pathlib
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import initramfs, machines, packages
from .base import ROOT, Error, build_dir, progress, tool
from .chain import chained
from .config import config
from .debian import debian_kernel
from .exits import EPT_VIOLATION, HLT, named
from .machine import boot
from .recorded import read_lines

TICKS = 40_000_000_000
PREFIX = "use-"
# What Xen was recorded with. 297 is ERMS, which Linux clears by itself where IA32_MISC_ENABLE says that
# string instructions are not fast, as it does on both; each iteration of one is an instruction there.
LINUX = "quiet mitigations=off cryptomgr.notests=1 clearcpuid=297"


@dataclass(frozen=True)
class Use:
    """A run of a guest, on either hypervisor."""

    key: str
    memory: int  # MiB
    cmdline: str = ""
    views: int = 10
    table: int = 16  # MiB of table memory on Facet
    xen_table: int = 64  # and on Xen
    linux: bool = False

    def files(self, directory):
        """(kernel, ramdisk or None)."""
        if self.linux:
            return linux_files(directory)
        return build_dir() / "guest" / "bench.elf", None

    def config(self, directory):
        """Its configuration file on Facet."""
        kernel, ramdisk = self.files(directory)
        more = {"ramdisk": ramdisk} if ramdisk else {}
        return config(name=self.key, kernel=kernel, memory=self.memory, altp2m="mixed",
                      altp2m_count=self.views, shadow_memory=self.table, cmdline=self.cmdline,
                      **more)


USES = (
    Use("linux", 256, LINUX, linux=True),
    Use("linux-view", 256, f"{LINUX} facet.view", linux=True),
    Use("none", 320, "part=none"),
    Use("restricted", 320, "part=restricted"),
    Use("remapped", 320, "part=remapped"),
    Use("views", 64, "part=views", views=501),
    Use("balloon", 64, "part=balloon"),
    Use("dry", 128, "part=dry", table=1, xen_table=1),
    Use("sweep-4g", 4096, "part=sweep"),
)
LARGE_MIB = 1024  # guests of more want a machine of their own


def linux_files(directory, machine=None):
    """(kernel that begins with tests/guest/bench/chain.c, initramfs), made in `directory`."""
    kernel, ramdisk = directory / "linux.elf", directory / "linux.gz"
    if not ramdisk.exists():
        packages.require("demo", machine)
        debian = debian_kernel()
        plain = directory / "vmlinux"
        subprocess.run([tool("facet-kernel"), debian.vmlinuz, plain], check=True)
        piece = build_dir() / "guest" / "bench-chain.bin"
        kernel.write_bytes(chained(plain.read_bytes(), piece.read_bytes()))
        plain.unlink()
        initramfs.build(ramdisk, debian, [build_dir() / "guest" / "bench-linux"],
                        "#!/bin/bench-linux\n",
                        extra={"work.sh": ROOT / "tests" / "guest" / "bench" / "work.sh"})
    return kernel, ramdisk


def parse(lines):
    """{name: number} of a guest's lines; "ended" is how it ended."""
    found = {}
    for line in lines:
        number = re.fullmatch(r"BENCH (\S+) (0x[0-9a-f]+|-?\d+)", line)
        if number:
            found[number.group(1)] = int(number.group(2), 0)
        elif line.startswith("ENDED "):
            found["ended"] = line[len("ENDED "):]
    return found


def exit_lines(found):
    """Lines for {name: exits.Window}: exits, those that views cause, instructions spent on all.

    What was spent on HLT is not among them: it is another's, or nobody's.
    """
    lines = []
    for name, window in found.items():
        lines += [f"BENCH {name}.exits {sum(window.exits.values())}",
                  f"BENCH {name}.violations {window.exits[EPT_VIOLATION]}",
                  f"BENCH {name}.outside {sum(window.ticks.values()) - window.ticks[HLT]}"]
    return lines


def _run(use, directory, exits, machine):
    path = directory / f"{use.key}.cfg"
    path.write_text(use.config(directory), encoding="utf-8")
    exits = exits and use.linux
    result = boot([path], ticks=machine.limit(TICKS), exits=exits, machine=machine.name)
    ending = result.endings.get(1)
    lines = result.texts("d1")
    bad = [line for line in lines if re.match(r"TEST \S+: (fail|error)|BROKEN ", line)]
    if bad or not ending or not any(line.startswith("END ") for line in lines):
        said = bad or [str(line) for line in result.lines[-3:]] or [result.log_tail]
        raise Error("\n".join([f"{use.key}: {result.reason or 'the guest failed'}", *said]))
    return parse([*lines, *exit_lines(named(lines, result.exits)),
                  f"ENDED {ending.how.split(':')[0]}"])


def on_facet(uses=USES, exits=False, machine=None):
    """{use: {name: number}}, as many machines at a time as there are processors.

    exits: count those of the Linux guests, too, which takes minutes.
    """
    machine = machine or machines.find()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        if any(use.linux for use in uses):
            linux_files(directory, machine)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            running = {use.key: pool.submit(_run, use, directory, exits, machine) for use in uses}
            for key, future in running.items():
                progress(f"measuring: {key}")
                future.exception()
            return {key: future.result() for key, future in running.items()}


def on_xen(uses=USES, exits=True):
    """{name of the recorded file: lines}, from real Xen."""
    import xen  # needs its packages
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for large in (False, True):
            some = [use for use in uses if (use.memory > LARGE_MIB) == large]
            guests = []
            for use in some:
                kernel, ramdisk = use.files(pathlib.Path(scratch))
                guests.append(xen.Guest(PREFIX + use.key, kernel, use.memory, "mixed", use.cmdline,
                                        ramdisk, use.xen_table))
            for name, outcome in (
                    xen.run(guests, exits=exits and not large) if guests else {}).items():
                tables = [] if outcome.tables is None else [f"BENCH tables {outcome.tables}"]
                found[name] = [*outcome.lines, *tables, *exit_lines(outcome.exits),
                               f"ENDED {outcome.ending}"]
    return found


def parse_all(runs):
    """{use: {name: number}} of {name of the recorded file: lines}."""
    return {use.key: parse(runs.get(PREFIX + use.key, [])) for use in USES}


def recorded():
    """The same of the recorded runs on Xen."""
    return parse_all({PREFIX + use.key: read_lines(PREFIX + use.key) for use in USES})


def _get(found, path):
    use, _, name = path.partition("/")
    return found.get(use, {}).get(name)


class Value:
    """A figure that is made of what guests printed: (a - b) / divisor."""

    def __init__(self, path, minus=None, over=1):
        self.path, self.minus, self.over = path, minus, over

    def of(self, found):
        """The figure, rounded; None if something of it was not measured."""
        parts = [_get(found, self.path), _get(found, self.minus) if self.minus else 0]
        over = _get(found, self.over) if isinstance(self.over, str) else self.over
        if None in parts or not over:
            return None
        return round((parts[0] - parts[1]) / over)


def _per(path, over):
    return Value(path, over=over)


SPOTS, GIVEN = 1000, 256
# Rows where Facet is dearer; docs/benchmarks.md says why.
DEARER = []
# Heading or None, what it is, figure, whether a ratio says something
ROWS = (
    ("Debian's Linux, 256 MiB", "start to user space, altp2m not on",
     Value("linux/boot.end", "linux/boot.start"), True),
    (None, "the same on a fresh view", Value("linux-view/boot.end", "linux-view/boot.start"), True),
    *((None, f"VM exits: {text}", Value(f"{use}/{name}.exits"), True) for text, use, name in (
        ("start, altp2m not on", "linux", "boot"), ("start, on the view", "linux-view", "boot"))),
    (None, "of them because of the view", Value("linux-view/boot.violations"), True),
    (None, "instructions spent on them", Value("linux-view/boot.outside"), True),
    (None, "altp2m on, a view made, switched to", Value("linux-view/boot.activate"), True),
    (None, "file and process churn, altp2m not on", Value("linux/work.ticks"), True),
    (None, "the same on the view", Value("linux-view/work.ticks"), True),
    (None, "the same, page tables write-watched", Value("linux-view/watched.ticks"), True),
    (None, "VM exits: page tables watched", Value("linux-view/watched.exits"), True),
    (None, "of them because of the watching", Value("linux-view/watched.violations"), True),
    (None, "instructions spent on them", Value("linux-view/watched.outside"), True),
    (None, "watching a page again, each",
     _per("linux-view/watched.arming", "linux-view/watched.pages"), True),
    (None, "table pages for all that", Value("linux-view/tables", "linux/tables"), True),
    ("1,000 breakpoints over 256 MiB", "page made not executable, each",
     _per("restricted/restricted.set", SPOTS), True),
    (None, "table pages for them", Value("restricted/tables", "none/tables"), True),
    (None, "hit, caught in the guest (#VE)", _per("restricted/restricted.ve", SPOTS), True),
    (None, "hit, nobody listens", _per("restricted/restricted.exit", SPOTS), True),
    (None, "page remapped, each", _per("remapped/remapped.set", SPOTS), True),
    (None, "table pages for them", Value("remapped/tables", "none/tables"), True),
    (None, "call of code that is remapped", _per("remapped/remapped.run", SPOTS), True),
    ("500 views wanted, 64 MiB", "views got", Value("views/views"), False),
    (None, "making one", Value("views/views.create"), True),
    (None, "first override in one", Value("views/views.override"), True),
    (None, "switching to one", Value("views/views.switch"), True),
    (None, "giving a page back, for each view", Value("views/views.give_back"), True),
    (None, "table pages, for each view", _per("views/tables", "views/views"), True),
    ("4 GiB", "first override in a fresh view", Value("sweep-4g/sweep.first_override"), True),
    (None, "first read in each 2 MiB, each",
     _per("sweep-4g/sweep.read", "sweep-4g/sweep.regions"), True),
    (None, "table pages, host map included", Value("sweep-4g/tables"), True),
    ("Balloon, nine views, 64 MiB", "page given back, each",
     _per("balloon/balloon.give", GIVEN), True),
    (None, "page taken again, each", _per("balloon/balloon.take", GIVEN), True),
    (None, "restrictions kept, of 256", Value("balloon/balloon.kept_restrictions"), False),
    (None, "remaps kept, of 256", Value("balloon/balloon.kept_remaps"), False),
)


def rows(here, there):
    """One dictionary for each row: heading, text, xen, facet, ratio."""
    out, heading = [], None
    for title, text, value, judged in ROWS:
        heading = title or heading
        facet, xen = value.of(here), value.of(there)
        ratio = xen / facet if judged and facet and xen is not None else None
        out.append({"heading": heading, "text": text, "xen": xen, "facet": facet,
                    "ratio": ratio if ratio is None else round(ratio, 2)})
    return out


def events(here, there):
    """What happens at the limits, in words: [(what, on Xen, on Facet)]."""
    def refused(number):
        return f", then -{errno.errorcode.get(number, number)}" if number else ""

    def views(found):
        made = _get(found, "views/views")
        return "not measured" if made is None else \
            f"{made} views{refused(_get(found, 'views/views.refused'))}"

    def dry(found):
        done, how = _get(found, "dry/dry.overrides"), _get(found, "dry/ended")
        did = "" if done is None else f"{done} overrides{refused(_get(found, 'dry/dry.refused'))}; "
        return f"{did}the guest {how}" if how else "not measured"

    return [("500 views wanted", views(there), views(here)),
            ("table memory of 1 MiB used up", dry(there), dry(here))]


def print_rows(table, limits):
    """Prints the tables side by side."""
    heading = None
    for row in table:
        if row["heading"] != heading:
            heading = row["heading"]
            print(f"\n{heading:44} {'Xen 4.17':>13} {'Facet':>13} {'ratio':>8}")
        numbers = [("-" if row[k] is None else f"{row[k]:,}") for k in ("xen", "facet")]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:,.1f}"
        print(f"  {row['text']:42} {numbers[0]:>13} {numbers[1]:>13} {ratio:>8}")
    print("\nat the limits")
    for what, xen, facet in limits:
        print(f"  {what}\n    Xen 4.17: {xen}\n    Facet: {facet}")
