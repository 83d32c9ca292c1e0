# SPDX-License-Identifier: MIT
"""What a monitor in another domain pays, and what the guest that it watches does. See bench.py."""

import pathlib
import re
import tempfile

from . import initramfs, machines
from .base import Error, build_dir, progress
from .config import config
from .debian import debian_kernel
from .machine import boot
from .recorded import read_lines

LIMIT_TICKS = 20_000_000_000
XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
EVENT = "event_xen_access"
RECORDED = "event"  # of Xen, in tests/recorded/
TARGET = "what=write rounds=1"
TICKS = r"target: least (\d+) ticks, .*"

# name, what it is; only for EVENT there are Xen's ticks, and half of them are to reach
OPERATIONS = (
    ("host_set_access_256_mib", "set_access of 256 MiB, host map, one call"),
    ("set_range_256_mib", "set_range of 256 MiB in a view, one call"),
    ("multi_1000_scattered", "set_mem_access_multi, 1,000 scattered gfns"),
    (EVENT, "a write that Debian's xen-access is told of"),
)

# What may not be measurable.
WHAT = ("monitor", EVENT)

# Until the guest has seen that its writes are watched; then the program ends.
WATCH = """
xen-access $d write > /log 2>&1 &
pid=$!
n=0
while [ "$(busybox grep -c "Got event" /log)" -lt 17 ] && [ $n -lt 900 ] && kill -0 $pid; do
    sleep 0.1; n=$((n + 1))
done
kill -INT $pid; wait $pid
"""
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
d=2
""" + WATCH
# In dom0: the guest begins before, and is waited for.
DOM0 = "xl unpause $d; sleep 1\n" + WATCH + """
n=0
until xl list $d | busybox grep -q -e '-s-' || [ $n -gt 30 ]; do
    sleep 1; n=$((n + 1))
done
"""


def _boot(machine, directory, texts, wanted):
    """The numbers that `wanted` finds in the lines of domains made of configuration texts."""
    paths = []
    for i, text in enumerate(texts):
        paths.append(directory / f"{i}.cfg")
        paths[-1].write_text(text, encoding="utf-8")
    result = boot(paths, ticks=machine.limit(LIMIT_TICKS), machine=machine.name)
    said = [line.text for line in result.lines]
    bad = [text for text in said if re.match(r"TEST \S+: (fail|error)", text)]
    if result.status or bad:
        raise Error("\n".join([result.reason or "a guest failed", *bad]))
    return [match.groups() for text in said if (match := re.fullmatch(wanted, text))]


def _calls(machine, directory):
    """{operation: ticks} of a small guest that is the monitor."""
    guests = build_dir() / "guest"
    monitor = config(name="ticks", kernel=guests / "monitor-ticks.elf", memory=16, monitor=1)
    target = config(name="target", kernel=guests / "monitor-prey.elf", memory=256, vcpus=2,
                    altp2m="external", shadow_memory=8)
    found = _boot(machine, directory, [monitor, target], r"TICKS (\S+) (\d+)")
    return {name: int(ticks) for name, ticks in found}


def _event(machine, directory):
    """{EVENT: ticks} from the guest's side: the fewest for one of 16 writes."""
    if not XEN_ACCESS.exists():
        raise Error("xen-access is not installed (package xen-utils-4.17)")
    kernel = debian_kernel()
    files = {"bin/xen-access": XEN_ACCESS,
             "lib/xen-evtchn.ko": kernel.modules / "kernel/drivers/xen/xen-evtchn.ko",
             **initramfs.libraries(XEN_ACCESS)}
    ramdisk = initramfs.script(directory / "ramdisk.gz", kernel, build_dir(), SCRIPT, files)
    monitor = config(name="monitor", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256, monitor=1,
                     cmdline="console=hvc0 quiet mitigations=off cryptomgr.notests=1")
    target = config(name="target", kernel=build_dir() / "guest" / "mon-target.elf", memory=16,
                    altp2m="external", cmdline=TARGET)
    found = _boot(machine, directory, [monitor, target], TICKS)
    return {EVENT: int(ticks) for ticks, in found}


def on_xen():
    """(xen.Guest that dom0 watches with the same program, what of dom0's files that needs)."""
    import xen  # needs its packages; pylint: disable=import-outside-toplevel
    guest = xen.Guest(RECORDED, build_dir() / "guest" / "mon-target.elf", 16, "external", TARGET,
                      dom0=DOM0)
    return guest, {"xen-access": XEN_ACCESS.read_bytes()}


def xen_ticks():
    """{EVENT: ticks} of the recorded run on Xen; empty if there is none."""
    return {EVENT: int(match.group(1)) for line in read_lines(RECORDED)
            if (match := re.fullmatch(TICKS, line))}


def rows(ticks, there):
    """One dictionary for each operation that was measured, as bench.py's; `there` is Xen's."""
    out = []
    for name, text in OPERATIONS:
        if name in ticks:
            here, xen = ticks[name], there.get(name)
            out.append({"name": name, "text": text, "xen": xen, "facet": here,
                        "target": xen // 2 if xen else None,
                        "ratio": round(xen / here, 1) if xen else None,
                        "reached": here <= xen // 2 if xen else None})
    return out


def measure(machine=None):
    """(rows, {what could not be measured: why})."""
    machine, ticks, absent = machine or machines.find(), {}, {}
    progress("measuring: a monitor")
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in zip(WHAT, (_calls, _event)):
            try:
                ticks.update(run(machine, pathlib.Path(scratch)))
            except Error as error:
                absent[name] = str(error)
    return rows(ticks, xen_ticks() if machine.name == machines.DEFAULT else {}), absent
