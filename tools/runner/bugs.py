# SPDX-License-Identifier: MIT
"""What emulators get wrong, from tests/guest/emulators: a test that fails for that is a skip."""

from dataclasses import replace

from .base import ROOT, Error
from .results import BAD, Case

FILE = ROOT / "tests" / "guest" / "emulators"


def parse(text, machines, file="tests/guest/emulators"):
    """{(machine, "GUEST/CASE"): reason}; machines: the names that there are."""
    known = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 2)
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 3 or words[1].count("/") != 1:
            raise Error(f"{file}:{number}: wanted: MACHINE GUEST/CASE REASON")
        if words[0] not in machines:
            raise Error(f"{file}:{number}: unknown machine '{words[0]}'")
        if (words[0], words[1]) in known:
            raise Error(f"{file}:{number}: {words[1]} is there twice")
        known[words[0], words[1]] = words[2].strip()
    return known


def load(machines):
    """What the file has."""
    return parse(FILE.read_text(encoding="utf-8"), machines) if FILE.exists() else {}


def excuse(guest, cases, known):
    """The Cases of a guest: of those that are known a failure is a skip, and a pass says that its line
    can go. A line for no case is an error, unless the guest did not get as far."""
    machine, ended = guest.place.machine.name, all(case.name != guest.title for case in cases)
    here = {name: reason for (where, name), reason in known.items()
            if where == machine and name.startswith(guest.name + "/")}
    out = []
    for case in cases:
        reason = here.pop(case.name.partition("/")[2], None)
        if reason and case.outcome in BAD:
            case = replace(case, outcome="skip", text=f"{reason} ({case.text})")
        elif reason and case.outcome == "pass":
            case = replace(case, text=f"passes, its line in tests/guest/emulators can go: {reason}")
        out.append(case)
    if ended:
        out += [Case(f"{guest.place.title}/{name}", "error", "tests/guest/emulators has it, the guest has not")
                for name in here]
    return out
