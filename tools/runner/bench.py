# SPDX-License-Identifier: MIT
"""`facet bench`: what operations cost on Facet, beside what they cost on Xen 4.17.

The guest tests/guest/ticks measures single operations, uses.py what users do with many; on Bochs the
TSC counts instructions, so figures repeat and compare. Xen's figures are in tests/recorded/, where
`facet compare --record` puts them. On AMD the figures of the default machine stand beside them, too.
"""

import json
import pathlib
import re
import tempfile
from dataclasses import dataclass

from . import bench_agent, bench_amd, bench_monitor, machines, options, packages, stretch, uses
from .base import Error, build, build_dir, progress, readable, say, writable, write_result
from .config import config
from .machine import boot, check
from .plot import plot
from .recorded import name_on, read_lines

TICKS = 10_000_000_000
DEFAULT_CHART = True  # --plot without a file
# "The same" with many views and with much memory: within this part.
TOLERANCE = 0.10
SAME = "read_256_pages_again"

# name in the guest, what it is, ticks to reach (None: nothing promised; SAME: those of that one)
OPERATIONS = (
    ("xen_version", "bare hypercall (xen_version)", 350),
    ("get_domain_state", "get_domain_state", 900),
    ("get_domain_state_audited", "the same, its argument by a view's rights (`audited`)", None),
    ("create_destroy", "create_p2m and destroy_p2m", 4000),
    ("set_mem_access_first", "set_mem_access, first in a fresh view", 5000),
    ("set_mem_access", "set_mem_access, later", 1200),
    ("get_mem_access", "get_mem_access", 1000),
    ("set_mem_access_multi_256", "set_mem_access_multi, 256 gfns", 30000),
    ("set_suppress_ve_multi_256", "set_suppress_ve_multi, 256 gfns", 15000),
    ("change_gfn", "change_gfn", 1500),
    ("change_gfn_revert", "change_gfn, revert", 1500),
    ("switch_p2m", "switch_p2m", 1000),
    ("read_256_pages_fresh_view", "first touch of 256 pages in a fresh view", SAME),
    ("read_256_pages_again", "second touch of them", None),
    ("restricted_write_no_listener", "restricted write, no listener", 1500),
    ("decrease_reservation", "page given back", 4000),
    ("set_suppress_ve", "set_suppress_ve", None),
    ("get_suppress_ve", "get_suppress_ve", None),
    ("get_p2m_idx", "get_p2m_idx", None),
    ("set_visibility", "set_visibility", None),
    ("set_domain_state_on", "set_domain_state, on", None),
    ("set_domain_state_off", "set_domain_state, off", None),
    ("vmfunc", "VMFUNC to another view", None),
    ("ve_switch_retry", "#VE, VMFUNC in its handler, write retried", None),
    ("enter_leave", "enter: into the agent, an empty service, and back", 700),
    ("vmcall_enosys", "VMCALL with an unknown number", None),
    ("cpuid", "CPUID", None),
    ("inb_e9", "IN from port 0xE9", None),
    ("sched_yield", "SCHEDOP_yield", None),
)

# name in the guest, what it is, pages to reach
TABLES = (
    ("fresh_view", "a fresh view", 1),
    ("first_override", "its first override", 3),
    ("same_region", "another in the same 2 MiB", 0),
    ("further_region", "one in a further 2 MiB", 1),
    ("further_region_remap", "a remap in a further 2 MiB", 1),
    ("after_reverting_all", "the view after reverting all", 1),
)


@dataclass(frozen=True)
class Setting:
    """A guest to measure in."""

    key: str
    text: str
    views: int
    worked: int
    memory: int  # MiB
    guest: str = "ticks"
    policy: str = "open"

    def config(self):
        """Its configuration file."""
        return config(name=self.key, kernel=build_dir() / "guest" / f"{self.guest}.elf", altp2m_policy=self.policy,
                      memory=self.memory, vcpus=1, altp2m="mixed", altp2m_count=self.views + 1,
                      shadow_memory=16, cmdline=f"views={self.views} worked={self.worked}")


# What Xen was measured with; then pairs that differ in one thing.
MAIN = Setting("nine", "9 views, 64 MiB", 9, 5, 64)
ONE = Setting("one", "1 view, 64 MiB", 1, 1, 64)
MANY = Setting("many", "500 views, 64 MiB", 500, 1, 64)
SEALED = Setting("sealed", "a sealed guest, 16 MiB", 9, 5, 16, "ticks-enter", "audited")
LARGE = Setting("large", "1 view, 4 GiB", 1, 1, 4096)


def parse(texts):
    """({operation: ticks}, {what: tables}) from the lines of the guest."""
    found = {"TICKS": {}, "TABLES": {}}
    for text in texts:
        match = re.fullmatch(r"(TICKS|TABLES) (\S+) (\d+)", text)
        if match:
            found[match.group(1)][match.group(2)] = int(match.group(3))
    return found["TICKS"], found["TABLES"]


def _measure(setting, memory, machine):
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / f"{setting.key}.cfg"
        path.write_text(setting.config(), encoding="utf-8")
        result = boot([path], ticks=machine.limit(TICKS), memory=memory, machine=machine.name)
    texts = result.texts("d1")
    bad = [text for text in texts if re.match(r"TEST \S+: (fail|error)", text)]
    if result.status or bad or not any(text.startswith("END ") for text in texts):
        said = bad or [str(line) for line in result.lines[-3:]] or [result.log_tail]
        raise Error("\n".join([f"{setting.text}: {result.reason or 'the guest failed'}", *said]))
    return parse(texts)


def measure(setting, runs=1, memory=None, machine=None):
    """({operation: fewest ticks of the runs}, {what: tables})."""
    progress(f"measuring: {setting.text}")
    machine = machine or machines.find()
    ticks, tables = _measure(setting, memory, machine)
    for _ in range(runs - 1):
        again, _ = _measure(setting, memory, machine)
        ticks = {name: min(n, again.get(name, n)) for name, n in ticks.items()}
    return ticks, tables


def xen_ticks(machine=machines.DEFAULT):
    """{operation: ticks} of the recorded run on Xen on that machine; empty if there is none."""
    return parse(read_lines(name_on("ticks", machine)))[0]


def _goals(ticks):
    return {name: ticks.get(SAME) if goal == SAME else goal for name, _, goal in OPERATIONS}


def rows(ticks, xen, goals=None, intel=None):
    """One dictionary for each operation that was measured. goals: {operation: ticks to reach}, if they are
    not those of OPERATIONS; intel: {operation: ticks} of the default machine, to stand beside them."""
    goals = _goals(ticks) if goals is None else goals
    out = []
    for name, text, _ in (*OPERATIONS, *bench_amd.OPERATIONS):
        if name not in ticks:
            continue
        goal, here, there = goals.get(name), ticks[name], xen.get(name)
        out.append({"name": name, "text": text, "xen": there, "facet": here, "target": goal,
                    **({} if intel is None else {"intel": intel.get(name)}),
                    "ratio": round(there / max(here, 1), 1) if there is not None else None,
                    "reached": None if goal is None else here <= goal})
    return out


def _number(value):
    return "-" if value is None else f"{value:,}"


def _verdict(row):
    return {None: "", True: "reached", False: "missed"}[row["reached"]]


def _cells(row):
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:,.1f}"
    intel = [_number(row["intel"])] if "intel" in row else []
    return [row["text"], _number(row["xen"]), _number(row["facet"]), ratio, *intel, _number(row["target"]), _verdict(row)]


def print_rows(table):
    """Prints the table of operations. Ratio: how many times fewer ticks than on Xen."""
    intel = ["on Intel"] if table and "intel" in table[0] else []
    widths = (44, -10, -9, -8, *(-9 for _ in intel), -8, 0)
    for cells in (["operation", "Xen 4.17", "Facet", "ratio", *intel, "target", ""], *map(_cells, table)):
        print(" ".join(cell.ljust(w) if w >= 0 else cell.rjust(-w) for cell, w in zip(cells, widths)).rstrip())


def markdown(table):
    """The lines of the table of operations, as docs/benchmarks.md has it."""
    intel = ["Facet on Intel"] if table and "intel" in table[0] else []
    head = ["operation", "Xen 4.17", "Facet", "ratio", *intel, "target"]
    return [f"| {' | '.join(head)} | |", "|".join(["", "---", *("---:" for _ in head[1:]), "---", ""]),
            *(f"| {' | '.join(_cells(row))} |" for row in table)]


def compare(base, other):
    """One dictionary for each operation that both measured: does the other cost the same?"""
    out = []
    for name, text, _ in OPERATIONS:
        if name in base and name in other:
            a, b = base[name], other[name]
            out.append({"name": name, "text": text, "base": a, "other": b,
                        "reached": abs(b - a) <= TOLERANCE * max(a, 1)})
    return out


def _print_pair(base, other, table):
    print(f"\n{'operation':44} {base.text:>18} {other.text:>18} {'change':>8}")
    for row in table:
        change = (row["other"] - row["base"]) / max(row["base"], 1)
        print(f"{row['text']:44} {row['base']:>18,} {row['other']:>18,} {change:>8.1%} "
              f"{'same' if row['reached'] else 'differs'}")


def _print_tables(table):
    print(f"\n{'table pages held for':44} {'Facet':>9} {'target':>8}")
    for row in table:
        print(f"{row['text']:44} {row['facet']:>9} {row['target']:>8} {_verdict(row)}")


def parsed(arguments):
    """The options and their values."""
    parser = options.parser(
        "bench", "Measure what operations cost, in instructions of the "
        "emulated processor, and print them beside Xen's. Missed targets are printed, and are no "
        "error.")
    parser.add_argument("--json", metavar="FILE", help="also write all numbers to FILE")
    parser.add_argument("--machine", metavar="NAME", help="measure on this machine (default: corei7_skylake_x); on "
                        "one of AMD's the default machine is measured, too, and shown beside it")
    parser.add_argument("--markdown", action="store_true",
                        help="print the single operations alone, as docs/benchmarks.md has them")
    parser.add_argument("--runs", type=options.count, default=1, metavar="N",
                        help="boot N times and keep the fewest ticks (default: %(default)s)")
    parser.add_argument("--quick", action="store_true",
                        help="only single operations: no uses, not 500 views, not 4 GiB")
    parser.add_argument("--agent", action="store_true",
                        help="only what it costs that an agent in a guest watches page tables; with --markdown as "
                        "docs/benchmarks.md has it")
    parser.add_argument("--exits", action="store_true",
                        help="also count the VM exits of the Linux guests; takes minutes more")
    parser.add_argument("--plot", metavar="FILE.svg", nargs="?", const=DEFAULT_CHART,
                        help="also draw the ratios (default: bench.svg in the build directory)")
    parser.add_argument("--from", dest="report", metavar="FILE",
                        help="measure nothing: print and plot what --json wrote")
    return parser.parse_args(arguments)


def _scaling(runs, report, machine):
    base, _ = measure(ONE, runs, machine=machine)
    report["settings"][ONE.key] = base
    for other in (MANY, LARGE):
        try:
            ticks, _ = measure(other, runs, machine=machine)
        except Error as error:
            report["not_measured"][other.key] = str(error)
            continue
        report["settings"][other.key] = ticks
        report["scaling"][other.key] = compare(base, ticks)


def _last_line(report):
    judged = [*report["operations"], *report["tables"], *report.get("monitor", []), *report.get("stretch", []),
              *report.get("agent", {}).get("work", []),
              *(row for table in report["scaling"].values() for row in table)]
    missed = sum(row["reached"] is False for row in judged)
    reached = sum(row["reached"] is True for row in judged)
    absent = len(report["not_measured"])
    tail = f", {absent} settings not measured" if absent else ""
    print(f"\nbench: {reached} targets reached, {missed} missed{tail}")


def _singles(runs, machine):
    ticks, tables = measure(MAIN, runs, machine=machine)
    return ticks | measure(SEALED, runs, machine=machine)[0], tables


def _operations(runs, machine):
    """(ticks, tables, rows) of single operations on a machine."""
    ticks, tables = _singles(runs, machine)
    xen = xen_ticks(machine.name)
    if machine.name == machines.DEFAULT:
        return ticks, tables, rows(ticks, xen)
    intel = _singles(runs, machines.find())[0] if machine.has and "npt" in machine.has else None
    return ticks, tables, rows(ticks, xen, bench_amd.goals(machine, intel or {}), intel)


def measured(args):
    """The report of what the options ask for."""
    machine = check(args.machine, exits=args.exits)
    packages.require("run", machine)
    packages.require("run", machines.find())
    build(["run-needs", "guests", "altp2m"])
    report = {"machine": f"{machine.backend.NAME} {machine.name}, 1 processor; ticks are instructions",
              **{name: kind() for name, kind in REPORT.items()}, "settings": {}}
    if args.agent:
        report["agent"], report["not_measured"] = bench_agent.measure(machine, args.exits)
        return report
    ticks, tables, operations = _operations(args.runs, machine)
    same = machine.name == machines.DEFAULT
    report |= {
        "operations": operations,
        "tables": [{"name": name, "text": text, "facet": tables[name], "target": goal,
                    "reached": tables[name] <= goal}
                   for name, text, goal in TABLES if name in tables],
        "settings": {MAIN.key: ticks}}
    if not (args.quick or args.markdown):
        _scaling(args.runs, report, machine)
        here = uses.on_facet(exits=args.exits, machine=machine)
        there = uses.recorded() if same else uses.parse_all({})
        report["uses"], report["limits"] = uses.rows(here, there), uses.events(here, there)
        report["monitor"], absent = bench_monitor.measure(machine)
        report["not_measured"].update(absent)
        report["agent"], absent = bench_agent.measure(machine, args.exits)
        report["not_measured"].update(absent)
        report["stretch"], absent = stretch.measure(machine)
        report["not_measured"].update(absent)
    return report


def _print(report):
    if report["operations"]:
        print_rows(report["operations"])
        _print_tables(report["tables"])
    for other in (MANY, LARGE):
        if other.key in report["scaling"]:
            _print_pair(ONE, other, report["scaling"][other.key])
        elif other.key in report["not_measured"]:
            print(f"\n{other.text}: not measured: {report['not_measured'][other.key]}")
    if report["uses"]:
        uses.print_rows(report["uses"], report["limits"])
    if report.get("monitor"):
        print()
        print_rows(report["monitor"])
    if report.get("agent"):
        bench_agent.print_rows(report["agent"])
    if report.get("stretch"):
        stretch.print_rows(report["stretch"])
    for name in report["not_measured"]:
        if name not in (MANY.key, LARGE.key):
            print(f"\n{name}: not measured: {report['not_measured'][name]}")
    _last_line(report)


# What is needed of a report, and what each is.
REPORT = {"operations": list, "tables": list, "scaling": dict, "not_measured": dict, "uses": list,
          "limits": list}


def _read(path):
    readable(path)
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Error(f"{path}: {error}") from None
    kinds = report if isinstance(report, dict) else {}
    wrong = [name for name, kind in REPORT.items() if not isinstance(kinds.get(name), kind)]
    if wrong:
        raise Error(f"{path} is no report of `facet bench --json`: it lacks {', '.join(wrong)}")
    return report


def _print_read(report, path):
    """Prints a report that a file held: what was written by somebody else may lack anything."""
    try:
        _print(report)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Error(f"{path} is no report of `facet bench --json`: {type(error).__name__} {error}") from None


def main(arguments):
    """Runs `facet bench`. Returns its exit status."""
    args = parsed(arguments)
    for path in (args.json, None if args.plot is DEFAULT_CHART else args.plot):
        if path is not None:
            writable(path)
    for path in (args.json, args.report):
        if path and isinstance(args.plot, str) and pathlib.Path(path).resolve() == pathlib.Path(args.plot).resolve():
            raise Error(f"{path} cannot be both the report and the chart")
    if args.report is not None:
        report = _read(args.report)
        _print_read(report, args.report)
    else:
        report = measured(args)
        if args.markdown:
            print("\n".join(bench_agent.markdown(report["agent"]) if args.agent else markdown(report["operations"])))
        else:
            _print(report)
    if args.json is not None:
        write_result(args.json, json.dumps(report, indent=2) + "\n")
    if args.plot is not None:
        say(f"the chart is {plot(report, build_dir() / 'bench.svg' if args.plot is DEFAULT_CHART else args.plot)}")
    return 0
