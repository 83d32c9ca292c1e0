# SPDX-License-Identifier: MIT
"""GRUB's menu entries (packaging/grub/20_facet), made as grub-mkconfig makes them, of made-up folders; and a machine that
is started by one. Only what GRUB's tools say of the disk is made up: tests run on file systems that GRUB cannot read."""

import os
import pathlib
import subprocess

import runner
from harness import TICKS, FacetTest
from runner import machine
from test_install import make

PROBE = """\
#!/bin/sh
case "$*" in
*--target=device*) echo /dev/sda1 ;;
*--target=partmap*) echo msdos ;;
*--target=fs\\ * | *--target=fs) echo ext2 ;;
*--target=fs_uuid*) [ -z "$NO_UUID" ] && echo 01234567-89ab ;;
esac
"""
MODULES = "multiboot biosdisk iso9660 normal boot minicmd echo test search search_fs_uuid part_msdos ext2"


class BootEntryTest(FacetTest):
    """See the module's text."""

    weight = 15.0

    def setUp(self):
        super().setUp()
        self.place = self.dir / "place"
        make("install", f"prefix={self.place}", "COMPONENTS=facet altp2m")
        self.configs, self.disc = self.dir / "etc", self.dir / "disc"
        self.boot = self.disc / "boot/facet"
        self.configs.mkdir()
        (self.disc / "boot/grub").mkdir(parents=True)
        self.write("probe", PROBE).chmod(0o755)
        # What of a path is seen from the file system's root.
        self.write("relpath", f'#!/bin/sh\necho "${{1#{self.disc}}}"\n').chmod(0o755)

    def domains(self, folder, *names, **settings):
        """A folder of configurations."""
        (self.configs / folder).mkdir(exist_ok=True)
        for name in names:
            self.config(f"etc/{folder}/{name}.cfg",
                        **{"name": name, "kernel": runner.build_dir() / "guest/hello.elf", **settings})

    def generate(self, script=None, **more):
        """What the script prints for grub.cfg, and what it tells people."""
        environment = dict(os.environ, GRUB_FACET_CONFIGS=str(self.configs), GRUB_FACET_BOOT=str(self.boot),
                           grub_probe=str(self.dir / "probe"), grub_mkrelpath=str(self.dir / "relpath"), **more)
        done = subprocess.run([script or self.place / "etc/grub.d/20_facet"], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        if not done.stdout:
            return "", done.stderr
        checked = subprocess.run(["grub-script-check"], input=done.stdout, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout), (0, ""), done.stdout)
        return done.stdout, done.stderr

    def test_entry(self):
        """The whole text for two domains with a module, and what it loads is there."""
        (self.dir / "module").write_text("x", encoding="ascii")
        self.domains("pair", "a", "b", ramdisk=self.dir / "module")
        text, _ = self.generate()
        lines = [line.strip() for line in text.splitlines()]
        self.assertEqual(lines[:2], ['if [ "$grub_platform" = pc -o "$grub_platform" = efi ]; then',
                                     "menuentry 'Facet, pair' --class facet $menuentry_id_option 'facet-pair' {"])
        loads = [line.split() for line in lines if line.startswith(("multiboot", "module"))]
        loads, efi = loads[:len(loads) // 2], loads[len(loads) // 2:]
        self.assertEqual([words[0] for words in loads], ["multiboot"] + ["module"] * (len(loads) - 1))
        self.assertEqual([words[2:] for words in loads], [[], ["domains"], ["kernel"], ["ramdisk"]])
        self.assertEqual(efi, [[f"{words[0]}2", *words[1:]] for words in loads])
        for words in loads:
            self.assertTrue((self.disc / words[1].lstrip("/")).is_file(), words)
        self.assertIn("search --no-floppy --fs-uuid --set=root 01234567-89ab", lines)
        self.assertEqual(lines[-2:], ["}", "fi"])
        self.assertRegex(self.generate(GRUB_FACET_PROCESSORS="all")[0], r"multiboot \S+/facet.elf processors=all\n")
        text, said = self.generate(GRUB_FACET_PROCESSORS="none")
        self.assertNotIn("multiboot", text)
        self.assertIn("--processors", said)

    def test_starts_a_machine(self):
        """GRUB runs the entry, and the domain runs."""
        self.domains("first", "a", altp2m="zebra")  # an entry that cannot be must not spoil the others
        self.domains("second", "b")
        # The disc is where GRUB came from: it need not look for it, which takes it minutes on this machine.
        text, said = self.generate(NO_UUID="1")
        self.assertIn('altp2m must be "disabled"', said)
        self.assertNotIn("Facet, first", text)
        (self.disc / "boot/grub/grub.cfg").write_text("set timeout=0\nset default=facet-second\n" + text, encoding="utf-8")
        image = self.dir / "disc.iso"
        made = subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", image, "--fonts=", "--locales=",
                               "--themes=", f"--install-modules={MODULES}", self.disc], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stdout)
        result = machine.boot_image(image, 512, ticks=TICKS, cancel=self.cancel)
        self.assertEqual(result.status, 0, result.reason)
        self.assertEqual({number: (e.name, e.how) for number, e in result.endings.items()}, {1: ("b", "powered off")})

    def test_made_anew(self):
        """A changed folder is made anew, one that is gone is taken away, and what is somebody else's stays."""
        self.domains("one", "a")
        self.domains("two", "b")
        self.generate()
        other = self.boot / "mine"
        other.mkdir()
        (other / "file").write_text("", encoding="ascii")
        (self.configs / "one/a.cfg").unlink()
        (self.configs / "one").rmdir()
        self.domains("two", "b", "c")
        before = (self.boot / "two/domains.dtb").read_bytes()
        text, _ = self.generate()
        self.assertNotIn("Facet, one", text)
        self.assertFalse((self.boot / "one").exists())
        self.assertNotEqual((self.boot / "two/domains.dtb").read_bytes(), before)
        self.assertTrue((other / "file").exists())
        self.assertEqual(sorted(path.name for path in self.boot.iterdir()), ["mine", "two"])

    def test_refused(self):
        """Folders that can have no entry: told of, and no line for GRUB."""
        for name in ("-x", "a'b", "a b", "$(touch x)", "ä", ".a;b"):
            self.domains(name, "d")
        self.domains("empty")
        self.domains("broken", "e", kernel="/nonexistent")
        (self.boot / "taken").mkdir(parents=True)
        (self.boot / "taken/file").write_text("", encoding="ascii")
        self.domains("taken", "f")
        text, said = self.generate()
        self.assertEqual(text, "")
        for name in ("-x", "a'b", "a b", "$(touch x)", "ä", "broken", "taken"):
            self.assertIn(f"/{name}/ has no entry", said)
        self.assertIn("/nonexistent", said)
        self.assertNotIn("empty", said)
        self.assertEqual([path.name for path in self.boot.iterdir()], ["taken"])

    def test_nothing_installed(self):
        """A script that was left behind is silent, and so is one without folders."""
        self.assertEqual(self.generate(), ("", ""))
        script = self.dir / "20_facet"
        text = (self.place / "etc/grub.d/20_facet").read_text(encoding="utf-8")
        script.write_text(text.replace(f"{self.place}/bin/facet", "/nonexistent/facet"), encoding="utf-8")
        script.chmod(0o755)
        self.domains("one", "a")
        self.assertEqual(self.generate(script), ("", ""))


class FilesTest(FacetTest):
    """facet image --files."""

    weight = 5.0

    def test_replaces_only_its_own(self):
        """A folder is made, made anew as a whole, and left as it was if a domain cannot be."""
        config = self.config("a.cfg", kernel=runner.build_dir() / "guest/hello.elf")
        bad = self.config("b.cfg", kernel="/nonexistent")
        out = self.dir / "out"
        self.assertEqual(self.facet("image", "--files", out, "--processors", "2", config).status, 0)
        self.assertEqual((out / "load").read_text(encoding="ascii").splitlines()[0], "facet.elf processors=2")
        listed = [line.split()[0] for line in (out / "load").read_text(encoding="ascii").splitlines()]
        self.assertEqual(sorted([*listed, "load"]), sorted(path.name for path in out.iterdir()))
        (out / "stale").write_text("", encoding="ascii")
        self.assertEqual(self.facet("image", "--files", out, bad).status, 2)
        self.assertTrue((out / "stale").exists())
        self.assertEqual(self.facet("image", "--files", f"{out}/", config).status, 0)
        self.assertFalse((out / "stale").exists())
        self.assertEqual([path for path in self.dir.iterdir() if path.name.startswith(".")], [])

    def test_files_refused(self):
        """Who has other files, or no room for a folder, keeps them."""
        config = self.config("a.cfg", kernel=runner.build_dir() / "guest/hello.elf")
        full = self.dir / "full"
        full.mkdir()
        (full / "file").write_text("", encoding="ascii")
        link = self.dir / "link"
        link.symlink_to(full)
        for where, wanted in ((full, "holds other files"), (config, "is not a directory"), (link, "is not a directory"),
                              ("/nonexistent/x", "no directory /nonexistent"), ("/proc/x", "cannot be written")):
            with self.subTest(where=str(where)):
                done = self.facet("image", "--files", where, config)
                self.assertEqual((done.status, done.out), (2, ""), done.err)
                self.assertIn(wanted, done.err)
        done = self.facet("image", config)
        self.assertEqual(done.status, 2)
        self.assertEqual(list(full.iterdir()), [full / "file"])


class CompletionTest(FacetTest):
    """bash's completion of the installed commands."""

    weight = 3.0

    def complete(self, command, *words):
        """What is offered for the last word."""
        script = pathlib.Path(runner.ROOT) / "packaging/completion" / command
        program = {"facet": runner.ROOT / "facet", "altp2m": runner.build_dir() / "altp2m"}[command]
        line = " ".join(f"'{word}'" for word in (program, *words))
        done = subprocess.run(["bash", "-c", f'. {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _{command}; '
                               'printf "%s\\n" "${COMPREPLY[@]}"'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_facet(self):
        """Commands, their options, and the values that one of them has."""
        self.assertEqual(self.complete("facet", "im"), ["image"])
        self.assertGreater(len(self.complete("facet", "")), 7)
        self.assertEqual(self.complete("facet", "run", "--tim"), ["--timeout"])
        self.assertIn("-o", self.complete("facet", "image", "-"))
        self.assertIn("run", self.complete("facet", "setup", "--for", ""))
        self.assertEqual(self.complete("facet", "demo", "m"), ["monitor"])
        self.assertEqual(self.complete("facet", "--ver"), ["--version"])

    def test_altp2m(self):
        """The same; the domain's number is no command."""
        self.assertEqual(self.complete("altp2m", "crea"), ["create"])
        self.assertEqual(self.complete("altp2m", "-d", "2", "wat"), ["watch"])
        self.assertIn("--symbols", self.complete("altp2m", "-d", "2", "watch", "--"))
