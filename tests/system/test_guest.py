# SPDX-License-Identifier: MIT
"""`facet guest`: what it refuses before it does anything, what it puts into a guest, and that the guest runs."""

import gzip
import os
import re
import shutil
import subprocess

import runner
from harness import LIMIT, FacetTest
from runner import cpio, guest, initramfs, kmodules, options, pyguest

BEGUN = re.compile(r"building|installing|downloading|making|Traceback", re.I)
PYTHON = """#!/usr/bin/env python3
import argparse, ctypes, sys
sys.exit(print("python:", ctypes.CDLL(None).getpid() == 1, argparse.__name__))
"""


# At the end a module that holds back who would make a hypercall, as kernels since 2026 do without its option.
COMMANDS = """cat /opt/it/link; ls /sys/class/net; stat -c size=%s /opt/it/sub/word; hello; altp2m info
rmmod xen-privcmd; insmod /lib/xen-privcmd.ko; echo held:
start=$(cut -d . -f 1 /proc/uptime); altp2m info; status=$?
echo "$status after $(($(cut -d . -f 1 /proc/uptime) - start)) s"
rmmod xen-privcmd; insmod /lib/xen-privcmd.ko unrestricted=1"""


class RefusalTest(FacetTest):
    """Arguments are looked at before anything else."""

    weight = 10.0

    def assert_refused(self, *arguments, wanted):
        """Status 2 and these words; nothing begun, nothing left."""
        out = self.dir / "out"
        before = sorted(self.dir.iterdir())
        done = self.facet("guest", "-o", out, *arguments)
        with self.subTest(arguments):
            self.assertEqual((done.status, done.out), (2, ""), done.err)
            self.assertIn(wanted, done.err)
            self.assertIsNone(BEGUN.search(done.err), done.err)
            self.assertEqual(sorted(self.dir.iterdir()), before)

    def test_arguments(self):
        """Each is named."""
        script = self.write("x.py", "import (\n")
        plain = self.write("plain", "x")
        for arguments, wanted in (
                (("--module", "../x"), "--module ../x"), (("--module", "dummy=a b=1 =c"), "=c is not an option"),
                (("--module", "a-b", "--module", "a_b=1"), "--module a_b is given twice"),
                (("--file", "/nonexistent"), "/nonexistent: cannot read"), (("--file", f"{plain}:/init"), "/init is the guest's own"),
                (("--file", f"{plain}:/a/../../b"), "no place for a file"), (("--file", f"{plain}:/dev/x"), "the guest's own"),
                (("--file", f"{plain}:/a", "--file", f"{script}:/a"), "another for /a"), (("--file", script), "x.py is not Python"),
                (("--program", "zebra"), "no program zebra"), (("--program", plain), "cannot be executed"),
                (("--program", "cat", "--program", "/bin/cat"), "another for /bin/cat"), (("--program", ""), "no program"),
                (("--command", " "), "nothing to run"), (("--kernel", "zebra"), "--kernel zebra"),
                (("--kernel", "/nonexistent/k"), "/nonexistent/k: cannot read"), (("--name", "a b"), "--name a b"),
                (("--name", "n" * 64), "domain's name"), (("--altp2m", "both"), "--altp2m"), (("--vcpus", "0"), "--vcpus"),
                (("--vcpus", "33"), "number from 1 to 32")):
            self.assert_refused(*arguments, wanted=wanted)

    def test_most_vcpus(self):
        """As many as the hypervisor says."""
        limits = (runner.ROOT / "include/facet/limits.h").read_text(encoding="ascii")
        most = int(re.search(r"^#define DOMAIN_VCPUS +([0-9]+)u", limits, re.M).group(1))
        self.assertEqual(options.vcpus(str(most)), most)
        self.assertRaises(ValueError, options.vcpus, str(most + 1))

    def test_output(self):
        """What is there is not written over, but for a guest, if that is said."""
        held = self.dir / "held"
        held.mkdir()
        (held / "guest.cfg").write_text("mine")
        for more, wanted in (((), "--replace"), (("--name", "x"), "--replace")):
            done = self.facet("guest", "-o", held, *more)
            self.assertEqual((done.status, BEGUN.search(done.err)), (2, None), done.err)
            self.assertIn(wanted, done.err)
        (held / "letter").write_text("mine, too")
        done = self.facet("guest", "-o", held, "--replace")
        self.assertEqual((done.status, "holds what is not a guest: letter" in done.err), (2, True), done.err)
        self.assertEqual((held / "guest.cfg").read_text(), "mine")

    def test_what_only_the_kernel_tells(self):
        """Modules and options that it does not have, what the configuration compiler refuses: nothing is left behind."""
        for arguments, wanted in ((("--module", "zebra"), "has no module zebra"),
                                  (("--module", "dummy=stripes=3"), "no option stripes; it has numdummies"),
                                  (("--memory", "1"), "does not fit"),
                                  (("--kernel", self.write("vmlinuz", b"x" * 9999)), "neither an ELF nor")):
            done = self.facet("guest", "-o", self.dir / "out", *arguments)
            with self.subTest(arguments):
                self.assertEqual(done.status, 2, done.err)
                self.assertIn(wanted, done.err)
                self.assertEqual([path.name for path in self.dir.iterdir() if path.name != "vmlinuz"], [])

    def test_split(self):
        """SRC may hold colons: DEST begins with a slash."""
        for text, wanted in (("a", ("a", "/a")), ("/x/a:b", ("/x/a:b", "/a:b")), ("a:b:/c", ("a:b", "/c")), ("x/a:/c/", ("x/a", "/c/a")),
                             ("x/..", ("x/..", "/" + os.path.basename(os.getcwd())))):
            self.assertEqual(guest._split(text), wanted)


class ModulesTest(FacetTest):
    """Kernel modules by their own words."""

    weight = 1.0

    def test_modules(self):
        """Names in both spellings; what one needs comes before it; what is built in is no file."""
        kernel = runner.debian_kernel()
        self.assertEqual(kmodules.find(kernel, "xen_privcmd"), kmodules.find(kernel, "xen-privcmd"))
        needed = list(kmodules.with_needed(kernel, ["virtio_net"]))
        self.assertEqual(needed[-1], "virtio_net")
        self.assertLess(needed.index("virtio_ring"), needed.index("virtio"))
        self.assertIn("unrestricted", kmodules.options(kmodules.read(kmodules.find(kernel, "xen-privcmd"))))
        with self.assertRaisesRegex(runner.Error, "no module zebra"):
            kmodules.find(kernel, "zebra")
        builtin = (kernel.modules / "modules.builtin").read_text(encoding="utf-8").splitlines()[0]
        name = re.sub(r"\.ko$", "", builtin.rpartition("/")[2])
        self.assertEqual(kmodules.with_needed(kernel, [name]), {})

    def test_compressed(self):
        """As Debian's kernels have them from 13 on."""
        plain = self.write("a.ko", b"\0depends=b,c\0parmtype=n:int\0")
        for tool in ("xz", "zstd"):
            subprocess.run([tool, "-q", "-k", plain], check=True)
        for path in (plain, self.dir / "a.ko.xz", self.dir / "a.ko.zst"):
            self.assertEqual(kmodules.facts(kmodules.read(path), "depends"), ["b,c"])
            self.assertEqual(kmodules.options(kmodules.read(path)), {"n"})

    def test_library_that_is_missing(self):
        """A program that could not run in the guest is refused."""
        library, program = self.dir / "libzebra.so", self.dir / "p"
        subprocess.run(["gcc", "-shared", "-o", library, "-xc", os.devnull], check=True)
        source = self.write("p.c", "int main(void) { return 0; }\n")
        subprocess.run(["gcc", "-o", program, source, "-Wl,--no-as-needed", library, f"-Wl,-rpath,{self.dir}"], check=True)
        self.assertEqual(initramfs.libraries(program)["lib/x86_64-linux-gnu/libzebra.so"], library)
        library.unlink()
        with self.assertRaisesRegex(runner.Error, "needs .*libzebra.so, which is not there"):
            initramfs.libraries(program)


class GuestTest(FacetTest):
    """Guests as they are made and run."""

    weight = 40.0

    def listed(self, directory):
        """{path in the initramfs: the rest of cpio's line}."""
        data = gzip.decompress((directory / "initramfs.gz").read_bytes())
        done = subprocess.run(["cpio", "-itv", "--quiet"], input=data, stdout=subprocess.PIPE, check=True)
        rows = (line.split(None, 8) for line in done.stdout.decode().splitlines())
        return {row[8].partition(" -> ")[0]: row for row in rows}

    def test_runs_with_what_was_named(self):
        """Module options, files with their places, a program with libraries, a Python script: each is used in the guest."""
        tree = self.dir / "tree"
        (tree / "sub").mkdir(parents=True)
        (tree / "sub" / "word").write_text("zebra\n")
        (tree / "link").symlink_to("sub/word")
        script = self.write("hello", PYTHON)
        script.chmod(0o755)
        out = self.dir / "out"
        done = self.facet("guest", "-o", out, "--quiet", "--module", "dummy=numdummies=3", "--file", f"{tree}:/opt/it",
                          "--program", "/usr/bin/stat", "--program", script, "--name", "mine", "--altp2m", "external",
                          "--command", COMMANDS)
        self.assertEqual((done.status, done.out, done.err), (0, "", ""))
        self.assertEqual(sorted(path.name for path in out.iterdir()), sorted(guest.FILES))
        self.assertEqual([path.name for path in self.dir.iterdir() if path.name.startswith(".")], [])
        run = self.facet("run", *LIMIT, out / "guest.cfg")
        said = [line[5:] for line in run.lines if line.startswith("(d1) ")]
        self.assertEqual(run.status, 0, run.out + run.err)
        for wanted in ("zebra", "size=6", "python: False argparse"):
            self.assertIn(wanted, said)
        self.assertIn("dummy2", " ".join(said).split())
        self.assertIn("external", " ".join(said))
        self.assertIn("(facet) d1 mine: powered off", run.lines)
        at = said.index("held:")
        self.assertIn("waits for a xenstore", said[at + 1])
        self.assertIn("unrestricted=1", said[at + 2])
        self.assertRegex(said[at + 3], "^1 after [0-2] s$")

    def test_same_again(self):
        """The same bytes from the same words; the old guest is replaced, and stays if that fails."""
        out = self.dir / "out"
        self.assertEqual(self.facet("guest", "-o", out, "--command", "true").status, 0)
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        self.assertEqual(self.facet("guest", "-o", out, "--replace", "--command", "true").status, 0)
        self.assertEqual({path.name: path.read_bytes() for path in out.iterdir()}, first)
        done = self.facet("guest", "-o", out, "--replace", "--module", "zebra")
        self.assertEqual(done.status, 2)
        self.assertEqual({path.name: path.read_bytes() for path in out.iterdir()}, first)
        self.assertEqual([path.name for path in self.dir.iterdir()], ["out"])

    def test_quiet(self):
        """It tells what it does, unless it is not to."""
        self.assertIn("wrote", self.facet("guest", "-o", self.dir / "a", "--command", "true").err)

    def test_kernel_of_ones_own(self):
        """The file of a kernel, with modules beside it, and without."""
        kernel = runner.debian_kernel()
        self.assertEqual(self.facet("guest", "-o", self.dir / "a", "--kernel", kernel.vmlinuz, "--command", "true").status, 0)
        self.assertIn("lib/xen-privcmd.ko", self.listed(self.dir / "a"))
        alone = shutil.copy(kernel.vmlinuz, self.dir / "bzImage")
        shown = self.facet("guest", "-o", self.dir / "b", "--kernel", kernel.release, "--command", "true")
        self.assertEqual((shown.status, kernel.release in shown.err), (0, True), shown.err)
        if not os.path.isdir(f"/lib/modules/{kernel.release}"):
            done = self.facet("guest", "-o", self.dir / "c", "--kernel", alone, "--monitor")
            self.assertEqual((done.status, "modules of kernel" in done.err), (2, True), done.err)

    def test_whole_python(self):
        """Without a Python file the interpreter brings its library, compiled, without its tests; with one, what that imports."""
        found = {}
        for scripts in ([], [self.write("a.py", "import json\ndef f():\n    import csv\n")]):
            tree = initramfs.Tree()
            pyguest.add(tree, pyguest.named("python3"), scripts, self.dir)
            tree.write(self.dir / "initramfs.gz", "")
            found[len(scripts)] = set(self.listed(self.dir))
        names = {count: {name.rpartition("/")[2] for name in paths} for count, paths in found.items()}
        self.assertLessEqual({"os.pyc", "argparse.pyc", "csv.pyc"}, names[0])
        self.assertFalse([name for name in found[0] if "/test/" in name or name.endswith(".py")])
        self.assertLessEqual({"os.pyc", "csv.pyc", "decoder.pyc"}, names[1])
        self.assertFalse({"argparse.pyc"} & names[1])
        compiled = [sum(name.endswith(".pyc") for name in paths) for paths in (found[1], found[0])]
        self.assertLess(compiled[0], compiled[1] // 3)

    def test_archive_of_links_and_directories(self):
        """What the tree holds is what cpio unpacks."""
        archive = cpio.Archive()
        archive.directory("a/b")
        archive.link("a/l", "b")
        done = subprocess.run(["cpio", "-it", "--quiet"], input=archive.bytes(), stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout.decode().split(), ["a", "a/b", "a/l"])
