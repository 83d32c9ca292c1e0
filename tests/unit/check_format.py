# SPDX-License-Identifier: MIT
"""Holds the tree's C to .clang-format: one TAP line. With --write, puts it right.

Releases of clang-format differ in details, so only the one that the tree was formatted with judges.
Feeds it a file with a slip first, to see that it judges at all.
"""

import re
import subprocess
import sys
from pathlib import Path

RELEASE = 14
GENERATED = {"include/facet/altp2m_stubs.h"}
ROOT = Path(__file__).resolve().parents[2]


def release():
    """The release of the clang-format that is installed, or None."""
    for program in (f"clang-format-{RELEASE}", "clang-format"):
        try:
            told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        found = re.search(r"version (\d+)", told.stdout)
        if found:
            return program, int(found.group(1))
    return None, None


def sources():
    """All C files of the tree that are written by hand."""
    found = []
    for top in ("agent", "core", "demo", "examples", "hv", "include", "tests", "tools"):
        found += [str(p.relative_to(ROOT)) for pattern in ("*.c", "*.h")
                  for p in (ROOT / top).rglob(pattern)]
    return sorted(set(found) - GENERATED)


def slips(program, files):
    """Lines of clang-format's that name what it would change."""
    told = subprocess.run([program, "--dry-run", *files], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return [line for line in told.stderr.splitlines() if "[-Wclang-format-violations]" in line]


def main():
    """Says whether the tree is formatted."""
    program, found = release()
    if found != RELEASE:
        print(f"ok - the tree's format # SKIP no clang-format {RELEASE}"
              + (f", only {found}" if found else ""))
        return 0
    if sys.argv[1:] == ["--write"]:
        return subprocess.run([program, "-i", *sources()], cwd=ROOT, check=False).returncode
    wrong = subprocess.run([program, "--assume-filename=core/slip.c"], cwd=ROOT, check=True,
                           input="int f( void ){return 0;}\n", capture_output=True, text=True)
    if wrong.stdout.startswith("int f( void )"):
        print("not ok - clang-format finds a planted slip")
        return 1
    bad = slips(program, sources())
    for line in bad[:20]:
        print("#", line)
    print("not ok - the tree's format: run make format" if bad else
          f"ok - {len(sources())} files are formatted as .clang-format says")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
