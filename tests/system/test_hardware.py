# SPDX-License-Identifier: MIT
"""A domain with `hardware = 1`: Debian's kernel for any machine, unmodified, as Xen's PVH dom0, drives the devices of the
machine. They are what the runner put there."""

import hashlib
import os
import pty
import random
import re
import select

import runner
from harness import PATIENCE, TICKS, FacetTest
from runner import initramfs, kmodules, machines

CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
DRIVERS = {"ata_piix": "", "ahci": "", "sd_mod": "", "e1000": "", "e1000e": "", "af_packet": ""}
DISK_BYTES = 3 << 20
WORD = b"written by a hardware domain"
SCRIPT = """
for m in @MODULES@; do insmod /lib/$m.ko; done
for d in /sys/bus/pci/devices/*; do echo "PCI $(basename $d) $(cat $d/vendor) $(cat $d/device) $(basename $(readlink $d/driver))"; done
for d in /sys/block/sd*; do [ $(cat $d/size) = @SECTORS@ ] && disk=/dev/$(basename $d); done
[ "$(dd if=$disk bs=@LENGTH@ count=1 2>/dev/null)" = "@WORD@" ] && { echo AGAIN; sync; poweroff -f; }
echo "DISK $(md5sum < $disk)"
echo -n "@WORD@" | dd of=$disk conv=notrunc,fsync 2>/dev/null
ip link set eth0 up
printf '#!/bin/sh\\n[ "$1" = bound ] && echo "LEASE $ip from $serverid"\\n' > /lease; chmod +x /lease
while ! udhcpc -i eth0 -n -q -s /lease; do :; done
grep -E "IO-APIC|MSI" /proc/interrupts | sed 's/^/IRQ /'
@END@
"""


class HardwareTest(FacetTest):
    """Debian as domain 0, with the machine's devices."""

    weight = 40.0

    def _config(self, script, **settings):
        kernel = runner.host_kernel()
        extra, names = {}, []
        for path in kmodules.with_needed(kernel, DRIVERS).values():
            names.append(path.name.partition(".")[0])
            extra[f"lib/{names[-1]}.ko"] = kmodules.read(path)
        text = script.replace("@MODULES@", " ".join(names)).replace("@WORD@", WORD.decode()).replace("@SECTORS@", str(DISK_BYTES // 512)) \
            .replace("@LENGTH@", str(len(WORD)))
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(), text, extra)
        return self.config("host.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, **{
            "memory": 256, "hardware": 1, "cmdline": CMDLINE, **settings})

    def _check_end(self, disk, data, done, network):
        """What holds of every machine."""
        self.assertIn(f"(d0) DISK {hashlib.md5(data).hexdigest()}", done.out)
        self.assertEqual(disk.read_bytes(), WORD + data[len(WORD):])
        self.assertIn(f"(d0) LEASE {network}", done.out)
        self.assertIn("(facet) d0 host: powered off", done.out)

    def _run(self, machine, *more, end=""):
        machine = machines.find(machine)
        done = self.facet("run", "--machine", machine.name, "--memory", "512", "--ticks", str(machine.limit(TICKS)),
                          *more, self._config(SCRIPT.replace("@END@", end)))
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        return done

    def _check_devices(self, machine, network):
        """It finds a disk, whose bytes are ours, writes to it, and gets an address by its network card."""
        data = random.Random(1).randbytes(DISK_BYTES)
        disk = self.write("disk.img", data)
        done = self._run(machine, "--disk", disk, "--network")
        self.assertRegex(done.out, r"(?m)^\(d0\) PCI 0000:00:01\.1 0x8086 0x7010 ata_piix$")
        self.assertRegex(done.out, r"(?m)^\(d0\) PCI \S+ 0x8086 0x100e e1000$")
        self._check_end(disk, data, done, network)
        taken = {name: int(count) for count, name in
                 re.findall(r"(?m)^\(d0\) IRQ +\d+: +(\d+) +IO-APIC +\S+ +(ata_piix|eth0)$", done.out)}
        self.assertTrue(taken["eth0"] and any(taken.values()), taken)

    def test_devices_on_amd(self):
        """On QEMU."""
        self._check_devices("amd", "10.0.2.15 from 10.0.2.2")

    def test_devices_on_intel(self):
        """On Bochs."""
        self._check_devices(machines.DEFAULT, "192.168.10.15 from 192.168.10.1")

    def test_devices_behind_an_iommu(self):
        """Another board of QEMU's: disk and network card send messages, in a table and not, and use memory through the
        IOMMU. The domain reboots, and has them again."""
        data = random.Random(2).randbytes(DISK_BYTES)
        disk = self.write("disk.img", data)
        done = self._run("amd", "--disk", disk, "--network", "--iommu", end="reboot -f")
        self.assertIn("(facet) IOMMU: devices reach the hardware domain's memory and no other", done.out)
        self._check_end(disk, data, done, "10.0.2.15 from 10.0.2.2")
        for name in ("ahci", "eth0-rx"):
            self.assertRegex(done.out, rf"(?m)^\(d0\) IRQ +\d+: +[1-9]\d* +PCI-MSI \S+ +\S*{name}")
        self.assertIn("(facet) d0 host: rebooted", done.out)
        self.assertIn("(d0) AGAIN", done.out)

    def _pokes(self, dma, *more):
        """tests/guest/hardware.c beside dma-prey.c."""
        guests = runner.build_dir() / "guest"
        host = self.config("host.cfg", kernel=guests / "hardware.elf", memory=32, hardware=1, cmdline=f"dma={dma}")
        prey = self.config("prey.cfg", kernel=guests / "dma-prey.elf", memory=128, cmdline=f"dma={dma}")
        done = self.facet("run", "--machine", "amd", "--memory", "512", "--teacher", "--ticks",
                          str(machines.find("amd").limit(TICKS)), "--tap", self.dir / "tap", *more, host, prey)
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        self.assertIn("(d0) END hardware: 10 passed, 0 skipped, 0 errors, 0 failed", done.out)
        self.assertIn("(d2) END dma-prey: 1 passed, 0 skipped, 0 errors, 0 failed", done.out)
        return done

    def test_memory_of_others(self):
        """Interrupts, messages and nonsense; a device that is told to writes to another domain's memory, and says an NMI."""
        self.assertIn("(facet) NMI on processor 0: the board gives no reason", self._pokes("finds").out)

    def test_memory_of_others_behind_an_iommu(self):
        """The same device does neither."""
        self.assertNotIn("(facet) NMI", self._pokes("fails", "--iommu").out)

    def test_hidden(self):
        """What pci_hide names is not there, neither its configuration nor its memory."""
        for hide, settings in (("no", {}), ("yes", {"pci_hide": ["00:02.0"]})):
            config = self.config("host.cfg", kernel=runner.build_dir() / "guest" / "hidden.elf", memory=32, hardware=1,
                                 cmdline=f"hide={hide}", **settings)
            done = self.facet("run", "--machine", "amd", "--memory", "512", "--teacher", "--ticks",
                              str(machines.find("amd").limit(TICKS)), config)
            self.assertIn("(d0) END hidden: 1 passed, 0 skipped, 0 errors, 0 failed", done.out + done.err)
        for bad in (["0:2"], ["00:20.0"], ["00:02.0 "], "00:02.0", [["00:02.0"]], ["00:02.0"] * 9):
            config = self.config("host.cfg", kernel=runner.build_dir() / "guest" / "hidden.elf", hardware=1, pci_hide=bad)
            done = self.facet("run", "--machine", "amd", config)
            self.assertEqual(done.status, 2)
            self.assertIn("pci_hide", done.err)

    def test_reset(self):
        """A machine whose hardware domain rebooted is reset, when all have ended; one that an emulator's port is read of is
        switched off."""
        config = self.config("host.cfg", kernel=runner.build_dir() / "guest" / "reset.elf", memory=32, hardware=1,
                             on_reboot="destroy")
        for serial in (False, True):
            result = runner.boot([config], machine="amd", memory=512, ticks=machines.find("amd").limit(TICKS), serial=serial)
            self.assertEqual([ending.how for ending in result.endings.values()], ["rebooted"], result.reason)
            self.assertEqual((result.status, result.powered_off), (0, not serial))

    def test_typing(self):
        """With --interactive its console is the terminal, both ways."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        config = self._config('echo READY; read -r line; echo "TYPED $line"')
        process = self.start("run", "--interactive", "--machine", "amd", "--memory", "512", "--ticks",
                             str(machines.find("amd").limit(TICKS)), config, stdin=slave, stdout=slave)
        for wanted, typed in ((b"READY", b"one two three\r"), (b"TYPED one two three", b"")):
            got = b""
            while wanted not in got:
                self.assertTrue(select.select([master], [], [], PATIENCE)[0], got)
                got += os.read(master, 4096)
            os.write(master, typed)
        self.finish(process)
        self.assertEqual(process.returncode, 0)

    def test_refused(self):
        """What cannot be a hardware domain is told why."""
        config = self.config("host.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", memory=1000, hardware=1)
        done = self.facet("run", "--machine", "amd", "--memory", "512", config)
        self.assertNotEqual(done.status, 0)
        other = self.config("two.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", hardware=1)
        done = self.facet("run", self.config("one.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", hardware=1), other)
        self.assertEqual(done.status, 2)
        self.assertIn("hardware = 1 is also in", done.err)
