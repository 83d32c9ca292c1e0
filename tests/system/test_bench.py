# SPDX-License-Identifier: MIT
"""What `facet bench` measures beside single operations, and what it makes of it."""

import json
import pathlib
import struct
import xml.etree.ElementTree as xml

from harness import FacetTest
from runner import bench_agent, bench_host, chain, exits, machines, recorded, stretch, toolrun, uses
from runner.base import Error
from runner.machine import Line

SVG = "{http://www.w3.org/2000/svg}"
# Those that take seconds; `facet bench` runs all.
QUICK = ("none", "restricted", "remapped", "views", "balloon", "dry")


class UsesTest(FacetTest):
    """The small guests of uses.py, held against what the same ones gave on Xen."""

    weight = 40.0

    def test_uses(self):
        """Nothing is lost or refused that Facet promises; no row costs more than on Xen."""
        here = uses.on_facet([use for use in uses.USES if use.key in QUICK])
        there = uses.recorded()
        self.assertEqual(here["views"]["views"], 500)
        self.assertEqual(here["views"]["views.overridden"], 500)
        self.assertEqual(here["restricted"]["restricted.ve_hits"], uses.SPOTS)
        self.assertEqual(here["balloon"]["balloon.kept_restrictions"], uses.GIVEN)
        self.assertEqual(here["balloon"]["balloon.kept_remaps"], uses.GIVEN)
        self.assertEqual((here["dry"]["dry.refused"], here["dry"]["ended"]), (12, "powered off"))
        self.assertEqual(there["dry"]["ended"], "crashed")
        table = [row for row in uses.rows(here, there) if row["facet"] is not None]
        self.assertGreater(len(table), 14)
        self.assertEqual([row for row in table if row["xen"] is None], [])
        dearer = [row["text"] for row in table if row["ratio"] and row["ratio"] < 0.95]
        self.assertEqual(dearer, uses.DEARER)


class StretchTest(FacetTest):
    """The longest that the hypervisor works without a look at the clock."""

    weight = 90.0

    def test_stretches(self):
        """Every row is measured, is of some length, and none is too long."""
        table, absent = stretch.measure()
        self.assertEqual(absent, {})
        self.assertEqual([row["name"] for row in table], [name for name, _ in stretch.ROWS])
        self.assertEqual([row["name"] for row in table if row["facet"] < 100], [])
        self.assertEqual([row for row in table if not row["reached"]], [])

    def test_not_done(self):
        """A guest that could not make what it was to be measured with gives no figure."""
        self.assertEqual(stretch.parse(["STRETCH a 5", "STRETCH a 4", "DONE remaps 100000"]), {"a": 5})
        with self.assertRaisesRegex(Error, "DONE remaps 99999"):
            stretch.parse(["STRETCH a 5", "DONE remaps 99999"])
        with self.assertRaisesRegex(Error, "no views"):
            stretch.parse(["TEST stretch.part: error no views"])


class AgentTest(FacetTest):
    """An agent that watches page tables."""

    weight = 8.0

    def test_entries(self):
        """Every single operation is measured; what does not concern the agent costs what it did."""
        found = bench_agent.operations(bench_agent.single(machines.find(), self.dir))
        self.assertEqual([row["name"] for row in found], [watched for _, watched, _ in bench_agent.OPERATIONS])
        ticks = {row["name"]: row["watched"] - row["plain"] for row in found}
        free = {"entry_beside", "load_again"}
        self.assertEqual({name: n for name, n in ticks.items() if name in free}, dict.fromkeys(free, 0))
        for name, most in bench_agent.MOST.items():
            self.assertLess(ticks[name], most, name)

    def test_work(self):
        """What one of each costs, exits where they were counted; a target for forks and maps alone."""
        lines = [f"BENCH {run}.{name}.{what} {n}" for name in ("fork", "six") for run, what, n in (
            ("plain", "times", 4), ("plain", "ticks", 400), ("plain", "exits", 8), ("plain", "wall", 12344), ("shield", "ticks", 404),
            ("watched", "ticks", 484), ("watched", "exits", 10), ("watched", "tables", 6))]
        fork, six = bench_agent.work(uses.parse(lines))
        self.assertEqual((fork["plain"], fork["shield"], fork["watched"], fork["more"], fork["asked"]), (100, 101, 121, 0.21, 1.5))
        self.assertEqual((fork["plain_exits"], fork["shield_exits"], fork["watched_exits"]), (2.0, None, 2.5))
        self.assertEqual((fork["reached"], six["reached"]), (False, None))
        lines = bench_agent.markdown({"operations": [], "work": [fork]})
        self.assertIn("| fork, exit and wait | 100 | 101 | 121 | +21.0% | - | 2.0 | - | 2.5 | - |", lines)
        self.assertEqual(lines[-1], "| fork, exit and wait | 3.09 | - | - | - |")

    def test_all(self):
        """The sum of all work is held to both that was promised."""
        def found(there):
            numbers = {"plain.times": 2, "plain.ticks": 100, "plain.exits": 1, "watched.ticks": 110, "watched.exits": 3,
                       "monitored.exits": there}
            return {f"{run}.{name}.{what}": n for name, _ in bench_agent.WORK for key, n in numbers.items()
                    for run, what in (key.split("."),)}

        for there, reached in ((21, True), (20, False)):
            with self.subTest(there):
                row = bench_agent.work(found(there))[-1]
                self.assertEqual((row["name"], row["plain"], row["watched"], row["more"], row["watched_exits"], row["monitored_exits"]),
                                 (bench_agent.ALL, 600, 660, 0.1, 18, 6 * there))
                self.assertEqual(row["reached"], reached)

    def test_wall(self):
        """Wall time is that between two lines of the guest's."""
        lines = [Line("d1", text, seconds) for text, seconds in (("BEGINS plain.fork", 2.5), ("BENCH plain.fork.ticks 5", 2.75),
                                                                 ("EXITS plain.fork", 3.0), ("EXITS plain.map", 4.0))]
        self.assertEqual(bench_agent.wall_lines(lines), ["BENCH plain.fork.wall 500000"])


class ReportTest(FacetTest):
    """Rows, charts, and what they are made of."""

    weight = 2.0

    def test_rows(self):
        """A row is a difference, or a part, of what was printed; without it there is none."""
        here = {"restricted": {"restricted.set": 2000000, "tables": 30}, "none": {"tables": 10}}
        there = {"restricted": {"restricted.set": 5000000}, "none": {"tables": 10}}
        table = [row for row in uses.rows(here, there)
                 if row["heading"].startswith("1,000") and row["facet"] is not None]
        self.assertEqual([(row["xen"], row["facet"], row["ratio"]) for row in table],
                         [(5000, 2000, 2.5), (None, 20, None)])

    def test_limits(self):
        """Refusals have names; a guest that died says so."""
        lines = ["BENCH dry.overrides 7", "BENCH dry.refused 12", "ENDED crashed"]
        found = dict(uses.events({"views": {"views": 500}},
                                 {"dry": uses.parse(lines)})[i][:2] for i in (0, 1))
        self.assertEqual(found["table memory of 1 MiB used up"],
                         "7 overrides, then -ENOMEM; the guest crashed")

    def _report(self):
        rows = [{"text": "a_b^{c} \"d\" & <e>", "ratio": 9.5, "xen": 95, "facet": 10,
                 "target": 11, "reached": True, "name": "x"},
                {"text": "without", "ratio": None, "xen": None, "facet": 10, "target": None,
                 "reached": None, "name": "y"}]
        many = [{"heading": "Views, many", "text": "making one", "xen": 1, "facet": 2,
                 "ratio": 0.5}, {"heading": "Views, many", "text": "near", "xen": 127, "facet": 129, "ratio": 0.98}]
        event = [{"name": "event", "text": "an event", "xen": 74199, "facet": 41732, "target": 37099, "ratio": 1.8,
                  "reached": False}]
        return {"operations": rows, "tables": [], "scaling": {}, "not_measured": {}, "uses": many,
                "monitor": event, "limits": [["dry", "crashed", "refused"]]}

    def test_plot(self):
        """From a report, in a moment: a well-formed SVG that shows each ratio."""
        report = self.write("r.json", json.dumps(self._report()))
        done = self.facet("bench", "--from", report, "--plot", self.dir / "c.svg")
        self.assertEqual(done.status, 0, done.err)
        self.assertIn(f"the chart is {self.dir / 'c.svg'}", done.err + done.out)
        self.assertIn("1 targets reached, 1 missed", done.out)
        root = xml.parse(self.dir / "c.svg").getroot()
        self.assertEqual(root.tag, f"{SVG}svg")
        texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
        for wanted in ("9.50", "0.50", "0.98", "1.78", "Views: making one", "an event (target missed)", "cost, logarithmic"):
            self.assertTrue(any(wanted in text for text in texts), f"{wanted} in {texts}")
        self.assertFalse(any("without" in text for text in texts))

    def test_plot_nothing(self):
        """Without a ratio there is no chart, and that is said."""
        report = self._report()
        report["operations"], report["uses"], report["monitor"] = [], [], []
        path = self.write("r.json", json.dumps(report))
        done = self.facet("bench", "--from", path, "--plot", self.dir / "c.svg")
        self.assertEqual((done.status, (self.dir / "c.svg").exists()), (2, False))
        self.assertIn("nothing to plot", done.err)

    def test_windows(self):
        """Exits between marks, by reason, and what passed until the guest ran again."""
        def trip(tick, reason, more=""):
            return (f"{more}{tick:011}d[CPU0  ] VMEXIT reason = {reason} (X) qualification=0x0\n"
                    f"{tick + 7:011}d[CPU0  ] VMENTER to x86-64 guest\n")
        mark = "00000000001d[CPU0  ] VMEXIT: I/O port 0x00ea\n"
        log = self.write("log", trip(10, 10) + trip(100, 30, mark) + trip(200, 48) + trip(300, 48)
                         + trip(400, 12) + trip(500, 30, mark) + trip(600, 10)
                         + trip(700, 30, mark) + trip(800, 10) + trip(900, 30, mark))
        found = exits.windows(log)
        self.assertEqual([dict(w.exits) for w in found], [{48: 2, 12: 1}, {10: 1}])
        self.assertEqual(found[0].ticks[48], 14)
        named = exits.named(["EXITS a", "other", "EXITS b"], found)
        self.assertEqual(uses.exit_lines(named), [
            "BENCH a.exits 3", "BENCH a.violations 2", "BENCH a.outside 14",
            "BENCH b.exits 1", "BENCH b.violations 0", "BENCH b.outside 7"])


class ToolTest(FacetTest):
    """The altp2m command's runs."""

    weight = 1.0

    def test_parse(self):
        """Commands are told apart, and what became of each; the same one twice is two."""
        lines = ["TOOL 0 on | ", "noise", "TOOL 1 list | no", "TOOL 0 list | 1 of 2", "TOOL end"]
        found = toolrun.parse(lines)
        self.assertEqual(found, {"on": (0, ""), "list": (1, "no"), "list (2)": (0, "1 of 2")})
        self.assertEqual([toolrun.verdict(found.get(key)) for key in ("on", "list", "off")],
                         ["works", "refused", "-"])

    def test_recorded(self):
        """Xen's two runs made all the commands."""
        wanted = toolrun.COMMANDS.read_text(encoding="utf-8").splitlines()
        for place, lines in toolrun.recorded().items():
            with self.subTest(place):
                self.assertEqual([key.partition(" (")[0] for key in toolrun.parse(lines)], wanted)


class ChainTest(FacetTest):
    """A piece of code before a kernel."""

    weight = 1.0

    def test_chain(self):
        """The entry is the piece's, which knows the kernel's; the rest is as it was."""
        kernel = pathlib.Path(self.guest("text")).read_bytes()
        with self.assertRaisesRegex(Error, "no PVH entry|ELF"):
            chain.chained(kernel[:64] + bytes(len(kernel) - 64), bytes(16))
        elf = self._elf(0x1000000)
        made = chain.chained(elf, bytes(range(16)))
        self.assertEqual(made[200 + 16:200 + 20], struct.pack("<I", chain.LOAD_AT))
        at, = struct.unpack_from("<Q", made, 32)
        count, = struct.unpack_from("<H", made, 56)
        headers = [chain.PHDR.unpack_from(made, at + i * 56) for i in range(count)]
        self.assertEqual([h[0] for h in headers], [1, 4, 1])
        piece = made[headers[2][2]:headers[2][2] + 16]
        self.assertEqual(piece, bytes([0, 1, 2, 3]) + struct.pack("<I", 0x1234) + bytes(range(8, 16)))
        with self.assertRaisesRegex(Error, "lies where"):
            chain.chained(self._elf(0x100000), bytes(16))

    @staticmethod
    def _elf(address):
        header = bytearray(64)
        struct.pack_into("<Q", header, 32, 64)
        struct.pack_into("<HH", header, 54, 56, 2)
        headers = chain.PHDR.pack(1, 5, 0, address, address, 256, 256, 4096)
        headers += chain.PHDR.pack(4, 4, 200, 0, 0, 20, 20, 4)
        note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", 0x1234)
        elf = bytes(header) + headers
        return elf + bytes(200 - len(elf)) + note + bytes(36)


class HostTest(FacetTest):
    """What `facet compare --host` makes of what domain 0 said. The whole is run by hand, because it takes long."""

    weight = 4.0
    LINES = ("BENCH small.1 300", "BENCH small.2 200", "BENCH create 4000", "BENCH begins 6000", "BENCH packet-small 101")

    def test_host_rows(self):
        """The fewest of the rounds; sums; for one of what was counted together; what is promised of it."""
        here = uses.parse(self.LINES)
        there = uses.parse(["BENCH small.1 100", "BENCH create 8000", "BENCH begins 2000", "BENCH packet-small 100"])
        table = {row["text"]: row for row in bench_host.rows(here, there)}
        small = table["xl create -p, a small guest without devices"]
        self.assertEqual((small["facet"], small["ratio"], small["reached"]), (200, 2.0, False))
        both = table["the same, unpaused, until its first line"]
        self.assertEqual((both["facet"], both["xen"], both["reached"]), (10000, 10000, True))
        packet = table["a packet of 18 bytes (UDP), there or back"]
        self.assertEqual((packet["facet"], packet["xen"], packet["reached"]), (50.5, 50, False))
        self.assertNotIn("4 KiB written", table)
        self.assertIsNone(bench_host.rows(here, {})[0]["reached"])

    def test_each_row_is_held_to_something(self):
        """A figure that is dearer than promised is told so."""
        for row in bench_host.ROWS:
            here = {name: 1001 * row.over for name in row.names}
            there = {name: 600 * row.over for name in row.names}
            with self.subTest(row.text):
                told, = [one for one in bench_host.rows(here, there) if one["text"] == row.text]
                self.assertEqual(told["reached"], False if row.most else None)

    def test_host_recorded(self):
        """Of Xen there is all that is held to something."""
        there = uses.parse(recorded.read_lines(bench_host.RECORDED))
        absent = [row.text for row in bench_host.ROWS if row.of(there) is None]
        ungoverned = [row.text for row in bench_host.ROWS if row.most is None]
        self.assertEqual([text for text in absent if text not in ungoverned], [])

    def test_calls(self):
        """What back ends ask the hypervisor for gets no dearer."""
        here = bench_host.calls_alone(machines.find(), self.dir)
        dear = {name: here.get(name) for name, _, over, most in bench_host.OPERATIONS
                if not 100 < here.get(name, 0) <= most * over}
        self.assertEqual(dear, {})

    def test_what_failed_is_no_figure(self):
        """A domain 0 or a guest that could not do it."""
        ended = f"{bench_host.SAID} ended"
        self.assertEqual(bench_host.wanted(["(d0) x", "(d0) BENCH read 5", "(d3) TICKS map 7", f"(d0) {ended}"], [], "Facet"),
                         ["BENCH read 5", "BENCH map 7"])
        self.assertEqual(bench_host.wanted(["(XEN) x", "BENCH read 5", "(d3) TICKS map 7", ended], [], "Xen"),
                         ["BENCH read 5", "BENCH map 7"])
        with self.assertRaisesRegex(Error, "BROKEN the disk"):
            bench_host.wanted(["BENCH read 5", "BROKEN the disk", ended], [], "Facet")
        with self.assertRaisesRegex(Error, "TEST a.b: fail"):
            bench_host.wanted(["BENCH read 5", "(d3) TEST a.b: fail x", ended], [], "Xen")
        with self.assertRaisesRegex(Error, "failed"):
            bench_host.wanted(["BENCH read 5"], [], "Facet")
