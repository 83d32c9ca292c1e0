# SPDX-License-Identifier: MIT
"""`facet xtf DIR`: the HVM tests of XTF, Xen's test framework, on Facet.

DIR is XTF's source. It is built in the build directory; nothing is fetched. What each test is to
give, and why, is in tests/recorded/xtf.txt; docs/xtf.md tells more.
"""

import concurrent.futures
import fnmatch
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from . import machine, machines, packages
from .base import Error, build, build_dir, locked, of_sources, progress, source_of
from .config import config
from .options import machine as machine_options
from .options import parser as command_parser
from .recorded import RECORDED_DIR

RECORDED = RECORDED_DIR / "xtf.txt"
OUTCOMES = ("SUCCESS", "SKIP", "ERROR", "FAILURE", "CRASH")
ENVIRONMENTS = ("hvm32", "hvm32pae", "hvm32pse", "hvm64")
# xsa-304 uses memory at 34 MiB.
MEMORY_MIB = 48
VCPUS = {"xsa-472-3": 3}
DOMAINS_PER_BOOT = 12
TICKS_PER_BOOT = 10_000_000_000
_MADE = ("*.o", "*.d", "*.lds", "test-*", "info.json", ".git")


@dataclass(frozen=True)
class Test:
    """One XTF test in one environment."""

    environment: str
    test: str
    elf: pathlib.Path

    @property
    def name(self):
        """As XTF's own runner calls it, without the variation."""
        return f"{self.environment}-{self.test}"

    def config(self):
        """Its configuration file."""
        return config(name=self.name, kernel=self.elf, memory=MEMORY_MIB, on_reboot="destroy",
                      vcpus=VCPUS.get(self.test, 1))


@dataclass(frozen=True)
class Expected:
    """What is recorded for a test."""

    outcome: str
    reason: str = ""  # a key


@dataclass(frozen=True)
class Row:
    """What a test gave. outcome: None if it is recorded but not there."""

    name: str
    outcome: str
    expected: Expected
    said: str

    @property
    def as_recorded(self):
        """Whether it is what is recorded."""
        return self.expected is not None and self.outcome == self.expected.outcome


def parse(text, file="tests/recorded/xtf.txt", machine=machines.DEFAULT):
    """({reason: its text}, {test: Expected}) on a machine, by name.

    Lines: "reason KEY TEXT", "test NAME OUTCOME [KEY]", and with NAME@MACHINE what is another there.
    """
    reasons, tests = {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, name, rest = (line.split(None, 2) + ["", ""])[:3]
        outcome, *key = rest.split() or [""]
        if word == "reason" and rest and name not in reasons:
            reasons[name] = rest
        elif (word == "test" and name not in tests and outcome in OUTCOMES and len(key) < 2
              and all(one in reasons for one in key) and (key or outcome == "SUCCESS")):
            tests[name] = Expected(outcome, *key)
        else:
            raise Error(f"{file}:{number}: not understood: {line}")
    own = {name.partition("@")[0]: one for name, one in tests.items() if name.endswith(f"@{machine}")}
    return reasons, {**{name: one for name, one in tests.items() if "@" not in name}, **own}


def judge(texts, how):
    """(outcome, the last line before it) from a test's lines and how its domain ended, if it did."""
    for number, text in enumerate(texts):
        head, found, result = text.partition("Test result: ")
        word = result.partition(" ")[0]
        if found and not head and word in OUTCOMES and (how or "").startswith("powered off"):
            return word, texts[number - 1] if number else ""
    words = [text for text in texts if text.strip("*")]
    return "CRASH", how if how and "guest says" not in how else words[-1] if words else "no output"


def rows(found, expected, wanted=None):
    """A Row for each test that ran or is recorded. found: {test: (outcome, what it said)}."""
    names = sorted({*found, *expected}, key=lambda name: tuple(reversed(name.split("-", 1))))
    return [Row(name, found.get(name, (None,))[0], expected.get(name), found.get(name, ("", ""))[1])
            for name in names if not wanted or any(fnmatch.fnmatchcase(name, w) for w in wanted)]


def _make(tree, *arguments):
    environment = dict(os.environ, ROOT=str(tree), CC="gcc", LD="ld", OBJCOPY="objcopy",
                       CPP="gcc -E", PYTHON="python3", MAKEFLAGS="")
    done = subprocess.run(["make", "-s", "-rR", f"-j{os.cpu_count() or 1}", *arguments],
                          env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise Error(f"XTF does not build: make {' '.join(arguments)}:\n{done.stdout}")


def check_source(source):
    """The directory, if it has XTF's source."""
    return source_of(source, "XTF", "build/gen.mk", "tests/.")


def build_tests(source):
    """Builds the HVM tests of the XTF source in the build directory. Returns the Tests."""
    source = check_source(source)
    tree = build_dir() / "xtf"
    tests = []
    with locked(build_dir() / ".xtf-lock"):
        of_sources(tree, source)
        shutil.copytree(source, tree, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_MADE))
        progress("building XTF's tests")
        for path in sorted(source.glob("tests/*/Makefile")):
            here = tree / "tests" / path.parent.name
            _make(tree, "-C", str(here), "info.json")
            info = json.loads((here / "info.json").read_text(encoding="utf-8"))
            name = info["name"]
            wanted = [one for one in ENVIRONMENTS if one in info["environments"]]
            elves = [here / f"test-{one}-{name}" for one in wanted]
            if wanted:
                _make(tree, "-C", str(here), f"TEST-ENVS={' '.join(wanted)}",
                      *(elf.name for elf in elves))
            tests += [Test(one, name, elf) for one, elf in zip(wanted, elves)]
    return tests


def _boot(tests, options):
    """Boots the tests together. Returns ({test: (outcome, what it said)}, tests that hang)."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for test in tests:
            paths.append(f"{scratch}/{test.name}.cfg")
            pathlib.Path(paths[-1]).write_text(test.config(), encoding="utf-8")
        result = machine.boot(paths, ticks=machines.find(options.machine).limit(TICKS_PER_BOOT),
                              machine=options.machine, processors=options.processors)
    found = {}
    for number, test in enumerate(tests, 1):
        ending = result.endings.get(number)
        found[test.name] = judge(result.texts(f"d{number}"), ending.how if ending else None)
        if options.verbose:
            print(f"---- {test.name}", *result.texts(f"d{number}"), sep="\n")
    return found, [test for number, test in enumerate(tests, 1) if number not in result.endings]


def _run_some(tests, options):
    found, stuck = _boot(tests, options)
    for test in stuck if len(tests) > 1 else []:
        found.update(_boot([test], options)[0])
    return found


def run(tests, options):
    """{test: (outcome, what it said)}."""
    boots = [tests[i:i + DOMAINS_PER_BOOT] for i in range(0, len(tests), DOMAINS_PER_BOOT)]
    found = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for some in pool.map(lambda tests: _run_some(tests, options), boots):
            found.update(some)
    return found


def print_rows(table, reasons):
    """Prints the table. Returns the number of unexpected results."""
    for row in table:
        why = row.expected.reason if row.expected else ""
        note = why if row.as_recorded else "UNEXPECTED: " + (
            f"recorded is {row.expected.outcome}" if row.expected else "not recorded")
        print(f"{row.name:32} {row.outcome or 'not there':9} {note}".rstrip())
        if not row.as_recorded and row.said:
            print(f"    {row.said}")
    used = {row.expected.reason for row in table if row.expected} - {""}
    if used:
        print("\nreasons:")
    for key, text in reasons.items():
        if key in used:
            print(f"  {key}: {text}")
    number = {one: sum(row.outcome == one for row in table) for one in OUTCOMES}
    print("\nxtf: " + ", ".join(f"{count} {one}" for one, count in number.items() if count), end="")
    bad = sum(not row.as_recorded for row in table)
    print(f"; {bad} unexpected")
    return bad


def _arguments(arguments):
    parser = command_parser(
        "xtf", "Build the HVM tests of XTF, Xen's test framework, from its "
        "source in DIR, run them on Facet, and compare with what tests/recorded/xtf.txt says.",
        epilog="exit status: 0 if every result is the recorded one, else 1")
    parser.add_argument("directory", metavar="DIR", help="XTF's source; it is left as it is")
    parser.add_argument("tests", metavar="TEST", nargs="*", default=[],
                        help="pattern for the tests to run, like 'hvm64-*' (default: all)")
    machine_options(parser)
    parser.add_argument("--verbose", action="store_true", help="print what the tests say")
    return parser.parse_args(arguments)


def main(arguments):
    """Runs `facet xtf`. Returns its exit status."""
    options = _arguments(arguments)
    check_source(options.directory)
    chosen = machines.find(options.machine)
    packages.require("run", chosen)
    build(["run-needs"])
    reasons, expected = parse(RECORDED.read_text(encoding="utf-8"), machine=chosen.name)
    tests = [test for test in build_tests(options.directory) if not options.tests or
             any(fnmatch.fnmatchcase(test.name, one) for one in options.tests)]
    if not tests:
        raise Error("no test is called that")
    progress(f"running {len(tests)} tests")
    table = rows(run(tests, options), expected, options.tests)
    return 1 if print_rows(table, reasons) else 0
