# SPDX-License-Identifier: MIT
"""Runs a boot image on an emulated machine and streams what it says."""

import contextlib
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from .base import Error, build_dir, tool
from .console import Terminal
from .exits import BOCHSRC as EXITS_BOCHSRC
from .exits import ExitLog, windows
from .image import make_image

DEFAULT_MODEL = "corei7_skylake_x"
BOCHS = "bochs-bin"  # the program itself: `bochs` is a shell wrapper around it
SHARE = "/usr/share/bochs"
# Bochs' start-up time grows with the square of the machine's memory (1.4 s for 2048 MiB), so
# a machine gets what its domains need, in steps.
MEMORY_STEP_MIB = 128
MEMORY_LEAST_MIB = 512
# Of a machine's memory, the part that Bochs 2.7 keeps in its own; the rest goes to a file.
BOCHS_HOST_MIB = 2048
# Where a machine has devices and no memory: what would be there is not used.
HOLE_START_MIB, HOLE_MIB = 3072, 1024
# A machine that is not to differ from run to run starts at this time (2026-01-01) on its own clock.
START_TIME = 1767225600
# After its last words the machine powers off by itself; a halted one is ended after this.
GRACE_SECONDS = 5.0
# One that has closed its output is ending; only if something is wrong it needs help.
END_SECONDS = 60.0

BOCHSRC = """\
cpu: model={model}, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest={memory}, host={host}
romimage: file={share}/BIOS-bochs-latest, options=fastboot
vgaromimage: file={share}/VGABIOS-lgpl-latest
boot: cdrom
ata0-master: type=cdrom, path="{image}", status=inserted
{console}{com2}log: "{log}"
sound: driver=dummy
display_library: rfb, options="timeout=0"
clock: sync=none{start}
vga: realtime=0
panic: action=fatal
{debug}"""

# What the hypervisor's console is: a port of Bochs' own, or, as on a machine that has none, the first serial port.
CONSOLE_DEBUG = 'port_e9_hack: enabled=1\ncom1: enabled=1, mode=file, dev="{directory}/com1.txt"\n'
CONSOLE_SERIAL = 'port_e9_hack: enabled=0\ncom1: enabled=1, mode=file, dev="/proc/self/fd/1"\n'

_LINE = re.compile(r"\((facet|d[0-9]+)\) ?(.*)")
_ENDING = re.compile(r"d([0-9]+) (\S+): ((?:powered off|rebooted|crashed|suspended).*)")
_END = re.compile(r"all domains ended: ([0-9]+) powered off, ([0-9]+) rebooted, ([0-9]+) crashed")
_LIMIT_REACHED = "(0) Caught time breakpoint"
_TICKS = re.compile(r"\([0-9]+\)\.\[([0-9]+)\]")
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
    seconds: float = 0.0
    boot_seconds: float = None
    ticks: int = None
    powered_off: bool = False  # the machine turned itself off
    directory: pathlib.Path = None  # kept files, if any
    log_tail: str = ""
    exits: list = field(default_factory=list)  # exits.Window of each stretch that the guest marked

    def texts(self, source):
        """The texts of the lines of one source."""
        return [line.text for line in self.lines if line.source == source]


def models():
    """The processor models that Bochs knows."""
    try:
        done = subprocess.run([BOCHS, "-help", "cpu"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        raise Error("bochs is not installed; run `./facet setup --for run`") from None
    _, _, rest = done.stdout.partition("Supported CPU models:")
    return [word for word in rest.strip().split("\n\n")[0].split() if word]


def check_model(model):
    """Refuses a processor model that Bochs does not know."""
    if model != DEFAULT_MODEL:
        known = models()
        if model not in known:
            raise Error(f"unknown machine '{model}'; Bochs knows: {', '.join(known)}")


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


def _isolation():
    """A prefix that hides Bochs' remote display from the network, where that is allowed.

    Bochs' only headless display listens on a TCP port of every interface. In a network namespace
    of its own nobody can reach it, and machines running side by side do not compete for ports.
    """
    for prefix in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        if subprocess.run([*prefix, "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return prefix
    return []


def _seeded():
    """(lines for Bochs' clock, environment) of a machine whose random numbers and clock start from
    $FACET_SEED. Without it, Bochs takes both from this computer's clock, and no two runs are alike."""
    if not os.environ.get("FACET_SEED"):
        return "", {}
    return f", time0={START_TIME}", {"LD_PRELOAD": str(tool("seed.so"))}


def limited(commands, ticks):
    """The debugger's commands, with a limit of instructions after which it goes on to the next."""
    return (f"sb {ticks}\n" if ticks else "") + commands


class Emulator:
    """A Bochs process in a session of its own, which dies with this one."""

    def __init__(self, directory, image, model, memory, terminal=None, debugger="c\nq\n",
                 exits=False, serial=False):
        console = (CONSOLE_SERIAL if serial else CONSOLE_DEBUG).format(directory=directory)
        com2 = f"com2: enabled=1, mode=term, dev={terminal}\n" if terminal else ""
        rc = directory / "debugger.rc"
        rc.write_text(debugger, encoding="ascii")
        bochsrc = directory / "bochsrc"
        self.log = directory / "bochs.log"
        self._exits = ExitLog(self.log) if exits else None
        start, seeded = _seeded()
        bochsrc.write_text(BOCHSRC.format(
            start=start, model=model, memory=memory, host=min(memory, BOCHS_HOST_MIB), share=SHARE,
            image=image, console=console, com2=com2,
            log=self._exits.name if exits else self.log,
            debug=EXITS_BOCHSRC if exits else ""), encoding="utf-8")
        command = [*_isolation(), "setpriv", "--pdeathsig", "KILL",
                   BOCHS, "-q", "-f", str(bochsrc), "-rc", str(rc)]
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("BX", "LTDL_", "BOCHS"))}
        environment.update(seeded)
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True, cwd=directory,
            pass_fds=[self._exits.fd] if exits else [])
        if exits:
            self._exits.handed_over()
        os.set_blocking(self.process.stdout.fileno(), False)

    def kill(self):
        """Ends the process and waits for its end. Safe to call again."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        if self._exits:
            self._exits.finish()

    def tail(self, count=12):
        """The log's last words, without the register dump Bochs adds to a panic."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        panics = [i for i, line in enumerate(lines) if ">>PANIC<<" in line]
        last = panics[-1] + 1 if panics else len(lines)
        return "\n".join(lines[max(0, last - count):last])


class Watcher:
    """Splits the machine's output into lines and decides how the run ended."""

    def __init__(self, on_line, on_debugger=None):
        self.result = Result()
        self.started = time.monotonic()
        self.finished = None  # when the machine said its last words
        self._on_line = on_line
        self._on_debugger = on_debugger
        self._rest = b""

    def feed(self, data):
        """Takes output of the emulator."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            self._take(raw.decode("utf-8", "replace").rstrip("\r"))

    def _take(self, raw):
        ticks = _TICKS.match(raw)
        if ticks:
            self.result.ticks = int(ticks.group(1))
        if raw == _LIMIT_REACHED and self.finished is None:
            self.stop(124, "stopped at its limit of instructions")
        match = _LINE.fullmatch(raw)
        if not match:
            if self._on_debugger:
                self._on_debugger(raw)
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


def _watch(emulator, watcher, terminal, timeout, cancel):
    """Serves the machine's output and the terminal until the run is over. True if the emulator has
    closed its output, so that it ends by itself."""
    selector = selectors.DefaultSelector()
    selector.register(emulator.process.stdout, selectors.EVENT_READ)
    if terminal:
        terminal.register(selector)
    deadline = watcher.started + timeout if timeout else None
    while True:
        now = time.monotonic()
        ends = [t for t in (deadline, watcher.finished and watcher.finished + GRACE_SECONDS) if t]
        if ends and now >= min(ends):
            if watcher.finished is None:
                watcher.stop(124, f"timed out after {timeout:g} s")
            return False
        if cancel and cancel.is_set():
            raise KeyboardInterrupt
        wait = min(ends) - now if ends else None
        for key, _ in selector.select(min(wait or 0.5, 0.5) if cancel else wait):
            if key.fileobj is not emulator.process.stdout:
                if not terminal.serve(key, selector):
                    watcher.stop(130, "left by Ctrl-]")
                    return False
                continue
            data = os.read(key.fd, 1 << 16)
            if not data:
                return True
            watcher.feed(data)


def _emulate(directory, image, model, memory, options):
    """Starts the emulator on `image` and returns the Result."""
    terminal = Terminal() if options["interactive"] else None
    emulator, watcher = None, Watcher(options["on_line"], options["on_debugger"])
    ended = False
    try:
        emulator = Emulator(directory, image, model, memory, terminal and terminal.device,
                            limited(options["debugger"], options["ticks"]), options["exits"],
                            options["serial"])
        ended = _watch(emulator, watcher, terminal, options["timeout"], options["cancel"])
    except Stop as stop:
        watcher.stop(stop.status, stop.reason)
    finally:
        if terminal:
            terminal.restore()
        if emulator:
            if ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    emulator.process.wait(END_SECONDS)
            emulator.kill()
    result = watcher.result
    result.seconds = time.monotonic() - watcher.started
    if options["exits"]:
        result.exits = windows(emulator.log)
    tail = emulator.tail()
    result.powered_off = ended and "Shutdown port: shutdown requested" in tail
    if watcher.finished is None and result.reason is None:
        result.log_tail = tail
        result.reason = "the machine was switched off before all domains had ended" \
            if result.powered_off else "the emulator stopped"
    return result


def boot(configs, timeout=None, machine=None, memory=None, interactive=False, keep=False,
         on_line=None, hypervisor=None, warn=None, cancel=None, debugger="c\nq\n",
         on_debugger=None, exits=False, ticks=None, serial=False):
    """Builds an image of `configs`, runs it and returns a Result.

    timeout: seconds the machine may run. ticks: instructions that it may execute, which is the same on
    a slow computer and a fast one. machine: a Bochs processor model. memory: MiB of the
    machine, default what the domains need. interactive: the terminal is domain 1's console.
    keep: leave the run's files in Result.directory. cancel: a threading.Event that ends the run.
    debugger: what Bochs' debugger is told to do, instead of just to go on; on_debugger gets the
    lines that are the emulator's own. exits: count VM exits (Result.exits), two to three times slower.
    serial: the machine has no debug port, so that the hypervisor's console is the first serial port.
    """
    model = machine or DEFAULT_MODEL
    check_model(model)
    limit = host_memory_mib()
    (build_dir() / "run").mkdir(parents=True, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="", dir=build_dir() / "run"))
    options = {"timeout": timeout, "interactive": interactive, "on_line": on_line,
               "cancel": cancel, "debugger": debugger, "on_debugger": on_debugger, "exits": exits,
               "ticks": ticks, "serial": serial}
    try:
        image = make_image(configs, directory / "facet.iso", interactive, memory or limit,
                           hypervisor, warn)
        size = _machine_memory(image, memory, limit)
        result = _emulate(directory, image.path, model, size, options)
        keep_log = bool(result.log_tail)
    except BaseException:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    if keep or keep_log:
        result.directory = directory
    if not keep:
        image.path.unlink()
        if not keep_log:
            shutil.rmtree(directory, ignore_errors=True)
    return result


def print_line(line):
    """The on_line of `facet run`."""
    end = "\r\n" if Terminal.raw else "\n"
    sys.stdout.write(str(line) + end)
    sys.stdout.flush()
