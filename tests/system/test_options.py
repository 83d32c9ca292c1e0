# SPDX-License-Identifier: MIT
"""Every option and argument of every command, with values that it cannot have: a line that names the
trouble and status 2, before anything is installed, built, measured or written."""

import os
import re
import subprocess

import runner
from harness import FacetTest

COMMANDS = ("setup", "build", "packages", "run", "image", "check", "demo", "demo agent", "demo monitor", "demo host", "guest", "test", "bench", "compare",
            "xtf", "libvmi", "drakvuf", "prove", "trace")
# What each command needs besides, and (option or metavar of an argument: kind of its values).
MACHINE = {"--machine": "name", "--processors": "processors"}
LIMITS = {"--timeout": "seconds", "--ticks": "count", **MACHINE}
NEEDS = {"packages": ["-o", "{new}"], "run": ["{config}"], "image": ["-o", "{new}", "{config}"], "trace": ["--at", "vmx_exit", "{config}"],
         "xtf": ["{xtf}"], "libvmi": ["{libvmi}"], "drakvuf": ["{drakvuf}", "--libvmi", "{libvmi}"],
         "guest": ["-o", "{new}"]}
KINDS = {
    "packages": {"--output": "outdir"},
    "setup": {"--for": "name", "--machine": "name"}, "build": {},
    "run": {**LIMITS, "--tap": "output", "--junit": "output", "--memory": "count", "--hypervisor": "input", "--disk": "input", "CONFIG": "input"},
    "image": {"--output": "output", "--files": "folder", "--memory": "count", "--processors": "processors", "--hypervisor": "input", "CONFIG": "input"},
    "check": {"--from": "input"},
    "demo": LIMITS, "demo agent": LIMITS, "demo monitor": LIMITS, "demo host": LIMITS,
    "guest": {"--output": "new", "--module": "name", "--file": "source", "--program": "name", "--command": "empty",
              "--kernel": "name", "--name": "words", "--memory": "count", "--vcpus": "vcpus", "--altp2m": "name"},
    "test": {"--filter": "name", "--shuffle": "seed", "--jobs": "count", "--tap": "output", "--junit": "output", **MACHINE},
    "bench": {"--json": "output", "--machine": "name", "--runs": "count", "--plot": "output", "--from": "input"},
    "compare": {"--machine": "name"}, "xtf": {**MACHINE, "DIR": "directory"},
    "libvmi": {**MACHINE, "DIR": "directory", "EXAMPLE": "name"},
    "drakvuf": {**MACHINE, "DIR": "directory", "PLUGIN": "name", "--libvmi": "directory"}, "prove": {"--depth": "count"},
    "trace": {**LIMITS, "--hypervisor": "input", "CONFIG": "input",
              "--skip": "skip", "--instructions": "count", "--at": "name"},
}
# Options that may be given several times, each for another.
LISTS = {("guest", "--module"), ("guest", "--file"), ("guest", "--program")}
HUGE = str(1 << 64)
MISSING = "/nonexistent/x"
BAD = {
    "name": ("frobnicated_zebra", "../frobnicated"),
    "seconds": ("0", "-1", HUGE, "nan", "inf", "soon", ""),
    "count": ("0", "-1", HUGE, "1.5", "many", ""),
    "vcpus": ("0", "-1", "33", HUGE, "1.5", "many", ""),
    "processors": ("0", "-1", "65", HUGE, "1.5", "many", ""),
    "skip": ("-1", HUGE, "many", ""),
    "seed": ("x", ""),
    "input": (MISSING, "{dir}", "{fifo}", "{locked}", "/dev/full", "{config}/x", "x" * 5000, ""),
    "output": (MISSING, "{dir}", "{fifo}", "{locked}", "/dev/full", "/sys/nothing", "{config}/x", "x" * 5000, ""),
    "source": (MISSING, "{fifo}", "{locked}", "/dev/full", "{config}/x", "x" * 5000, "", "{dir}", "{config}:/init",
               "{config}:/../x", "{config}:/proc/x"),
    "new": ("/nonexistent/a/x", "{dir}", "{fifo}", "{locked}", "/dev/full", "/sys/nothing", "{config}/x", "x" * 5000, "", "/"),
    "empty": ("", " "), "words": ("", "a b", "\x01", "x" * 5000),
    "outdir": ("/nonexistent/a/x", "{fifo}", "{locked}", "{config}", "/dev/full", "/proc/nothing", "{config}/x", "x" * 5000, ""),
    "folder": (MISSING, "{fifo}", "{locked}", "{config}", "{dir}", "/dev/full", "/proc/nothing", "{config}/x", "x" * 5000, ""),
    "directory": (MISSING, "{dir}", "{fifo}", "{config}", "/dev/full", "x" * 5000, ""),
}
# No words of work that has begun.
BEGUN = re.compile(r"building|installing|downloading|measuring|running|enumerating|Traceback|Exception", re.I)


class OptionsTest(FacetTest):
    """See the module's text; a method for each few commands, which take turns."""

    weight = 30.0

    def setUp(self):
        super().setUp()
        os.mkfifo(self.dir / "fifo")
        (self.dir / "xtf/build").mkdir(parents=True)
        (self.dir / "xtf/tests").mkdir()
        (self.dir / "libvmi/libvmi").mkdir(parents=True)
        (self.dir / "drakvuf/src/libdrakvuf").mkdir(parents=True)
        for made in ("xtf/build/gen.mk", "libvmi/libvmi/libvmi.h", "drakvuf/meson.build", "drakvuf/src/libdrakvuf/libdrakvuf.h"):
            self.write(made, "")
        self.write("locked", "").chmod(0)
        self.config("a.cfg", kernel=self.guest())
        self.places = {"{dir}": self.dir, "{fifo}": self.dir / "fifo", "{locked}": self.dir / "locked",
                       "{config}": self.dir / "a.cfg", "{new}": self.dir / "new", "{xtf}": self.dir / "xtf",
                       "{libvmi}": self.dir / "libvmi", "{drakvuf}": self.dir / "drakvuf"}

    def put(self, words):
        """The words, with places instead of their names."""
        out = []
        for word in words:
            for name, path in self.places.items():
                word = word.replace(name, str(path))
            out.append(word)
        return out

    def unprivileged(self, *arguments):
        """Runs ./facet so that a file's permissions count, for root too. Returns (status, out, err)."""
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = subprocess.run([*drop, runner.ROOT / "facet", *arguments], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout, done.stderr

    def state(self):
        """What is in the test's directory, and when it was changed."""
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in self.dir.rglob("*")}

    def assert_refused(self, *arguments):
        """Status 2, something said, nothing begun, nothing changed."""
        before = self.state()
        with self.subTest(" ".join(word[:40] for word in arguments)):
            status, out, err = self.unprivileged(*arguments)
            self.assertEqual((status, out), (2, ""), err)
            self.assertTrue(err.strip())
            self.assertIsNone(BEGUN.search(err), err)
            self.assertEqual(self.state(), before)

    def walk(self, *commands):
        """Each bad value of each option and argument of the commands; each option twice."""
        for command in commands:
            for option, kind in KINDS[command].items():
                needs = list(NEEDS.get(command, ()))
                for value in BAD[kind]:
                    self.assert_refused(*command.split(), *self.put(self.with_value(needs, option, value)))
                if option.startswith("-") and (command, option) not in LISTS:
                    good = {"seed": "1", "input": "{config}", "output": "{new}", "name": "x"}.get(kind, "2")
                    twice = self.with_value(self.with_value(needs, option, good), option, good, False)
                    self.assert_refused(*command.split(), *self.put(twice))
            self.assert_refused(*command.split(), *self.put(NEEDS.get(command, ())), "--frobnicate")

    @staticmethod
    def with_value(needs, option, value, replace=True):
        """The command's words with that value, which stands for the one that it needs."""
        if option in ("CONFIG", "DIR"):
            return [*needs[:-1], value]
        if option == "EXAMPLE":
            return [*needs, value]
        known = {"--output": "-o"}.get(option, option)
        if replace and known in needs:
            at = needs.index(known)
            needs = [*needs[:at], *needs[at + 2:]]
        return [f"{option}={value}", *needs]

    def test_all_are_known(self):
        """What --help tells of is in the table above, and nothing else is in it."""
        listed = re.findall(r"^    (\w+) ", self.facet("--help").out, re.M)
        self.assertEqual({command.split()[0] for command in COMMANDS}, set(listed))
        for command in COMMANDS:
            with self.subTest(command):
                text = self.facet(*command.split(), "--help").out
                valued = set(re.findall(r"(--[a-z0-9-]+) (?:\[?[A-Z]|\{)", text.partition("\n\n")[2]))
                table = {name for name in KINDS[command] if name.startswith("-")}
                self.assertEqual(valued, table)

    def test_run(self):
        """run, setup, build, packages."""
        self.walk("run", "setup", "build", "packages")

    def test_image_trace(self):
        """image, trace, check."""
        self.walk("image", "trace", "check")

    def test_demo(self):
        """The demos, and those that there are not."""
        self.walk("demo", "demo agent", "demo monitor", "demo host")
        self.assert_refused("demo", "zebra")
        self.assertIn("`facet demo agent`, `facet demo monitor` and `facet demo host`", self.facet("demo", "zebra").err)

    def test_guest(self):
        """guest."""
        self.walk("guest")

    def test_test_bench(self):
        """test, bench."""
        self.walk("test", "bench")

    def test_others(self):
        """compare, xtf, libvmi, drakvuf, prove."""
        self.walk("compare", "xtf", "libvmi", "drakvuf", "prove")

    def test_short_options(self):
        """With the value in the same word, and beside the long one."""
        new, config = str(self.places["{new}"]), str(self.places["{config}"])
        for words in ([f"-o{new}", f"-o{new}2"], ["-o", new, f"-o{new}2"], ["--output", new, f"-o{new}2"], [f"-o{new}", f"--output={new}2"]):
            self.assert_refused("image", *words, config)
            self.assert_refused("guest", *words)
            self.assert_refused("packages", *words)

    def test_hypervisor_that_is_none(self):
        """Named as the user named it."""
        config = str(self.places["{config}"])
        for command in (["run"], ["image", "-o", str(self.places["{new}"])], ["trace", "--at", "vmx_exit"]):
            self.assert_refused(*command, "--hypervisor", config, config)
            self.assertIn(f"facet: {config} is not an ELF image", self.facet(*command, "--hypervisor", config, config).err)

    def test_same_file_twice(self):
        """Two domains of one name; results that would overwrite what they are made of, or each other."""
        path = str(self.places["{config}"])
        new = str(self.places["{new}"])
        self.assert_refused("run", path, path)
        self.assert_refused("image", "-o", path, path)
        self.assert_refused("bench", "--json", new, "--plot", new)
        self.assert_refused("run", "--tap", new, "--junit", new, path)
        self.assert_refused("test", "--tap", new, "--junit", new)
        report = str(self.write("report", "{}"))
        self.assert_refused("bench", "--from", report, "--plot", report)

    def test_report_that_is_none(self):
        """bench --from with JSON of another kind, or none."""
        for text in ("{}", "[]", "1", "", "{", "[" * 100000, '{"operations": 1}', b"\xff\0",
                     '{"operations": [{}], "tables": [], "settings": {}, "scaling": {}, "not_measured": {}, '
                     '"uses": [], "limits": []}'):
            path = self.write("report", text)
            with self.subTest(text[:20]):
                done = self.facet("bench", "--from", path)
                self.assertEqual(done.status, 2, done.err)
                self.assertIn(str(path), done.err)
                self.assertNotIn("Traceback", done.err)

    def test_version(self):
        """The Makefile's."""
        done = self.facet("--version")
        makefile = (runner.ROOT / "Makefile").read_text(encoding="utf-8")
        self.assertEqual((done.status, done.out),
                         (0, f"facet {re.search('^VERSION := (.*)$', makefile, re.M).group(1)}\n"))

    def test_full_output(self):
        """Standard output that takes nothing: a line, no traceback, and not success."""
        config = str(self.places["{config}"])
        for arguments in (["--help"], ["--version"], ["check", "--json"], ["test", "--list"], ["bench", "--help"], ["run", config],
                          ["trace", "--at", "vmx_exit", "--instructions", "4", config],
                          ["test", "--filter", "system/suite/tap"]):
            for unbuffered in ("", "1"):
                with self.subTest(arguments, unbuffered=unbuffered), open("/dev/full", "wb") as full:
                    done = subprocess.run([runner.ROOT / "facet", *arguments], stdin=subprocess.DEVNULL,
                                          stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                                          env=dict(os.environ, PYTHONUNBUFFERED=unbuffered))
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn("No space left on device", done.stderr)
                    self.assertNotIn("Traceback", done.stderr)
                    self.assertNotIn("Exception", done.stderr)
