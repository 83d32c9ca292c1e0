# SPDX-License-Identifier: MIT
"""A domain 0 of somebody else's on real Xen: a kernel, and a ramdisk that does everything."""

import gzip
import pathlib
import shutil
import subprocess
import tempfile
import time

from runner import machines
from runner.base import Error, build_dir, progress, tool
from runner.emulator import Order
from runner.exits import windows
from runner.image import Image, write_iso

from .files import one_file, unpacked

# As in machine.py: why multiboot, and why such a buffer.
GRUB_CFG = """\
set timeout=0
multiboot /boot/xen console=com1 com1=115200,8n1 serial_tx_buffer=4M guest_loglvl=all altp2m=1 dom0_mem={memory}M,max:{memory}M noreboot
module /boot/vmlinux {cmdline}
module /boot/initrd.gz
boot
"""
POLL_SECONDS = 0.5


def _make_image(directory, kernel, ramdisk, cmdline, memory):
    boot, image = directory / "iso" / "boot", directory / "xen.iso"
    (boot / "grub").mkdir(parents=True)
    (boot / "xen").write_bytes(gzip.decompress(one_file(unpacked() / "boot", "xen-4.17*.gz").read_bytes()))
    # Xen unpacks xz itself, for minutes of such a machine.
    subprocess.run([tool("facet-kernel"), kernel, boot / "vmlinux"], check=True)
    shutil.copy(ramdisk, boot / "initrd.gz")
    (boot / "grub" / "grub.cfg").write_text(GRUB_CFG.format(memory=memory, cmdline=cmdline), encoding="ascii")
    write_iso(directory / "iso", image)
    return image


def _said(serial):
    return serial.read_text(encoding="utf-8", errors="replace").splitlines() if serial.exists() else []


def _lines_until(emulator, serial, end, deadline):
    """All lines, once that one is among them; None if it does not come."""
    while True:
        alive = emulator.process.poll() is None
        lines = _said(serial)
        if end in lines:
            return lines
        if not alive or time.monotonic() > deadline:
            return None
        try:  # the emulator's own words are of no interest, but must not fill the pipe
            while emulator.process.stdout.read(1 << 16):
                pass
        except BlockingIOError:
            pass
        time.sleep(POLL_SECONDS)


def run_host(kernel, ramdisk, cmdline, end, machine_mib, dom0_mib, timeout=7200, exits=False, machine=machines.DEFAULT):
    """Boots them until domain 0 prints the line `end`. Returns (lines of the machine's serial port, the runner.exits.Windows
    that were marked, if `exits`). machine: the name of one."""
    found = machines.find(machine)
    (build_dir() / "run").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xen-", dir=build_dir() / "run") as scratch:
        directory = pathlib.Path(scratch)
        image = _make_image(directory, kernel, ramdisk, cmdline, dom0_mib)
        progress("Xen: starting (takes minutes)")
        emulator = found.backend.start(Order(found.cpu, directory, Image(image), machine_mib, exits=exits))
        try:
            lines = _lines_until(emulator, directory / "com1.txt", end, time.monotonic() + timeout)
        finally:
            emulator.kill()
        if lines is None:
            raise Error("\n".join(["domain 0 on Xen did not finish; last lines:", *_said(directory / "com1.txt")[-8:],
                                   emulator.tail(4)]))
        return lines, windows(emulator.log) if exits else []
