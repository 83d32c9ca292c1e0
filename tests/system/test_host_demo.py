# SPDX-License-Identifier: MIT
"""Debian's xl makes a guest with a disk and a network: the demo as users run it, and what its host side makes of a
domain 0 that does not do what it says."""

import io
import re
import sys

import runner
from demosteps import assert_titles, report
from harness import FacetTest
from runner import Line, machines

sys.path.insert(0, str(runner.ROOT / "demo"))

import host_demo  # noqa: E402  pylint: disable=wrong-import-position


class StepsTest(FacetTest):
    """The steps in domain 0's script and those that are wanted."""

    weight = 0.1

    def test_titles_are_those_of_the_script(self):
        """The list here and the script's must not drift apart."""
        assert_titles(self, host_demo)

    def test_every_line_is_needed(self):
        """Of domain 0's steps; what other domains print is not believed."""
        lines = report(host_demo.STEPS)

        def complaints(lines, source="d0", starts=2):
            story = host_demo.HostStory(io.StringIO(), lambda code, text: text)
            story.starts = starts
            for number, text in enumerate(lines):
                story.line(Line(source, text, float(number)))
            return story.complaints()
        self.assertEqual(complaints(lines), [])
        self.assertNotEqual(complaints(lines, "d1"), [])
        self.assertIn("1 times", " ".join(complaints(lines, starts=1)))
        for number, text in enumerate(lines):
            with self.subTest(text):
                self.assertNotEqual(complaints(lines[:number] + lines[number + 1:]), [])


class HostDemoTest(FacetTest):
    """Two Debian kernels, one the other's host."""

    weight = 150.0

    def _check_demo(self, machine):
        """A disk and a network, at once, by backends and frontends; watched meanwhile."""
        done = self.facet("demo", "host", "--machine", machine)
        self.assertEqual(done.status, 0, done.out[-8000:] + done.err[-1000:])
        count = len(host_demo.STEPS)
        self.assertIn(f"{count} of {count} steps did what they say", done.out)
        self.assertEqual(len(re.findall(r"break ext4_sync_fs ", done.out)) >= 3, True, done.out[-8000:])

    def test_demo_on_amd(self):
        """On QEMU."""
        self._check_demo("amd")

    def test_demo_on_intel(self):
        """On the machine that the README's command takes, Bochs: XSAVE has more components there, the power another port."""
        self._check_demo(machines.DEFAULT)
