# SPDX-License-Identifier: MIT
"""How `facet xtf` reads what XTF's tests say; XTF itself is not part of the tree."""

from harness import FacetTest
from runner import machines, xtf
from runner.base import Error

RULES = ("# a comment\nreason argo none here\ntest hvm64-a SUCCESS\ntest hvm64-argo SKIP argo\n"
         "test hvm64-a@amd SKIP argo\n")


class XtfTest(FacetTest):
    """Results, the record, and the table."""

    weight = 1.0

    def test_judge(self):
        """A result counts only from a domain that then powered off."""
        lines = ["--- Xen Test Framework ---", "Fail: 3", "Test result: FAILURE"]
        self.assertEqual(xtf.judge(lines, "powered off"), ("FAILURE", "Fail: 3"))
        self.assertEqual(xtf.judge(["Test result: SUCCESS with warnings"], "powered off"),
                         ("SUCCESS", ""))
        self.assertEqual(xtf.judge(lines, "crashed: triple fault"),
                         ("CRASH", "crashed: triple fault"))
        self.assertEqual(xtf.judge(["Vec 13", "****"], "crashed: the guest says so"),
                         ("CRASH", "Vec 13"))
        self.assertEqual(xtf.judge(["Test result: GREAT"], "powered off")[0], "CRASH")
        self.assertEqual(xtf.judge(["a Test result: SUCCESS"], "powered off")[0], "CRASH")
        self.assertEqual(xtf.judge([], None), ("CRASH", "no output"))

    def test_table(self):
        """Another result, one not recorded and one that is missing are unexpected."""
        reasons, expected = xtf.parse(RULES)
        table = xtf.rows({"hvm64-a": ("SKIP", "x"), "hvm64-b": ("SUCCESS", "")}, expected)
        self.assertEqual([(row.name, row.outcome, row.as_recorded) for row in table],
                         [("hvm64-a", "SKIP", False), ("hvm64-argo", None, False),
                          ("hvm64-b", "SUCCESS", False)])
        self.assertEqual(xtf.print_rows(table, reasons), 3)
        table = xtf.rows({"hvm64-a": ("SUCCESS", "")}, expected, ["*-a"])
        self.assertEqual([row.as_recorded for row in table], [True])

    def test_machines(self):
        """What is another on a machine is so there alone."""
        self.assertEqual(xtf.parse(RULES)[1]["hvm64-a"], xtf.Expected("SUCCESS"))
        self.assertEqual(xtf.parse(RULES, machine="amd")[1], {"hvm64-a": xtf.Expected("SKIP", "argo"),
                                                              "hvm64-argo": xtf.Expected("SKIP", "argo")})
        self.assertEqual(xtf.parse(RULES, machine="ryzen")[1]["hvm64-a"].outcome, "SUCCESS")
        with self.assertRaises(Error):
            xtf.parse(RULES + "test hvm64-a@amd SUCCESS\n")

    def test_record(self):
        """Each recorded result that is no success has a reason; malformed lines are refused."""
        reasons, tests = xtf.parse(xtf.RECORDED.read_text(encoding="utf-8"))
        self.assertGreater(len(tests), 90)
        used = {test.reason for one in machines.MACHINES for test in
                xtf.parse(xtf.RECORDED.read_text(encoding="utf-8"), machine=one.name)[1].values()}
        self.assertEqual(used - {""}, set(reasons))
        for bad in ("test hvm64-a SKIP", "test hvm64-a SKIP nokey", "test hvm64-a GREAT",
                    "reason argo", "test hvm64-x"):
            with self.subTest(bad), self.assertRaises(Error):
                xtf.parse(bad)

    def test_source(self):
        """What is not XTF's source is refused."""
        done = self.facet("xtf", self.dir)
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn("is not the source of XTF", done.err)
