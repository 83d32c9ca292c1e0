# SPDX-License-Identifier: MIT
"""Facet against what real Xen printed (tests/recorded), and the programs that compare them."""

from harness import FacetTest
from runner import bench, bench_amd, compare, machines, matrix
from runner.base import ROOT, Error

RULES = "# a comment\nreason fresh filled at once\ndiffer fresh run/12.* rc=0 access=?\n"


class ConformanceTest(FacetTest):
    """Every call of tests/recorded/manifest, on Facet."""

    weight = 40.0

    def test_calls(self):
        """Each result is Xen's, or a rule names it; and each rule is needed."""
        _, rules = compare.parse_rules(compare.RULES.read_text(encoding="utf-8"))
        guests = compare.manifest()
        there = compare.recorded(guests, machines.find())
        calls = compare.compare_all(guests, there, rules)
        bad = [f"{c.name} {c.text}: Xen {c.xen}, Facet {c.facet}" for c in calls
               if c.kind == "unexplained"]
        self.assertEqual(bad, [])
        self.assertEqual(compare.unused(calls, rules), [])
        self.assertGreater(compare.counts(calls)["same"], 1000)

    def test_costs(self):
        """No operation costs over a tenth more than promised; each that Xen has was measured on it, too."""
        ticks, tables = bench.measure(bench.MAIN)
        own, _ = bench.measure(bench.SEALED)
        rows = bench.rows({**own, **ticks}, bench.xen_ticks())
        self.assertEqual([row["name"] for row in rows], [name for name, _, _ in bench.OPERATIONS])
        self.assertEqual([row for row in rows if not row["ratio"] and row["name"] in ticks], [])
        self.assertEqual([row for row in rows if row["target"] is not None and
                          row["facet"] > row["target"] * (1 + bench.TOLERANCE)], [])
        for name, text, goal in bench.TABLES:
            with self.subTest(text):
                self.assertLessEqual(tables[name], goal)


class AmdConformanceTest(FacetTest):
    """The same calls on machines with AMD's nested paging, against the same results."""

    weight = 60.0

    def test_costs_amd(self):
        """No operation costs more than promised on AMD."""
        rows = bench.measured(bench.parsed(["--markdown", "--machine", "ryzen"]))["operations"]
        self.assertLess({name for name, _, _ in bench_amd.OPERATIONS}, {row["name"] for row in rows})
        self.assertLess(set(bench_amd.TARGETS) | set(bench_amd.SUBOPS),
                        {row["name"] for row in rows if row["target"]} | {""})
        self.assertEqual([row["name"] for row in rows if row["target"] and
                          row["facet"] > row["target"] * (1 + bench.TOLERANCE)], [])

    def calls(self, name):
        """Nothing is unexplained, and the rules of those machines are needed."""
        machine = machines.find(name)
        guests = compare.manifest()
        _, rules, own = compare.rules_for(machine)
        calls = compare.compare_all(guests, compare.recorded(guests, machine), rules, machine)
        bad = [f"{c.name} {c.text}: Xen {c.xen}, Facet {c.facet}" for c in calls
               if c.kind == "unexplained"]
        self.assertEqual(bad, [])
        self.assertEqual(compare.unused(calls, own), [])
        self.assertGreater(compare.counts(calls)["same"], 1000)

    def test_ryzen(self):
        """Bochs."""
        self.calls("ryzen")

    def test_matrix(self):
        """The document has the table that is found."""
        text = (ROOT / "docs" / "amd.md").read_text(encoding="utf-8")
        lines = matrix.markdown({"ryzen": matrix.on(machines.find("ryzen"))})
        self.assertEqual([line for line in lines[2:] if line not in text], [])

    def test_amd(self):
        """QEMU."""
        self.calls("amd")


class MatrixTest(FacetTest):
    """The table that `facet compare --matrix` prints."""

    weight = 1.0

    def test_merged(self):
        """Machines that found the same have one table; lines that are no cells are not in it."""
        one = matrix.parse(["MATRIX r read -", "MATRIX r write write", "MATRIX odd", "noise"])
        self.assertEqual(one, {"r": {"read": "-", "write": "write"}})
        lines = matrix.markdown({"a": one, "b": one, "c": {"r": {"read": "refused"}}})
        self.assertEqual(lines, ["On `a` and `b`:", "", "| access | read | write |", "|---|---|---|",
                                 "| `r` | - | write |", "", "On `c`:", "", "| access | read |",
                                 "|---|---|", "| `r` | refused |", ""])


class CompareTest(FacetTest):
    """How differences are found and explained."""

    weight = 1.0

    def kinds(self, xen, facet, rules=RULES):
        """{id: kind} of two guests' lines."""
        _, parsed = compare.parse_rules(rules)
        return {c.name: c.kind for c in compare.match("run", xen, facet, parsed)}

    def test_kinds(self):
        """The same, a deliberate difference, and those that no rule covers."""
        xen = ["CONFORM 1.a some text: rc=0", "CONFORM 12.a get: rc=-3", "noise",
               "CONFORM 12.b get: rc=-3", "CONFORM 13.a off: rc=0", "TEST conform.a: pass"]
        facet = ["CONFORM 1.a some text: rc=0", "CONFORM 12.a get: rc=0 access=7",
                 "CONFORM 12.b get: rc=-22", "CONFORM 13.a off: rc=-1",
                 "TEST conform.a: error broke"]
        self.assertEqual(self.kinds(xen, facet), {
            "run/1.a": "same", "run/12.a": "deliberate", "run/12.b": "unexplained",
            "run/13.a": "unexplained", "run/TEST.conform.a": "unexplained"})

    def test_but_one_value(self):
        """A rule may let one value differ; the others must be Xen's."""
        rules = "reason r t\ndiffer r run/* but opaque\n"
        xen = ["CONFORM 9.a x: rc=0 opaque=64 n=5", "CONFORM 9.b x: rc=0 opaque=0 n=5"]
        facet = ["CONFORM 9.a x: rc=0 opaque=65 n=5", "CONFORM 9.b x: rc=0 opaque=5 n=4"]
        self.assertEqual(self.kinds(xen, facet, rules),
                         {"run/9.a": "deliberate", "run/9.b": "unexplained"})
        self.assertEqual(self.kinds([], facet[:1], rules), {"run/9.a": "unexplained"})

    def test_absent(self):
        """A call made on one side only is a difference."""
        line = ["CONFORM 1.a text: rc=0"]
        self.assertEqual(self.kinds(line, []), {"run/1.a": "unexplained"})
        self.assertEqual(self.kinds([], line), {"run/1.a": "unexplained"})
        self.assertEqual(self.kinds(line, [], "reason r t\ndiffer r run/1.a -\n"),
                         {"run/1.a": "deliberate"})

    def test_unused_rule(self):
        """A rule for a difference that is no more is found."""
        _, rules = compare.parse_rules(RULES)
        calls = compare.match("run", ["CONFORM 12.a x: rc=0"], ["CONFORM 12.a x: rc=0"], rules)
        self.assertEqual(compare.unused(calls, rules), rules)

    def test_twice(self):
        """An id that comes twice would hide a call."""
        with self.assertRaisesRegex(Error, "printed 1.a twice"):
            compare.parse_calls(["CONFORM 1.a x: rc=0", "CONFORM 1.a y: rc=0"])

    def test_rules(self):
        """What cannot be understood is named with its line."""
        for text in ("differ nobody a b", "reason x", "reason a t\nreason a t", "differ", "other"):
            with self.subTest(text), self.assertRaisesRegex(Error, r"deliberate.txt:\d+: not "):
                compare.parse_rules(text)

    def test_rules_of_one_machine(self):
        """A rule with a machine's name is that machine's alone."""
        text = "reason r t\ndiffer r@amd run/1.a rc=1\n"
        self.assertEqual(compare.parse_rules(text)[1], [])
        self.assertEqual(len(compare.parse_rules(text, machine="amd")[1]), 1)

    def test_missed_target(self):
        """The table says which targets are missed."""
        row = bench.rows({"get_mem_access": 1001}, {"get_mem_access": 11800})[0]
        self.assertEqual((row["reached"], row["target"], row["ratio"]), (False, 1000, 11.8))
        row = bench.rows({"read_256_pages_fresh_view": 11, "read_256_pages_again": 10}, {})[0]
        self.assertEqual((row["reached"], row["target"], row["ratio"]), (False, 10, None))
        same = bench.compare({"cpuid": 100, "inb_e9": 100}, {"cpuid": 110, "inb_e9": 111})
        self.assertEqual([row["reached"] for row in same], [True, False])


class XenSideTest(FacetTest):
    """What is made of Xen's serial output."""

    weight = 1.0

    def test_parse(self):
        """Lines belong to the guest that runs; how it ended is xl's word."""
        from xen.machine import Guest, parse
        guests = [Guest("a", "a.elf"), Guest("b", "b.elf"), Guest("c", "c.elf")]
        text = ("(XEN) noise\nFACET-XEN begin 1\r\n(d1) one\r\n(XEN) two\n"
                "Domain 1 has shut down, reason code 0 0x0\nFACET-XEN end 1\n(d1) late\n"
                "FACET-XEN begin 2\n(d2) three\nDomain 2 has shut down, reason code 3 0x3\n"
                "FACET-XEN end 2\nFACET-XEN begin 3\nFACET-XEN done\n")
        got = parse(text, guests)
        self.assertEqual([(got[n].lines, got[n].ending) for n in "abc"], [
            (["one"], "powered off"), (["three"], "crashed"), ([], "did not end")])
