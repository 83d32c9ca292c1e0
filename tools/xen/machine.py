# SPDX-License-Identifier: MIT
"""Boots Xen on the emulated machine, runs guests there and collects what they say."""

import gzip
import pathlib
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field

from runner import bochs, machines
from runner.base import Error, build_dir, progress
from runner.emulator import Order
from runner.exits import named, windows
from runner.image import Image, write_iso

from .files import MODULES, XEN_BIN, make_initramfs, one_file, unpacked

MEMORY_MIB = 2048
DOM0_MIB = 512
# What a machine has beside dom0 and a guest: Xen, the holes, what Xen keeps about each page.
OTHER_MIB = 1536
GUEST_SECONDS = 300  # of the guest's clock: only what hangs takes that long
MARK = "FACET-XEN"

# Multiboot, not multiboot2: GRUB's VBE query for that crashes on Bochs' VGA BIOS. Xen drops what
# is written to a full serial buffer, so it gets one that holds all.
GRUB_CFG = """\
set timeout=0
multiboot /boot/xen console=com1 com1=115200,8n1 serial_tx_buffer=4M guest_loglvl=all altp2m=1 \
dom0_mem={dom0}M noreboot
module /boot/vmlinuz console=hvc0 rdinit=/init quiet loglevel=4 mitigations=off tsc=reliable
module /boot/initrd.gz
boot
"""

INIT_HEAD = """\
#!/bin/sh
export PATH=/bin:{xen_bin}:/guests LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /dev/pts /run/xen /run/xenstored /run/lock
mount -t devpts devpts /dev/pts
exec >/dev/console 2>&1
for m in {modules}; do insmod /mod/$m.ko; done
mount -t xenfs xenfs /proc/xen
xenstored --pid-file /run/xs.pid
n=0
while [ ! -S /run/xenstored/socket ] && [ $n -lt 200 ]; do usleep 50000; n=$((n + 1)); done
xen-init-dom0
xenconsoled --pid-file=/run/xc.pid
"""
# A guest that ended is kept until it was asked for its tables.
INIT_GUEST = """\
echo {mark} begin {number}
timeout {seconds} xl create -F /guests/{number}.cfg
d=$(xl domid g{number}) && echo {mark} tables $(xen-tables $d) && xl destroy $d
echo {mark} end {number}
"""
# One that dom0 works on; it is not started.
INIT_OUTSIDE = """\
echo {mark} begin {number}
xl create -p /guests/{number}.cfg && d=$(xl domid g{number}) && {{
{script}
}} 2>&1 | while read -r line; do echo "DOM0 $line"; done
xl destroy g{number}
echo {mark} end {number}
"""
INIT_TAIL = """\
echo {mark} done
poweroff -f
"""

_GUEST_LINE = re.compile(r"(?:\(d[0-9]+\)|DOM0) ?(.*)")
_REASON = re.compile(r"Domain \d+ has shut down, reason code (\d+)")
_REASONS = {0: "powered off", 1: "rebooted", 2: "suspended", 3: "crashed"}


@dataclass(frozen=True)
class Guest:
    """A PVH guest to run."""

    name: str
    kernel: pathlib.Path
    memory: int = 64  # MiB
    altp2m: str = "mixed"
    cmdline: str = ""
    ramdisk: pathlib.Path = None
    tables: int = 64  # MiB (shadow_memory)
    dom0: str = ""  # what dom0 does with it, instead of starting it; $d is its domain id

    def config(self, files):
        """Its configuration file for xl; `files` gives the paths of kernel and ramdisk in dom0."""
        ramdisk = f"ramdisk='{files[self.ramdisk]}'\n" if self.ramdisk else ""
        return (f"type='pvh'\nkernel='{files[self.kernel]}'\n{ramdisk}vcpus=1\n"
                f"memory={self.memory}\nshadow_memory={self.tables}\naltp2m='{self.altp2m}'\n"
                f"cmdline='{self.cmdline}'\n"
                "on_poweroff='preserve'\non_reboot='preserve'\non_crash='preserve'\n")


@dataclass
class Outcome:
    """What became of a guest."""

    lines: list = field(default_factory=list)
    ending: str = "did not end"
    tables: int = None  # pages that it used for tables when it ended
    exits: dict = field(default_factory=dict)  # {name of a stretch: runner.exits.Window}


def _init(guests):
    parts = [INIT_HEAD.format(xen_bin=XEN_BIN, modules=" ".join(MODULES))]
    parts += [INIT_OUTSIDE.format(mark=MARK, number=n, script=guest.dom0) if guest.dom0 else
              INIT_GUEST.format(mark=MARK, number=n, seconds=GUEST_SECONDS)
              for n, guest in enumerate(guests, 1)]
    return "".join(parts) + INIT_TAIL.format(mark=MARK)


def _guest_files(guests):
    """{name below /guests: bytes} for dom0: each kernel and ramdisk once."""
    sources = {path for guest in guests for path in (guest.kernel, guest.ramdisk) if path}
    names = {path: f"{n}-{path.name}" for n, path in enumerate(sorted(sources), 1)}
    files = {name: path.read_bytes() for path, name in names.items()}
    places = {path: f"/guests/{name}" for path, name in names.items()}
    for number, guest in enumerate(guests, 1):
        files[f"{number}.cfg"] = f"name='g{number}'\n{guest.config(places)}".encode()
    return files


def _make_image(guests, directory, files):
    boot = directory / "iso" / "boot"
    (boot / "grub").mkdir(parents=True)
    tree = unpacked()
    packed = one_file(tree / "boot", "xen-4.17*.gz").read_bytes()
    (boot / "xen").write_bytes(gzip.decompress(packed))
    shutil.copy(one_file(tree / "boot", "vmlinuz-*"), boot / "vmlinuz")
    make_initramfs(_init(guests), {**_guest_files(guests), **files}, boot / "initrd.gz")
    (boot / "grub" / "grub.cfg").write_text(GRUB_CFG.format(dom0=DOM0_MIB), encoding="ascii")
    image = directory / "xen.iso"
    write_iso(directory / "iso", image)
    return image


def parse(text, guests):
    """{guest's name: Outcome} from what came out of Xen's serial port."""
    outcomes = {guest.name: Outcome() for guest in guests}
    current = None
    for line in text.splitlines():
        mark = re.search(rf"{MARK} (begin|end|done|tables) ?(\d*)", line)
        said, reason = _GUEST_LINE.match(line), _REASON.search(line)
        if mark and mark.group(1) == "begin":
            current = outcomes[guests[int(mark.group(2)) - 1].name]
        elif mark and mark.group(1) == "tables":
            if current and mark.group(2):
                current.tables = int(mark.group(2))
        elif mark:
            current = None
        elif current and said:
            current.lines.append(said.group(1))
        elif current and reason:
            current.ending = _REASONS.get(int(reason.group(1)), f"ended, {reason.group(1)}")
    return outcomes


def _wait(emulator, serial, deadline, total):
    """Waits for the last mark, and says which guest is running. True if it came."""
    seen = -1
    while True:
        ended = emulator.process.poll() is not None
        text = serial.read_text(encoding="utf-8", errors="replace") if serial.exists() else ""
        begun = text.count(f"{MARK} begin")
        if begun != seen:
            progress(f"Xen: guest {begun} of {total}" if begun else "Xen: starting (takes minutes)")
            seen = begun
        if f"{MARK} done" in text:
            return True
        if ended or time.monotonic() > deadline:
            return False
        try:  # the emulator's own words are of no interest, but must not fill the pipe
            while emulator.process.stdout.read(1 << 16):
                pass
        except BlockingIOError:
            pass
        time.sleep(1)


def _memory(guests):
    return max([MEMORY_MIB, *(DOM0_MIB + OTHER_MIB + guest.memory for guest in guests)])


def run(guests, timeout=3600, exits=False, files=None, machine=machines.DEFAULT):
    """Runs the guests on Xen, one after the other. Returns {name: Outcome}.

    A guest that needs a machine with more memory than others makes it slow for all. exits: count VM
    exits in the stretches that guests mark, which is slow too. files: {name: bytes} in dom0's /guests,
    which is in its PATH. machine: one of Bochs'.
    """
    (build_dir() / "run").mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="xen-", dir=build_dir() / "run"))
    serial = directory / "com1.txt"
    image = _make_image(guests, directory, files or {})
    emulator = bochs.start(Order(machine, directory, Image(image), _memory(guests), exits=exits))
    try:
        done = _wait(emulator, serial, time.monotonic() + timeout, len(guests))
    finally:
        emulator.kill()
    text = serial.read_text(encoding="utf-8", errors="replace") if serial.exists() else ""
    if not done:
        tail = "\n".join([*text.splitlines()[-8:], emulator.tail(4)])
        raise Error(f"Xen did not finish; its files are in {directory}; last lines:\n{tail}")
    found = parse(text, guests)
    if exits:
        rest = windows(emulator.log)
        for outcome in found.values():
            outcome.exits = named(outcome.lines, rest)
            rest = rest[len(outcome.exits):]
    shutil.rmtree(directory, ignore_errors=True)
    return found
