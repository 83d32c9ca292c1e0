# SPDX-License-Identifier: MIT
"""Counts VM exits from outside, whatever the hypervisor: Bochs' own log of the processor tells each.

The log of a whole run would be gigabytes, so that it goes through grep. It makes the emulator two to
three times slower and changes nothing that a guest can see.
"""

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

BOCHSRC = "debug: action=ignore, CPU0=report\n"
# All that is not of level d (debug); of that level exits, entries, and reads of the port that marks
# where a stretch begins and ends (tests/guest/bench/marks.h).
WANTED = r"^[0-9]+[^0-9d]\[|VMEXIT reason = |VMENTER to |VMEXIT: I/O port 0x00ea"
EPT_VIOLATION = 48  # basic exit reasons: SDM volume 3, appendix C
HLT = 12

_LINE = re.compile(r"0*(\d+)d\[CPU0 *\] VM(?:EXIT reason = (\d+)|(ENTER)|EXIT: I/O port (0x00ea))")


@dataclass
class Window:
    """A stretch between two marks."""

    exits: Counter = field(default_factory=Counter)  # {reason: how many}
    ticks: Counter = field(default_factory=Counter)  # {reason: from the exit to the next entry}


class ExitLog:
    """Takes Bochs' log and writes the interesting part of it to `path`."""

    def __init__(self, path):
        source, self._target = os.pipe()
        with open(path, "wb") as file:
            # pylint: disable-next=consider-using-with
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "grep", "-a", "-E", WANTED],
                stdin=source, stdout=file)
        os.close(source)
        self.fd = self._target
        self.name = f"/dev/fd/{self._target}"

    def handed_over(self):
        """The emulator has its copy: without this one, its end is the log's."""
        os.close(self._target)

    def finish(self):
        """Waits until all that the emulator wrote is in the file."""
        self._process.wait()


def windows(path):
    """The Windows between the 1st and 2nd mark, the 3rd and 4th, and so on."""
    found, current, exited, marked = [], None, None, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for match in filter(None, map(_LINE.match, file)):
            tick, reason, entered, mark = match.groups()
            if mark:
                marked = True
            elif reason:
                exited = (int(tick), int(reason))
            elif entered and exited:
                if current is not None and not marked:
                    current.exits[exited[1]] += 1
                    current.ticks[exited[1]] += int(tick) - exited[0]
                if marked:
                    found += [current] if current else []
                    current = None if current else Window()
                exited, marked = None, False
    return found


def named(lines, found):
    """{name: Window}: the guest's lines "EXITS name" name the Windows in their order."""
    names = [line[len("EXITS "):] for line in lines if line.startswith("EXITS ")]
    return dict(zip(names, found))
