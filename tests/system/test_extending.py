# SPDX-License-Identifier: MIT
"""docs/extending.md does what it says: its example is applied to a copy of the tree, as the page tells.

With the example everything builds and passes. Without one piece of it, or with a piece that is wrong, something fails; which is what the
page promises.
"""

import os
import re
import shutil
import subprocess

import runner
from harness import FacetTest

PIECE = re.compile(r"^`tests/extend/(?P<piece>[\w.]+)`, "
                   r"(?:at the end of `(?P<end>[^`]+)`"
                   r"|in `(?P<file>[^`]+)` before `(?P<before>[^`]+)`"
                   r"|as the new file `(?P<new>[^`]+)`):\n\n```\w+\n(?P<text>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
TESTS = ("policy", "matrix", "trace", "same_frame")
# The core without sanitizers or optimization: it is built several times.
QUICK = ("SANITIZE=", "UNIT_CFLAGS=-std=c11 -Wall -Wextra -Werror -Iinclude -I. -Itests/unit")


class ExtendingTest(FacetTest):
    """The worked example, in a copy of the tree."""

    weight = 30.0

    def setUp(self):
        super().setUp()
        self.tree = self.dir / "tree"
        self.page = (runner.ROOT / "docs" / "extending.md").read_text()
        self.pieces = [match.groupdict() for match in PIECE.finditer(self.page)]

    def test_page_quotes_the_files(self):
        """Each piece is quoted as it is, and there is no piece that is not quoted."""
        folder = runner.ROOT / "tests" / "extend"
        self.assertEqual(sorted(one["piece"] for one in self.pieces),
                         sorted(path.name for path in folder.iterdir()))
        for one in self.pieces:
            self.assertEqual((folder / one["piece"]).read_text(), one["text"], one["piece"])

    def copy(self):
        """A copy of the tree."""
        shutil.copytree(runner.ROOT, self.tree,
                        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))

    def apply(self, one):
        """Applies one piece as the page says."""
        text = one["text"].replace("80NN", f"{self.number:04x}")
        path = self.tree / (one["end"] or one["file"] or one["new"])
        old = path.read_text() if path.exists() else ""
        self.assertEqual(one["new"] is None, path.exists(), path)
        if not one["file"]:
            path.write_text(old + text)
            return
        lines = old.splitlines(keepends=True)
        at = max(i for i, line in enumerate(lines) if one["before"] in line)
        path.write_text("".join([*lines[:at], text, *lines[at:]]))

    @property
    def number(self):
        """The next free number."""
        rows = (runner.ROOT / "core" / "subops.h").read_text()
        return 1 + max(int(found, 16) for found in re.findall(r"^SUBOP\((0x8\w+),", rows, re.M))

    def make(self, *targets):
        """Builds in the copy. Returns (whether it worked, what it printed)."""
        done = subprocess.run(
            ["make", "-s", "-j2", "B=b", *QUICK, *targets], cwd=self.tree, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": ""})
        return done.returncode == 0, done.stdout

    def run_test(self, name):
        """Builds and runs one unit test of the core. Returns the same."""
        built, output = self.make(f"b/unit/test_core_{name}")
        self.assertTrue(built, output)
        done = subprocess.run([f"b/unit/test_core_{name}"], cwd=self.tree, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode == 0, done.stdout

    def passes(self, result):
        """The result of make() or run_test() is good."""
        self.assertTrue(result[0], result[1])

    def fails(self, result, why):
        """The result is bad, and says why."""
        self.assertFalse(result[0], "nobody noticed")
        self.assertRegex(result[1], why)

    def without(self, path, pattern, to=""):
        """Changes a file of the copy until the end of a with statement."""
        return _Changed(self, self.tree / path, pattern, to)

    def test_example(self):
        """The example builds and passes; each piece that is left out is missed."""
        self.copy()
        for one in self.pieces:
            self.apply(one)
        self.passes(self.make(*[f"b/unit/test_core_{name}" for name in TESTS]))
        for name in TESTS:
            self.passes(self.run_test(name))
        self.fails(self.make("check-reference"), "reference.md is stale")
        self.passes(self.make("reference"))
        self.fails(self.make("check-reference"), "altp2m_stubs.h is stale")
        self.passes(self.make("stubs"))
        self.passes(self.make("format"))
        self.passes(self.make("check-reference"))
        self.passes(self.make("b/guest/attack-watched.elf"))
        self.left_out()

    def left_out(self):
        """What is left out or wrong in a copy where all is there."""
        row, core = "core/subops.h", "b/unit/core/altp2m.o"
        with self.subTest("no verdict"), self.without(row, r"READS, SAFE_WHEN_OWNED,(?=\s+\"tells what)", "READS,"):
            self.fails(self.make(core), "error")
        with self.subTest("no reason"), self.without(row, r'"tells what a monitor remapped.*"', '""'):
            self.fails(self.make(core), "lacks its audit")
        with self.subTest("no test"), self.without(row, r"\s+same_frame_in_own_views_only,", ","):
            self.fails(self.make(core), "lacks its audit|error")
        with self.subTest("no place of the view"), \
                self.without("core/fields.h", r"VIEW_FIELD\(same_frame, view\)"):
            self.fails(self.make(core), "view_at_same_frame")
        with self.subTest("no handler"), \
                self.without("core/subop_facet.c", r"long subop_same_frame", "long subop_other"):
            self.fails(self.make("b/unit/test_core_policy"), "subop_other|subop_same_frame")
        with self.subTest("a byte that is no field"), \
                self.without("core/fields.h", r"FIELD\(same_frame, second_gfn, IN, GFN\)"):
            self.fails(self.run_test("trace"), "same_frame")
        with self.subTest("the test does not run"), \
                self.without("tests/unit/test_core_same_frame.c",
                             r"cmocka_unit_test_setup_teardown\(same_frame_in_own.*"):
            self.fails(self.run_test("policy"), "which is not run")
        with self.subTest("nobody says who gets it"), \
                self.without("tests/unit/matrix.h", r"MATRIX\(same_frame,[^)]*\)"):
            self.fails(self.run_test("matrix"), "same_frame has no line")
        with self.subTest("no section"), self.without("docs/audit.md", r"### \w+ same_frame"):
            self.fails(self.make("check-reference"), "has a section.*\n# same_frame")
        with self.subTest("the section names no test"), \
                self.without("docs/audit.md", "`same_frame_in_own_views_only`"):
            self.fails(self.make("check-reference"), "names the test of its row\n# same_frame")
        with self.subTest("the attack does not run"), \
                self.without("tests/guest/attack-watched.c", r"CASE\(compares_a_monitors_frames\),"):
            self.fails(self.make("check-reference"), "named runs\n# compares_a_monitors_frames")
        self.passes(self.make("check-reference"))


class _Changed:
    """A file with one thing changed; as it was afterwards."""

    def __init__(self, test, path, pattern, to):
        self.test, self.path, self.pattern, self.to = test, path, pattern, to
        self.before = path.read_text()

    def __enter__(self):
        text, times = re.subn(self.pattern, self.to, self.before)
        self.test.assertEqual(times, 1, f"{self.path}: {self.pattern}")
        self.path.write_text(text)

    def __exit__(self, *_):
        self.path.write_text(self.before)
