# SPDX-License-Identifier: MIT
"""`facet compare --matrix`: what each access of a view allows, as the matrix guest found it.

A line "MATRIX access kind outcome" of tests/guest/ept-matrix.c is a cell: `-` where nothing was
denied, the right that was missing, or `refused` where the access could not be set at all.
"""

import re
import tempfile

from . import machines, packages
from .base import ROOT, Error, build, progress
from .guests import parse_manifest
from .machine import boot

TICKS = 40_000_000_000
_LINE = re.compile(r"MATRIX (\S+) (\S+) (\S+)")


def parse(lines):
    """{access: {kind: outcome}} of the guest's lines."""
    table = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found:
            access, kind, outcome = found.groups()
            table.setdefault(access, {})[kind] = outcome
    return table


def on(machine):
    """The table of a Machine."""
    name = "npt-matrix" if "npt" in machine.has else "ept-matrix"
    manifest = (ROOT / "tests" / "guest" / "manifest").read_text(encoding="utf-8")
    guest = next(g for g in parse_manifest(manifest) if g.name == name)
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/{name}.cfg"
        with open(path, "w", encoding="utf-8") as file:
            file.write(guest.config())
        result = boot([path], ticks=machine.limit(TICKS), machine=machine.name,
                      memory=int(guest.settings["alone"]))
    table = parse(result.texts("d1"))
    if not table:
        raise Error(f"the matrix guest said nothing on {machine.name}")
    return table


def merged(tables):
    """[(names, table)]: machines that found the same, together."""
    out = []
    for name, table in tables.items():
        same = next((entry for entry in out if entry[1] == table), None)
        if same:
            same[0].append(name)
        else:
            out.append(([name], table))
    return out


def markdown(tables):
    """The lines of the document."""
    lines = []
    for names, table in merged(tables):
        kinds = list(next(iter(table.values())))
        lines += [f"On {' and '.join(f'`{name}`' for name in names)}:", "",
                  f"| access | {' | '.join(kinds)} |", f"|{'---|' * (len(kinds) + 1)}"]
        lines += [f"| `{access}` | {' | '.join(row.get(kind, '?') for kind in kinds)} |"
                  for access, row in table.items()]
        lines.append("")
    return lines


def main():
    """Prints the tables of all machines. Returns an exit status."""
    tables = {}
    for machine in machines.MACHINES:
        packages.require("run", machine)
    build(["run-needs", "guests"])
    for machine in machines.MACHINES:
        progress(f"running the matrix on {machine.name}")
        tables[machine.name] = on(machine)
    print("\n".join(markdown(tables)))
    return 0
