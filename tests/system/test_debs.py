# SPDX-License-Identifier: MIT
"""The Debian packages: what is in them, what lintian says, and what a user does with them.

The short test unpacks them. The long one, whose name begins with `chroot`, installs them with apt in a Debian of its own, as
debootstrap makes it, does there what the three kinds of users do, and removes and purges them; that Debian and
what apt downloads are kept in the cache.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import runner
from harness import TICKS, FacetTest, quoted_steps
from runner.base import cache_dir, locked
from test_install import BOTH
from test_project import TESTS, github
from test_tutorial import Tutorial, pattern

PACKAGES = ("altp2m", "facet", "libfacet-agent-dev", "libfacet-core-dev")
# What a user has who builds programs and runs guests on an emulated machine: in the Debian that is kept. Nothing that the packages
# depend on, so that what a dependency forgets is missing.
TOOLS = ("bochs", "bochs-term", "bochsbios", "vgabios", "gcc", "g++", "libc6-dev", "make", "pkg-config", "man-db")
HERE = pathlib.Path(__file__).resolve().parent


def field(deb, name):
    """A field of a package."""
    return subprocess.run(["dpkg-deb", "-f", deb, name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


# Pages whose blocks of a kind are followed with the packages alone: kind, page.
PAGES = (("agent", "agent.md"), ("core", "embedding.md"))


class Debs(FacetTest):
    """A test that has the packages built."""

    def build(self):
        """{name: its file}."""
        done = self.facet("packages", "-o", self.dir / "debs")
        self.assertEqual(done.status, 0, done.err)
        debs = {path.name.partition("_")[0]: path for path in (self.dir / "debs").iterdir()}
        self.assertEqual(tuple(sorted(debs)), PACKAGES)
        return debs


class ContentsTest(Debs):
    """Without installing anything."""

    weight = 40.0

    def test_contents(self):
        """Versions, lintian, no file in two packages; from where they are unpacked a guest runs."""
        debs = self.build()
        version = self.facet("--version").out.split()[1]
        self.assertEqual({field(deb, "Version") for deb in debs.values()}, {version})
        lint = subprocess.run(["lintian", *debs.values()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)
        self.assertEqual((lint.returncode, lint.stdout), (0, ""))
        root, owner = self.dir / "root", {}
        for name, deb in debs.items():
            listed = subprocess.run(["dpkg-deb", "-c", deb], stdout=subprocess.PIPE, text=True, check=True).stdout
            for path in re.findall(r"^[-l].* (\./\S+)", listed, re.M):
                self.assertNotIn(path, owner)
                owner[path] = name
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        kernel = self.dir / "hello.elf"
        shutil.copyfile(runner.build_dir() / "guest/hello.elf", kernel)
        hidden = self.namespace(f"mount -t tmpfs none '{runner.ROOT}'", "cd /")
        done = subprocess.run([*hidden, root / "usr/bin/facet", "run", self.config("a.cfg", kernel=kernel)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("END hello: 1 passed", done.stdout)

    def test_refused(self):
        """No folder to write to: before anything is built."""
        (self.dir / "file").write_text("", encoding="ascii")
        for where in ("/nonexistent/x", self.dir / "file", "/proc/x", ""):
            done = self.facet("packages", "-o", where)
            self.assertEqual((done.status, done.out), (2, ""), done.err)
            self.assertNotIn("building", done.err)


class ChrootTest(Debs, Tutorial):
    """In a clean Debian."""

    weight = 240.0
    explicit = True

    def page(self, kind, name):
        """[(command, [lines below it])] of a page."""
        found = quoted_steps((runner.ROOT / "docs" / name).read_text(encoding="utf-8"), kind, "$ ")
        self.assertGreater(len(found), 3)
        return found

    def steps(self):
        """{name: shell lines that do what a page says}; the tutorial's machines end by themselves, and tell what its commands
        printed."""
        found = {}
        for kind, name in PAGES:
            found[kind] = "".join(f"echo '@ run'\n{command}\n" for command, _ in self.page(kind, name)) + "echo '@ end'\n"
        for part, kind in enumerate(("guest", "monitor"), 1):
            *made, run = self.words(part, f"/tmp/{kind}")
            script = self.script(self.wanted(kind))
            lines = [shlex.join(["facet", *words, *([] if "--command" in words else ["--command", script])]) for words in made]
            found[kind] = "\n".join([f"mkdir -p /tmp/{kind}", "cd /usr/share/doc/facet", *lines,
                                     shlex.join(["facet", "run", "--ticks", str(TICKS), *run[2:]]), ""])
        return found

    def compare(self, inside):
        """What was printed with the pages."""
        for kind, name in PAGES:
            printed = self.runs((inside / f"{kind}.out").read_text(encoding="utf-8").splitlines())
            wanted = self.page(kind, name)
            self.assertEqual(len(printed), len(wanted))
            for (command, below), lines in zip(wanted, printed):
                with self.subTest(command):
                    self.assertRegex("\n".join(lines), rf"\A{pattern(below)}\Z")
        for kind in ("guest", "monitor"):
            lines = (inside / f"{kind}.out").read_text(encoding="utf-8").splitlines()
            self.follow(self.wanted(kind), self.runs(line[5:] for line in lines if line.startswith("(d1) ")))

    def debian(self):
        """A Debian as debootstrap makes it, of this machine's release and from its archive; made once."""
        if os.geteuid() != 0:
            self.skipTest("root: for debootstrap and chroot")
        release = re.search(r"^VERSION_CODENAME=(\S+)", pathlib.Path("/etc/os-release").read_text(encoding="ascii"), re.M)
        sites = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"],
                               stdout=subprocess.PIPE, text=True, check=False).stdout.split("\n")
        site = next((line.split()[0] for line in sites if release and line.split()[1:] == [release.group(1)]), None)
        if site is None:
            self.skipTest("an archive of this Debian in apt's sources")
        place = cache_dir() / f"debian-{release.group(1)}"
        with locked(cache_dir() / ".debian-lock"):
            if not (place / "made").exists():
                shutil.rmtree(place, ignore_errors=True)
                self.needed(["debootstrap", "--variant=minbase", release.group(1), place / "root", site])
                (place / "archives/partial").mkdir(parents=True)
                (place / "made").write_text("", encoding="ascii")
            if (place / "made").read_text(encoding="ascii").split() != list(TOOLS):
                apt = "apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io"
                self.needed([*self.inside(place, place / "root"), "sh", "-c",
                             f"export DEBIAN_FRONTEND=noninteractive; {apt} update && {apt} install {' '.join(TOOLS)}"])
                (place / "made").write_text(" ".join(TOOLS), encoding="ascii")
        return place

    def needed(self, command):
        """Runs what this test needs, and is skipped where that fails."""
        made = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if made.returncode:
            self.skipTest(f"a Debian of its own: {' '.join(made.stdout.strip().splitlines()[-1:])}")

    def inside(self, place, root, *mounts):
        """A prefix for commands in this root, which has this machine's sources of packages."""
        inside = self.namespace(
            *mounts, f"mount --bind {place}/archives {root}/var/cache/apt/archives", f"mount -t proc none {root}/proc",
            f"mount --rbind /dev {root}/dev", f"rm -rf {root}/etc/apt", f"cp -a /etc/apt {root}/etc/apt",
            f"cp -L /etc/resolv.conf {root}/etc/resolv.conf", f"cp -a /usr/share/keyrings {root}/usr/share")
        proxies = [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
        return [*inside, "chroot", root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                *proxies]

    def test_chroot(self):
        """Installed by apt, used, removed, purged; nothing is left."""
        place, debs = self.debian(), self.build()
        work = self.dir / "work"
        root = self.dir / "mount"
        for path in (work / "up", work / "work", root):
            path.mkdir(parents=True, exist_ok=True)
        inside = self.dir / "inside"
        inside.mkdir()
        for deb in debs.values():
            shutil.copy(deb, inside)
        shutil.copy(runner.build_dir() / "guest/hello.elf", inside)
        shutil.copy(HERE / "chroot.sh", inside)
        (inside / "hello.cfg").write_text(runner.config(name="hello", kernel="/facet/hello.elf", memory=16),
                                          encoding="ascii")
        (inside / "project.steps").write_text("".join(f"{line}\n" for name in ("build", "test") for line in github()[name]),
                                              encoding="utf-8")
        for name, text in self.steps().items():
            (inside / f"{name}.steps").write_text(text, encoding="utf-8")
        (inside / "both.c").write_text(BOTH, encoding="ascii")
        kernel = runner.debian_kernel().vmlinuz.parent.parent
        command = self.inside(
            place, root, f"mount -t overlay none -o lowerdir={place}/root,upperdir={work}/up,workdir={work}/work {root}",
            f"mkdir {root}/facet", f"mount --bind {inside} {root}/facet", f"mkdir -p {root}/facet/cache/{kernel.name}",
            f"mount --bind {kernel} {root}/facet/cache/{kernel.name}")
        with locked(place / ".lock"):
            done = subprocess.run([*command, "FACET_CACHE=/facet/cache", "sh", "/facet/chroot.sh"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
        steps = re.findall(r"^== (\w+): ok$", done.stdout, re.M)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:])
        self.assertEqual(steps, ["install", "command", "run", "altp2m", "boot", "libraries", "agent", "core", "setup", "guest", "monitor",
                                 "project", "remove", "purge"])
        self.compare(inside)
        self.assertEqual((inside / "project.tap").read_text(encoding="utf-8").count("\nok "), TESTS)
