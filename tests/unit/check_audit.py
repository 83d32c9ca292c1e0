# SPDX-License-Identifier: MIT
"""Holds docs/audit.md against the table and the tests: usage check_audit.py REFERENCE, one TAP line a check.

REFERENCE prints docs/reference.md. Each sub-operation has a section; it names the test of its row
and, after "Attacks:", cases of the attackers' guests, which the manifest runs under every policy.
"""

import re
import subprocess
import sys
from pathlib import Path

GUESTS = Path("tests/guest")
ATTACKERS = ("attack", "attack-watched")
STAGING = {"begin", "finish"}
POLICIES = {"open", "grandfathered", "audited"}


def rows(reference):
    """Sub-operation -> test of its row."""
    found, name = {}, None
    for line in reference.splitlines():
        if line.startswith("## "):
            name = line[3:].strip()
        elif line.startswith("- Audit: "):
            found[name] = re.search(r"Test: `(\w+)`", line).group(1)
    return found


def sections(audit):
    """Sub-operation -> text of its section; headings in a row share one."""
    found, names = {}, []
    for line in audit.splitlines():
        heading = re.fullmatch(r"### (?:\d+|0x[0-9a-f]{4}) (\w+)", line)
        if heading:
            names = [*names, heading.group(1)] if names and not any(found[n] for n in names) \
                else [heading.group(1)]
            found[heading.group(1)] = ""
        elif line.startswith("## "):
            names = []
        else:
            for name in names:
                found[name] += line + "\n"
    return found


def attacks(section):
    """The cases named after "Attacks:"."""
    match = re.search(r"^Attacks: ([^.]*)\.$", section, re.MULTILINE)
    return re.findall(r"`(\w+)`", match.group(1)) if match else []


def cases():
    """The cases that the attackers' guests run."""
    return {name for elf in ATTACKERS
            for name in re.findall(r"\bCASE\((\w+)\)", (GUESTS / f"{elf}.c").read_text())}


def policies(elf):
    """The policies that the manifest runs the guest under, by what it configures and tells it."""
    found = set()
    for line in (GUESTS / "manifest").read_text().splitlines():
        keys = dict(word.split("=", 1) for word in line.split(" cmdline=")[0].split()
                    if "=" in word)
        told = re.search(r"cmdline=policy=(\w+)$", line)
        if not line.startswith("#") and line and keys.get("elf", line.split()[0]) == elf and told \
                and told.group(1) == keys.get("policy"):
            found.add(keys["policy"])
    return found


def problems(table, audit):
    """(check, list of what is wrong) for each check."""
    found, run = sections(audit), cases()
    named = set(re.findall(r"`(\w+)`", audit))
    yield "docs/audit.md has a section for each sub-operation", \
        [name for name in table if name not in found]
    yield "each section names the test of its row", \
        [f"{name} ({test})" for name, test in table.items() if f"`{test}`" not in
         found.get(name, "")]
    yield "each section names attacks", [name for name in table if not attacks(found.get(name, ""))]
    yield "each attack that is named runs", \
        sorted({case for text in found.values() for case in attacks(text)} - run)
    yield "each attack that runs is named", sorted(run - named - STAGING)
    yield "attacks run under every policy", \
        [f"{elf} under {policy}" for elf in ATTACKERS for policy in POLICIES - policies(elf)]


def main():
    """Prints the checks; the exit status is 1 if one fails."""
    reference = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE, text=True).stdout
    status = 0
    for check, wrong in problems(rows(reference), Path("docs/audit.md").read_text()):
        print(f"not ok - {check}\n# {', '.join(wrong)}" if wrong else f"ok - {check}")
        status = 1 if wrong else status
    return status


if __name__ == "__main__":
    sys.exit(main())
