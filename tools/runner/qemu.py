# SPDX-License-Identifier: MIT
"""Machines of QEMU, with its own translator (TCG). Its clock counts instructions: a nanosecond each, and when all
processors wait, it goes on to what they wait for. A tick is a nanosecond of that clock.

Three lines lead to it: the machine's port 0xE9 on its standard output, QMP, which tells how the machine ended, and
QEMU's own test protocol, by which the runner reaches the machine's devices. QEMU has no limit of
instructions, but a watchdog that can be set to end it: that is programmed before the machine starts, as a
driver would, and then locked.
"""

import calendar
import json
import os
import shlex
import shutil
import socket
import subprocess
import time

from . import image
from .base import Error
from .emulator import START_TIME, Emulator, last_lines, seed

NAME = "QEMU"
TICKS_PER_SECOND = 1_000_000_000
PROGRAM = "qemu-system-x86_64"

# The watchdog, an Intel 6300ESB: at this device number it has 4 KiB of registers, while they are wanted, at this address.
WATCHDOG, REGISTERS = 0x1e, 0xfeb00000
# It counts two stages of 20 bits each, in units of 2^5 or 2^15 cycles of 30 ns.
STAGE_MOST = (1 << 20) - 1
UNITS = ((30 << 5, 1 << 2), (30 << 15, 0))  # (ns, bit of the configuration register)
MOST_TICKS = 2 * STAGE_MOST * UNITS[-1][0]
NO_INTERRUPT = 0x11  # between the stages
# The ACPI timer, where SeaBIOS puts it and the hypervisor's way to power off expects its block.
PM_TIMER, PM_HZ, PM_BITS = 0x608, 3_579_545, 24
# The PIT's channel 0 and its control port. It counts down, at a third of the ACPI timer's rate.
PIT, PIT_CONTROL, PIT_BITS = 0x40, 0x43, 16
# What two equal runs may differ by in ticks: a count of the PIT.
RESOLUTION = 1000


# UEFI and the variables that it begins with, in Debian's package ovmf.
UEFI = tuple((f"/usr/share/OVMF/OVMF_CODE{kind}.fd", f"/usr/share/OVMF/OVMF_VARS{kind}.fd") for kind in ("_4M", ""))
SCREEN, COLUMNS, ROWS = 0xb8000, 80, 25  # of text

WALL_SLOWER = 20  # than a second of this computer's a second of instructions may be, at most


def threads():
    """Whether each processor is a thread of this computer's ($FACET_THREADS): they meet as they will, the clock
    is this computer's, and no two runs are alike."""
    return bool(os.environ.get("FACET_THREADS"))


def _counts(order):
    """Whether its clock counts instructions. UEFI takes ten times as long for that, and does nothing that is measured."""
    return not threads() and not order.uefi


def make_image(configs, directory, *more):
    """Files that QEMU itself loads as GRUB would (Multiboot): no disc, whose speed would be the computer's."""
    made = image.lay_out(configs, directory / "boot", *more)
    elf = made.path / "facet.elf"
    with open(elf, "rb") as file:
        wide = file.read(5)[4:] == b"\x02"  # EI_CLASS: ELFCLASS64
    if wide:  # QEMU loads what calls itself a 32-bit image, which it is entered as
        done = subprocess.run(["objcopy", "-S", "-O", "elf32-i386", str(elf)], stderr=subprocess.PIPE,
                              text=True, errors="replace", check=False)
        if done.returncode:
            raise Error(f"objcopy: {done.stderr.strip()}")
    return made


def watchdog(ticks):
    """(stage 1, stage 2, bit of its unit, ticks altogether): a watchdog for at least so many ticks."""
    for unit, bit in UNITS:
        count = max(2, -(-ticks // unit))
        if count <= 2 * STAGE_MOST:
            return count // 2, count - count // 2, bit, count * unit
    raise Error(f"a machine of QEMU has a limit of at most {MOST_TICKS} instructions")


def _devices(order):
    """What a hardware domain drives. It answers in this computer's time: so the machine's clock does not go ahead of that."""
    return [
        *(["-drive", f"file={str(order.disk).replace(',', ',,')},format=raw,if=ide,index=1"] if order.disk else []),
        *(["-device", "amd-iommu"] if order.iommu else []), *(["-device", "edu,dma_mask=0xffffffff"] if order.teacher else []),
        *(["-netdev", "user,id=net,restrict=on", "-device",
           f"{'e1000e' if order.iommu else 'e1000'},netdev=net"] if order.network else [])]


def _console(order):
    """Where the hypervisor speaks."""
    if not order.ports:
        return ["-device", "VGA"]
    return ["-serial", "chardev:console"] if order.serial else \
        ["-device", "isa-debugcon,iobase=0xe9,chardev=console", "-serial", "file:com1.txt"]


def _firmware(order):
    """UEFI's variables are the machine's own."""
    if not order.uefi:
        return []
    for code, variables in UEFI:
        if os.path.exists(code):
            shutil.copyfile(variables, order.directory / "variables.fd")
            return ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-drive", "if=pflash,format=raw,file=variables.fd"]
    raise Error("there is no UEFI for emulated machines here: Debian's package ovmf has it")


def _starts_from(order):
    """What it loads: files as they are, or an image."""
    image_file = str(order.image.path).replace(",", ",,")
    if order.as_disk:  # SATA: SeaBIOS reads it by DMA
        return ["-drive", f"file={image_file},format=raw,snapshot=on,if=none,id=boot", "-device", "ahci,id=sata",
                "-device", "ide-hd,drive=boot,bus=sata.0"]
    if not order.image.path.is_dir():
        return ["-cdrom", image_file]
    return ["-kernel", "boot/facet.elf", *(["-append", order.image.options] if order.image.options else []),
            "-initrd", ",".join(f"boot/{name} {text}" for name, text in order.image.modules)]


def _arguments(order, start_time, control, test):
    """QEMU's command line; `control` and `test` are open files."""
    return [
        PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35" if order.iommu else "pc", "-accel", f"tcg,thread={'multi' if threads() else 'single'}",
        "-cpu", order.cpu, "-smp", str(order.processors), "-m", str(order.memory),
        *(["-icount", f"shift=0,sleep={'on' if order.disk or order.network else 'off'}"] if _counts(order) else []),
        "-rtc", f"clock=vm,base={time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(start_time))}",
        *([] if seed() is None else ["-seed", str(seed())]),
        "-chardev", "stdio,id=console,signal=off",
        *_console(order), *_firmware(order),
        *(["-chardev", f"serial,id=com2,path={order.terminal}", "-serial", "chardev:com2"]
          if order.terminal else []),
        "-device", f"i6300esb,addr={WATCHDOG:#x}",
        *_devices(order),
        "-action", "reboot=shutdown,shutdown=pause,watchdog=poweroff",
        "-D", "qemu.log", "-d", "guest_errors,cpu_reset",
        "-chardev", f"socket,id=control,fd={control.fileno()}", "-mon", "chardev=control,mode=control",
        "-chardev", f"socket,id=test,fd={test.fileno()}",
        "-object", "qtest,id=qtest,chardev=test,log=/dev/null", "-S",
        *_starts_from(order)]


def _by_hand(arguments):
    """The same as a script that starts the machine on a terminal."""
    left, skip = [], False
    for word, following in zip(arguments, [*arguments[1:], ""]):
        ours = following.startswith(("socket,", "chardev=control", "qtest,"))
        if not skip and not ours and word != "-S":
            left.append(word)
        skip = ours
    return "#!/bin/sh\nexec " + shlex.join(left) + ' "$@"\n'


class Qemu(Emulator):
    """A QEMU process."""

    def __init__(self, order):
        self._directory = order.directory
        self._start_time = int(time.time()) if seed() is None else START_TIME
        self._limit = order.ticks and min(MOST_TICKS, order.ticks * (1 if _counts(order) else WALL_SLOWER))
        self._order = order
        self._why = []  # in words, why it stopped
        self._rest, self._sent, self._stands = b"", 0, False
        self._control, control = socket.socketpair()
        self._test, test = socket.socketpair()
        arguments = _arguments(order, self._start_time, control, test)
        script = order.directory / "qemu.sh"
        script.write_text(_by_hand(arguments), encoding="utf-8")
        with control, test, open(order.directory / "qemu.err", "wb") as errors:
            super().__init__(["setpriv", "--pdeathsig", "KILL", *arguments], order.directory,
                             stderr=errors, pass_fds=[control.fileno(), test.fileno()])
        try:
            self._set_up()
        except (ConnectionError, EOFError):
            pass  # it has ended: its standard output tells that, too
        except BaseException:
            self.kill()
            raise

    def _set_up(self):
        self._ask("qmp_capabilities")
        if self._limit:
            self._limit = self._set_watchdog(self._limit)
        self._send("cont")

    # ---- the test protocol: a line, and a line that answers ----

    def _do(self, line):
        self._test.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = self._test.recv(4096)
            if not data:
                raise EOFError
            answer += data
        return answer.split()

    def _configure(self, register, size, value):
        self._do(f"outl 0xcf8 {1 << 31 | WATCHDOG << 11 | register & ~3:#x}")
        self._do(f"out{size} {0xcfc + (register & 3):#x} {value:#x}")

    def _set_watchdog(self, ticks):
        """Has the watchdog end the machine after so many ticks. Returns how many they are for it."""
        first, second, unit, ticks = watchdog(ticks)
        self._configure(0x10, "l", REGISTERS)
        self._configure(0x04, "w", 1 << 1)  # it answers at that address
        for register, value in ((0, first), (4, second)):
            for word in (0x80, 0x86):  # its key
                self._do(f"writel {REGISTERS + 0xc:#x} {word:#x}")
            self._do(f"writel {REGISTERS + register:#x} {value:#x}")
        self._configure(0x60, "w", NO_INTERRUPT | unit)
        self._configure(0x04, "w", 0)  # as the firmware finds it
        self._configure(0x10, "l", 0)
        self._configure(0x68, "b", 1 << 1 | 1 << 0)  # on, locked
        return ticks

    # ---- QMP: a line of JSON each ----

    def _send(self, command, **arguments):
        """Returns the number that the answer will have."""
        self._sent += 1
        message = {"execute": command, "arguments": arguments, "id": self._sent}
        self._control.sendall(json.dumps(message).encode() + b"\n")
        return self._sent

    def _ask(self, command, **arguments):
        """The answer. Only while the machine stands: else it may be waiting for its output to be read."""
        number = self._send(command, **arguments)
        while True:
            for message in self._messages():
                if message.get("id") == number:
                    return message.get("return")

    def _messages(self):
        """What has come in; events are dealt with."""
        data = self._control.recv(1 << 16)
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        for message in messages:
            if "event" in message:
                self._event(message["event"], message.get("data", {}))
        return messages

    def _event(self, event, data):
        if event == "WATCHDOG":
            self.limit_reached, self.ticks = True, self._limit
        elif event == "SHUTDOWN" and data.get("guest"):
            self.powered_off = data.get("reason") == "guest-shutdown"
            if not self.powered_off:
                self._why.append("QEMU: the machine was reset, as by a triple fault; qemu.log has its registers")
        elif event == "STOP":
            self._stands = True

    def _serve(self):
        try:
            self._messages()
            if self._stands:
                self._stands = False
                self.ticks = self._clock()
                self.screen = [] if self._order.ports else self._screen()
                self._send("quit")
            return True
        except (ConnectionError, EOFError):
            return False

    def _pit(self):
        """Its count, as it was when it was told to keep it, if it was; else now's."""
        return sum(int(self._do(f"inb {PIT:#x}")[1], 16) << shift for shift in (0, 8))

    def _after_off(self):
        """How many counts of the PIT ago the machine powered off. By then its processor halts, and QEMU may or may
        not go on to what a halted machine waits for before it stops. What powers off has the PIT keep its count."""
        kept = self._pit()
        self._do(f"outb {PIT_CONTROL:#x} 0")
        return kept - self._pit() & ((1 << PIT_BITS) - 1)

    def _clock(self):
        """What the machine's clock says. Its RTC counts seconds; its ACPI timer is finer, but counts only 24 bits."""
        if self._order.uefi:
            return None  # its ACPI timer is elsewhere
        date = self._ask("qom-get", path="/machine", property="rtc-time") or {}
        try:
            seconds = calendar.timegm((date["tm_year"] + 1900, date["tm_mon"] + 1, date["tm_mday"],
                                       date["tm_hour"], date["tm_min"], date["tm_sec"])) - self._start_time
        except KeyError:
            return None
        fine = (int(self._do(f"inl {PM_TIMER:#x}")[1], 16) & ((1 << PM_BITS) - 1)) / PM_HZ
        period = (1 << PM_BITS) / PM_HZ
        now = round((seconds + 0.5 - fine) / period) * period + fine
        return round((now - (3 * self._after_off() / PM_HZ if self.powered_off else 0)) * TICKS_PER_SECOND)

    def _screen(self):
        """The lines of text on it, if it shows text; of each character the second byte is its color."""
        if self._order.uefi:
            return []
        data = bytes.fromhex(self._do(f"read {SCREEN:#x} {2 * COLUMNS * ROWS}")[1].decode()[2:])[::2]
        return [data[at:at + COLUMNS].decode("ascii", "replace").rstrip(" \0") for at in range(0, len(data), COLUMNS)]

    # ---- what any emulator offers ----

    def channels(self):
        return {self._control: self._serve}

    def kill(self):
        super().kill()
        while self._serve():
            pass  # its last words
        self._control.close()
        self._test.close()

    def tail(self, count=12):
        return "\n".join([*last_lines(self._directory / "qemu.err", count), *self._why])


def start(order):
    """Starts the machine."""
    return Qemu(order)
