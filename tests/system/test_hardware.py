# SPDX-License-Identifier: MIT
"""A domain with `hardware = 1`: Debian's kernel for any machine, unmodified, as Xen's PVH dom0, drives the devices of the
machine. They are what the runner put there."""

import hashlib
import random
import re

import runner
from harness import TICKS, FacetTest
from runner import initramfs, kmodules, machines

CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
DRIVERS = {"ata_piix": "", "sd_mod": "", "e1000": "", "af_packet": ""}
DISK_BYTES = 3 << 20
WORD = b"written by a hardware domain"
SCRIPT = """
for m in @MODULES@; do insmod /lib/$m.ko; done
for d in /sys/bus/pci/devices/*; do echo "PCI $(basename $d) $(cat $d/vendor) $(cat $d/device) $(basename $(readlink $d/driver))"; done
for d in /sys/block/sd*; do [ $(cat $d/size) = @SECTORS@ ] && disk=/dev/$(basename $d); done
echo "DISK $(md5sum < $disk)"
echo -n "@WORD@" | dd of=$disk conv=notrunc,fsync 2>/dev/null
ip link set eth0 up
printf '#!/bin/sh\\n[ "$1" = bound ] && echo "LEASE $ip from $serverid"\\n' > /lease; chmod +x /lease
while ! udhcpc -i eth0 -n -q -s /lease; do :; done
grep IO-APIC /proc/interrupts | sed 's/^/IRQ /'
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
        text = script.replace("@MODULES@", " ".join(names)).replace("@WORD@", WORD.decode()).replace("@SECTORS@", str(DISK_BYTES // 512))
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(), text, extra)
        return self.config("host.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, **{
            "memory": 256, "hardware": 1, "cmdline": CMDLINE, **settings})

    def _run(self, machine, *more, **settings):
        machine = machines.find(machine)
        done = self.facet("run", "--machine", machine.name, "--memory", "512", "--ticks", str(machine.limit(TICKS)),
                          *more, self._config(SCRIPT, **settings))
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        return done

    def _check_devices(self, machine, network):
        """It finds a disk, whose bytes are ours, writes to it, and gets an address by its network card."""
        data = random.Random(1).randbytes(DISK_BYTES)
        disk = self.write("disk.img", data)
        done = self._run(machine, "--disk", disk, "--network")
        self.assertRegex(done.out, r"(?m)^\(d0\) PCI 0000:00:01\.1 0x8086 0x7010 ata_piix$")
        self.assertRegex(done.out, r"(?m)^\(d0\) PCI \S+ 0x8086 0x100e e1000$")
        self.assertIn(f"(d0) DISK {hashlib.md5(data).hexdigest()}", done.out)
        self.assertEqual(disk.read_bytes(), WORD + data[len(WORD):])
        self.assertIn(f"(d0) LEASE {network}", done.out)
        taken = {name: int(count) for count, name in
                 re.findall(r"(?m)^\(d0\) IRQ +\d+: +(\d+) +IO-APIC +\S+ +(ata_piix|eth0)$", done.out)}
        self.assertTrue(taken["eth0"] and any(taken.values()), taken)
        self.assertIn("(facet) d0 host: powered off", done.out)

    def test_devices_on_amd(self):
        """On QEMU."""
        self._check_devices("amd", "10.0.2.15 from 10.0.2.2")

    def test_refused(self):
        """What cannot be a hardware domain is told why."""
        config = self.config("host.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", memory=1000, hardware=1)
        done = self.facet("run", "--machine", "amd", "--memory", "512", config)
        self.assertNotEqual(done.status, 0)
        other = self.config("two.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", hardware=1)
        done = self.facet("run", self.config("one.cfg", kernel=runner.build_dir() / "guest" / "hello.elf", hardware=1), other)
        self.assertEqual(done.status, 2)
        self.assertIn("hardware = 1 is also in", done.err)
