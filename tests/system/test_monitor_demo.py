# SPDX-License-Identifier: MIT
"""One Linux that watches another with xen-access and with altp2m watch: the demo as users run it,
and what its host side makes of domains that do not do what they say."""

import io
import re
import sys

import runner
from demosteps import assert_titles, report
from harness import LIMIT, FacetTest
from runner import Line

sys.path.insert(0, str(runner.ROOT / "demo"))

import monitor_demo  # noqa: E402  pylint: disable=wrong-import-position

UNSEEN = "work: the code of __x64_sys_sethostname looked changed 0 times"
FAILED = "work: round 7: sethostname: Operation not permitted"


class StepsTest(FacetTest):
    """The steps in the monitor's script and those that are wanted."""

    weight = 0.1

    def script(self):
        """The text of the monitor's script."""
        return (runner.ROOT / "demo" / monitor_demo.SCRIPT).read_text(encoding="utf-8")

    def test_titles_are_those_of_the_script(self):
        """The list here and the monitor's own must not drift apart."""
        assert_titles(self, monitor_demo)

    def good(self):
        """What both domains print when all goes well."""
        *lines, end = [("d1", line) for line in report(monitor_demo.STEPS)]
        return [*lines, ("d2", FAILED), ("d2", UNSEEN), end]

    def complaints(self, lines):
        """What the host side says about domains that printed `lines`."""
        story = monitor_demo.MonitorStory(io.StringIO(), lambda code, text: text)
        for number, (source, text) in enumerate(lines):
            story.line(Line(source, text, float(number)))
        return story.complaints()

    def test_every_line_is_needed(self):
        """Of the monitor's steps, and of what the watched domain says."""
        lines = self.good()
        self.assertEqual(self.complaints(lines), [])
        for number, text in enumerate(lines):
            with self.subTest(text):
                self.assertNotEqual(self.complaints(lines[:number] + lines[number + 1:]), [])

    def test_a_breakpoint_that_shows_is_a_complaint(self):
        """However well the monitor's steps went."""
        lines = [(source, text.replace("changed 0 times", "changed 3 times"))
                 for source, text in self.good()]
        self.assertIn("3 times", " ".join(self.complaints(lines)))


class MonitorDemoTest(FacetTest):
    """Two Debian kernels."""

    weight = 100.0

    def demo(self, *options):
        """Runs it, and looks at what it says."""
        done = self.facet("demo", "monitor", *options)
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        count = len(monitor_demo.STEPS)
        self.assertIn(f"{count} of {count} steps did what they say", done.out)
        names = [int(number) for number in
                 re.findall(r'break __x64_sys_sethostname .*="work-(\d+)"', done.out)]
        self.assertEqual(names[:5], list(range(names[0], names[0] + 5)))

    def test_demo(self):
        """xen-access and altp2m watch see what the other domain does; it sees nothing of them."""
        self.demo(*LIMIT)

    def test_demo_on_amd(self):
        """Where a page that is executed can be read: the hidden breakpoints are a pair of views."""
        self.demo("--machine", "amd")

    def test_demo_on_several(self):
        """Each domain has a vCPU for each of four processors."""
        self.demo("--machine", "amd", "--processors", "4")
