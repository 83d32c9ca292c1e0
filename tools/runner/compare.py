# SPDX-License-Identifier: MIT
"""`facet compare`: the same guests on Facet and on real Xen 4.17, call by call, and what they cost.

A guest of tests/recorded/manifest prints a line "CONFORM id text: results" for each call. A
difference is deliberate if a rule in tests/recorded/deliberate.txt names its id and what Facet
gives; else it is unexplained, and the comparison fails. On a machine with AMD's nested paging
deliberate-npt.txt has further rules: there Facet is compared with Xen on Intel, since Xen has no
altp2m on AMD; but what is the platform's with Xen on the same machine.
"""

import datetime
import fnmatch
import re
import tempfile
from dataclasses import dataclass

from . import bench, bench_host, bench_monitor, machines, matrix, options, packages, toolrun, uses
from .base import Error, build, build_dir, progress
from .guests import parse_manifest
from .machine import boot
from .recorded import RECORDED_DIR, name_on, read_lines, write_lines

TICKS = 20_000_000_000
RULES = RECORDED_DIR / "deliberate.txt"
NPT_RULES = RECORDED_DIR / "deliberate-npt.txt"
# Guests whose results are a machine's own: recorded as NAME-MACHINE where it is not the default one.
OF_THE_MACHINE = ("conform-platform",)

_CALL = re.compile(r"CONFORM (\S+) (.*?): (rc=.*)")
_TEST = re.compile(r"TEST (\S+): (.*)")


@dataclass(frozen=True)
class Rule:
    """A deliberate difference: which calls, and what Facet gives there."""

    reason: str
    calls: str  # a pattern for "run/id"
    facet: str  # a pattern for Facet's results; "but NAME": Xen's, but for the value of NAME

    def covers(self, name, xen, facet):
        """Whether it explains this difference; None: the call was not made there."""
        if not fnmatch.fnmatchcase(name, self.calls):
            return False
        but, _, value = self.facet.partition(" ")
        if but == "but":
            return None not in (xen, facet) and _without(value, xen) == _without(value, facet)
        return fnmatch.fnmatchcase(facet or "-", self.facet)


def _without(name, results):
    return [part for part in results.split() if not part.startswith(f"{name}=")]


@dataclass(frozen=True)
class Call:
    """One call on both. None: it was not made there."""

    name: str  # "run/id"
    text: str
    xen: str
    facet: str
    rule: Rule = None

    @property
    def kind(self):
        """same, deliberate or unexplained."""
        if self.xen == self.facet:
            return "same"
        return "deliberate" if self.rule else "unexplained"


def manifest():
    """The guests to compare."""
    path = RECORDED_DIR / "manifest"
    return parse_manifest(path.read_text(encoding="utf-8"), "tests/recorded/manifest")


def parse_rules(text, file="tests/recorded/deliberate.txt", machine=machines.DEFAULT):
    """({reason: its text}, [Rule]). Lines: "reason KEY TEXT" and "differ KEY CALLS RESULTS".

    machine: the name of one; "differ KEY@NAME ..." is for that one alone.
    """
    reasons, rules = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, key, rest = (line.split(None, 2) + ["", ""])[:3]
        if word == "reason" and rest and key not in reasons:
            reasons[key] = rest
        elif word == "differ" and key.split("@")[0] in reasons and len(rest.split(None, 1)) == 2:
            key, _, where = key.partition("@")
            if where not in ("", machine):
                continue
            rules.append(Rule(key, *(part.strip() for part in rest.split(None, 1))))
        else:
            raise Error(f"{file}:{number}: not understood: {line}")
    return reasons, rules


def rules_for(machine):
    """({reason: its text}, all Rules, those of them that must be needed) of a Machine."""
    reasons, rules = parse_rules(RULES.read_text(encoding="utf-8"), machine=machine.name)
    if not (machine.has and "npt" in machine.has):
        return reasons, rules, rules
    more, own = parse_rules(NPT_RULES.read_text(encoding="utf-8"), f"tests/recorded/{NPT_RULES.name}",
                            machine.name)
    return {**more, **reasons}, [*own, *rules], own


def recorded_name(name, machine):
    """The name of what Xen gave that a run on a Machine is compared with."""
    return name_on(name, machine.name) if name in OF_THE_MACHINE else name


def recorded(guests, machine):
    """{run: Xen's lines} of those guests for which there are some, or should be."""
    found = {guest.name: read_lines(recorded_name(guest.name, machine)) for guest in guests}
    return {name: lines for name, lines in found.items()
            if lines or name not in OF_THE_MACHINE}


def parse_calls(lines):
    """{id: (text, results)} of a guest's lines; the tests' outcomes are calls of their own."""
    calls = {}
    for line in lines:
        call, test = _CALL.fullmatch(line), _TEST.fullmatch(line)
        if call:
            name, text, result = call.groups()
            if name in calls:
                raise Error(f"the guest printed {name} twice")
            calls[name] = (text, result)
        elif test:
            calls[f"TEST.{test.group(1)}"] = ("outcome", test.group(2))
    return calls


def match(run, xen_lines, facet_lines, rules):
    """The Calls of one run, in the order in which Facet made them."""
    xen, facet = parse_calls(xen_lines), parse_calls(facet_lines)
    out = []
    for name in [*facet, *(name for name in xen if name not in facet)]:
        text = (facet.get(name) or xen.get(name))[0]
        here, there = facet.get(name, (0, None))[1], xen.get(name, (0, None))[1]
        full = f"{run}/{name}"
        covering = (rule for rule in rules if rule.covers(full, there, here))
        out.append(Call(full, text, there, here, None if here == there else next(covering, None)))
    return out


def on_facet(guests, machine=None):
    """{run: the guest's lines} on Facet, as domains of one machine."""
    machine = machine or machines.find()
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for guest in guests:
            paths.append(f"{scratch}/{guest.name}.cfg")
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(guest.config())
        result = boot(paths, ticks=machine.limit(TICKS), machine=machine.name)
    found = {}
    for number, guest in enumerate(guests, 1):
        ending = result.endings.get(number)
        found[guest.name] = [*result.texts(f"d{number}"), ended(ending.how if ending else None)]
    return found


def ended(how):
    """The line for how a guest ended; reasons are in each hypervisor's own words."""
    return f"CONFORM end the guest: rc=0 {(how or 'did not end').split(':')[0]}"


def _ticks_on_xen():
    import xen
    return xen.Guest("ticks", build_dir() / "guest" / "ticks.elf",
                     cmdline=f"views={bench.MAIN.views} worked={bench.MAIN.worked}")


def on_xen(guests):
    """{run: the guest's lines} on real Xen, ticks included."""
    packages.require("compare")
    build(["xen-needs"])
    import xen  # needs its packages
    runs = [_ticks_on_xen()]
    for guest in guests:
        s = guest.settings
        runs.append(xen.Guest(guest.name, build_dir() / "guest" / f"{s['elf']}.elf",
                              int(s["memory"]), s["altp2m"], s.get("cmdline", "")))
    event, files = bench_monitor.on_xen()
    found = {}
    for name, outcome in xen.run([*runs, event], files=files).items():
        lines = outcome.lines
        compared = name not in ("ticks", event.name)
        found[name] = [*lines, ended(outcome.ending)] if compared else lines
    return {**found, **uses.on_xen()}


def _record(found, machine=machines.DEFAULT):
    import xen
    comment = (f"Xen {xen.version()} (Debian), Bochs {machine}, {datetime.date.today()}; "
               "written by `facet compare --record`")
    for name, lines in found.items():
        write_lines(name, [comment], lines)


def compare_all(guests, there, rules, machine=None):
    """All Calls of all runs that are in `there`, {run: lines} of Xen."""
    guests = [guest for guest in guests if guest.name in there]
    here = on_facet(guests, machine)
    return [call for guest in guests
            for call in match(guest.name, there[guest.name], here[guest.name], rules)]


def unused(calls, rules):
    """Rules that no call needed."""
    used = {call.rule for call in calls}
    return [rule for rule in rules if rule not in used]


def _print_call(call):
    if call.kind == "same":
        print(f"{call.name} {call.text}: {call.xen}")
        return
    kind = f"deliberate, {call.rule.reason}" if call.rule else "UNEXPLAINED"
    print(f"{call.name} {call.text}: {kind}")
    print(f"    Xen    {call.xen or '-'}")
    print(f"    Facet  {call.facet or '-'}")


def counts(calls):
    """{kind: number of calls}."""
    return {kind: sum(call.kind == kind for call in calls)
            for kind in ("same", "deliberate", "unexplained")}


def on_xen_there(guests, machine):
    """What is the platform's, and what it costs, on real Xen on a Machine: {run: the guest's lines}."""
    packages.require("compare")
    build(["xen-needs"])
    import xen
    runs = [xen.Guest(g.name, build_dir() / "guest" / f"{g.settings['elf']}.elf",
                      int(g.settings["memory"]), g.settings["altp2m"],
                      g.settings.get("cmdline", "")) for g in guests if g.name in OF_THE_MACHINE]
    ticks = _ticks_on_xen()
    found = xen.run([*runs, ticks], machine=machine.cpu)
    return {name: outcome.lines if name == ticks.name else [*outcome.lines, ended(outcome.ending)]
            for name, outcome in found.items()}


def _elsewhere(args, machine):
    """The guests on another machine."""
    reasons, rules, own = rules_for(machine)
    guests = manifest()
    there = recorded(guests, machine)
    if args.xen or args.record:
        machine.need_bochs("Xen")
        found = on_xen_there(guests, machine)
        there = {**there, **found}
        if args.record:
            _record({name_on(name, machine.name): lines for name, lines in found.items()},
                    machine.name)
    progress(f"running {len(there)} guests on Facet")
    calls = compare_all(guests, there, rules, machine)
    _print_calls(calls, reasons, args.all)
    return _conclude(calls, own)


def _conclude(calls, own):
    stale = unused(calls, own)
    for rule in stale:
        print(f"  no difference needs the rule: {rule.reason} {rule.calls} {rule.facet}")
    number = counts(calls)
    print(f"\nconformance: {number['same']} same, {number['deliberate']} deliberate, "
          f"{number['unexplained']} unexplained")
    return 1 if number["unexplained"] or stale else 0


def _print_calls(calls, reasons, everything):
    for call in calls:
        if everything or call.kind != "same":
            _print_call(call)
    print("\ndeliberate differences:")
    for key, text in reasons.items():
        number = sum(call.rule is not None and call.rule.reason == key for call in calls)
        if number:
            print(f"  {key} ({number}): {text}")


def _arguments(arguments):
    parser = options.parser(
        "compare", "Run the same guests on Facet and on real Xen 4.17 and "
        "print what differs, and what operations cost on both. Xen's results are those recorded "
        "in tests/recorded unless asked for otherwise.",
        epilog="exit status: 0 if every difference is deliberate, else 1")
    parser.add_argument("--xen", action="store_true",
                        help="run Xen too, from Debian's packages; takes 10 minutes or more")
    parser.add_argument("--record", action="store_true",
                        help="run Xen too, and record its results in tests/recorded")
    parser.add_argument("--all", action="store_true", help="print every call, the same ones too")
    parser.add_argument("--no-bench", action="store_true", help="leave out what operations cost")
    parser.add_argument("--tool", action="store_true",
                        help="only the altp2m command: which of its commands work where")
    parser.add_argument("--matrix", action="store_true",
                        help="only a table: what each access of a view allows on each machine")
    parser.add_argument("--host", action="store_true",
                        help="only what a Debian domain 0's guest costs: xl create, its disk, its network")
    parser.add_argument("--exits", action="store_true",
                        help="with --host: count VM exits, too, in runs of their own, which are slow")
    parser.add_argument("--markdown", action="store_true", help="with --host: the table as docs/benchmarks.md has it")
    parser.add_argument("--machine", metavar="NAME",
                        help="Facet on this machine: the calls against Xen on Intel, what is the "
                        "platform's against Xen on the same machine; no costs")
    parser.add_argument("--quick", action="store_true",
                        help="leave out the uses, which take minutes")
    return parser.parse_args(arguments)


def _tool(args):
    """The altp2m command on both."""
    build(["run-needs", "guests", "demo", "xen-needs"])
    if args.xen or args.record:
        packages.require("compare")
        there = toolrun.on_xen()
        if args.record:
            _record({f"tool-{place}": lines for place, lines in there.items()})
    else:
        there = toolrun.recorded()
    toolrun.print_table(toolrun.table(there, toolrun.on_facet()))
    return 0


def _host(args, machine):
    """A domain 0's guest on both."""
    record = (lambda found: _record(found, machine.name)) if args.record else None
    table = bench_host.measure(machine, args.xen or args.record, args.exits, record)
    if args.markdown:
        print("\n".join(bench_host.markdown(table)))
    else:
        bench_host.print_rows(table)
    return 0


def main(arguments):
    """Runs `facet compare`. Returns its exit status."""
    args = _arguments(arguments)
    machine = machines.find(args.machine)
    if args.host:
        return _host(args, machine)
    if args.matrix:
        return matrix.main()
    packages.require("run", machine)
    if args.tool:
        return _tool(args)
    build(["run-needs", "guests"])
    if machine.name != machines.DEFAULT:
        return _elsewhere(args, machine)
    reasons, rules, _ = rules_for(machine)
    guests = manifest()
    if args.xen or args.record:
        there = on_xen(guests)
        if args.record:
            _record(there)
    else:
        there = recorded(guests, machine)
        there.update((name, read_lines(name)) for name in [
            "ticks", *(uses.PREFIX + use.key for use in uses.USES)])
    progress(f"running {len(guests)} guests on Facet")
    calls = compare_all(guests, there, rules)
    _print_calls(calls, reasons, args.all)
    if not args.no_bench:
        ticks, _ = bench.measure(bench.MAIN)
        print()
        bench.print_rows(bench.rows(ticks, bench.parse(there["ticks"])[0]))
        if not args.quick:
            here, xen = uses.on_facet(exits=args.xen or args.record), uses.parse_all(there)
            uses.print_rows(uses.rows(here, xen), uses.events(here, xen))
    return _conclude(calls, rules)
