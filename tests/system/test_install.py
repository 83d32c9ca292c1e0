# SPDX-License-Identifier: MIT
"""`make install`: what it installs works where the source tree is not, and `make uninstall` leaves nothing.

Everything is installed once, below a directory of the test's; what is started from there sees an empty folder in the tree's
place, so that nothing can be taken from it by mistake.
"""

import os
import pathlib
import re
import shutil
import subprocess

import runner
from harness import FacetTest
from test_embedding import blocks

PREFIX = "/usr"
# What the tree's commands say once there is no tree.
TREE_ONLY = ("build", "packages", "trace", "test", "bench", "compare", "xtf", "libvmi", "drakvuf", "prove")
BOTH = """\
#include <stdio.h>
#include <altp2m.h>
#include <shield.h>
#include <vmfunc.h>
#include "core/altp2m.h"
#include <facet/hvmop.h>

static long refuses(void *context, unsigned int op, void *arg)
{
    (void)context, (void)op, (void)arg;
    return -95;
}

int main(void)
{
    struct altp2m a = {refuses, NULL};
    bool on = false;

    printf("%s %d %d %d ", FACET_CORE_VERSION, FACET_CORE_MAJOR, FACET_CORE_MINOR, altp2m_get_state(&a, &on));
    printf("%d\\n", policy_row_named("create_p2m") != 0);
    return 0;
}
"""


def make(*arguments):
    """Runs make in the tree, for the build directory of this run."""
    done = subprocess.run(["make", "-s", "-C", runner.ROOT, f"B={os.environ.get('B', 'build')}", *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Installed(FacetTest):
    """A test with everything installed below self.root."""

    weight = 15.0
    def setUp(self):
        super().setUp()
        self.root = self.dir / "root"
        make("install", *self.variables())

    def variables(self):
        """What make is told of where."""
        return [f"DESTDIR={self.root}", f"prefix={PREFIX}", "sysconfdir=/etc"]

    def files(self):
        """Everything below self.root that is no directory, as paths."""
        return {path.relative_to(self.root) for path in self.root.rglob("*")
                if path.is_symlink() or not path.is_dir()}

    def alone(self, program, *arguments, **options):
        """Runs an installed program where the tree is an empty folder. Returns the CompletedProcess."""
        hidden = self.namespace(f"mount -t tmpfs none '{runner.ROOT}'", "cd /")
        return subprocess.run([*hidden, self.root / program, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)

    def pkg_config(self, *arguments):
        """What pkg-config says of the installed libraries, in words."""
        where = self.root / "usr/lib/pkgconfig"
        done = subprocess.run(["pkg-config", f"--define-variable=prefix={self.root}/usr",
                               f"--define-variable=libdir={self.root}/usr/lib",
                               f"--define-variable=includedir={self.root}/usr/include", *arguments],
                              env=dict(os.environ, PKG_CONFIG_PATH=str(where)), stdout=subprocess.PIPE, text=True,
                              check=True)
        return done.stdout.split()

    def built(self, compiler, source, *packages):
        """Compiles a program against installed libraries and returns what it prints."""
        program = self.dir / "program"
        words = self.pkg_config("--cflags", "--libs", *packages)
        done = subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", source, *words, "-o", program],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        return subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout


class InstallTest(Installed):
    """What is installed."""

    def test_list_and_uninstall(self):
        """What is there is what the list says, for each component; uninstall takes back that and no more."""
        listed = {path.relative_to(self.root) for path in map(pathlib.Path, make(
            "install-list", *self.variables()).splitlines())}
        self.assertEqual(self.files(), listed)
        self.assertGreater(len(listed), 60)
        other = self.root / "usr/share/facet/runner/mine"
        other.write_text("", encoding="ascii")
        make("uninstall", *self.variables())
        self.assertEqual(self.files(), {other.relative_to(self.root)})
        other.unlink()
        make("install", *self.variables())
        make("uninstall", *self.variables())
        self.assertEqual([path for path in self.root.rglob("*") if "facet" in path.name], [])

    def test_components(self):
        """A component alone; no file belongs to two."""
        owners = {}
        for component in ("facet", "altp2m", "agent", "core"):
            for path in make("install-list", *self.variables(), f"COMPONENTS={component}").splitlines():
                self.assertNotIn(path, owners)
                owners[path] = component
        self.assertEqual(set(owners.values()), {"facet", "altp2m", "agent", "core"})

    def test_other_directories(self):
        """GNU's variables are followed; the command finds its files wherever they are."""
        place = self.dir / "other"
        make("install", f"prefix={place}", f"bindir={place}/b", f"libexecdir={place}/x/y", f"datadir={place}/d",
             f"mandir={place}/m", "COMPONENTS=facet altp2m")
        self.root = place
        done = self.alone("b/facet", "run", *self.hello())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((place / "m/man1/facet.1").exists())
        self.assertTrue((place / "x/y/facet/altp2m").resolve().samefile(place / "b/altp2m"))

    def hello(self):
        """A configuration of the smallest guest, where nothing hides it."""
        kernel = self.dir / "hello.elf"
        shutil.copyfile(runner.build_dir() / "guest/hello.elf", kernel)
        return [self.config("hello.cfg", kernel=kernel)]

    def test_run(self):
        """facet run and facet image, without the tree; nothing is left behind, in the installed files neither."""
        before = self.files()
        scratch = self.dir / "tmp"
        scratch.mkdir()
        environment = dict(os.environ, TMPDIR=str(scratch), HOME="/nonexistent")
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what compiles them must not leave them there
        version = self.alone("usr/bin/facet", "--version", env=environment)
        self.assertEqual((version.returncode, version.stdout), (0, self.facet("--version").out))
        check = self.alone("usr/bin/facet", "check", "--json", env=environment)
        self.assertIn(f'"runs": "{({0: "yes", 1: "no", 3: "unknown"}).get(check.returncode)}"', check.stdout, check.stderr)
        done = self.alone("usr/bin/facet", "run", *self.hello(), env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("(d1) END hello: 1 passed, 0 skipped, 0 errors, 0 failed", done.stdout.splitlines())
        image = self.dir / "hello.iso"
        done = self.alone("usr/bin/facet", "image", "-o", image, *self.hello(), env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(image.stat().st_size, 100_000)
        self.assertEqual(list(scratch.iterdir()), [])
        self.assertEqual(self.files(), before)

    def test_monitor_example(self):
        """A copy of the example monitor is built by its own makefile, beside its source."""
        example = self.dir / "monitor"
        shutil.copytree(self.root / "usr/share/doc/facet/examples/monitor", example)
        made = subprocess.run(["make", "-s", "-C", example], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((made.returncode, made.stdout), (0, ""))
        done = subprocess.run([example / "exectrace"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn("usage", done.stderr + done.stdout)

    def test_guest(self):
        """facet guest: a Debian guest that makes a view and tells of it, without the tree."""
        runner.debian_kernel()  # in the cache
        guest, tap = self.dir / "guest", self.dir / "guest.tap"
        script = ("altp2m on && altp2m create && echo TEST guest.create: pass && "
                  "echo END guest: 1 passed, 0 skipped, 0 errors, 0 failed")
        done = self.alone("usr/bin/facet", "guest", "-o", guest, "--altp2m", "mixed", "--command", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f" facet run --interactive {guest}/guest.cfg", done.stderr)
        done = self.alone("usr/bin/facet", "run", "--ticks", "20000000000", "--tap", tap, guest / "guest.cfg")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(tap.read_text(encoding="utf-8"), "TAP version 13\n1..1\nok 1 - guest/guest.create\n")

    def test_says_what_needs_the_tree(self):
        """The tree's commands are not listed, and say why they are not there; bad ones are refused as ever."""
        shown = self.alone("usr/bin/facet", "--help").stdout
        for command in TREE_ONLY:
            with self.subTest(command):
                self.assertNotRegex(shown, rf"(?m)^    {command} ")
                done = self.alone("usr/bin/facet", command, "--jobs", "x")
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(f"there it is `./facet {command}`", done.stderr)
        done = self.alone("usr/bin/facet", "demo", "agent")
        self.assertEqual(done.returncode, 2)
        self.assertIn("source tree", done.stderr)
        self.assertEqual(self.alone("usr/bin/facet", "zebra").returncode, 2)
        listed = set(re.findall(r"^    ([a-z]+) ", self.facet("--help").out, re.M))
        here = set(re.findall(r"^    ([a-z]+) ", shown, re.M))
        self.assertEqual(listed - here, set(TREE_ONLY))

    def test_altp2m(self):
        """The command starts, and says that there is no Xen."""
        done = self.alone("usr/bin/altp2m", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("create", done.stdout)

    def test_links_in_documents(self):
        """man pages name each other only if they are there."""
        pages = {path.name for path in (self.root / "usr/share/man").rglob("*.?")}
        self.assertEqual({page[-1] for page in pages}, set("1578"))
        for path in (self.root / "usr/share/man").rglob("*.?"):
            for name, section in re.findall(r"^\.BR (facet\S*|altp2m) \((\d)\)", path.read_text(encoding="utf-8"), re.M):
                self.assertIn(f"{name}.{section}", pages, path.name)


class LibrariesTest(Installed):
    """The libraries' users, from what is installed."""

    def test_c_and_cplusplus(self):
        """One program with both libraries, by both languages and compilers; the version is one."""
        version, = self.pkg_config("--modversion", "facet-core")
        for compiler, name in ((["gcc", "-std=c11"], "a.c"), (["clang-14", "-std=c11"], "a.c"),
                               (["g++", "-std=c++17"], "a.cc"), (["clang++-14", "-std=c++17"], "a.cc")):
            with self.subTest(compiler):
                said = self.built(compiler, self.write(name, BOTH), "facet-agent", "facet-core")
                self.assertEqual(said, f"{version} {version.replace('.', ' ')} -95 1\n")

    def test_embedding_example(self):
        """The example of docs/embedding.md, built from what is installed, prints what the page says."""
        example = self.root / "usr/share/doc/libfacet-core-dev/examples/embed/embed.c"
        self.assertEqual([self.built(["gcc", "-std=c11"], example, "facet-core")], blocks(""))

    def test_conformance_suite(self):
        """The suite for platforms, and the example with several processors, from what is installed."""
        doc = self.root / "usr/share/doc/libfacet-core-dev"
        sources = sorted((doc / "examples/embed-smp").glob("*.c")) + [doc / "examples/platform/conformance.c"]
        program = self.dir / "smp"
        done = subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{doc}",
                               *sources, *self.pkg_config("--cflags", "--libs", "facet-core"), "-pthread", "-o", program],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        lines = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        self.assertGreater(len(lines), 40)
        self.assertEqual([line for line in lines[:-1] if not line.startswith("ok ")], [])

    def test_headers_are_whole(self):
        """Each installed header compiles alone: nothing that it includes was left out."""
        for package in ("core", "agent"):
            top = self.root / f"usr/include/facet-{package}"
            for header in sorted(top.rglob("*.h")):
                for compiler in (["gcc", "-std=c11", "-xc"], ["g++", "-std=c++17", "-xc++"]):
                    name = header.relative_to(top)
                    if name.name == "physmap_private.h":
                        continue  # part of physmap.h
                    with self.subTest(header=str(name), compiler=compiler[0]):
                        done = subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-",
                                               *self.pkg_config("--cflags", f"facet-{package}")],
                                              input=f'#include "{name}"\n', stdout=subprocess.PIPE,
                                              stderr=subprocess.STDOUT, text=True, check=False)
                        self.assertEqual(done.returncode, 0, done.stdout)

    def test_library_needs_the_seam_only(self):
        """What the core's library leaves to others is the seam, memcpy and memset; the agent's nothing at all."""
        def symbols(name, *options):
            shown = subprocess.run(["nm", *options, self.root / "usr/lib" / name], stdout=subprocess.PIPE, text=True,
                                   check=True).stdout
            return {line.split()[-1] for line in shown.splitlines() if " " in line and not line.endswith(":")}
        for name, allowed in (("libfacet-core.a", r"platform_\w+|check_failed|lock_held_ranks|mem(cpy|set)|_GLOBAL_OFFSET_TABLE_"),
                              ("libfacet-agent.a", r"agent_\w+|gate_\w+|guard(_\w+)?|enter_private")):
            needs = symbols(name, "-u") - symbols(name, "--defined-only")
            self.assertEqual([word for word in needs if not re.fullmatch(allowed, word)], [], name)

    def test_versions(self):
        """The Makefile's, the macro's, pkg-config's and the newest entry's of the change log are the same."""
        makefile = (runner.ROOT / "Makefile").read_text(encoding="utf-8")
        version = re.search(r"^VERSION := (\S+)$", makefile, re.M).group(1)
        core, = self.pkg_config("--modversion", "facet-core")
        self.assertEqual(self.pkg_config("--modversion", "facet-agent"), [version])
        header = (self.root / "usr/include/facet-core/core/version.h").read_text(encoding="utf-8")
        numbers = dict(re.findall(r"#define FACET_CORE_(\w+) +(\S+)", header))
        self.assertEqual(numbers, {"MAJOR": core.split(".")[0], "MINOR": core.split(".")[1], "VERSION": f'"{core}"'})
        log = (runner.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        newest = re.search(r"^## (\S+).*; interface of the core (\S+)$", log, re.M)
        self.assertEqual(newest.groups(), (version, core))
