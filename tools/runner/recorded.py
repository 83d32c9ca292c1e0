# SPDX-License-Identifier: MIT
"""What real Xen 4.17 printed, in tests/recorded/: one file for each run, NAME.txt.

A line beginning with # is a comment; it says which Xen, machine and day. The others are the
guest's own lines.
"""

from . import machines
from .base import ROOT, write_result

RECORDED_DIR = ROOT / "tests" / "recorded"


def name_on(name, machine):
    """The name of a run whose results are a machine's own: NAME, or NAME-MACHINE."""
    return name if machine == machines.DEFAULT else f"{name}-{machine}"


def path(name):
    """The file of one run."""
    return RECORDED_DIR / f"{name}.txt"


def read_lines(name):
    """The guest's lines of one run on Xen; none if it was never recorded."""
    try:
        text = path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def write_lines(name, comments, lines):
    """Records the guest's lines of one run."""
    RECORDED_DIR.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in [*(f"# {c}" for c in comments), *lines])
    write_result(path(name), text)
