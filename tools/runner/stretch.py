# SPDX-License-Identifier: MIT
"""The table "longest stretch" of `facet bench`: for how many ticks, at most, the hypervisor works for
one domain and does not look whether others want the processor (docs/time.md).

An image of its own counts them (hv/x86/stretch.h); tests/guest/stretch.c has the hypervisor work.
"""

import pathlib
import re
import tempfile
from dataclasses import dataclass, field

from . import machines
from .base import Error, build, build_dir, progress
from .config import config
from .machine import boot

TICKS = 40_000_000_000
MOST = 1_000_000
RAMDISK_MIB = 64
REMAPS = 100_000
FULL = 400  # times 2 MiB


@dataclass(frozen=True)
class Part:
    """A domain of a run."""

    name: str
    memory: int  # MiB
    cmdline: str
    table: int = 64  # MiB
    more: dict = field(default_factory=dict)


AGAIN = {"on_reboot": "restart"}
RUNS = (
    (Part("build", 160, "part=restart name=build", more=AGAIN),),
    (Part("clear", 512, "part=restart name=clear", more=AGAIN),),
    (Part("restart", 512, f"part=restart name=restart views=500 remaps={REMAPS}", more=AGAIN),),
    (Part("end", 512, "part=end"), Part("after", 16, "part=after")),
    (Part("calls", 960, "part=calls"),),
    (Part("fault", 960, "part=fault", table=4),),
    (Part("talk", 16, "part=talk"),),
    (Part("channels", 16, "part=channels"),),
    (Part("timers", 16, "part=timers", more={"vcpus": 8}),),
)

# name in the guest, what it is
ROWS = (
    ("build", f"a domain is built again, ramdisk of {RAMDISK_MIB} MiB"),
    ("clear", "the same, 512 MiB to be cleared"),
    ("restart", "the same, 500 views, 100,000 remaps"),
    ("end", "such a domain ends"),
    ("extent_out", "order-9 extent given back, 500 views"),
    ("extent_in", "the same taken again"),
    ("shown_out", "gfn given back that 100,000 remaps show"),
    ("shown_in", "the same taken again"),
    ("default_access", "default access of a view, 400 full tables"),
    ("default_remaps", "the same, 100,000 remaps"),
    ("fault", "default access that goes by a fault"),
    ("destroy", "destroy_p2m of a view of 100,000 remaps"),
    ("off", "set_domain_state off, 500 views"),
    ("isolate", "isolate, 512 gfns, 500 views"),
    ("talk.call", "console_io of 32,768 lines"),
    ("talk.string", "OUTS of 32,768 lines to port 0xE9"),
    ("talk.ring", "a console ring full of lines"),
    ("channel.last", "the last of 4,095 event channels is made"),
    ("channel.send", "each of them is sent to"),
    ("channel.reset", "EVTCHNOP_reset of all"),
    ("timers", "24 timers of 8 vCPUs due at once"),
)
# What a guest has to have made for its row to be one.
WANTED = {"remaps": REMAPS, "full_view": FULL, "fault": FULL, "channels": 4095, "timers": 7}


def _config(part, directory):
    more = dict(part.more)
    if part.name == "build":
        ramdisk = directory / "ramdisk"
        with open(ramdisk, "wb") as file:
            file.truncate(RAMDISK_MIB << 20)
        more["ramdisk"] = ramdisk
    return config(name=part.name, kernel=build_dir() / "guest" / "stretch.elf", memory=part.memory,
                  altp2m="mixed", altp2m_count=501, shadow_memory=part.table,
                  cmdline=part.cmdline, **more)


def parse(texts):
    """{name: most ticks} from the lines of a run; an Error if a guest could not do what it should."""
    found, bad = {}, []
    for text in texts:
        if match := re.fullmatch(r"STRETCH (\S+) (\d+)", text):
            name, ticks = match.group(1), int(match.group(2))
            found[name] = max(ticks, found.get(name, 0))
        elif match := re.fullmatch(r"DONE (\S+) (\d+)", text):
            if int(match.group(2)) != WANTED[match.group(1)]:
                bad.append(text)
        elif re.match(r"TEST \S+: (fail|error)", text):
            bad.append(text)
    if bad:
        raise Error("\n".join(bad))
    return found


def _run(machine, parts, directory):
    paths = []
    for part in parts:
        paths.append(directory / f"{part.name}.cfg")
        paths[-1].write_text(_config(part, directory), encoding="utf-8")
    result = boot(paths, ticks=machine.limit(TICKS), machine=machine.name,
                  hypervisor=build_dir() / "stretch" / "facet.elf")
    if result.status:
        raise Error(f"{parts[0].name}: {result.reason}")
    return parse(line.text for line in result.lines)


def rows(ticks):
    """One dictionary for each row that was measured."""
    return [{"name": name, "text": text, "facet": ticks[name], "target": MOST,
             "reached": ticks[name] <= MOST} for name, text in ROWS if name in ticks]


def measure(machine=None):
    """(rows, {run that could not be measured: why})."""
    machine = machine or machines.find()
    progress("measuring: longest stretch")
    build(["stretch"])
    ticks, absent = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for parts in RUNS:
            try:
                ticks.update(_run(machine, parts, pathlib.Path(scratch)))
            except Error as error:
                absent[f"longest stretch, {parts[0].name}"] = str(error)
    return rows(ticks), absent


def print_rows(table):
    """Prints the table."""
    print(f"\n{'longest stretch':44} {'Facet':>9} {'at most':>9}")
    for row in table:
        print(f"{row['text']:44} {row['facet']:>9,} {row['target']:>9,} "
              f"{'reached' if row['reached'] else 'missed'}")
