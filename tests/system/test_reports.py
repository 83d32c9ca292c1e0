# SPDX-License-Identifier: MIT
"""TAP and JUnit: what guests tell of their tests, and what the suite found, in files for continuous integration."""

from xml.etree import ElementTree

from harness import GOODBYE, FacetTest
from runner import Ending, Line, Result, reports, testlines
from runner.results import Case

GOOD = ["TEST g.a: pass", "noise", "TEST g.b: skip VMFUNC", "TEST g.c: pass", "END g: 2 passed, 1 skipped, 0 errors, 0 failed"]


class LinesTest(FacetTest):
    """From lines to outcomes."""

    weight = 0.1

    @staticmethod
    def outcomes(*domains):
        """{name: (outcome, text)} of a run; each domain is (its lines, how it ended or None)."""
        result = Result(domains={i: f"d{i}" for i in range(1, len(domains) + 1)})
        for i, (texts, how) in enumerate(domains, 1):
            result.lines += [Line(f"d{i}", text, 0) for text in texts]
            if how:
                result.endings[i] = Ending(i, f"d{i}", how)
        return {case.name: (case.outcome, case.text) for case in testlines.cases(result)}

    def test_good(self):
        """A guest with tests, and one that only helps."""
        self.assertEqual(self.outcomes((GOOD, "powered off"), (["hello"], "rebooted")), {
            "d1/g.a": ("pass", ""), "d1/g.b": ("skip", "VMFUNC"), "d1/g.c": ("pass", ""), "d2": ("pass", "")})

    def test_too_little(self):
        """What must not pass for success."""
        for texts, how, wanted in ((GOOD[:-1], "powered off", "printed no END line; last line: TEST g.c: pass"),
                                   (GOOD[1:], "powered off", "its END line does not count the TEST lines seen"),
                                   (GOOD + ["TEST g.d: pass"], "powered off", "its END line does not count"),
                                   (GOOD, None, "did not end"), ([], None, "did not end"),
                                   (GOOD, "crashed: triple fault", "crashed: triple fault"),
                                   (["END g: 1 passed, 0 skipped, 0 errors, 0 failed"], "powered off", "does not count")):
            with self.subTest(texts=texts, how=how):
                outcome, text = self.outcomes((texts, how))["d1"]
                self.assertEqual(outcome, "fail")
                self.assertIn(wanted, text)

    def test_no_test_at_all(self):
        """A run of domains that test nothing is no success."""
        for lines in (["hello"], ["TEST: pass", " TEST a: pass", "TEST a: passed", "[1.0] TEST a: pass"]):
            self.assertEqual(self.outcomes((lines, "powered off"))["tests"],
                             ("fail", "no domain printed a TEST line"))


class FilesTest(FacetTest):
    """From outcomes to files."""

    weight = 8.0
    CASES = [Case("g/a", "pass", seconds=1.5), Case("g/b#1", "fail", "saw 1\nwanted <2> & \x01\ud800"),
             Case("g/c", "skip", "VMFUNC\nand #VE"), Case("g/d", "error", "broke")]

    def test_tap(self):
        """Each outcome; nothing of a text is taken for a directive or a result."""
        path = self.dir / "a.tap"
        cases = [Case(c.name, c.outcome, c.text.replace("\ud800", "")) for c in self.CASES]
        reports.tap(path, [*cases, Case("g/e", "fail", "ok 1\nnot ok 2")])
        self.assertEqual(path.read_text(encoding="utf-8").splitlines(), [
            "TAP version 13", "1..5", "ok 1 - g/a", "not ok 2 - g/b\\#1", "# saw 1", "# wanted <2> & \x01",
            "ok 3 - g/c # SKIP VMFUNC and #VE", "not ok 4 - g/d", "# error: broke", "not ok 5 - g/e", "# ok 1", "# not ok 2"])

    def test_junit(self):
        """Well-formed whatever a guest says; the counts are those of the cases."""
        path = self.dir / "a.xml"
        reports.junit(path, self.CASES)
        root = ElementTree.parse(path).getroot()
        self.assertEqual(root.attrib, {"name": "facet", "tests": "4", "failures": "1", "errors": "1", "skipped": "1"})
        found = [(node.get("classname"), node.get("name"), [child.tag for child in node]) for node in root]
        self.assertEqual(found, [("g", "a", []), ("g", "b#1", ["failure"]), ("g", "c", ["skipped"]), ("g", "d", ["error"])])
        self.assertEqual(root[1][0].text, "saw 1\nwanted <2> & \ufffd\ufffd")
        self.assertEqual(root[0].get("time"), "1.500")

    def test_run(self):
        """facet run: both files, and the status, of a machine whose every word is known."""
        config = self.config("a.cfg", kernel=self.guest())
        goodbye = "(facet) d1 a: powered off\n" + GOODBYE.format(1, 0, 0)
        for lines, status in ((GOOD, 0), (GOOD[:-1], 1), (["hello"], 1),
                              (["TEST g.a: fail x", "END g: 0 passed, 0 skipped, 0 errors, 1 failed"], 1)):
            with self.subTest(lines=lines):
                text = "".join(f"(d1) {line}\n" for line in lines)
                tap, junit = self.dir / "a.tap", self.dir / "a.xml"
                done = self.facet("run", "--hypervisor", self.standin(text + goodbye), "--tap", tap, "--junit", junit, config)
                self.assertEqual(done.status, status, done.err)
                results = [line for line in tap.read_text(encoding="utf-8").splitlines() if "ok " in line]
                self.assertEqual(len(results), int(ElementTree.parse(junit).getroot().get("tests")))
                self.assertEqual(any(line.startswith("not ok") for line in results), bool(status))

    def test_without(self):
        """Without the options, the status is the domains' alone, as ever."""
        text = "(d1) TEST g.a: fail x\n(facet) d1 a: powered off\n" + GOODBYE.format(1, 0, 0)
        done = self.facet("run", "--hypervisor", self.standin(text), self.config("a.cfg", kernel=self.guest()))
        self.assertEqual(done.status, 0, done.err)

    def test_suite(self):
        """facet test."""
        tap, junit = self.dir / "a.tap", self.dir / "a.xml"
        done = self.facet("test", "--filter", "system/suite/tap", "--tap", tap, "--junit", junit)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(tap.read_text(encoding="utf-8"), "TAP version 13\n1..1\nok 1 - system/suite/tap\n")
        self.assertEqual([node.get("name") for node in ElementTree.parse(junit).getroot()], ["tap"])
