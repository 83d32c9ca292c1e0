# SPDX-License-Identifier: MIT
"""Runs the test guests of tests/guest: many as domains of one machine. See its README.md."""

import re
import tempfile
from dataclasses import dataclass

from .base import ROOT, Error, build_dir
from .config import config
from .machine import boot
from .results import OUTCOMES, Case, Job

GUEST_DIR = ROOT / "tests" / "guest"
DOMAINS_PER_BOOT = 8
# Some ten times what they take: instructions, so that a slow computer is no reason to fail.
TICKS_PER_BOOT = 2_000_000_000
TICKS_PER_DOMAIN = 500_000_000

_TEST = re.compile(r"TEST ([^\s:]+): (pass|skip|error|fail)(?: (.*))?")
_END = re.compile(r"END (\S+): (\d+) passed, (\d+) skipped, (\d+) errors?, (\d+) failed")
_ENDS = {"poweroff": "powered off", "reboot": "rebooted", "crash": "crashed", "any": ""}
_DEFAULTS = {"memory": "16", "altp2m": "disabled", "count": "10", "vcpus": "1", "end": "poweroff",
             "on_reboot": "destroy"}
_KEYS = {*_DEFAULTS, "elf", "table", "ramdisk", "policy", "allow", "machine", "console", "group", "monitors",
         "cmdline"}


@dataclass(frozen=True)
class Guest:
    """A line of the manifest."""

    name: str
    settings: dict

    @property
    def title(self):
        """The test's name in reports."""
        return f"guest/{self.name}"

    def config(self):
        """Its configuration file."""
        s = self.settings
        out = {"name": self.name, "kernel": build_dir() / "guest" / f"{s['elf']}.elf",
               "memory": int(s["memory"]), "vcpus": int(s["vcpus"]), "altp2m": s["altp2m"],
               "altp2m_count": int(s["count"]), "cmdline": s.get("cmdline", ""),
               "on_reboot": s["on_reboot"]}
        if "table" in s:
            out["shadow_memory"] = int(s["table"])
        if "policy" in s:
            out["altp2m_policy"] = s["policy"]
        if "allow" in s:
            out["altp2m_allow"] = s["allow"].split(",")
        if "monitors" in s:
            out["monitors"] = [s["monitors"]]
        if "ramdisk" in s:
            out["ramdisk"] = GUEST_DIR / s["ramdisk"]
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
        if settings.get("console", "serial") != "serial" or "console" in settings and "machine" not in settings:
            raise Error(f"{file}:{number}: console can be serial, on a machine of its own")
        guests.append(Guest(name, settings))
    return guests


def judge(guest, texts, ending):
    """The Cases of one guest, from the lines it printed and its Ending (None: it had none)."""
    cases, end = [], None
    for text in texts:
        test, last = _TEST.fullmatch(text), _END.fullmatch(text)
        if test:
            name = test.group(1).partition(".")[2] or test.group(1)
            cases.append(Case(f"{guest.title}/{name}", test.group(2), test.group(3) or ""))
        elif last:
            end = tuple(int(number) for number in last.groups()[1:])
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
    elif end and end != tuple(sum(c.outcome == o for c in cases) for o in OUTCOMES):
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
        machine = guests[0].settings.get("machine")
        result = boot(paths, ticks=TICKS_PER_BOOT + TICKS_PER_DOMAIN * len(guests),
                      memory=machine and int(machine), cancel=cancel, serial="console" in guests[0].settings)
    cases = {guest.name: judge(guest, result.texts(f"d{i}"), result.endings.get(i))
             for i, guest in enumerate(guests, 1)}
    return cases, result


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
    stuck = [guest for i, guest in enumerate(guests, 1) if i not in result.endings]
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
        add(Case(f"guest/together:{stuck[0].name}", "fail",
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
    alone = [some for some in units if "machine" in some[0].settings]
    return alone + _boots([guest for some in units if some not in alone for guest in some])


def guest_jobs(text_filter):
    """Jobs for the test guests that the filter wants."""
    manifest = GUEST_DIR / "manifest"
    if not manifest.exists():
        return []
    known = parse_manifest(manifest.read_text(encoding="utf-8"))
    wanted = [guest for guest in known
              if text_filter in guest.title or text_filter.startswith(guest.title + "/")]
    groups = {guest.settings["group"] for guest in wanted if "group" in guest.settings}
    guests = [guest for guest in known
              if guest in wanted or guest.settings.get("group") in groups]
    jobs = []
    for some in _batches(guests):
        jobs.append(Job("guests " + ", ".join(guest.name for guest in some),
                        lambda add, cancel, s=some: _run(s, add, cancel),
                        5.0 + 4.0 * len(some), [guest.title + "/..." for guest in some]))
    return jobs
