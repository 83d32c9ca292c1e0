# SPDX-License-Identifier: MIT
"""Holds docs/audit.md against the table and the tests: usage check_audit.py REFERENCE, one TAP line a check.

REFERENCE prints docs/reference.md. Each sub-operation has a section; it names the test of its row
and, after "Attacks:", cases of the attackers' guests, which the manifest runs under every policy.
What the source serves otherwise (hypercalls, MSRs, exits, instructions that are carried out) has a row in one of
the tables of "Everything else a guest can ask for", whose last column names cases of any guest that is run.
Plants a few things to see that each check can fail.
"""

import re
import subprocess
import sys
from pathlib import Path

GUESTS = Path("tests/guest")
ATTACKERS = ("attack", "attack-watched")
BY_SYSTEM_TESTS = ("hardware",)  # these run them
STAGING = {"begin", "finish", "has_its_events_written"}  # no attacks
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


# Where names stand that need a row: file, pattern of a name.
SERVED = (
    ("hv/guest/hypercall.c", r"\[__HYPERVISOR_(\w+)\] ="),
    ("hv/guest/*.c", r"\bcase ((?:XENMEM|VCPUOP|SCHEDOP|HVMOP|XENVER|GNTTABOP|CONSOLEIO|VMASST_CMD|XENMAPSPACE|"
                     r"XEN_VM_EVENT|FACET_ALTP2M)_\w+):"),
    ("hv/guest/*.c", r"\bcase (XEN_DOMCTL_[a-z]\w+):"),
    ("hv/guest/evtchn_op.c", r"\[(EVTCHNOP_\w+)\]"),
    ("hv/host/calls.c", r"\bcase ((?:PHYSDEVOP|XENPF)_\w+):"),
    ("hv/guest/msr.c", r"\bcase (MSR_\w+):"),
    ("hv/guest/msr.c", r"msr >= (MSR_\w+)"),
    ("hv/exit/msr.c", r"\{(MSR_\w+),"),
    ("hv/exit/msr.c", r"msr == (MSR_\w+)"),
    ("hv/vmx/exit.c", r"\[EXIT_REASON_(\w+)\] ="),
    ("hv/exit/decode.h", r"^    (DECODE_(?!NO_|KEEP_|BIT_)[A-Z_]+),"),
)


def served(read):
    """Every name of SERVED in the source; `read` gives (text, ...) of a pattern of files."""
    return {name for files, pattern in SERVED for text in read(files)
            for name in re.findall(pattern, text, re.MULTILINE)}


def read_source(files):
    """The texts of the files that match."""
    return [path.read_text() for path in sorted(Path().glob(files))]


def rows_of_rest(audit):
    """Name -> its row's attacks, from the section of everything else."""
    found = {}
    section = audit.partition("## Everything else a guest can ask for")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            for name in re.findall(r"`(\w+)`", cells[0]):
                found[name] = re.findall(r"`([\w-]+\.[\w-]+)`", cells[2])
    return found


def guest_cases():
    """ "guest.case" of every guest in the manifest, and "end.HOW"."""
    names = {f"{elf}.{case}" for elf in BY_SYSTEM_TESTS
             for case in re.findall(r"\bCASE\((\w+)\)", (GUESTS / f"{elf}.c").read_text())}
    for line in (GUESTS / "manifest").read_text().splitlines():
        head, _, cmdline = line.partition(" cmdline=")
        if not line.strip() or line.startswith("#"):
            continue
        keys = dict(word.split("=", 1) for word in head.split()[1:] if "=" in word)
        elf = keys.get("elf", head.split()[0])
        names |= {f"{elf}.{case}"
                  for case in re.findall(r"\bCASE\((\w+)\)", (GUESTS / f"{elf}.c").read_text())}
        if elf == "end":
            names.add("end." + cmdline.partition("how=")[2].strip())
    return names


def touches(audit):
    """First cell -> tests of each row of "What Facet touches in a guest's name"."""
    section = audit.partition("## What Facet touches in a guest's name")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")]
             for line in section.splitlines() if line.startswith("| ") and not line.startswith("| access")]
    return {row[0]: re.findall(r"`([\w.-]+)`", row[-1]) if len(row) == 5 else [] for row in cells}


def touch_problems(found, run):
    """(check, list of what is wrong) of that section; a test is GUEST.CASE or a host test's function."""
    host = {name for path in Path("tests/unit").glob("test_*.c")
            for name in re.findall(r"^static void (\w+)\(void \*\*", path.read_text(), re.MULTILINE)}
    yield "each access in a guest's name has a test", [row for row, tests in found.items() if not tests]
    yield "each of these tests runs", \
        sorted({test for tests in found.values() for test in tests} - run - host)


def rest_problems(names, found, run):
    """(check, list of what is wrong) of everything else."""
    yield "each hypercall, MSR and instruction that exits has a row in docs/audit.md", sorted(names - set(found))
    yield "each such row is of something that there is", sorted(set(found) - names)
    yield "each such row names attacks", sorted(name for name, tests in found.items() if not tests)
    yield "each of these attacks runs", \
        sorted({test for tests in found.values() for test in tests} - run)


def planted(names, found, run):
    """(what is planted, whether it is seen)"""
    def seen(*changed):
        return any(wrong for _, wrong in rest_problems(*changed))

    yield "planted: a sub-operation without a row", seen(
        served(lambda files: [*read_source(files), "    case XENMEM_new_thing:\n"]), found, run)
    yield "planted: an MSR without a row", seen(
        served(lambda files: [*read_source(files), "    case MSR_NEW:\n"]), found, run)
    yield "planted: an exit without a row", seen(
        served(lambda files: [*read_source(files), "    [EXIT_REASON_NEW] = {1, 0, NULL},\n"]), found, run)
    yield "planted: a row without an attack", seen(names, {**found, "CPUID": []}, run)
    yield "planted: an attack that is not there", seen(names, {**found, "CPUID": ["cpuid.gone"]}, run)


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
    audit, status = Path("docs/audit.md").read_text(), 0
    rest = (served(read_source), rows_of_rest(audit), guest_cases())
    checks = [*problems(rows(reference), audit), *touch_problems(touches(audit), rest[2]), *rest_problems(*rest)]
    checks += [(what, [] if right else ["not seen"]) for what, right in planted(*rest)]
    for check, wrong in checks:
        print(f"not ok - {check}\n# {', '.join(wrong)}" if wrong else f"ok - {check}")
        status = 1 if wrong else status
    return status


if __name__ == "__main__":
    sys.exit(main())
