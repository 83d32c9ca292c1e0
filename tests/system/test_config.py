# SPDX-License-Identifier: MIT
"""What users meet when a configuration file or a file that it names is wrong.

The wording of each message is the unit tests' business (tests/unit/test_xlcfg.c); here it is that
all errors of all files are reported, with file and line, and that the status is 2.
"""

import bz2
import gzip
import lzma
import os
import re

import runner
from harness import FacetTest


class ConfigTest(FacetTest):
    """facet-config on its own: nothing is booted."""

    weight = 0.5

    def refused(self, *paths, options=()):
        """Runs facet-config, which must refuse; returns its messages."""
        done = self.tool("facet-config", *options, *paths)
        self.assertEqual((done.status, done.out), (2, ""))
        return done.err.splitlines()

    def test_all_errors_of_all_files(self):
        """One run tells everything that is wrong."""
        kernel = self.write("k", "x")
        one = self.write("one.cfg", f"name='a'\ntype='hvm'\nkernel='{kernel}'\nmemory=0\nx=1\n")
        two = self.write("two.cfg", "name='b\ntype='pvh'\nkernel='gone'\nmemory=1\n")
        self.assertEqual(self.refused(one, two), [
            f"{one}:5: warning: unknown key x: ignored",
            f'{one}:2: type must be "pvh"',
            f"{one}:4: memory must be a number from 1 to 1048576 (MiB)",
            f"{two}:1: string without closing '",
            f"{two}:3: kernel: cannot read {self.dir}/gone: No such file or directory"])

    def test_malformed_files(self):
        """Things that are no configuration at all are refused, never believed."""
        for text in ("", "\0\0\0", "\x7fELF\x02\x01", "[]", "name", "=" * 1000, "a=" * 1000,
                     "a=[" * 1000, "'" * 1000, '{"name": "json"}', "\ufeffname = 'x'"):
            with self.subTest(text[:20]):
                self.assertTrue(self.refused(self.write("bad.cfg", text)))

    def test_unreadable_files(self):
        """Missing files and directories."""
        self.assertIn("No such file", self.refused(self.dir / "none.cfg")[0])
        self.assertIn("Is a directory", self.refused(self.dir)[0])

    def test_fifo(self):
        """What is no regular file is refused at once, also as a kernel: nobody writes to it."""
        os.mkfifo(self.dir / "fifo")
        self.assertEqual(self.refused(self.dir / "fifo"),
                         [f"{self.dir}/fifo: cannot read: not a regular file"])
        self.assertIn("not a regular file", self.refused("/dev/zero")[0])
        path = self.config("a.cfg", kernel=self.dir / "fifo")
        self.assertIn("is not a regular file", self.refused(path)[0])

    def test_what_xl_takes(self):
        """xl's spellings are taken; what is not carried out is said, with its line."""
        kernel = self.write("k", "x")
        path = self.write("a.cfg", f"name = 1; type = 'pvh'\nkernel = '{kernel}'\nmemory = '16'\n"
                                   "memory = 0x20\naltp2m = 2\nextra = 'a'\nextra += ' b'\n"
                                   "on_crash = 'coredump-destroy'\nvif = [ 'bridge=x', ]\n")
        done = self.tool("facet-config", path)
        self.assertEqual((done.status, done.out.splitlines()[-1]),
                         (0, f"domain\t1\t32768\t1280\t1\t1\t0\t{path}:2"))
        self.assertEqual(done.err.splitlines(), [
            f"{path}:4: warning: memory was already set at line 3: the last one counts",
            f"{path}:9: warning: vif is not carried out: Facet has no devices for guests",
            f'{path}:8: warning: on_crash = "coredump-destroy" is not carried out: "destroy" is '
            "done, no core dump is written"])

    def test_limits(self):
        """The hypervisor's limits are the tool's."""
        kernel = self.write("k", "x")
        for setting, words in ((("vcpus", 33), "vcpus must be a number from 1 to 32"),
                               (("extra", "x" * 2048), "2048 bytes; the most is 2047"),
                               (("altp2m_count", 513), "altp2m_count must be a number from 1 to 512"),
                               (("memory", 1 << 21), "memory must be a number from 1 to 1048576")):
            with self.subTest(setting[0]):
                path = self.config("a.cfg", kernel=kernel, **dict([setting]))
                self.assertRegex(self.refused(path)[0], rf"^{path}:[0-9]+: .*{re.escape(words)}")
        paths = [self.config(f"{i}.cfg", name=f"d{i}", kernel=kernel) for i in range(65)]
        self.assertEqual(self.refused(*paths), [f"{paths[64]}: domain 65 of 65; the most is 64"])
        self.assertEqual(self.tool("facet-config", *paths[:64]).status, 0)

    def test_same_name_twice(self):
        """Two domains cannot share a name."""
        kernel = self.write("k", "x")
        one, two = (self.config(f"{n}.cfg", name="same", kernel=kernel) for n in "ab")
        self.assertEqual(self.refused(one, two),
                         [f'{two}: name "same" is also the name in {one}'])

    def test_sum_of_memory(self):
        """The sum counts, tables included, and each domain's share is shown."""
        kernel = self.write("k", "x")
        paths = [self.config(f"{n}.cfg", kernel=kernel, memory=100, shadow_memory=10)
                 for n in "ab"]
        lines = self.refused(*paths, options=("-m", "219"))
        self.assertIn("need 220 MiB together, but the machine has 219 MiB", lines[0])
        self.assertEqual(lines[1].strip(), "a: 100 MiB of memory and 10 MiB of tables")
        self.assertEqual(self.tool("facet-config", "-m", "220", *paths).status, 0)

    def test_ramdisk_does_not_fit(self):
        """A ramdisk as large as the domain's memory."""
        kernel, ramdisk = self.write("k", "x"), self.write("r", bytes(16 << 20))
        path = self.config("a.cfg", kernel=kernel, ramdisk=ramdisk, memory=16)
        self.assertIn("ramdisk of 16384 KiB does not fit in the 16 MiB", self.refused(path)[0])

    def test_paths_are_relative_to_the_file(self):
        """Whatever directory the command runs in."""
        self.write("kernel", "x")
        path = self.config("a.cfg", kernel="kernel")
        done = self.tool("facet-config", path, cwd="/")
        self.assertEqual((done.status, done.err), (0, ""))
        self.assertIn(f"module\t1\tkernel\t{self.dir.resolve()}/kernel\n", done.out)

    def test_shared_files_are_one_module(self):
        """Two domains with one kernel load it once."""
        kernel, ramdisk = self.write("k", "x"), self.write("r", "y")
        paths = [self.config(f"{n}.cfg", kernel=kernel, ramdisk=ramdisk) for n in "ab"]
        lines = self.tool("facet-config", *paths).out.splitlines()
        self.assertEqual([line.split("\t")[:3] for line in lines[:2]],
                         [["module", "1", "kernel"], ["module", "2", "ramdisk"]])
        self.assertEqual([line.split("\t")[0] for line in lines[2:]], ["domain", "domain"])


class RefusalTest(FacetTest):
    """What the hypervisor refuses to build, the tools refuse before anything starts: file, line, limit."""

    weight = 1.0
    # What the hypervisor says -> what the tools say of these settings, or why they cannot get there.
    DTREE = {
        "the device tree is truncated": None,
        "the device tree is malformed": None,
        "the device tree is not one of Facet's": None,
        "the device tree has no domains": None,
        "reg is not a domain id": None,  # facet-config numbers them: test_limits
        "name has unprintable characters": ({"name": "a\u20ac"}, "name must be 1 to 63 printable"),
        "name is missing or too long": ({"name": "n" * 64}, "name must be 1 to 63 printable"),
        "kernel-module is not one of the boot modules": None,
        "ramdisk-module is not one of the boot modules": None,
        "cmdline is missing or too long": ({"cmdline": "c" * 2048}, "2048 bytes; the most is 2047"),
        "memory-kib is not a size from 1 MiB up in whole pages":
            ({"memory": 0}, "memory must be a number from 1 to 1048576 (MiB)"),
        "vcpus is out of range": ({"vcpus": 33}, "vcpus must be a number from 1 to 32"),
        "cpus has not one mask for each vCPU": None,  # facet-config writes one for each
        "cpus leaves a vCPU no processor": ({"cpus": "0-3,^0-3"}, "cpus leaves no processor"),
        "table-memory-kib is not a size":
            ({"shadow_memory": 1 << 21}, "shadow_memory must be a number from 1 to 1048576"),
        "altp2m is not one of disabled, mixed, external, limited": ({"altp2m": 4}, "altp2m must be"),
        "altp2m-count is out of range":
            ({"altp2m_count": 513}, "altp2m_count must be a number from 1 to 512"),
        "monitors is not a list of names": ({"monitors": ""}, "monitors must be a list"),
        "altp2m-policy is not one of open, grandfathered, audited":
            ({"altp2m_policy": "closed"}, "altp2m_policy must be"),
        "altp2m-allow or altp2m-deny names what is not a sub-operation":
            ({"altp2m_deny": ["create"]}, "create is not a sub-operation"),
        "altp2m-guest-views or altp2m-guest-tables is out of range":
            ({"altp2m_guest_views": 512}, "altp2m_guest_views must be a number from 1 to 511"),
        "an action is not one of destroy, restart, preserve":
            ({"on_watchdog": "explode"}, "on_watchdog must be"),
        "pci-hide is not a list of functions":
            ({"hardware": 1, "pci_hide": ["zebra"]}, "pci_hide: a function is "),
        "hardware is for the domain with control whose reg is 0": None,  # facet-config gives it both
    }
    BUILDER = {
        "the kernel needs memory up to %llu KiB, the domain has %llu KiB":
            ({"memory": 1}, "kernel and ramdisk need memory up to "),
        "kernel and ramdisk (%llu KiB) do not fit in %llu KiB of memory":
            ({"memory": 4, "ramdisk": 3 << 20}, "kernel and ramdisk need memory up to "),
        "it needs %llu MiB, the machine has %llu MiB left": None,  # test_sum_of_memory
        "%s": None,  # why the machine has no memory for a hardware domain
        "no memory of the machine at %llu KiB, for %llu KiB of kernel and ramdisk": None,  # the machine's
        "too much table memory": None,  # 1 TiB is the most
        "no %u KiB in a row for page tables": None,  # the machine's
        "the table memory is too small":
            ({"memory": 65536, "shadow_memory": 1, "altp2m_count": 512}, "shadow_memory must be at least "),
        "the machine ran out of memory": None,  # the machine's
        "others still hold %llu KiB of its former memory": None,  # what was before it started again
        "kernel or ramdisk could not be copied": None,  # into RAM that is there
        "no memory for vCPU %u": None,  # the machine's
        "cpus: none of those that vCPU %u may run on is there": None,  # the machine's
        "kernel: %s": None,  # elf_image.c is part of facet-kernel: test_kernel.c
    }

    def test_all_are_known(self):
        """A new refusal of the hypervisor needs a word of the tools, or a reason."""
        source = runner.ROOT / "hv" / "guest"
        text = re.sub(r'"\s+"', "", (source / "dtree.c").read_text())
        self.assertEqual(set(re.findall(r'(?:return|:|error =) "([^"]{12,})"', text)), set(self.DTREE))
        text = re.sub(r'"\s+"', "", (source / "builder.c").read_text())
        self.assertEqual(set(re.findall(r'fail\(&?b, "([^"]+)"', text)), set(self.BUILDER))

    def test_said_first(self):
        """Each, with the file and the line."""
        kernel = self.guest()
        for refusal, case in {**self.DTREE, **self.BUILDER}.items():
            if case is None:
                continue
            settings, words = dict(case[0]), case[1]
            if "ramdisk" in settings:
                settings["ramdisk"] = self.write("ramdisk", bytes(settings["ramdisk"]))
            with self.subTest(refusal):
                path = self.config("a.cfg", kernel=kernel, altp2m=settings.pop("altp2m", 1), **settings)
                done = self.facet("image", "-o", self.dir / "a.iso", path)
                self.assertEqual((done.status, done.out), (2, ""), done.err)
                self.assertRegex(done.err, rf"(?m)^{path}:[0-9]+: .*{re.escape(words)}")

    def test_what_fits_is_taken(self):
        """A kernel that just fits, as the hypervisor lays it out."""
        kernel = self.guest()
        path = self.config("a.cfg", kernel=kernel, memory=2, ramdisk=self.write("r", bytes(1 << 19)))
        done = self.facet("run", path)
        self.assertEqual(done.status, 0, done.out + done.err)
        path = self.config("b.cfg", kernel=kernel, memory=2, ramdisk=self.write("r", bytes((1 << 20) - 4096)))
        self.assertIn(f"{path}:3: kernel and ramdisk need memory up to ",
                      self.facet("run", path).err)


class KernelTest(FacetTest):
    """`facet run` with files that are no PVH kernels: refused before the machine starts."""

    weight = 2.0

    def assert_refused(self, content, wanted):
        """A run of this kernel file ends with status 2 and these words."""
        kernel = self.write("kernel", content)
        done = self.facet("run", self.config("a.cfg", kernel=kernel))
        self.assertEqual((done.status, done.out), (2, ""), done.err)
        self.assertIn(f"facet-kernel: {kernel}: {wanted}", done.err)

    def test_no_kernel(self):
        """Text, an archive, a program of this computer."""
        self.assert_refused("hello, world\n" * 100, "neither an ELF nor a Linux bzImage")
        self.assert_refused(gzip.compress(b"x" * 5000), "neither an ELF nor a Linux bzImage")
        with open("/bin/true", "rb") as file:
            self.assert_refused(file.read(), "not a PVH kernel")

    def test_packed(self):
        """A guest's ELF, packed as a whole, runs as it is; a damaged or a PV-only one tells why not."""
        whole = self.guest().read_bytes()
        for name, packed in (("gz", gzip.compress(whole)), ("bz2", bz2.compress(whole)),
                             ("xz", lzma.compress(whole)), ("xz.gz", gzip.compress(lzma.compress(whole)))):
            with self.subTest(name):
                kernel = self.write(f"guest.{name}", packed)
                done = self.facet("run", self.config(f"{name}.cfg", kernel=kernel))
                self.assertEqual(done.status, 0, done.err)
                self.assertIn("powered off", done.out)
        self.assert_refused(gzip.compress(whole)[:-100], "the gzip data is damaged or cut short")
        self.assert_refused(gzip.compress(whole.replace(b"Xen\0", b"xen\0")),
                            "not a PVH kernel: it has no Xen PHYS32_ENTRY note")

    def test_truncated(self):
        """A good kernel, cut short."""
        whole = self.guest().read_bytes()
        self.assert_refused(whole[:64], "the ELF has no program headers, or they are cut short")
        self.assert_refused(whole[:0x1004], "a segment reaches beyond the end of the file")

    def test_truncated_linux(self):
        """Debian's bzImage, cut short."""
        whole = runner.debian_kernel().vmlinuz.read_bytes()
        self.assert_refused(whole[:len(whole) // 2], "the bzImage is cut short")
        self.assert_refused(whole[:0x1fe], "neither an ELF nor a Linux bzImage")

    def test_damaged_linux(self):
        """Debian's bzImage with a hole in the packed part."""
        whole = bytearray(runner.debian_kernel().vmlinuz.read_bytes())
        middle = len(whole) // 2
        whole[middle:middle + 4096] = bytes(4096)
        self.assert_refused(bytes(whole), "")
