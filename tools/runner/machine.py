# SPDX-License-Identifier: MIT
"""Runs a boot image on an emulated machine and streams what it says."""

import contextlib
import dataclasses
import os
import pathlib
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from . import machines
from .base import Error, run_dir
from .console import Terminal
from .emulator import Order
from .exits import windows
from .image import Image

# Bochs' start-up time grows with the square of the machine's memory (1.4 s for 2048 MiB), so
# a machine gets what its domains need, in steps.
MEMORY_STEP_MIB = 128
MEMORY_LEAST_MIB = 512
# Where a machine has devices and no memory: what would be there is not used.
HOLE_START_MIB, HOLE_MIB = 3072, 1024
# After its last words the machine powers off by itself; a halted one is ended after this.
GRACE_SECONDS = 5.0
# One that has closed its output is ending; only if something is wrong it needs help.
END_SECONDS = 60.0

_LINE = re.compile(r"\((facet|d[0-9]+)\) ?(.*)")
_ENDING = re.compile(r"d([0-9]+) (\S+): ((?:powered off|rebooted|crashed|suspended).*)")
_END = re.compile(r"all domains ended: ([0-9]+) powered off, ([0-9]+) rebooted, ([0-9]+) crashed")
_CONTROL = {c: f"\\x{c:02x}" for c in [*range(32), 127] if c != 9}


class Stop(Exception):
    """Raised by an on_line callback: ends the run with this status."""

    def __init__(self, status=0, reason=None):
        super().__init__(reason or "stopped")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Line:
    """A line of a domain or of the hypervisor."""

    source: str  # "facet", "d1", ...
    text: str
    seconds: float

    def __str__(self):
        return f"({self.source}) {self.text}"


@dataclass(frozen=True)
class Ending:
    """How a domain ended, in the hypervisor's words."""

    domid: int
    name: str
    how: str

    @property
    def crashed(self):
        """Whether the domain crashed."""
        return self.how.startswith("crashed")


@dataclass
class Result:
    """What a run gave."""

    status: int = 1
    reason: str = None
    lines: list = field(default_factory=list)
    endings: dict = field(default_factory=dict)
    domains: dict = field(default_factory=dict)  # domid -> name, of all that were to run
    seconds: float = 0.0
    boot_seconds: float = None
    ticks: int = None
    powered_off: bool = False  # the machine turned itself off
    directory: pathlib.Path = None  # kept files, if any
    log_tail: str = ""
    screen: list = field(default_factory=list)  # its lines at the end, of a machine that has nothing else
    exits: list = field(default_factory=list)  # exits.Window of each stretch that the guest marked

    def texts(self, source):
        """The texts of the lines of one source."""
        return [line.text for line in self.lines if line.source == source]


def host_memory_mib():
    """Memory that this computer can give to an emulated machine."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    return int(re.search(r"MemAvailable:\s+([0-9]+)", text).group(1)) // 1024


def _machine_memory(image, memory, limit):
    """What memory the machine gets, in MiB."""
    if memory and image.memory_mib > memory:
        raise Error(f"the domains need a machine of {image.memory_mib} MiB, boot files and "
                    f"hypervisor included, but it has {memory} MiB")
    if not memory and image.memory_mib > limit:
        raise Error(f"the domains need a machine of {image.memory_mib} MiB, but this computer "
                    f"can give it {limit} MiB")
    need = image.memory_mib
    need += HOLE_MIB if need > HOLE_START_MIB else 0
    steps = -(-need // MEMORY_STEP_MIB)
    return memory or max(MEMORY_LEAST_MIB, steps * MEMORY_STEP_MIB)


class Watcher:
    """Splits the machine's output into lines and decides how the run ended."""

    def __init__(self, on_line, on_other):
        self.result = Result()
        self.started = time.monotonic()
        self.finished = None  # when the machine said its last words
        self._on_line = on_line
        self._on_other = on_other
        self._rest = b""

    def feed(self, data):
        """Takes output of the emulator."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            self._take(raw.decode("utf-8", "replace").rstrip("\r"))

    def _take(self, raw):
        match = _LINE.fullmatch(raw)
        if not match:
            self._on_other(raw)
            return
        seconds = time.monotonic() - self.started
        line = Line(match.group(1), match.group(2).translate(_CONTROL), seconds)
        if self.result.boot_seconds is None:
            self.result.boot_seconds = seconds
        self.result.lines.append(line)
        if line.source == "facet":
            self._own(line.text)
        if self._on_line:
            self._on_line(line)

    def _own(self, text):
        ending, end = _ENDING.fullmatch(text), _END.fullmatch(text)
        if ending:
            domid = int(ending.group(1))
            self.result.endings[domid] = Ending(domid, ending.group(2), ending.group(3))
        elif end:
            crashed = int(end.group(3))
            self._finish(1 if crashed else 0, f"{crashed} crashed" if crashed else None)
        elif text.startswith("fatal: "):
            self._finish(1, text)

    def _finish(self, status, reason):
        if self.finished is None:
            self.finished = time.monotonic()
            self.result.status, self.result.reason = status, reason

    def stop(self, status, reason):
        """Ends the run from outside."""
        self.result.status, self.result.reason = status, reason

    def limit(self):
        """The machine was ended by its limit: too late to matter if it had said its last words."""
        if self.finished is None:
            self.stop(124, "stopped at its limit of instructions")


class Run:
    """A machine that runs: its emulator, who watches it, and the user's terminal."""

    def __init__(self, backend, order, options):
        self._options = options
        self._terminal = Terminal() if options.interactive else None
        self._watcher = Watcher(options.on_line, self._other)
        self._selector = selectors.DefaultSelector()
        self._emulator = None
        self._ended = False  # the emulator has closed its output, so that it ends by itself
        try:
            self._start(backend, order)
            self._watch()
        except Stop as stop:
            self._watcher.stop(stop.status, stop.reason)
        finally:
            self._end()

    def _start(self, backend, order):
        device = self._terminal and self._terminal.device
        self._emulator = backend.start(dataclasses.replace(order, terminal=device))
        self._selector.register(self._emulator.process.stdout, selectors.EVENT_READ, self._output)
        for file, serve in self._emulator.channels().items():
            self._selector.register(file, selectors.EVENT_READ, self._channel(file, serve))
        if self._terminal:
            self._terminal.register(self._selector)

    def _channel(self, file, serve):
        def served(_key):
            if not serve():
                self._selector.unregister(file)
            return True
        return served

    def _output(self, key):
        data = os.read(key.fd, 1 << 16)
        self._watcher.feed(data)
        self._ended = not data
        return bool(data)

    def _other(self, raw):
        """A line of the emulator's own."""
        self._emulator.own_line(raw)
        if self._emulator.limit_reached:
            self._watcher.limit()
        if self._options.on_debugger:
            self._options.on_debugger(raw)

    def _typed(self, key):
        if self._terminal.serve(key, self._selector, bool(self._watcher.result.lines)):
            return True
        self._watcher.stop(130, "left by Ctrl-]")
        return False

    def _watch(self):
        """Serves the machine's output and the terminal until the run is over."""
        watcher, timeout, cancel = self._watcher, self._options.timeout, self._options.cancel
        deadline = watcher.started + timeout if timeout else None
        while True:
            now = time.monotonic()
            ends = [t for t in (deadline, watcher.finished and watcher.finished + GRACE_SECONDS) if t]
            if ends and now >= min(ends):
                if watcher.finished is None:
                    watcher.stop(124, f"timed out after {timeout:g} s")
                return
            if cancel and cancel.is_set():
                raise KeyboardInterrupt
            wait = min(ends) - now if ends else None
            for key, _ in self._selector.select(min(wait or 0.5, 0.5) if cancel else wait):
                if not (key.data or self._typed)(key):
                    return

    def _end(self):
        if self._terminal:
            self._terminal.restore()
        if self._emulator:
            if self._ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._emulator.process.wait(END_SECONDS)
            self._emulator.kill()
        self._selector.close()

    def result(self):
        """The Result."""
        result, emulator = self._watcher.result, self._emulator
        if emulator.limit_reached:
            self._watcher.limit()
        result.seconds = time.monotonic() - self._watcher.started
        result.ticks = emulator.ticks
        result.screen = emulator.screen
        if self._options.exits:
            result.exits = windows(emulator.log)
        result.powered_off = self._ended and emulator.powered_off
        if self._watcher.finished is None and result.reason is None:
            result.log_tail = emulator.tail()
            result.reason = "the machine was switched off before all domains had ended" \
                if result.powered_off else "the emulator stopped"
        return result


@dataclass(frozen=True)
class Options:
    """Who follows a run, and what ends it early."""

    timeout: float = None
    interactive: bool = False
    on_line: Callable = None
    on_debugger: Callable = None
    cancel: threading.Event = None
    exits: bool = False


def check(machine, ticks=None, debugger=None, exits=False):
    """The Machine of that name; an Error if it cannot do what is wanted of it."""
    found = machines.find(machine)
    most = found.backend.MOST_TICKS
    if ticks and most and ticks > most:
        raise Error(f"a limit on '{found.name}' is at most {most} instructions")
    if debugger:
        found.need_bochs("the debugger")
    if exits:
        found.need_bochs("counting VM exits")
        if found.has is not None and "vmx" not in found.has:
            raise Error(f"VM exits can be counted on Intel's processors only, and '{found.name}' has none")
    return found


def boot(configs, timeout=None, machine=None, memory=None, interactive=False, keep=False,
         on_line=None, hypervisor=None, warn=None, cancel=None, debugger=None,
         on_debugger=None, exits=False, ticks=None, processors=1, serial=False, disk=None, network=False,
         iommu=False, teacher=False):
    """Builds an image of `configs`, runs it and returns a Result.

    timeout: seconds the machine may run. ticks: instructions that it may execute, which is the same on
    a slow computer and a fast one. machine: the name of one (machines.py). memory: MiB of the
    machine, default what the domains need. processors: how many it has. interactive: the terminal is
    domain 1's console.
    keep: leave the run's files in Result.directory. cancel: a threading.Event that ends the run.
    debugger: what Bochs' debugger is told to do, instead of just to go on; on_debugger gets the
    lines that are the emulator's own. exits: count VM exits (Result.exits), two to three times slower.
    serial: the machine has no debug port, so that the hypervisor's console is the first serial port.
    disk: a file that is the machine's second IDE disk; network: it has a network card. Both for a hardware domain.
    iommu, teacher: QEMU's machine has an IOMMU; its device for exercises ("edu").
    """
    found = check(machine, ticks, debugger, exits)
    if (iommu or teacher) and found.emulator != "qemu":
        raise Error("only machines of QEMU have an IOMMU, or its device for exercises")
    limit = host_memory_mib()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="facet-", dir=run_dir()))
    options = Options(timeout, interactive, on_line, on_debugger, cancel, exits)
    try:
        image = found.backend.make_image(configs, directory, interactive, memory or limit, hypervisor, warn,
                                         f"processors={processors}" if processors > 1 else "")
        order = Order(found.cpu, directory, image, _machine_memory(image, memory, limit), processors,
                      ticks=ticks, debugger=debugger, exits=exits, serial=serial,
                      disk=disk and pathlib.Path(disk).resolve(), network=network, iommu=iommu, teacher=teacher)
        result = Run(found.backend, order, options).result()
        result.domains = dict(image.domains)
        keep_log = bool(result.log_tail)
    except BaseException:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    if keep or keep_log:
        result.directory = directory
    if not keep:
        image.remove()
        if not keep_log:
            shutil.rmtree(directory, ignore_errors=True)
    return result


def boot_image(path, memory, ticks=None, cancel=None, on_line=None, machine=None, **more):
    """Runs an image that is there already on a machine (default: the default one) with so many MiB. Returns a Result.
    `more`: what else an Order says of the machine."""
    found = machines.find(machine)
    if more.get("uefi") and found.emulator != "qemu":
        raise Error("only machines of QEMU have UEFI")
    with tempfile.TemporaryDirectory(prefix="facet-", dir=run_dir()) as directory:
        order = Order(found.cpu, pathlib.Path(directory), Image(pathlib.Path(path).resolve()), memory, ticks=ticks, **more)
        return Run(found.backend, order, Options(on_line=on_line, cancel=cancel)).result()


def print_line(line):
    """The on_line of `facet run`."""
    end = "\r\n" if Terminal.raw else "\n"
    sys.stdout.write(str(line) + end)
    sys.stdout.flush()
