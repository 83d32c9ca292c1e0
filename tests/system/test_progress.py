# SPDX-License-Identifier: MIT
"""Long work tells how far it is, on standard error, and --quiet hides it."""

import contextlib
import io
import os
import re
import subprocess
import sys
from unittest import mock

import runner
from harness import FacetTest
from runner import progress

BUILD = "import sys; sys.path.insert(0, 'tools'); sys.dont_write_bytecode = True\n" \
        "import runner\nfrom runner import progress\n{}\n" \
        "try:\n    runner.build(['tools', 'demo'])\nexcept runner.Error as error:\n    sys.exit(str(error))\n"


class Terminal(io.StringIO):
    """Standard error that is one."""

    def isatty(self):
        return True


class ProgressTest(FacetTest):
    """See the module's text."""

    weight = 15.0

    def told(self, stream, total, steps):
        """What is said of that work, however quiet the run of the tests itself is."""
        with contextlib.redirect_stderr(stream), mock.patch.object(progress, "_hushed", False):
            count = progress.Count("working", total, " pieces")
            for done in range(steps):
                count.at(done + 1)
            count.end()
        return stream.getvalue()

    def test_lines(self):
        """Without a terminal: ten lines of any amount of work, none of little, none beyond its end."""
        self.assertEqual(self.told(io.StringIO(), 1000, 1200).splitlines(),
                         [f"facet: working: {n}00 of 1000 pieces" for n in range(1, 10)])
        self.assertEqual(self.told(io.StringIO(), progress.FEW, progress.FEW), "")
        self.assertEqual(self.told(io.StringIO(), 0, 3), "")

    def test_terminal(self):
        """On a terminal: one line, which is gone at the end."""
        text = self.told(Terminal(), 100, 100)
        self.assertNotIn("\n", text)
        self.assertIn("\rfacet: working: 55 of 100 pieces\033[K", text)
        self.assertTrue(text.endswith("\r\033[K"))

    def build(self, more="", **environment):
        """Builds the tools in the test's own directory; returns (status, standard error)."""
        done = subprocess.run([sys.executable, "-c", BUILD.format(more)], cwd=runner.ROOT, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, B=str(self.dir / "build"), **environment), check=False)
        return done.returncode, done.stderr

    def test_build(self):
        """A build tells of its files; one with nothing to do, and one that is to be quiet, tell nothing; one that fails tells why."""
        status, text = self.build()
        self.assertEqual(status, 0, text)
        parts = [tuple(map(int, pair)) for pair in re.findall(r"building: (\d+) of (\d+) files", text)]
        self.assertGreater(len(parts), 5, text)
        self.assertEqual(len({total for _, total in parts}), 1)
        self.assertEqual(parts, sorted(parts))
        self.assertEqual(self.build(), (0, ""))
        (self.dir / "build/facet-config").unlink()
        self.assertEqual(self.build("progress.hush()"), (0, ""))
        for name in ("facet-config", "tools/config/keys.o"):
            (self.dir / "build" / name).unlink()
        status, text = self.build("progress.hush()", HOSTCC="false")
        self.assertEqual(status, 1)
        self.assertIn("keys.o] Error 1", text)
        self.assertIn("the build failed", text)

    def test_each_command_can_be_quiet(self):
        """The option is everywhere."""
        for command in re.findall(r"^    (\w+) ", self.facet("--help").out, re.M) + ["demo agent", "demo monitor", "demo host"]:
            with self.subTest(command):
                self.assertIn("--quiet", self.facet(*command.split(), "--help").out)
