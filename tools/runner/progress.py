# SPDX-License-Identifier: MIT
"""What the runner says of its own work, on standard error; --quiet hides how it goes on."""

import sys

PARTS = 10  # lines that long work is told in, where no terminal is
FEW = 20    # steps that are not worth a count

_hushed = False


def say(text):
    """A message of the runner itself; the machine's own lines go to stdout."""
    print(f"facet: {text}", file=sys.stderr, flush=True)


def hush():
    """From now on nothing is said of work that goes on."""
    global _hushed  # pylint: disable=global-statement
    _hushed = True


def hushed():
    """Whether nothing is to be said of it."""
    return _hushed


def progress(text):
    """What is being done now, or was done well: for who waits, so that --quiet hides it."""
    if not _hushed:
        say(text)


class Count:
    """Tells how far work of `total` steps is: on a terminal in a line that changes, else at each tenth."""

    def __init__(self, what, total, unit=""):
        self._what, self._total, self._unit = what, total, unit
        self._told, self._line = 0, sys.stderr.isatty()

    def at(self, done):
        """So many steps are done."""
        part = min(done, self._total) * PARTS // self._total if self._total > FEW else 0
        if _hushed or not part or (part == self._told and not self._line):
            return
        self._told = part
        text = f"{self._what}: {min(done, self._total)} of {self._total}{self._unit}"
        if self._line:
            print(f"\rfacet: {text}\033[K", end="", file=sys.stderr, flush=True)
        elif part < PARTS:
            say(text)

    def end(self):
        """Whatever comes next begins a line."""
        if self._line and self._told:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
