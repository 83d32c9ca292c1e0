# SPDX-License-Identifier: MIT
"""`facet trace`: which instructions of the hypervisor run from the moment a function is reached.

Bochs' debugger stops at the function and prints each instruction after that. Its processor executes
one instruction a tick, so the counts are exact, and the same each time.
"""

import bisect
import collections
import re
import subprocess

from . import machine
from .base import Error, build, build_dir, say
from .packages import require

# (0).[TICK] [PHYSICAL] SELECTOR:ADDRESS (context): text
_STEP = re.compile(r"\(\d+\)\.\[\d+\] \[0x[0-9a-f]+\] ([0-9a-f]{4}):([0-9a-f]{8,16}) "
                   r"\([^)]*\): (.*?)(?: +; [0-9a-f]+)?")
# " | STACK ADDRESS [0xHIGH:0xLOW] ..."
_STACK = re.compile(r" \| STACK 0x[0-9a-f]+ \[0x([0-9a-f]{8}):0x([0-9a-f]{8})\].*")
STACK_WORDS = 512
OUTERMOST = ("start64", "boot_on_stack")
HYPERVISOR_CS = 0x08
GUEST = "(guest)"


class Symbols:
    """Functions of the hypervisor's image."""

    def __init__(self, path):
        listed = subprocess.run(["nm", "-n", str(path)], stdout=subprocess.PIPE, text=True,
                                check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        self._rows = [(int(at, 16), name) for at, kind, name in rows if kind in "tT"]
        self._starts = [at for at, _ in self._rows]
        self._end = min(int(at, 16) for at, kind, _ in rows
                        if kind in "rRdDbB" and int(at, 16) > self._starts[0])

    def address(self, name):
        """Where a function begins."""
        for at, known in self._rows:
            if known == name:
                return at
        near = [known for _, known in self._rows if name in known][:8]
        raise Error(f"the hypervisor has no function '{name}'"
                    f"{'; there is ' + ', '.join(near) if near else ''}"
                    " (small ones are part of their callers)")

    def name(self, at):
        """The function that an address is in, or None."""
        if not self._rows or not self._starts[0] <= at < self._end:
            return None
        return self._rows[bisect.bisect_right(self._starts, at) - 1][1]


class Trace:
    """Collects what the debugger prints."""

    def __init__(self, symbols, to_guest):
        self._symbols = symbols
        self._to_guest = to_guest
        self.start = None  # the function's address
        self.left = False  # for a guest, as was asked for
        self.visits = []  # [function, instructions], in order
        self.texts = []   # (function, address, instruction)
        self.callers = [] # (function, address) of what looks like a return address, innermost first

    def line(self, raw):
        """One line of the emulator."""
        stack = _STACK.fullmatch(raw)
        if stack:
            self._word(int(stack.group(1) + stack.group(2), 16))
        match = _STEP.fullmatch(raw)
        if not match:
            return
        at = int(match.group(2), 16)
        name = self._symbols.name(at) if int(match.group(1), 16) == HYPERVISOR_CS else None
        name = name or GUEST
        if self._to_guest and name == GUEST:
            self.left = True
            raise machine.Stop
        if not self.visits or self.visits[-1][0] != name:
            self.visits.append([name, 0])
        self.visits[-1][1] += 1
        self.texts.append((name, at, match.group(3)))

    def _word(self, value):
        name = self._symbols.name(value)
        if name and (not self.callers or self.callers[-1][0] not in OUTERMOST):
            self.callers.append((name, value))

    def total(self):
        """Instructions by function, most first."""
        counts = collections.Counter()
        for name, count in self.visits:
            counts[name] += count
        return counts.most_common()


def _source(at):
    """FILE:LINE of an address, as far as the debug information tells."""
    told = subprocess.run(["addr2line", "-e", str(build_dir() / "facet.elf"), f"0x{at:x}"],
                          stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    return told if not told.startswith("?") else ""


def _print(trace, args):
    if args.stack:
        for name, at in trace.callers:
            print(f"{at:16x} {name:28} {_source(at - 1)}".rstrip())
        return
    if args.list:
        for name, at, text in trace.texts:
            print(f"{at:16x} {name:28} {text}")
    elif args.order:
        for name, count in trace.visits:
            print(f"{count:7,} {name}")
    else:
        for name, count in trace.total():
            print(f"{count:7,} {name}")
    print(f"{sum(count for _, count in trace.visits):7,} instructions")


def main(args):
    """Runs the command; `args` as cli.py parsed them."""
    require("run", machine.check(args.machine, args.ticks, debugger=True))
    build(["run-needs"])
    symbols = Symbols(build_dir() / "facet.elf")
    at = symbols.address(args.function)
    trace = Trace(symbols, args.to_guest)
    trace.start = at
    count = 1 if args.stack else args.instructions
    commands = [f"lb 0x{at:x}", *["c"] * (args.skip + 1),
                *([f"print-stack {STACK_WORDS}"] if args.stack else []),
                "trace on", f"s {count}", "q"]
    result = machine.boot(args.configs, timeout=args.timeout, ticks=args.ticks, on_line=None,
                          machine=args.machine, processors=args.processors,
                          debugger="\n".join(commands) + "\n", on_debugger=trace.line)
    if not trace.visits or trace.visits[0][0] != args.function:
        say(f"{args.function} was not reached {args.skip + 1} times: "
            f"{result.reason or 'the run ended'}")
        return 1
    _print(trace, args)
    return _end(trace, args, result, count)


def _end(trace, args, result, wanted):
    """Says why the trace is shorter than was asked for. Returns the exit status."""
    done = sum(number for _, number in trace.visits)
    if args.stack or done >= wanted or trace.left:
        return 0
    if result.status == 124:
        say(f"the trace ends after {done:,} instructions: {result.reason}")
        return 124
    if trace.texts[-1][0] == args.function and trace.texts[-1][1] == trace.start and done > 1:
        say(f"the trace ends after {done:,} instructions: {args.function} was reached again")
        return 0
    if result.powered_off:
        say(f"the trace ends after {done:,} instructions: the machine was switched off")
    return 0
