# SPDX-License-Identifier: MIT
"""Runs the test guests of tests/guest: many as domains of one machine. See its README.md."""

import contextlib
import re
import tempfile
from dataclasses import dataclass, replace

from . import bugs
from . import machines
from . import testlines
from .base import ROOT, Error, build_dir
from .config import config
from .emulator import seed
from .machine import boot
from .results import Case, Job

GUEST_DIR = ROOT / "tests" / "guest"
DOMAINS_PER_BOOT = 8
# Some ten times what they take: instructions, so that a slow computer is no reason to fail.
TICKS_PER_BOOT = 2_000_000_000
TICKS_PER_DOMAIN = 500_000_000

# The suite runs some guests on the default machine with so many processors, too.
SEVERAL = (2, 4)

_ENDS = {"poweroff": "powered off", "reboot": "rebooted", "crash": "crashed", "any": ""}
_DEFAULTS = {"memory": "16", "altp2m": "disabled", "count": "10", "vcpus": "1", "end": "poweroff",
             "on_reboot": "destroy", "on_crash": "destroy", "chosen": "0", "several": "0", "pinned": "0"}
_KEYS = {*_DEFAULTS, "elf", "table", "narrow", "ramdisk", "policy", "allow", "alone", "console", "control",
         "group", "monitors", "needs", "processors", "several", "chosen", "cmdline"}
_WHERE = re.compile(r"guest@([^/*]*)(?:\*([0-9]+))?(?:/|$)")


@dataclass(frozen=True)
class Place:
    """Where guests run."""

    machine: machines.Machine
    processors: int = 1

    @property
    def name(self):
        """The machine's, with its processors."""
        return self.machine.name + (f"*{self.processors}" if self.processors > 1 else "")

    @property
    def title(self):
        """What the names of tests there begin with; the machine is left out if it is the default one."""
        name = "" if self.machine.name == machines.DEFAULT else self.machine.name
        many = f"*{self.processors}" if self.processors > 1 else ""
        return f"guest@{name}{many}" if name or many else "guest"


def places(name=None, processors=1, text_filter=""):
    """[(Place, whether only the chosen guests run there)]. name: a machine, "all", or None: those that
    Facet's tests are to run on by default, and the one that the filter names."""
    if name is not None:
        found = machines.MACHINES if name == "all" else [machines.find(name)]
        return [(Place(machine, processors), False) for machine in found]
    wanted = [(Place(machine, processors), machine.guests == "chosen")
              for machine in machines.MACHINES if machine.guests]
    where = _WHERE.match(text_filter)
    with contextlib.suppress(Error):  # there are no tests on a machine that is not there
        if where:
            place = Place(machines.find(where.group(1) or None), int(where.group(2) or 1))
            wanted = [pair for pair in wanted if pair[0] != place] + [(place, False)]
    return wanted


@dataclass(frozen=True)
class Guest:
    """A line of the manifest."""

    name: str
    settings: dict
    place: Place = Place(machines.find())

    @property
    def title(self):
        """The test's name in reports."""
        return f"{self.place.title}/{self.name}"

    @property
    def absent(self):
        """What it needs and its machine lacks, in words; empty if nothing."""
        if self.settings.get("processors") == "1" and self.place.processors > 1:
            return "one processor"
        has = self.place.machine.has
        needs = self.settings["needs"].split(",") if "needs" in self.settings else []
        return ", ".join(need for need in needs if has is not None and need not in has)

    def config(self):
        """Its configuration file."""
        s = self.settings
        out = {"name": self.name, "kernel": build_dir() / "guest" / f"{s['elf']}.elf",
               "memory": int(s["memory"]), "vcpus": int(s["vcpus"]), "altp2m": s["altp2m"],
               "altp2m_count": int(s["count"]),
               "cmdline": s.get("cmdline", "").replace("seed=$", f"seed={1 if seed() is None else seed()}")
               .replace("processors=$", f"processors={self.place.processors}")
               .replace("computes=$", f"computes={self.place.processors}"),
               "on_reboot": s["on_reboot"], "on_crash": s["on_crash"]}
        if s["pinned"] == "1":
            out["vcpus"] = self.place.processors
            out["cpus"] = [str(number) for number in range(self.place.processors)]
        if "table" in s:
            out["shadow_memory"] = int(s["table"])
        if "narrow" in s:
            out["altp2m_narrow"] = int(s["narrow"])
        if "policy" in s:
            out["altp2m_policy"] = s["policy"]
        if "allow" in s:
            out["altp2m_allow"] = s["allow"].split(",")
        if "control" in s:
            out["control"] = int(s["control"])
        if "monitors" in s:
            out["monitors"] = [s["monitors"]]
        if "ramdisk" in s:
            ramdisk = s["ramdisk"]
            out["ramdisk"] = build_dir() / "guest" / ramdisk if ramdisk.endswith(".elf") \
                else GUEST_DIR / ramdisk
        return config(**out)


def parse_manifest(text, file="tests/guest/manifest"):
    """The Guests of a manifest."""
    guests = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        head, has_cmdline, cmdline = (" " + line.strip() + " ").partition(" cmdline=")
        name, *pairs = head.split()
        settings = dict(_DEFAULTS, elf=name)
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or key not in _KEYS:
                raise Error(f"{file}:{number}: not understood: {pair}")
            settings[key] = value
        if has_cmdline:
            settings["cmdline"] = cmdline.strip()
        if settings["end"] not in _ENDS:
            raise Error(f"{file}:{number}: end must be one of {', '.join(_ENDS)}")
        if settings.get("console", "serial") != "serial" or "console" in settings and "alone" not in settings:
            raise Error(f"{file}:{number}: console can be serial, on a machine of its own")
        unknown = set(settings.get("needs", "").split(",")) - machines.KNOWN - {""}
        if unknown:
            raise Error(f"{file}:{number}: no machine has: {', '.join(sorted(unknown))}")
        guests.append(Guest(name, settings))
    return guests


def judge(guest, texts, ending):
    """The Cases of one guest, from the lines it printed and its Ending (None: it had none)."""
    tests, end = testlines.parse(texts)
    cases = [Case(f"{guest.title}/{name.partition('.')[2] or name}", *said) for name, *said in tests]
    wanted = guest.settings["end"]
    problem = None
    if not ending:
        problem = "did not end"
    elif not ending.how.startswith(_ENDS[wanted]):
        problem = f"{ending.how}, but was to end by: {wanted}"
    elif wanted == "any":
        cases = [Case(f"{guest.title}/ended", "pass", "")]
    elif not cases:
        problem = "printed no result"
    elif wanted == "poweroff" and not end:
        problem = "printed no END line"
    elif end and not testlines.agrees(end, [case.outcome for case in cases]):
        problem = "its END line does not count the TEST lines seen"
    if problem:
        last = f"; last line: {texts[-1]}" if texts else ""
        cases.append(Case(guest.title, "fail", problem + last))
    return cases


def _boot(guests, cancel):
    """Boots the guests together. Returns (their Cases, Result)."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for guest in guests:
            paths.append(f"{scratch}/{guest.name}.cfg")
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(guest.config())
        memory, place = guests[0].settings.get("alone"), guests[0].place
        ticks = place.machine.limit(TICKS_PER_BOOT + TICKS_PER_DOMAIN * len(guests))
        result = boot(paths, ticks=ticks, memory=memory and int(memory), cancel=cancel,
                      machine=place.machine.name, processors=place.processors,
                      serial="console" in guests[0].settings)
    known = bugs.load([one.name for one in machines.MACHINES])
    cases = {guest.name: bugs.excuse(guest, judge(guest, result.texts(f"d{i}"), result.endings.get(i)), known)
             for guest, i in _numbered(guests)}
    return cases, result


def _numbered(guests):
    """Each guest with its domain's number: from 1, but for one that makes domains."""
    return [(guest, 0 if "control" in guest.settings else i) for i, guest in enumerate(guests, 1)]


def _units(guests):
    """The guests, in lists of those that belong together: a group in a row, or one alone."""
    units = []
    for guest in guests:
        group = guest.settings.get("group")
        if units and group and units[-1][0].settings.get("group") == group:
            units[-1].append(guest)
        else:
            units.append([guest])
    return units


def _boots(guests):
    """The guests in lists for one boot each, groups whole."""
    boots = [[]]
    for unit in _units(guests):
        if boots[-1] and len(boots[-1]) + len(unit) > DOMAINS_PER_BOOT:
            boots.append([])
        boots[-1] += unit
    return [some for some in boots if some]


def _run(guests, add, cancel):
    """Runs guests together. If some did not end, each of those alone, to find the culprit."""
    cases, result = _boot(guests, cancel)
    stuck = [guest for guest, i in _numbered(guests) if i not in result.endings]
    again = [some for some in _units(guests) if any(guest in stuck for guest in some)]
    if len(_units(guests)) == 1:
        again, stuck = [], []
    for guest in guests:
        if not any(guest in some for some in again):
            _add_all(cases[guest.name], result, add)
    found = False
    for some in again:
        alone, single = _boot(some, cancel)
        for guest in some:
            found = found or any(case.outcome == "fail" for case in alone[guest.name])
            _add_all(alone[guest.name], single, add)
    if stuck and not found:
        names = ", ".join(guest.name for guest in stuck)
        add(Case(f"{stuck[0].place.title}/together:{stuck[0].name}", "fail",
                 f"{result.reason}; these did not end beside others, but do alone: {names}"))


def _add_all(cases, result, add):
    said = [line.text for line in result.lines if line.source == "facet"][-30:]
    for case in cases:
        if case.outcome == "fail" and case.name.count("/") == 1:
            extra = "\n    ".join([result.reason or "", *said])
            case = Case(case.name, case.outcome, f"{case.text}\n    {extra}")
        add(case)


def _batches(guests):
    """Lists of guests to boot together: one that wants a machine of its own is alone in its list, with its group."""
    units = _units(guests)
    alone = [some for some in units if "alone" in some[0].settings]
    return alone + _boots([guest for some in units if some not in alone for guest in some])


def _wanted(known, place, mark, text_filter):
    """The guests that are to run at a place, groups whole; mark: only those with this word in the manifest."""
    here = [replace(guest, place=place) for guest in known]
    wanted = [guest for guest in here
              if text_filter in guest.title or text_filter.startswith(guest.title + "/")]
    if mark:
        wanted = [guest for guest in wanted if guest.settings[mark] == "1"]
    groups = {guest.settings["group"] for guest in wanted if "group" in guest.settings}
    return [guest for guest in here if guest in wanted or guest.settings.get("group") in groups]


def _skip(guests, absent, add):
    for guest in guests:
        add(Case(guest.title, "skip", f"{absent}: {guest.place.name} has none"))


def _place_jobs(guests):
    """Jobs for guests of one place."""
    jobs, units = [], _units(guests)
    lacking = [(some, ", ".join(filter(None, {guest.absent: 0 for guest in some}))) for some in units]
    for some, absent in lacking:
        if absent:
            jobs.append(Job(f"{some[0].title}: skipped",
                            lambda add, cancel, s=some, a=absent: _skip(s, a, add),
                            0.1, [guest.title for guest in some]))
    able = [guest for some, absent in lacking if not absent for guest in some]
    for some in _batches(able):
        jobs.append(Job(some[0].place.title.replace("guest", "guests") + " " + ", ".join(guest.name for guest in some),
                        lambda add, cancel, s=some: _run(s, add, cancel),
                        5.0 + 4.0 * len(some), [guest.title + "/..." for guest in some]))
    return jobs


def guest_jobs(text_filter, where=None):
    """Jobs for the test guests that the filter wants; where: what places() gave."""
    manifest = GUEST_DIR / "manifest"
    if not manifest.exists():
        return []
    known = parse_manifest(manifest.read_text(encoding="utf-8"))
    pairs = [(place, "chosen" if chosen else None)
             for place, chosen in where or places(text_filter=text_filter)]
    if not where:
        more = [Place(machines.find(), number) for number in SEVERAL]
        pairs += [(place, "several") for place in more if place not in [there for there, _ in pairs]]
    return [job for place, mark in pairs
            for job in _place_jobs(_wanted(known, place, mark, text_filter))]
