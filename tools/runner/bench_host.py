# SPDX-License-Identifier: MIT
"""`facet compare --host`: what a guest of a Debian domain 0 costs, beside real Xen: making it with xl, its disk, its network.

Domain 0 is that of `facet demo host` on either: on Facet the PVH hardware domain, on Xen the PV dom0, because Xen wants an
IOMMU for another kind, and Bochs has none. The guest's disk is a RAM disk of domain 0's, so that nobody waits for a device:
what a tick of Bochs' is not an instruction is waiting. tests/guest/bench/pv.c measures; on both, one after the other.
"""

import pathlib
import re
import sys
import tempfile
from dataclasses import dataclass

from . import libvmi_host, machines, packages
from .base import Error, build, build_dir, progress, run_dir
from .config import config
from .exits import named
from .machine import boot
from .recorded import name_on, read_lines
from .uses import exit_lines, parse

TICKS = 60_000_000_000
RECORDED = "host"
MACHINE_MIB = 1024  # Xen's own share is larger than Facet's
ADDRESS = "10.0.0.1"
PROGRAM = "bench-pv"
SAID = "GUEST"
# What Linux finds of the clock is the same then, whoever starts it.
CMDLINE = "console=hvc0 mitigations=off cryptomgr.notests=1 quiet loglevel=1 tsc=reliable"
SMALL = """\
name = "small"
type = "pvh"
kernel = "/small.elf"
memory = 128
on_poweroff = "preserve"
"""
# What back ends ask of the hypervisor, by a tiny guest.
CALLS = """\
name = "calls"
type = "pvh"
kernel = "/calls.elf"
memory = 32
"""
ROUNDS = 3

GUEST_SCRIPT = f"""
exec >/dev/console 2>&1
echo "{SAID} begins"
ip link set lo up
ip addr add 10.0.0.2/24 dev eth0
ip link set eth0 up
tries=0
until wget -q -O /dev/null http://{ADDRESS}/file || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
{PROGRAM} @MARKS@ disk /dev/xvda
{PROGRAM} @MARKS@ net {ADDRESS}
echo "{SAID} ends"
poweroff -f
"""
SCRIPT = f"""
echo "{SAID} host runs"
{PROGRAM} serve &
gone() {{ until [ "$(xl list | wc -l)" -eq 2 ]; do sleep 0.1; done; }}
for round in $(seq @ROUNDS@); do
    {PROGRAM} run small.$round xl create -q -p /small.cfg
    {PROGRAM} run list.$round xl domid small
    {PROGRAM} run destroy.$round xl destroy small
    gone
done
xl create -q /calls.cfg && gone
{PROGRAM} run create xl create -q -p /guest.cfg
sleep 1
touch $console
{PROGRAM} until begins $console "{SAID} begins" xl unpause guest
until grep -q "^{SAID} ends" $console; do sleep 0.1; done
tr -d '\\r' <$console | grep -E '^(BENCH|EXITS|BROKEN|{SAID}) '
echo "{SAID} ended"
"""


@dataclass(frozen=True)
class Row:
    """A figure: the sum of what was measured by these names, of each the fewest of the rounds, for one of so many."""

    text: str
    names: tuple
    over: int = 1
    most: float = None  # how many times Xen's it may be

    def of(self, found):
        """The figure, rounded; None if it was not measured."""
        parts = [min((n for key, n in found.items() if re.fullmatch(rf"{re.escape(name)}(\.\d+)?", key)), default=None)
                 for name in self.names]
        if None in parts:
            return None
        each = sum(parts) / self.over
        return round(each) if each >= 100 else round(each, 1)


MAKING, SERVING = 1.5, 1.0
LARGE_PAGES = 32
# How many requests lie between the marks; packets go there and back.
COUNTS = {"read": 640, "read-random": 640, "write": 640, "read-large": 80 * LARGE_PAGES, "packet-small": 1280,
          "packet-large": 1280, "stream-in": 768, "stream-out": 768}
SERVICES = (
    ("read", "4 KiB read by blkfront, one after the other", 1),
    ("read-random", "the same, anywhere", 1),
    ("write", "4 KiB written", 1),
    ("read-large", "4 KiB of a request of 128 KiB, read", LARGE_PAGES),
    ("packet-small", "a packet of 18 bytes (UDP), there or back", 2),
    ("packet-large", "a packet of 1,400 bytes, there or back", 2),
    ("stream-in", "4 KiB of a stream (TCP) to the guest", 1),
    ("stream-out", "4 KiB of a stream from it", 1),
)
# The last: ticks that a test holds Facet to.
OPERATIONS = (
    ("map_unmap_16", "a granted page mapped and unmapped, by 16", 16, 3300),
    ("copy_in_1400", "1,400 bytes copied from a granted page", 1, 1800),
    ("copy_out_1400", "1,400 bytes copied to one", 1, 1900),
    ("event_send", "an event sent", 1, 900),
)
ROWS = (
    Row("xl create -p, a small guest without devices", ("small",), 1, MAKING),
    Row("xl create -p, the demo's guest", ("create",), 1, MAKING),
    Row("the same, unpaused, until its first line", ("create", "begins"), 1, MAKING),
    Row("xl domid", ("list",)),
    Row("xl destroy, the small guest", ("destroy",)),
    *(Row(text, (name,), over, SERVING) for name, text, over in SERVICES),
    *(Row(text, (name,), over) for name, text, over, _ in OPERATIONS),
    *(Row(f"VM exits: {text}", (f"{name}.exits",), COUNTS[name]) for name, text, _ in SERVICES),
)


def rows(here, there):
    """One dictionary for each figure that was measured on Facet."""
    out = []
    for row in ROWS:
        facet, xen = row.of(here), row.of(there)
        if facet is not None:
            out.append({"text": row.text, "xen": xen, "facet": facet, "most": row.most,
                        "ratio": round(facet / xen, 2) if xen else None,
                        "reached": None if row.most is None or xen is None else facet <= row.most * xen})
    return out


def _cells(row):
    number = {key: "-" if row[key] is None else f"{row[key]:,}" for key in ("xen", "facet", "ratio", "most")}
    return [row["text"], number["xen"], number["facet"], number["ratio"], number["most"],
            {None: "", True: "reached", False: "missed"}[row["reached"]]]


def print_rows(table):
    """Prints the table. Ratio: how many times Xen's figure."""
    widths = (46, -13, -13, -7, -8, 0)
    for cells in (["instructions", "Xen 4.17", "Facet", "times", "at most", ""], *map(_cells, table)):
        print(" ".join(cell.ljust(w) if w >= 0 else cell.rjust(-w) for cell, w in zip(cells, widths)).rstrip())


def markdown(table):
    """The lines of the table, as docs/benchmarks.md has it."""
    return ["| instructions | Xen 4.17 | Facet | times Xen's | at most | |", "|---|---:|---:|---:|---:|---|",
            *(f"| {' | '.join(_cells(row))} |" for row in table)]


@dataclass(frozen=True)
class Files:
    """What domain 0 is made of."""

    config: pathlib.Path  # on Facet
    kernel: pathlib.Path
    ramdisk: pathlib.Path


def files(directory, exits=False):
    """Makes the Files."""
    demo, program = libvmi_host.demo(), build_dir() / "guest" / PROGRAM
    extra = {"guest.cfg": demo.guest_config(disk="phy:/dev/ram0,xvda,w").encode(), "small.cfg": SMALL.encode(),
             "small.elf": build_dir() / "guest" / "hello.elf", "calls.cfg": CALLS.encode(),
             "calls.elf": build_dir() / "guest" / "grant-ticks.elf", f"bin/{PROGRAM}": program}
    path, kernel, _ = demo.configuration(
        sys.modules[__package__], directory, SCRIPT.replace("@ROUNDS@", "0" if exits else str(ROUNDS)), extra,
        hardware=True, cmdline=f"{CMDLINE} swiotlb=force",
        guest_script=GUEST_SCRIPT.replace("@MARKS@", "marks" if exits else ""), guest_programs=[program])
    return Files(path, kernel.vmlinuz, directory / "host.gz")


def _plain(lines):
    """The lines of all domains, without whose they are; what a tiny guest measured is told as all else is."""
    return [re.sub(r"^\(d\d+\) (TICKS )?", lambda match: "BENCH " if match.group(1) else "", line) for line in lines]


def wanted(lines, windows, where):
    """Those of the lines of all domains that matter."""
    lines = _plain(lines)
    said = [line for line in lines if re.match(r"(BENCH|EXITS) ", line)]
    broken = [line for line in lines if re.match(r"BROKEN |TEST \S+: (fail|error)", line)]
    if broken or f"{SAID} ended" not in lines:
        raise Error("\n".join([f"{where}: domain 0 or its guest failed", *(broken or lines[-5:])]))
    return [line for line in said if line.startswith("BENCH ")] + exit_lines(named(said, windows))


def on_facet(machine, directory, exits=False):
    """Lines "BENCH name N"."""
    made = files(directory / "facet", exits)
    progress("Facet: domain 0 makes a guest (takes minutes)")
    result = boot([made.config], ticks=machine.limit(TICKS), exits=exits, machine=machine.name, memory=MACHINE_MIB)
    if result.status:
        raise Error("\n".join([result.reason or "domain 0 failed", *(str(line) for line in result.lines[-5:]), result.log_tail]))
    return wanted([str(line) for line in result.lines], result.exits, "Facet")


def on_xen(machine, directory, exits=False):
    """The same on real Xen."""
    import xen  # needs its packages
    made = files(directory / "xen", exits)
    lines, windows = xen.run_host(made.kernel, made.ramdisk, CMDLINE, f"{SAID} ended", MACHINE_MIB,
                                  libvmi_host.demo().HOST_MIB, exits=exits, machine=machine.name)
    return wanted(lines, windows, "Xen")


def calls_alone(machine, directory):
    """{operation: instructions} of what back ends ask for, on Facet, in seconds."""
    path = directory / "calls.cfg"
    path.write_text(config(name="calls", kernel=build_dir() / "guest" / "grant-ticks.elf", memory=32), encoding="utf-8")
    result = boot([path], ticks=machine.limit(TICKS // 30), machine=machine.name)
    lines = _plain(map(str, result.lines))
    bad = [line for line in lines if re.match(r"TEST \S+: (fail|error)", line)]
    if result.status or bad:
        raise Error("\n".join([result.reason or "the guest failed", *bad]))
    return parse(lines)


def _measured(side, machine, directory, exits):
    """What one of the two costs; the exits, which make the emulator slow, in a run of their own."""
    lines = side(machine, directory)
    return lines + [line for line in side(machine, directory, True) if ".exits " in line] if exits else lines


def measure(machine, xen, exits=False, record=None):
    """The rows of the table. xen: run Xen, too; record: a function that takes {name of a run: lines} of it."""
    packages.require("host", machine)
    build(["run-needs", "guests", "demo"])
    with tempfile.TemporaryDirectory(prefix="host-", dir=run_dir()) as scratch:
        directory = pathlib.Path(scratch)
        there = read_lines(name_on(RECORDED, machine.name))
        if xen:
            packages.require("compare", machine)
            there = _measured(on_xen, machine, directory, exits)
            if record:
                record({name_on(RECORDED, machine.name): there})
        return rows(parse(_measured(on_facet, machine, directory, exits)), parse(there))
