# SPDX-License-Identifier: MIT
"""What an emulator has to offer, whichever it is.

A backend (bochs.py, qemu.py) is a module with

    NAME                what people call it
    TICKS_PER_SECOND    instructions that its processor executes in a second of the machine's own clock
    MOST_TICKS          the highest limit of instructions; None: any
    make_image(configs, directory, interactive, memory, hypervisor, warn, options) -> image.Image in `directory`
    start(Order) -> Emulator

and all machines are alike in this: what is written to port 0xE9 comes out of the process' standard output
at once, and COM1 goes to the file com1.txt; or there is no such port, and COM1 takes its place. COM2 is a terminal if there is one; a machine that powers off,
resets itself or reaches its limit ends the process. With $FACET_SEED, clock and random numbers are the
same in each run, and with them all else.
"""

import os
import pathlib
import signal
import subprocess
from dataclasses import dataclass

from . import signals
from .base import Error
from .image import Image

# A machine that is not to differ from run to run starts at this time (2026-01-01) on its own clock.
START_TIME = 1767225600


@dataclass(frozen=True)
class Order:
    """A machine to be started."""

    cpu: str  # the emulator's name for the processor
    directory: pathlib.Path  # where its files are
    image: Image
    memory: int  # MiB
    processors: int = 1
    terminal: str = None  # the device that is to be COM2
    ticks: int = None  # instructions after which it is to end
    debugger: str = None  # commands for Bochs' debugger, instead of just to go on
    exits: bool = False  # Bochs is to log the processor's VM exits
    serial: bool = False  # it has no debug port; COM1 takes its place
    disk: pathlib.Path = None  # what its second IDE disk has, for a domain that drives it
    network: bool = False  # it has a network card (Intel's 82540EM), and DHCP answers
    iommu: bool = False  # it has an IOMMU
    uefi: bool = False  # its firmware is UEFI, not a BIOS
    as_disk: bool = False  # the image, where it is one file, is a disk, not a disc
    ports: bool = True  # it has serial ports and a debug port; else only a screen
    teacher: bool = False  # it has QEMU's device for exercises, which interrupts and uses memory as it is told


def seed():
    """The number $FACET_SEED, or None."""
    text = os.environ.get("FACET_SEED")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 64):
        raise Error(f"FACET_SEED is not a number: {text}")
    return int(text)


class Emulator:
    """An emulator's process, in a session of its own, which dies with this one."""

    def __init__(self, command, directory, **more):
        self.ticks = None  # instructions that the machine executed, when it has ended and if known
        self.limit_reached = False  # it was ended by its limit
        self.powered_off = False  # it turned itself off
        self.screen = []  # lines of text, of a machine that has nothing else
        self.process = None
        try:
            with signals.held():
                # pylint: disable-next=consider-using-with
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                start_new_session=True, cwd=directory, **more)
        except BaseException:
            if self.process:
                Emulator.kill(self)  # of what else there is to end nothing has begun
            raise
        os.set_blocking(self.process.stdout.fileno(), False)

    def own_line(self, raw):
        """Takes a line of the output that is not the machine's."""

    def channels(self):
        """{file: function} of what else is to be watched while it runs. The function is called when the
        file can be read, and is false when there will be no more."""
        return {}

    def kill(self):
        """Ends the process and waits for its end. Safe to call again."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()

    def tail(self, count=12):
        """What it said last of why it stopped."""
        raise NotImplementedError


def last_lines(path, count=0):
    """The last lines of a file (0: all); none of one that is not there."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return lines[-count:]
