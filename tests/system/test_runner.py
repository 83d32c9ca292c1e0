# SPDX-License-Identifier: MIT
"""The runner itself: what it promises of every machine (contract.py), of Bochs', and how it refuses."""

import shutil
import subprocess

import runner
from contract import Contract
from harness import TICKS, FacetTest
from runner import machine


class RunnerTest(Contract, FacetTest):
    """`facet run` on the default machine."""

    def test_image_boots(self):
        """What `facet image` writes starts by its own boot loader, as on a real machine, and the domains are those given."""
        image = self.dir / "x.iso"
        configs = [self.config(f"{name}.cfg", name=name, kernel=runner.build_dir() / "guest/hello.elf", memory=16)
                   for name in ("one", "two")]
        done = self.facet("image", "-o", image, *configs)
        self.assertEqual(done.status, 0, done.err)
        result = machine.boot_image(image, 512, TICKS)
        self.assertEqual(result.status, 0, result.reason)
        self.assertEqual({ending.name for ending in result.endings.values()}, {"one", "two"})

    def test_image_beside_grub_of_other_platforms(self):
        """A host may have GRUB for other platforms too, without some of our modules."""
        platforms = self.dir / "grub"
        for ours in ("i386-pc", "x86_64-efi"):
            shutil.copytree(f"/usr/lib/grub/{ours}", platforms / ours)
        for other in ("i386-efi", "x86_64-xen"):
            shutil.copytree("/usr/lib/grub/i386-pc", platforms / other)
            (platforms / other / "biosdisk.mod").unlink()
        mounted = self.namespace(f"mount --bind {platforms} /usr/lib/grub")
        image = self.dir / "x.iso"
        done = subprocess.run(
            [*mounted, runner.ROOT / "facet", "image", "-o", image, "--hypervisor",
             self.standin("x"), self.any_config()], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreater(image.stat().st_size, 100_000)


class UsageTest(FacetTest):
    """Wrong options: status 2 and words that help, before anything is started."""

    def assert_refused(self, *arguments, wanted):
        """The command is refused with `wanted` in its message."""
        done = self.facet(*arguments)
        self.assertEqual(done.status, 2, done.err)
        self.assertIn(wanted, done.err)


    def test_wrong_options(self):
        """Each is named."""
        for arguments, wanted in (
                ((), "COMMAND"),
                (("fly",), "fly"),
                (("run",), "CONFIG"),
                (("run", "--timeout", "0", "x"), "--timeout"),
                (("run", "--timeout", "soon", "x"), "--timeout"),
                (("run", "--memory", "-1", "x"), "--memory"),
                (("run", "--frobnicate", "x"), "--frobnicate"),
                (("image", "x"), "--output"),
                (("setup", "--for", "fun"), "--for"),
                (("run", "/nonexistent.cfg"), "/nonexistent.cfg: cannot read")):
            with self.subTest(arguments):
                self.assert_refused(*arguments, wanted=wanted)

    def test_help(self):
        """Every command explains itself."""
        for command in ("", "setup", "build", "run", "image", "test"):
            with self.subTest(command):
                done = self.facet(*[command] if command else [], "--help")
                self.assertEqual((done.status, done.err), (0, ""))
                self.assertIn("usage: facet", done.out)

    def test_too_small_machine(self):
        """Domains that do not fit are refused, with the sum."""
        config = self.config("a.cfg", kernel=self.guest(), memory=900)
        self.assert_refused("run", "--memory", "512", "--hypervisor", self.standin(""), config,
                            wanted="the domains need 909 MiB together")

    def test_no_hypervisor(self):
        """Neither text nor a program is started as one."""
        config = self.config("a.cfg", kernel=self.guest())
        for path in (config, self.guest()):
            with self.subTest(path):
                self.assert_refused("run", "--hypervisor", path, config, wanted="not an ELF image with a Multiboot header")

    def test_too_large_for_computer(self):
        """More than this computer has is refused before the emulator tries."""
        config = self.config("a.cfg", kernel=self.guest(), memory=1 << 20)
        self.assert_refused("run", "--hypervisor", self.standin(""), config,
                            wanted="MiB together")
