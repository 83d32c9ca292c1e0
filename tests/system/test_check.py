# SPDX-License-Identifier: MIT
"""`facet check`: what it says of this machine, whatever that is, and of made-up ones; its decisions are tested in
tests/unit/test_hv_needs.c."""

import json
import re

import runner
from harness import FacetTest

TEXT = (runner.ROOT / "tests" / "unit" / "test_hv_needs.c").read_text(encoding="utf-8")


def machine(name):
    """The lines of a made-up machine there."""
    lines = re.search(rf"#define {name}\s(.*?)\n\n", TEXT, re.S).group(1)
    return "".join(re.findall(r'"([^"]*)"', lines)).replace("\\n", "\n")


class CheckTest(FacetTest):
    """The command as users run it."""

    weight = 5.0

    def test_here(self):
        """A verdict; the same from what --dump says; the same in JSON."""
        done = self.facet("check")
        self.assertIn(done.status, (0, 1, 3), done.err)
        self.assertRegex(done.lines[-1], r"^(Facet would (not )?run here|Whether Facet would run here is not known)")
        dumped = self.facet("check", "--dump")
        self.assertEqual(dumped.status, 0, dumped.err)
        again = self.facet("check", "--from", self.write("dump", dumped.out))
        self.assertEqual((again.status, again.out), (done.status, done.out))
        document = json.loads(self.facet("check", "--json").out)
        self.assertEqual({0: "yes", 1: "no", 3: "unknown"}[done.status], document["runs"])
        self.assertEqual((document["schema"], len(document["items"])), (1, len(done.lines) - 2))

    def test_made_up(self):
        """A machine of each vendor, and what each lacks."""
        for name, words, less in (("INTEL", "VMFUNC", "msr 3a 1"), ("AMD", "ASIDs", "msr c0010114 10")):
            text = machine(name)
            done = self.facet("check", "--from", self.write(name, text))
            self.assertEqual((done.status, done.lines[-1]), (0, "Facet would run here."), done.err)
            self.assertIn(words, done.out)
            text = "".join(line + "\n" for line in text.splitlines() if line.split()[:2] != less.split()[:2])
            done = self.facet("check", "--from", self.write(name, text + less + "\n"))
            self.assertEqual(done.status, 1)
            self.assertIn("switched off in the firmware's set-up", done.lines[-1])
        done = self.facet("check", "--from", self.write("bad", "cpuid x\n"))
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn('line 1: "cpuid x" is not what facet check --dump writes', done.err)
