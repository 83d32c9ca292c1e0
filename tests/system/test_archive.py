# SPDX-License-Identifier: MIT
"""Kernels and headers from a made-up archive: versions that differ, packages that are missing or
broken, a full disk. Each ends in a line and status 2, or works; the next try finds nothing in its way.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import runner
from aptarchive import Archive
from harness import FacetTest

RELEASE = "6.1.0-7-cloud-amd64"
# What a command does that needs a kernel with its headers; prints what it got.
PAIR = f"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(runner.ROOT / "tools")!r})
from runner import cli, debian_kernel
def pair():
    kernel = debian_kernel(headers="--no-headers" not in sys.argv)
    print(kernel.release, kernel.version, (kernel.headers / "scripts/kbuild").read_text()
          if kernel.headers else "-")
    return 0
sys.exit(cli.guarded(pair))
"""


class Kernels(Archive):
    """An archive of kernels, headers and what they depend on."""

    def kernel(self, version, release=RELEASE, padding=0):
        """A kernel's package."""
        return self.add(f"linux-image-{release}", version, files={
            f"boot/vmlinuz-{release}": "k", f"boot/System.map-{release}": "m",
            f"lib/modules/{release}/x": "x"}, padding=padding)

    def meta(self, version, release=RELEASE, relation=None):
        """The package that depends on the newest kernel."""
        self.add("linux-image-cloud-amd64", version,
                 f"linux-image-{release} ({relation or f'= {version}'})")

    def headers(self, version, kbuild=None, common=None, release=RELEASE):
        """A kernel's headers; kbuild: what they ask of linux-kbuild."""
        self.add(f"linux-headers-{release}", version,
                 f"linux-headers-6.1.0-7-common ({common or f'= {version}'}), "
                 f"linux-kbuild-6.1 ({kbuild or f'>= {version}'}), linux-compiler-gcc-12-x86",
                 files={f"usr/src/linux-headers-{release}/Makefile":
                        "include /usr/src/linux-headers-6.1.0-7-common/Makefile\n"})

    def common(self, version):
        """The headers that several kernels share."""
        self.add("linux-headers-6.1.0-7-common", version)

    def kbuild(self, version, release=RELEASE):
        """The programs that modules are built with; a file tells which version was taken."""
        self.add("linux-kbuild-6.1", version,
                 files={f"usr/src/linux-headers-{release}/scripts/kbuild": version})

    def usual(self, version="6.1.9-2", **kernel):
        """An archive in which all versions are the same."""
        self.meta(version)
        self.kernel(version, **kernel)
        self.headers(version)
        self.common(version)
        self.kbuild(version)


class ArchiveTest(FacetTest):
    """See the module's text."""

    weight = 20.0

    def setUp(self):
        super().setUp()
        self.archive = Kernels(self.dir)
        self.cache = self.dir / "cache"

    def pair(self, *arguments, cache=None, prefix=(), **environment):
        """Asks for a kernel and its headers. Returns (status, stdout, stderr)."""
        done = subprocess.run(
            [*prefix, sys.executable, "-c", PAIR, *arguments], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            env=self.archive.environment(FACET_CACHE=str(cache or self.cache), **environment))
        return done.returncode, done.stdout.strip(), done.stderr

    def assert_pair(self, wanted, *arguments, **options):
        """It works: "RELEASE VERSION KBUILD'S VERSION"."""
        status, out, err = self.pair(*arguments, **options)
        self.assertEqual((status, out), (0, wanted), err)
        return err

    def assert_refused(self, wanted, hint="", **options):
        """A last line like this, no traceback, status 2, nothing left in the cache."""
        status, out, err = self.pair(**options)
        self.assertEqual((status, out), (2, ""), err)
        self.assertNotIn("Traceback", err)
        last = [line for line in err.splitlines() if line.startswith("facet: ")][-1]
        self.assertRegex(last, wanted)
        self.assertIn(hint, err)
        left = [path.name for path in self.cache.glob("*")] if self.cache.is_dir() else []
        self.assertEqual([name for name in left if name.startswith("part-")], [])

    def test_same_versions(self):
        """The plain case; the second time comes from the cache, with no archive at all."""
        self.archive.usual()
        self.archive.index()
        self.assertIn("downloading", self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2"))
        shutil.rmtree(self.archive.pool)
        self.assertEqual(self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2"), "")

    def test_makefile_finds_the_common_headers(self):
        """Nothing in it points to where packages are installed."""
        self.archive.usual()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")
        makefile, = self.cache.glob("linux-headers-*/usr/src/*/Makefile")
        self.assertNotIn("/usr/src/", makefile.read_text(encoding="utf-8"))

    def test_newer_kbuild(self):
        """Rebuilt alone, as in Debian's security archive: taken."""
        self.archive.meta("6.1.9-2")
        self.archive.kernel("6.1.9-2")
        self.archive.headers("6.1.9-2")
        self.archive.common("6.1.9-2")
        self.archive.kbuild("6.1.9-3")
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-3")

    def test_what_satisfies_is_taken(self):
        """Of several versions the newest that the relation allows; whatever they are."""
        for relation, wanted in (("<< 6.1.9-3", "6.1.9-2+b1"), ("<= 6.1.9-2", "6.1.9-2"),
                                 ("= 6.1.9-1", "6.1.9-1"), (">= 6.1.9-2", "1:6.1.9-4"),
                                 (">> 6.1.9-2", "1:6.1.9-4")):
            with self.subTest(relation):
                shutil.rmtree(self.dir)
                self.setUp()
                self.archive.meta("6.1.9-2")
                self.archive.kernel("6.1.9-2")
                self.archive.headers("6.1.9-2", kbuild=relation)
                self.archive.common("6.1.9-2")
                for version in ("6.1.9-1", "6.1.9-2", "6.1.9-2+b1", "1:6.1.9-4"):
                    self.archive.kbuild(version)
                self.archive.index()
                self.assert_pair(f"{RELEASE} 6.1.9-2 {wanted}")

    def test_kernel_rebuilt_alone(self):
        """The signed kernel has a version of its own; its release is that of the headers."""
        self.archive.meta("6.1.9-2+b1")
        self.archive.kernel("6.1.9-2+b1")
        self.archive.headers("6.1.9-2")
        self.archive.common("6.1.9-2")
        self.archive.kbuild("6.1.9-2")
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2+b1 6.1.9-2")

    def test_meta_package_ahead(self):
        """Lists of two suites: the newer meta package's kernel is not there, the older one's is."""
        self.archive.usual()
        self.archive.meta("6.1.10-1", release="6.1.0-8-cloud-amd64")
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_archive_moved_on(self):
        """No headers for the cached kernel any more: both are fetched anew, and kept."""
        self.archive.usual()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 -", "--no-headers")
        for version in ("6.1.9-3", "6.1.8-1"):  # a newer one; an older one, from fewer lists
            with self.subTest(version):
                shutil.rmtree(self.cache)
                self.archive.drop(*[name for name, _ in self.archive.records])
                self.archive.usual("6.1.9-2")
                self.archive.index()
                self.assert_pair(f"{RELEASE} 6.1.9-2 -", "--no-headers")
                self.archive.drop(*[name for name, _ in self.archive.records])
                self.archive.usual(version)
                self.archive.index(seen=False)  # and the lists here are the old ones
                if os.geteuid() == 0:
                    self.assert_pair(f"{RELEASE} {version} {version}")
                else:
                    self.assert_refused("could not download", "apt-get update")
                    self.archive.index()
                    self.assert_pair(f"{RELEASE} {version} {version}")
                self.assertEqual(self.assert_pair(f"{RELEASE} {version} {version}"), "")

    def test_empty_lists(self):
        """A machine that never fetched any: root does, others are told."""
        self.archive.usual()
        self.archive.index(seen=False)
        if os.geteuid() == 0:
            self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")
        else:
            self.assert_refused("apt does not know linux-image-cloud-amd64", "apt-get update")

    def test_missing_packages(self):
        """Each is named, with who needs it; once it is there all goes well."""
        for name, words in (
                ("linux-image-cloud-amd64", "apt does not know linux-image-cloud-amd64"),
                (f"linux-image-{RELEASE}", f"no kernel that satisfies linux-image-cloud-amd64: "
                                           f"linux-image-{RELEASE}"),
                (f"linux-headers-{RELEASE}", f"the archive has no linux-headers-{RELEASE}"),
                ("linux-headers-6.1.0-7-common",
                 rf"the archive has no linux-headers-6.1.0-7-common \(= 6.1.9-2\), which "
                 rf"linux-headers-{RELEASE} 6.1.9-2 needs"),
                ("linux-kbuild-6.1", r"the archive has no linux-kbuild-6.1 \(>= 6.1.9-2\)")):
            with self.subTest(name):
                shutil.rmtree(self.dir)
                self.setUp()
                self.archive.usual()
                kept = list(self.archive.records)
                self.archive.records = [one for one in kept if one[0] != name]
                self.archive.index()
                self.assert_refused(words)
                self.archive.records = kept
                self.archive.index()
                self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_version_that_does_not_satisfy(self):
        """Too old is as good as missing."""
        self.archive.usual()
        self.archive.drop("linux-kbuild-6.1")
        self.archive.kbuild("6.1.9-1")
        self.archive.index()
        self.assert_refused(r"the archive has no linux-kbuild-6.1 \(>= 6.1.9-2\)")

    def test_package_gone(self):
        """Listed, but not there any more."""
        self.archive.usual()
        self.archive.index()
        deb = self.archive.pool / f"linux-image-{RELEASE}_6.1.9-2_amd64.deb"
        deb.rename(self.dir / "elsewhere")
        self.assert_refused(f"could not download linux-image-{RELEASE} 6.1.9-2: ")
        (self.dir / "elsewhere").rename(deb)
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_damaged_package(self):
        """Half of it, with the listed size and not; or no package at all, as it is listed."""
        self.archive.usual()
        self.archive.index()
        deb = self.archive.pool / "linux-kbuild-6.1_6.1.9-2_amd64.deb"
        whole = deb.read_bytes()
        for data in (whole[:len(whole) // 2], whole[:100].ljust(len(whole), b"x"), b""):
            deb.write_bytes(data)
            self.assert_refused("could not (download|unpack) linux-kbuild-6.1")
        deb.write_bytes(whole)
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_no_package_at_all(self):
        """Listed with its right sum, but not what dpkg takes."""
        self.archive.usual()
        deb = self.archive.pool / "linux-kbuild-6.1_6.1.9-2_amd64.deb"
        deb.write_bytes(b"!<arch>\nno package\n")
        name, text = self.archive.records.pop()
        fields = [line for line in text.splitlines() if not line.startswith(("Size", "SHA256"))]
        fields += [f"Size: {deb.stat().st_size}",
                   f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"]
        self.archive.records.append((name, "\n".join(fields)))
        self.archive.index()
        self.assert_refused("could not unpack linux-kbuild-6.1")

    def test_half_a_download(self):
        """The connection ends early."""
        self.archive.usual(padding=200_000)
        with self.archive.served(part=0.5):
            self.assert_refused(f"could not download linux-image-{RELEASE} 6.1.9-2: ")
        self.archive.reachable()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_no_network(self):
        """Nobody answers; and what an earlier download left by being killed is cleared away."""
        self.archive.usual()
        with self.archive.served():
            pass
        (self.cache / "part-killed" / "tree").mkdir(parents=True)
        self.assert_refused(f"could not download linux-image-{RELEASE} 6.1.9-2: .*"
                            "(onnect|refused|resolve)")
        self.archive.reachable()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_no_space(self):
        """A file system of 256 KiB for the cache: too small for the package, or for its content."""
        for padding in (600_000, 150_000):
            with self.subTest(padding):
                shutil.rmtree(self.dir)
                self.setUp()
                self.archive.usual(padding=padding)
                self.archive.index()
                self.cache.mkdir()
                prefix = self.namespace(f"mount -t tmpfs -o size=256k none {self.cache}")
                self.assert_refused("o space left", prefix=prefix)
                self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_cache_that_cannot_be_used(self):
        """A file in its place, a read-only file system, no home: the place is named."""
        self.archive.usual()
        self.archive.index()
        file = self.write("file", "")
        for cache in (file, file / "below", pathlib.Path("/proc/cache"), pathlib.Path("/dev/full")):
            with self.subTest(cache):
                self.assert_refused(f"the cache {cache} cannot be used: ", "FACET_CACHE",
                                    cache=cache)
        self.cache.mkdir()
        readonly = self.namespace(f"mount -t tmpfs -o ro none {self.cache}")
        self.assert_refused("cannot be used: Read-only file system", prefix=readonly)
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")

    def test_whole_cache_that_is_read_only(self):
        """What is there is used."""
        self.archive.usual()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")
        readonly = self.namespace(f"mount --bind {self.cache} {self.cache}",
                                  f"mount -o remount,bind,ro {self.cache}")
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2", prefix=readonly)

    def test_half_a_cache(self):
        """A kernel without its modules counts as none."""
        self.archive.usual()
        self.archive.index()
        self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")
        for part in ("boot/System.map-*", "lib/modules/*", "boot/vmlinuz-*"):
            with self.subTest(part):
                path, = self.cache.glob(f"linux-image-*/{part}")
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                self.assert_pair(f"{RELEASE} 6.1.9-2 6.1.9-2")
