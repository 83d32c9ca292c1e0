# SPDX-License-Identifier: MIT
"""An image of `facet image` starts machines: by a BIOS and by UEFI, as a disc and as a disk, with and without ports."""

import sys

import runner
from harness import TICKS, FacetTest
from runner import machine

sys.path.insert(0, str(runner.ROOT / "demo"))

import host_demo  # noqa: E402  pylint: disable=wrong-import-position

MEMORY = 512
HELLO = "hello from a PVH guest on version 4.17 (Facet)"


class ImageTest(FacetTest):
    """One image for all of them."""

    weight = 60.0

    def image(self, *options):
        """Makes it; its guest says a line and powers off."""
        config = self.config("hello.cfg", kernel=runner.build_dir() / "guest/hello.elf")
        path = self.dir / "facet.iso"
        done = self.facet("image", "-o", path, *options, config)
        self.assertEqual(done.status, 0, done.err)
        return path

    def starts(self, path, name=None, **more):
        """Starts such a machine, which runs the guest and powers off. Returns the hypervisor's lines."""
        with self.subTest(machine=name, **more):
            result = machine.boot_image(path, MEMORY, TICKS, self.cancel, machine=name, **more)
            self.assertEqual((result.status, result.powered_off), (0, True), result.reason)
            self.assertIn(HELLO, result.texts("d1"))
            self.assertEqual([ending.how for ending in result.endings.values()], ["powered off"])
            return result.texts("facet")
        return []

    def test_bios(self):
        """From a disc and from a disk, on both emulators."""
        path = self.image()
        for name in (None, "amd"):
            for as_disk in (False, True):
                self.starts(path, name, as_disk=as_disk)

    def test_uefi(self):
        """The same by UEFI, where the root of ACPI's tables is told by Multiboot2 alone: processors are found by them, and
        the way to power off, which is not where a BIOS has it."""
        path = self.image("--processors", "2")
        for more in ({"as_disk": False}, {"as_disk": True, "serial": True}):
            lines = self.starts(path, "amd", uefi=True, processors=2, **more)
            self.assertIn("processors: 2 of 2", lines)

    def test_no_ports(self):
        """Nobody waits for a serial port that is not there; a screen of text has the lines instead."""
        path = self.image()
        result = machine.boot_image(path, MEMORY, TICKS, self.cancel, machine="amd", ports=False)
        self.assertTrue(result.powered_off, result.reason)
        self.assertIn(f"(d1) {HELLO}", result.screen)
        self.assertIn("(facet) all domains ended: 1 powered off, 0 rebooted, 0 crashed", result.screen)
        for more in ({"machine": "amd", "uefi": True}, {"machine": None}):
            with self.subTest(**more):
                result = machine.boot_image(path, MEMORY, TICKS, self.cancel, ports=False, **more)
                self.assertTrue(result.powered_off, result.reason)


class HostImageTest(FacetTest):
    """A host to install: the hardware domain from such an image."""

    weight = 80.0

    def test_host_by_uefi(self):
        """By UEFI, from a disk: Debian is given ACPI's tables, finds the machine's other disk, and xl answers."""
        if host_demo.missing():
            self.skipTest(f"{', '.join(host_demo.missing())} (packages: ./facet setup --for host)")
        script = ('xl list | sed "s/^/LIST /"\nls -l /dev/guest-disk | sed "s/.* //; s/^/DISK /"\n'
                  'dmesg | grep -c "ACPI: RSDP" | sed "s/^/RSDP /"\n')
        path = host_demo.configuration(runner, self.dir / "host", script, hardware=True)[0]
        image = self.dir / "host.iso"
        done = self.facet("image", "-o", image, path)
        self.assertEqual(done.status, 0, done.err)
        result = machine.boot_image(image, host_demo.MACHINE_MIB, 20 * TICKS, self.cancel, machine="amd", uefi=True, as_disk=True,
                                    disk=host_demo.make_disk(self.dir))
        said = result.texts("d0")
        told = "\n".join([result.reason or "", *result.texts("facet"), *said[-40:]])
        self.assertTrue(result.powered_off, told)
        self.assertTrue(any(line.startswith("LIST Domain-0 ") for line in said), told)
        self.assertTrue(any(line.startswith("DISK sd") for line in said), told)
        self.assertIn("RSDP 1", said, told)
