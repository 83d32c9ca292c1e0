# SPDX-License-Identifier: MIT
"""`facet prove`: what can be checked to the end, is.

Enumerations (tests/prove/prove_*.c) go through whole finite domains; Spin goes through all interleavings of the
protocols for several processors, as models (tests/prove/spin), and finds what is wrong with each mutant of them; the
test of their sources (tests/smp) finds each mutant of these; Eva,
Frama-C's value analysis, shows that what parses bytes of others has no run-time error for any of them
(tests/prove/eva). docs/audit.md says what each result means.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from . import options, packages
from .base import ROOT, Error, build_dir, progress


@dataclass(frozen=True)
class Analysis:
    """What the harness tests/prove/eva/NAME.c calls, the source that this is in, and with what it is analysed."""

    function: str
    source: str
    others: tuple = ()  # sources beside it
    included: bool = False  # by the harness
    header: str = ""  # goes before each of them
    options: tuple = ("-eva-precision", "3")


# Options say how precise it is: how many cases at once, and of what the results stay apart. One assumes something,
# -eva-initialized-locals: reading what was not written is not looked for.
ANALYSES = {
    "decode": Analysis("decode_mmio()", "hv/exit/decode.c"),
    "code": Analysis("code_length()", "hv/x86/code.c"),
    "tables": Analysis("tables_decode()", "agent/tables_find.c"),
    "elf": Analysis("elf_image_parse()", "hv/guest/elf_image.c"),
    "dtree": Analysis("dtree_domain()", "hv/guest/dtree.c", ("core/policy.c",), included=True, options=(
        "-eva-precision", "1", "-eva-domains", "cvalue", "-eva-slevel", "100",
        "-eva-split-limit", "3000", "-eva-min-loop-unroll", "80", "-eva-auto-loop-unroll", "300",
        "-eva-split-return-function", "value:full,fdt_getprop:full,find:full,get_string:full,get_u32:0,get_u64:0",
        "-eva-slevel-function", "value:3000,fdt_getprop:3000,get_string:10000,get_choice:3000,read_identity:1000,get_subops:2000,"
                                "read_cpus:1000")),
    "altp2m": Analysis("altp2m_hvmop()", "core/altp2m.c", tuple(f"core/{name}.c" for name in (
        "subop", "subop_range", "subop_facet", "subop_shadow", "owner", "vcpus", "seal", "enter", "pin", "isolate")),
        header="tests/prove/eva/altp2m.h", options=(
            "-eva-precision", "1", "-eva-domains", "cvalue,equality", "-eva-slevel", "20", "-eva-auto-loop-unroll", "140",
            "-eva-min-loop-unroll", "0", "-eva-plevel", "200", "-eva-initialized-locals",
            "-eva-split-return-function", "access_check:0,may_name:0,owner_is_guests:0",
            "-eva-slevel-function", "subop_shadow_copy:200,main:100")),
}
# Each protocol: tests/prove/spin/NAME.pml, what it keeps, and its mutants (macros), each of which breaks that.
PROTOCOLS = {
    "big": ("the hypervisor's own protocols, under its big lock: what a call promised holds when it has returned, a vCPU's state is in one "
            "place, nobody waits for ever",
            ("NO_WAIT", "NO_KICK", "KICKED_STAYS", "LATE_PLACE", "OUT_WITH_LOCK", "NO_LOOK", "NO_COUNT", "NO_EXPEL_FLUSH", "NO_EXPEL_MOVE",
             "NO_EXPEL_PAUSE", "NO_SYNC", "NO_LET_GO", "NO_ANSWER", "NO_DROP", "NO_UNLOAD", "LATE_IDLE", "VMFUNC_OUTSIDE")),
    "flush": ("a right that was taken away is used on no processor once the call has returned",
              ("NO_FENCE", "NO_RECHECK", "NO_WAIT", "LATE_GENERATION")),
    "destroy": ("a view that VMFUNC may enter is never used after it was destroyed",
                ("LIST_LATER", "NO_WAIT", "RECORD_LATER")),
    "pause": ("vCPUs that pause each other make progress, and what is paused stands still",
              ("NO_GIVE_WAY", "NO_LOOK", "NO_WAIT")),
    "wake": ("no wake-up is lost", ("NO_RECHECK", "NO_FENCE", "SENDER_LOOKS_FIRST")),
    "epoch": ("a frame is not freed while a look-up without a lock uses it",
              ("NO_WAIT", "EPOCH_FIRST", "LOOK_FIRST", "NO_FENCE")),
}
# Its mutants are found with two processors already.
SMALL = {"big": ("N=2",)}
DEPTH = 3
DEPTH_MAX = 8
_INCLUDES = "-Iinclude -I. -Ihv -Iagent -D__XEN_TOOLS__ -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu"


@dataclass
class Count:
    """Results so far."""

    proven: int = 0
    open: int = 0

    def add(self, good):
        """One more."""
        self.proven += good
        self.open += not good


def _enumerate(depth, count):
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", FACET_PROVE_DEPTH=str(depth))
    command = ["make", "-k", "-s", f"-j{os.cpu_count() or 1}", "-C", str(ROOT),
               f"B={os.environ.get('B', 'build')}", "prove"]
    tail = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout:
            tail = tail[-19:] + [line]
            match = re.match(r"(not )?ok \d+ - (.*)", line)
            if match:
                count.add(not match.group(1))
                print(f"{'OPEN' if match.group(1) else 'proven'}  {match.group(2)}", flush=True)
            elif line.startswith("# ") and "cases" in line or "runs" in line:
                print(f"        {line[2:].rstrip()}", flush=True)
            elif line.startswith("#"):
                continue
            elif "rror" in line:
                print(f"        {line.rstrip()}", flush=True)
    if process.returncode and not count.open:
        raise Error("the enumerations did not run:\n" + "".join(tail).rstrip())


def _explore(name, directory, *macros):
    """(states, the error that was found or None) of one model."""
    shutil.copy(ROOT / "tests" / "prove" / "spin" / f"{name}.pml", directory)
    for command in (["spin", *(f"-D{macro}" for macro in macros), "-a", f"{name}.pml"],
                    ["gcc", "-w", "-O2", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
                    ["./pan", "-m1000000", "-w24"]):
        done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode and command[0] != "./pan":
            raise Error(f"{command[0]} failed on tests/prove/spin/{name}.pml:\n{done.stdout[-2000:]}")
    states = re.search(r"(\d+) states, stored", done.stdout)
    errors = re.search(r"errors: (\d+)", done.stdout)
    if not states or not errors or "max search depth too small" in done.stdout:
        raise Error(f"spin did not come to its end on {name}.pml:\n{done.stdout[-2000:]}")
    found = re.search(r"^pan:1: (.*) \(at depth", done.stdout, re.M)
    if errors.group(1) != "0":
        return int(states.group(1)), found.group(1) if found else "an error"
    return int(states.group(1)), None


def _protocols(count):
    for name, (text, mutants) in PROTOCOLS.items():
        with tempfile.TemporaryDirectory(prefix="facet-spin-") as directory:
            states, error = _explore(name, directory)
            count.add(error is None)
            print(f"{'OPEN' if error else 'proven'}  {text}\n        {name}: {states} states"
                  + (f": {error}" if error else ""), flush=True)
            missed = [mutant for mutant in mutants if _explore(name, directory, mutant, *SMALL.get(name, ()))[1] is None]
            count.add(not missed)
            print(f"{'OPEN' if missed else 'proven'}  each of its {len(mutants)} mutants breaks that"
                  + (f", but {', '.join(missed)}" if missed else ""), flush=True)


def _sources(count):
    """Mutants of the sources that the protocols are in: each is found by their test."""
    command = [sys.executable, str(ROOT / "tests" / "smp" / "mutants.py"), os.environ.get("B", "build")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    lines = done.stdout.splitlines()
    if not lines or not re.fullmatch(r"\d+ mutants, \d+ found", lines[-1]):
        raise Error("the mutants of the sources did not run:\n" + done.stdout[-2000:].rstrip())
    count.add(done.returncode == 0)
    print(f"{'OPEN' if done.returncode else 'proven'}  each mutant of the sources of these protocols is found by their test\n"
          f"        tests/smp: {lines[-1]}")
    for line in lines[:-1]:
        if line.startswith("OPEN"):
            print(f"        {line[len('OPEN'):].strip()}")
    sys.stdout.flush()


def _analyse(name, analysis):
    """(statements reached, of how many, alarms, log) of one analysis."""
    first = f" -include {analysis.header}" if analysis.header else ""
    sources = (*(() if analysis.included else (analysis.source,)), *analysis.others)
    done = subprocess.run(
        ["frama-c", "-eva", *analysis.options, "-machdep", "gcc_x86_64", "-c11",
         f"-cpp-extra-args={_INCLUDES}{first}", f"tests/prove/eva/{name}.c", *sources],
        cwd=ROOT, env=dict(os.environ, PWD=str(ROOT)),  # which it goes by, wherever it is
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    log = build_dir() / f"eva-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout, encoding="utf-8")
    statements = re.search(r"(\d+) statements reached \(out of (\d+)\)", done.stdout)
    alarms = re.search(r"(\d+) alarms? generated", done.stdout)
    # What a harness asserts, and what a library function asks for, is no "alarm" in the summary where it was not shown to hold.
    unknown = re.findall(r"(?:Assertions|Preconditions) +\d+ valid +(\d+) unknown +(\d+) invalid", done.stdout)
    if done.returncode or not statements or not alarms:
        raise Error(f"frama-c failed on {analysis.source}; see {log}")
    left = int(alarms.group(1)) + sum(int(n) for counts in unknown for n in counts)
    return int(statements.group(1)), int(statements.group(2)), left, log


def _eva(count):
    for name, analysis in ANALYSES.items():
        reached, of, alarms, log = _analyse(name, analysis)
        count.add(alarms == 0)
        print(f"{'OPEN' if alarms else 'proven'}  {analysis.function} of {analysis.source} has no run-time error, whatever it is given")
        print(f"        {reached} of {of} statements reached, {alarms} alarms"
              + (f"; see {log}" if alarms else ""), flush=True)


def _depth(text):
    value = int(text)
    if not 1 <= value <= DEPTH_MAX:
        raise ValueError
    return value


_depth.__name__ = f"depth (1 to {DEPTH_MAX})"  # argparse names the type in its message


def main(arguments):
    """The exit status: 0 if nothing is left open, else 1."""
    parser = options.parser(
        "prove", "Check to the end what can be: permission arithmetic, who may "
        "call what, all sequences of calls to a depth, protocols for several processors, and that parsers have no run-time error.")
    parser.add_argument("--depth", type=_depth, default=DEPTH,
                        help="calls in a row; one more takes ten times as long (default: %(default)s)")
    args = parser.parse_args(arguments)
    count = Count()

    packages.require("prove")
    progress("enumerating")
    _enumerate(args.depth, count)
    progress("exploring protocols")
    _protocols(count)
    _sources(count)
    progress("analysing what parses bytes of others")
    _eva(count)
    print(f"prove: {count.proven} proven, {count.open} open", flush=True)
    return 1 if count.open else 0
