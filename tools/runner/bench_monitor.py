# SPDX-License-Identifier: MIT
"""What a monitor in another domain pays, and what the guest that it watches does. See bench.py."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from .base import ROOT, Error, build_dir, say
from .config import config
from .debian import debian_kernel
from .machine import boot

SECONDS = 300
XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
EVENT = "event_xen_access"
# On Xen with the same command and guest; 64 writes, dom0 on the guest's processor.
XEN_EVENT = 76000

# name, what it is, Xen's ticks (None: dom0 was not measured), ticks to reach
OPERATIONS = (
    ("host_set_access_256_mib", "set_access of 256 MiB, host map, one call", None, None),
    ("set_range_256_mib", "set_range of 256 MiB in a view, one call", None, None),
    ("multi_1000_scattered", "set_mem_access_multi, 1,000 scattered gfns", None, None),
    (EVENT, "a write that Debian's xen-access is told of", XEN_EVENT, XEN_EVENT // 2),
)

# What may not be measurable.
WHAT = ("monitor", EVENT)

# Until the guest has seen that its writes are watched; then the program ends.
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
xen-access 2 write > /log 2>&1 &
pid=$!
n=0
while [ "$(grep -c "Got event" /log)" -lt 17 ] && [ $n -lt 300 ] && kill -0 $pid; do
    sleep 0.1; n=$((n + 1))
done
kill -INT $pid; wait $pid
"""


def _boot(directory, texts, wanted):
    """The numbers that `wanted` finds in the lines of domains made of configuration texts."""
    paths = []
    for i, text in enumerate(texts):
        paths.append(directory / f"{i}.cfg")
        paths[-1].write_text(text, encoding="utf-8")
    result = boot(paths, timeout=SECONDS)
    said = [line.text for line in result.lines]
    bad = [text for text in said if re.match(r"TEST \S+: (fail|error)", text)]
    if result.status or bad:
        raise Error("\n".join([result.reason or "a guest failed", *bad]))
    return [match.groups() for text in said if (match := re.fullmatch(wanted, text))]


def _calls(directory):
    """{operation: ticks} of a small guest that is the monitor."""
    guests = build_dir() / "guest"
    monitor = config(name="ticks", kernel=guests / "monitor-ticks.elf", memory=16, monitor=1)
    target = config(name="target", kernel=guests / "monitor-prey.elf", memory=256, vcpus=2,
                    altp2m="external", shadow_memory=8)
    found = _boot(directory, [monitor, target], r"TICKS (\S+) (\d+)")
    return {name: int(ticks) for name, ticks in found}


def _files(kernel):
    """xen-access with its libraries and the kernel's module for event channels."""
    shown = subprocess.run(["ldd", str(XEN_ACCESS)], stdout=subprocess.PIPE, text=True, check=True)
    files = {word.lstrip("/"): os.path.realpath(word) for word in shown.stdout.split()
             if word.startswith("/")}
    files["bin/xen-access"] = XEN_ACCESS
    files["lib/xen-evtchn.ko"] = kernel.modules / "kernel/drivers/xen/xen-evtchn.ko"
    return files


def _event(directory):
    """{EVENT: ticks} from the guest's side: the fewest for one of 16 writes."""
    if not XEN_ACCESS.exists():
        raise Error("xen-access is not installed (package xen-utils-4.17)")
    sys.path.insert(0, str(ROOT / "demo"))
    import initramfs  # pylint: disable=import-outside-toplevel,import-error
    kernel = debian_kernel()
    ramdisk = initramfs.script(directory / "ramdisk.gz", kernel, build_dir(), SCRIPT,
                               _files(kernel))
    monitor = config(name="monitor", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256, monitor=1,
                     cmdline="console=hvc0 quiet mitigations=off cryptomgr.notests=1")
    target = config(name="target", kernel=build_dir() / "guest" / "mon-target.elf", memory=16,
                    altp2m="external", cmdline="what=write rounds=1")
    found = _boot(directory, [monitor, target], r"target: least (\d+) ticks, .*")
    return {EVENT: int(ticks) for ticks, in found}


def rows(ticks):
    """One dictionary for each operation that was measured, as bench.py's."""
    return [{"name": name, "text": text, "xen": xen, "facet": ticks[name], "target": goal,
             "ratio": round(xen / ticks[name], 1) if xen else None,
             "reached": None if goal is None else ticks[name] <= goal}
            for name, text, xen, goal in OPERATIONS if name in ticks]


def measure():
    """(rows, {what could not be measured: why})."""
    ticks, absent = {}, {}
    say("measuring: a monitor")
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in zip(WHAT, (_calls, _event)):
            try:
                ticks.update(run(pathlib.Path(scratch)))
            except Error as error:
                absent[name] = str(error)
    return rows(ticks), absent
