# SPDX-License-Identifier: MIT
"""What it costs that an agent inside a guest watches the guest's page tables. See bench.py.

The guest tests/guest/agent-ticks writes single entries. A Debian guest (tests/guest/bench/churn.c) starts
processes and maps memory: alone, with an agent that does not watch page tables, with one that does, and with
a monitor in another domain (tests/guest/monitor-tables.c) that is told of what that agent sees.
"""

import pathlib
import re
import tempfile

from . import initramfs, machines
from .base import Error, build, build_dir, progress
from .config import config
from .debian import debian_kernel
from .exits import named
from .machine import boot
from .uses import exit_lines, parse

LIMIT_TICKS = 20_000_000_000
GUEST = "agent-ticks"
LINUX = "agent in Linux"
MONITOR = "monitor of Linux"
WHAT = (GUEST, LINUX, MONITOR)  # what may not be measurable
CODE = "5ec7e7"
MODULE = "facet_agent.ko"
# With the kernel's default mitigations: page-table isolation has two top tables for each process.
CMDLINE = "console=hvc0 quiet loglevel=1 cryptomgr.notests=1"

# name in the guest without the watching or None, with it, what it is
OPERATIONS = (
    ("entry_plain", "entry_beside", "an entry of a table that is not watched"),
    ("entry_plain", "entry_watched", "an entry of a watched table, by MOV"),
    ("exchange_plain", "exchange_watched", "the same, by XCHG"),
    ("top_entry_plain", "top_entry_watched", "an entry of a top table that is loaded"),
    ("load_plain", "load_again", "CR3: one of the last four"),
    ("load_plain", "load_one_of_many", "CR3: one that was looked at, not of the last four"),
    ("load_plain", "load_first", "CR3: one that has to be looked at"),
    ("entry_plain", "top_gone", "what was a top table: its first write, as memory"),
)
# The kinds of work, and what each is.
WORK = (
    ("fork", "fork, exit and wait"),
    ("exec", "fork, exec, exit and wait"),
    ("map", "64 pages mapped, touched, unmapped"),
    ("far", "the same, alone in its 512 GiB"),
    ("two", "a switch, of two processes"),
    ("six", "a switch, of six processes"),
)
ALL = "all"  # the sum of them
RUNS = ("plain", "shield", "watched", "monitored")
# A guest that forks and maps may cost a fifth more than without an agent.
MORE = 1.2
JUDGED = ("fork", "exec", "map", "far", ALL)
# Of exits that there were none before, a monitor in another domain has at least so many times more.
FEWER = 10
# Ticks that a test holds single operations to.
MOST = {"entry_watched": 2500, "exchange_watched": 2500, "top_entry_watched": 2500, "load_one_of_many": 1100,
        "load_first": 6900, "top_gone": 4500}

SCRIPT = f"""
agent=/sys/kernel/facet_agent
protected() {{
    insmod /lib/{MODULE} protect=0 watch=$2 && echo {CODE} >$agent/code && echo 1 >$agent/protect || echo "no agent" | bench-linux say
    bench-churn $1
    echo "0 {CODE}" >$agent/protect && rmmod facet_agent || echo "no end" | bench-linux say
}}
bench-churn plain
protected shield 0
protected watched 1
"""
MONITORED = "bench-linux ask; bench-churn monitored; bench-linux ask"


def wall_lines(lines):
    """Lines for how long each piece of work took by the clock of the computer that emulates, in microseconds."""
    began, found = {}, []
    for line in lines:
        word, _, name = line.text.partition(" ")
        if word == "BEGINS":
            began[name] = line.seconds
        elif word == "EXITS" and name in began:
            found.append(f"BENCH {name}.wall {round((line.seconds - began[name]) * 1e6)}")
    return found


def _boot(paths, machine, exits=False, source="d1"):
    result = boot(paths, ticks=machine.limit(LIMIT_TICKS), exits=exits, machine=machine.name)
    lines = result.texts(source)
    said = [line.text for line in result.lines]
    bad = [text for text in said if re.match(r"TEST \S+: (fail|error)|BROKEN |no (agent|end)", text)]
    if result.status or bad:
        said = bad or said[-3:] or [result.log_tail]
        raise Error("\n".join([result.reason or "the guest failed", *said]))
    return [*lines, *wall_lines(result.lines), *exit_lines(named(lines, result.exits))]


def single(machine, directory, exits=False):
    """{operation: ticks} of the guest that writes single entries."""
    del exits
    path = directory / "ticks.cfg"
    path.write_text(config(name="ticks", kernel=build_dir() / "guest" / f"{GUEST}.elf", memory=16, altp2m="mixed",
                           altp2m_policy="audited"), encoding="utf-8")
    found = (re.fullmatch(r"TICKS (\S+) (\d+)", line) for line in _boot([path], machine))
    return {match.group(1): int(match.group(2)) for match in found if match}


def _linux(directory, name, script, kernel, more=None, **keys):
    """The configuration of a Debian guest that runs the script."""
    guests = build_dir() / "guest"
    files = {"bin/bench-churn": guests / "bench-churn", "bin/bench-linux": guests / "bench-linux", **(more or {})}
    ramdisk = initramfs.script(directory / f"{name}.gz", kernel, build_dir(), script, files)
    path = directory / f"{name}.cfg"
    path.write_text(config(name=name, kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256, cmdline=CMDLINE, **keys),
                    encoding="utf-8")
    return path


def _inside(machine, directory, exits):
    kernel = debian_kernel(headers=True)
    build(["agent-linux", f"KERNEL_HEADERS={kernel.headers}"])
    module = {f"lib/{MODULE}": build_dir() / "agent" / "linux" / "src" / MODULE}
    path = _linux(directory, "churn", SCRIPT, kernel, module, altp2m="mixed", altp2m_policy="audited")
    return parse(_boot([path], machine, exits))


def _outside(machine, directory, exits):
    monitor = directory / "monitor.cfg"
    monitor.write_text(config(name="monitor", kernel=build_dir() / "guest" / "monitor-tables.elf", memory=16, monitor=1),
                       encoding="utf-8")
    path = _linux(directory, "monitored", MONITORED, debian_kernel(), altp2m="external")
    return parse(_boot([monitor, path], machine, exits, "d2"))


def operations(ticks):
    """One dictionary for each single operation that was measured."""
    return [{"name": watched, "text": text, "plain": ticks[plain], "watched": ticks[watched]}
            for plain, watched, text in OPERATIONS if plain in ticks and watched in ticks]


def _total(found, run, what):
    parts = [found.get(f"{run}.{name}.{what}") for name, _ in WORK]
    return None if None in parts else sum(parts)


def _judge(row):
    """What was promised: instructions, and exits that were none before."""
    here, there = row["watched_exits"], row["monitored_exits"]
    few = row["name"] != ALL or None in (here, there) or FEWER * (here - row["plain_exits"]) <= there - row["plain_exits"]
    return row["watched"] <= MORE * row["plain"] and few


def _row(found, name, text, times):
    """For one of it, ticks and, where they were counted, exits."""
    def each(run, what, digits):
        value = _total(found, run, what) if name == ALL else found.get(f"{run}.{name}.{what}")
        return None if value is None else round(value / times, digits)

    row = {"name": name, "text": text, "times": times, "asked": each("watched", "tables", 1)}
    for run in RUNS:
        row |= {run: each(run, "ticks", None), f"{run}_exits": each(run, "exits", None if name == ALL else 1),
                f"{run}_us": each(run, "wall", None)}
    known = row["plain"] is not None and row["watched"] is not None
    row["more"] = round(row["watched"] / row["plain"] - 1, 3) if known else None
    row["reached"] = _judge(row) if known and name in JUDGED else None
    return row


def work(found):
    """One dictionary for each kind of work, and one for all of it."""
    counted = [(name, text, found[f"plain.{name}.times"]) for name, text in WORK if f"plain.{name}.times" in found]
    whole = [(ALL, "all of that: " + ", ".join(str(times) for _, _, times in counted), 1)] if len(counted) == len(WORK) else []
    return [_row(found, *what) for what in (*counted, *whole)]


def measure(machine=None, exits=False):
    """({"operations": rows, "work": rows}, {what could not be measured: why})."""
    machine, found, absent = machine or machines.find(), {}, {}
    progress("measuring: an agent that watches page tables")
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in zip(WHAT, (single, _inside, _outside)):
            try:
                found[name] = run(machine, pathlib.Path(scratch), exits)
            except Error as error:
                absent[name] = str(error)
    return {"operations": operations(found.get(GUEST, {})), "work": work({**found.get(LINUX, {}), **found.get(MONITOR, {})})}, absent


def _number(value):
    return "-" if value is None else f"{value:,}"


def _wall(microseconds):
    return "-" if microseconds is None else f"{microseconds / 1000:,.2f}"


def _more(row):
    return "-" if row["more"] is None else f"{row['more']:+.1%}"


HEADS = (("page tables are written", "not watched", "watched"),
         ("a Debian guest's work, each", "no agent", "agent", "watching", "more", "by a monitor", "exits", "agent", "watching",
          "by a monitor"),
         ("the same, wall time in ms", "no agent", "agent", "watching", "by a monitor"))


def _cells(report):
    """The cells of all tables."""
    return ([[row["text"], _number(row["plain"]), _number(row["watched"])] for row in report["operations"]],
            [[row["text"], *(_number(row[run]) for run in RUNS[:3]), _more(row), _number(row["monitored"]),
              *(_number(row[f"{run}_exits"]) for run in RUNS)]
             for row in report["work"]],
            [[row["text"], *(_wall(row[f"{run}_us"]) for run in RUNS)] for row in report["work"]])


def print_rows(report):
    """Prints all tables."""
    for head, cells in zip(HEADS, _cells(report)):
        print()
        for row in (head, *cells) if cells else ():
            print(row[0].ljust(50), *(cell.rjust(12) for cell in row[1:]))


def markdown(report):
    """The lines of all tables, as docs/benchmarks.md has them."""
    lines = []
    for head, cells in zip(HEADS, _cells(report)):
        lines += ["", f"| {' | '.join(head)} |", "|".join(["", "---", *("---:" for _ in head[1:]), ""]),
                  *(f"| {' | '.join(row)} |" for row in cells)]
    return lines[1:]
