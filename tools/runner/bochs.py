# SPDX-License-Identifier: MIT
"""Machines of Bochs: each of its processor models. A tick is an instruction, or a moment of waiting."""

import dataclasses
import os
import re
import subprocess

from . import disk, image
from .base import tool
from .emulator import START_TIME, Emulator, last_lines, seed
from .exits import BOCHSRC as EXITS_BOCHSRC
from .exits import ExitLog

NAME = "Bochs"
TICKS_PER_SECOND = 100_000_000
MOST_TICKS = None
PROGRAM = "bochs-bin"  # the program itself: `bochs` is a shell wrapper around it
SHARE = "/usr/share/bochs"
# Of a machine's memory, the part that Bochs 2.7 keeps in its own; the rest goes to a file.
HOST_MIB = 2048
QUANTUM_LEAST, QUANTUM_MOST = 5, 31
GO = "c\nq\n"

BOCHSRC = """\
cpu: model={cpu}, count={processors}{quantum}, ips={ips}, reset_on_triple_fault=0
memory: guest={memory}, host={host}
romimage: file={share}/BIOS-bochs-latest, options=fastboot
vgaromimage: file={share}/VGABIOS-lgpl-latest
boot: {boot}
{disk}
{devices}{console}{com2}log: "{log}"
sound: driver=dummy
display_library: rfb, options="timeout=0"
clock: sync=none{start}
vga: realtime=0
panic: action=fatal
{debug}"""

# What the hypervisor's console is: a port of Bochs' own, or, as on a machine that has none, the first serial port.
CONSOLE_DEBUG = 'port_e9_hack: enabled=1\ncom1: enabled=1, mode=file, dev="com1.txt"\n'
CONSOLE_NONE = "port_e9_hack: enabled=0\ncom1: enabled=0\n"
CONSOLE_SERIAL = 'port_e9_hack: enabled=0\ncom1: enabled=1, mode=file, dev="/proc/self/fd/1"\n'

_LIMIT_REACHED = "(0) Caught time breakpoint"
_TICKS = re.compile(r"\([0-9]+\)\.\[([0-9]+)\]")
_POWERED_OFF = ("Shutdown port: shutdown requested", "ACPI control: soft power off")


def models():
    """The processor models that Bochs knows; none if it is not installed."""
    try:
        done = subprocess.run([PROGRAM, "-help", "cpu"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        return []
    _, _, rest = done.stdout.partition("Supported CPU models:")
    return [word for word in rest.strip().split("\n\n")[0].split() if word]


def make_image(configs, directory, *more):
    """A disk that is quick to start from."""
    made = image.lay_out(configs, directory / "boot", *more)
    disk.write(made, directory / "facet.disk")
    made.remove()
    return dataclasses.replace(made, path=directory / "facet.disk")


def _console(order):
    return CONSOLE_NONE if not order.ports else CONSOLE_SERIAL if order.serial else CONSOLE_DEBUG


def _boots(order):
    """What the machine boots from: a disk, as ours is, or a disc."""
    path = order.image.path
    if order.as_disk or path.suffix == ".disk":
        return {"boot": "disk", "disk": f'ata0-master: type=disk, path="{path}", mode=flat, cylinders=0'}
    return {"boot": "cdrom", "disk": f'ata0-master: type=cdrom, path="{path}", status=inserted'}


def _devices(order):
    """What a hardware domain drives."""
    lines = ""
    if order.disk:
        lines += f'ata0-slave: type=disk, path="{order.disk}", mode=flat, cylinders=0\n'
    if order.network:
        lines += "pci: enabled=1, chipset=i440fx, slot1=e1000\n" \
                 f'e1000: card=0, enabled=1, mac=52:54:00:12:34:56, ethmod=vnet, ethdev="{order.directory}"\n'
    return lines


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
    if seed() is None:
        return "", {}
    return f", time0={START_TIME}", {"LD_PRELOAD": str(tool("seed.so"))}


def _quantum(processors):
    """How many instructions a processor executes before the next one's turn; also from the seed, so that
    each seed has them meet elsewhere. 1 is Bochs' own choice."""
    if processors == 1 or seed() in (None, 1):
        return ""
    return f", quantum={QUANTUM_LEAST + seed() % (QUANTUM_MOST - QUANTUM_LEAST + 1)}"


def limited(commands, ticks):
    """The debugger's commands, with a limit of instructions after which it goes on to the next."""
    return (f"sb {ticks}\n" if ticks else "") + commands


class Bochs(Emulator):
    """A Bochs process."""

    def __init__(self, order):
        directory, self._disk = order.directory, order.disk
        com2 = f"com2: enabled=1, mode=term, dev={order.terminal}\n" if order.terminal else ""
        rc = directory / "debugger.rc"
        rc.write_text(limited(order.debugger or GO, order.ticks), encoding="ascii")
        bochsrc = directory / "bochsrc"
        self.log = directory / "bochs.log"
        start_line, seeded = _seeded()
        self._exits = ExitLog(self.log) if order.exits else None
        bochsrc.write_text(BOCHSRC.format(
            start=start_line, cpu=order.cpu, processors=order.processors,
            quantum=_quantum(order.processors), ips=TICKS_PER_SECOND,
            memory=order.memory, host=min(order.memory, HOST_MIB), share=SHARE, **_boots(order),
            devices=_devices(order), console=_console(order), com2=com2, log=self._exits.name if order.exits else self.log,
            debug=EXITS_BOCHSRC if order.exits else ""), encoding="utf-8")
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("BX", "LTDL_", "BOCHS"))}
        environment.update(seeded)
        super().__init__([*_isolation(), "setpriv", "--pdeathsig", "KILL",
                          PROGRAM, "-q", "-f", str(bochsrc), "-rc", str(rc)], directory,
                         env=environment, stderr=subprocess.STDOUT,
                         pass_fds=[self._exits.fd] if order.exits else [])
        if self._exits:
            self._exits.handed_over()

    def own_line(self, raw):
        ticks = _TICKS.match(raw)
        if ticks:
            self.ticks = int(ticks.group(1))
        elif raw == _LIMIT_REACHED:
            self.limit_reached = True

    def kill(self):
        super().kill()
        if self._disk:
            self._disk.with_name(self._disk.name + ".lock").unlink(missing_ok=True)  # which it leaves if it is killed
        if self._exits:
            self._exits.finish()
        said = self.tail()
        self.powered_off = any(words in said for words in _POWERED_OFF)

    def tail(self, count=12):
        """The log's last words, without the register dump Bochs adds to a panic."""
        lines = last_lines(self.log)
        panics = [i for i, line in enumerate(lines) if ">>PANIC<<" in line]
        last = panics[-1] + 1 if panics else len(lines)
        return "\n".join(lines[max(0, last - count):last])


def start(order):
    """Starts the machine."""
    return Bochs(order)
