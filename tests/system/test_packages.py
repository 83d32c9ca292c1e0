# SPDX-License-Identifier: MIT
"""What a command does about packages that are not installed, with a made-up archive and a root of dpkg's own: versions that differ,
packages that are missing or broken, no network, full disks. Each ends well, or in a line and status 2; the next try
finds nothing in its way.
"""

import os
import shutil
import subprocess
import sys

import runner
from aptarchive import Archive
from harness import FacetTest
from runner import packages

PURPOSE = "image"
# What a command does that needs the packages of a purpose; as another user, where a second argument names one: who became it
# only now does not need to be let into the directory of the tree.
REQUIRE = f"""
import os
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(runner.ROOT / "tools")!r})
from runner import cli, require
if len(sys.argv) > 2:
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
sys.exit(cli.guarded(lambda: require(sys.argv[1]) or 0))
"""
COULD_NOT = "could not install the packages; try as root:"


class PackagesTest(FacetTest):
    """See the module's text."""

    weight = 10.0

    def setUp(self):
        super().setUp()
        self.archive = Archive(self.dir)
        self.names = [names.split("|")[0] for names, _ in packages.wanted(PURPOSE)]

    def fill(self, *without, version="2.0-1", padding=0):
        """All that the purpose needs, but some."""
        for name in self.names:
            if name not in without:
                self.archive.add(name, version, padding=padding)
        self.archive.index()

    def require(self, purpose=PURPOSE, prefix=(), as_root=True, **environment):
        """Asks for the packages of a purpose. Returns (status, standard error)."""
        is_root = os.geteuid() == 0
        root = ["unshare", "-r"] if as_root and not is_root and not prefix else []
        user = ["65534"] if is_root and not as_root else []
        done = subprocess.run([*prefix, *root, sys.executable, "-c", REQUIRE, purpose, *user], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env=self.archive.environment(**environment))
        self.assertEqual(done.stdout, "")
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stderr

    def installed(self):
        """{package: version} of what is there, whole."""
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"], text=True,
                              stdout=subprocess.PIPE, check=False, env=self.archive.environment())
        rows = [line.split() for line in done.stdout.splitlines()]
        return {name: version for status, name, version in rows if status == "installed"}

    def assert_installs(self, **options):
        """It works, and there is nothing to do the next time, not even for apt."""
        status, err = self.require(**options)
        self.assertEqual(status, 0, err)
        self.assertLessEqual(set(self.names), set(self.installed()))
        self.assertEqual(self.require(**options), (0, ""))
        return err

    def assert_refused(self, wanted, **options):
        """Status 2, why in apt's words, and at the end what to try."""
        status, err = self.require(**options)
        self.assertEqual(status, 2, err)
        self.assertRegex(err, wanted)
        self.assertEqual(err.splitlines()[-2], f"facet: {COULD_NOT}")
        self.assertRegex(err.splitlines()[-1], "^  apt-get install --no-install-recommends [a-z]")
        return err

    def test_all_missing(self):
        """Each is named with its reason, installed, and what it depends on with it."""
        self.archive.add("what-one-needs", "1")
        self.archive.add(self.names[0], "3", depends="what-one-needs")
        self.fill(self.names[0])
        err = self.assert_installs()
        for names, reason in packages.wanted(PURPOSE):
            self.assertIn(f"facet:   {names.split('|')[0]}: {reason}\n", err)
        self.assertNotIn("refreshing", err)
        self.assertIn("what-one-needs", self.installed())

    def test_some_missing(self):
        """Those alone are installed: what is there stays at its version."""
        self.fill(version="1.0-1")
        self.assert_installs()
        subprocess.run(["dpkg", "--force-depends", "-r", self.names[3]], check=True, env=self.archive.environment(),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.fill(version="2.0-1")
        err = self.assert_installs()
        self.assertIn("installing 1 missing packages", err)
        self.assertEqual({name for name, version in self.installed().items() if version == "2.0-1"}, {self.names[3]})

    def test_alternatives(self):
        """Any alternative will do; nothing is asked of the archive."""
        for part, pairs in packages.PACKAGES.items():
            purpose = {"bochs": "run"}.get(part, part)
            for names, _ in pairs:
                if "|" in names:
                    with self.subTest(purpose, names=names):
                        for name in names.split("|")[1:]:
                            self.assertNotIn(names.split("|")[0], self._missing_beside(name, purpose))

    def _missing_beside(self, name, purpose):
        """What a purpose lacks where that package alone is installed."""
        shutil.rmtree(self.dir)
        self.dir.mkdir()
        self.archive = Archive(self.dir)
        deb = self.archive.add(name, "1")
        subprocess.run(["dpkg", "-i", deb], check=True, env=self.archive.environment(), stdout=subprocess.DEVNULL)
        status, err = self.require(purpose, PATH="/nonexistent:" + os.environ["PATH"])
        self.assertEqual(status, 0 if purpose == "plot" else 2, err)
        return err

    def test_lists(self):
        """Never fetched, or so old that what they name is gone: refreshed, once."""
        self.fill()
        shutil.rmtree(self.archive.state / "lists")
        (self.archive.state / "lists/partial").mkdir(parents=True)
        self.assertEqual(self.assert_installs().count("refreshing"), 1)
        self.setUp()
        with self.archive.served():
            self.fill(version="1.0-1")
            self.archive.drop(*self.names)
            for name in self.names:
                self.archive.add(name, "1.0-2")
            self.archive.index(seen=False)
            self.assertEqual(self.assert_installs().count("refreshing"), 1)
        self.assertEqual({self.installed()[name] for name in self.names}, {"1.0-2"})

    def test_missing_package(self):
        """Named; nothing is installed; once it is there all goes well."""
        self.fill(self.names[1])
        self.assert_refused(f"E: Unable to locate package {self.names[1]}\n")
        self.assertEqual(self.installed(), {})
        self.archive.add(self.names[1], "1")
        self.archive.index(seen=False)
        self.assert_installs()

    def test_versions_that_do_not_fit(self):
        """A library of the security archive is installed and its headers are of the main archive: apt tells which; with
        both in the lists it works."""
        library, headers = "what-one-needs", self.names[0]
        self.archive.add(library, "1.0-1+security")
        self.archive.index()
        subprocess.run(["dpkg", "-i", *self.archive.pool.glob("*.deb")], check=True, env=self.archive.environment(),
                       stdout=subprocess.DEVNULL)
        self.archive.drop(library)
        self.archive.add(library, "1.0-1")
        self.archive.add(headers, "1.0-1", depends=f"{library} (= 1.0-1)")
        self.fill(headers)
        self.assert_refused(rf"{headers} : Depends: {library} \(= 1.0-1\) but 1.0-1\+security is to be installed")
        self.assertEqual(set(self.installed()), {library})
        self.archive.add(headers, "1.0-1+security", depends=f"{library} (= 1.0-1+security)")
        self.archive.add(library, "1.0-1+security")
        self.archive.index()
        self.assert_installs()
        self.assertEqual(self.installed()[headers], "1.0-1+security")

    def test_half_a_download(self):
        """The connection ends early: nothing is installed, and the next try is not spoilt by what came."""
        self.fill(padding=20_000)
        with self.archive.served(part=0.5):
            self.assert_refused("E: Failed to fetch http")
        self.assertEqual(self.installed(), {})
        with self.archive.served():
            self.assert_installs()

    def test_no_network(self):
        """Nobody answers, neither for lists nor for packages."""
        self.fill()
        with self.archive.served():
            pass
        self.assert_refused("(onnect|refused|resolve)")
        self.assertEqual(self.installed(), {})
        self.archive.reachable()
        self.archive.index()
        self.assert_installs()

    def test_package_that_is_damaged(self):
        """Not what the lists say."""
        self.fill()
        deb, = self.archive.pool.glob(f"{self.names[2]}_*.deb")
        whole = deb.read_bytes()
        with self.archive.served():
            deb.write_bytes(whole[:-100] + b"x" * 100)
            self.assert_refused("Hash Sum mismatch")
            deb.write_bytes(whole)
            self.assert_installs()

    def test_no_space(self):
        """A file system of 64 KiB where packages are unpacked, or where apt keeps them: with room, all goes well."""
        self.fill(padding=40_000)
        (self.archive.root / "usr").mkdir()
        unpacked = self.namespace(f"mount -t tmpfs -o size=64k none {self.archive.root / 'usr'}")
        self.assert_refused("No space left on device", prefix=unpacked)
        shutil.rmtree(self.archive.root / "usr")
        self.assert_installs()
        self.setUp()
        self.fill(padding=40_000)
        kept = self.archive.state / "cache/archives"
        with self.archive.served():
            self.assert_refused("You don't have enough free space in",
                                prefix=self.namespace(f"mount -t tmpfs -o size=64k none {kept}", f"mkdir {kept}/partial"))
            self.assertEqual(self.installed(), {})
            self.assert_installs()

    def test_without_root(self):
        """The line to run as root; apt is not called."""
        self.fill()
        self.dir.chmod(0o755)
        status, err = self.require(as_root=False)
        self.assertEqual((status, err), (2, "facet: packages are missing; as root, run:\n  apt-get install "
                                            f"--no-install-recommends {' '.join(self.names)}\n"))

    def test_no_debian(self):
        """Neither dpkg nor apt: said so."""
        (self.dir / "bin").mkdir()
        status, err = self.require(PATH=str(self.dir / "bin"))
        self.assertEqual(status, 2)
        self.assertEqual(err, "facet: there is no dpkg-query here: Facet's packages come from Debian's archive\n")
