# SPDX-License-Identifier: MIT
"""Tests that make runs on this computer and that report in TAP (test anything protocol)."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from .base import ROOT
from .results import Case, Job

# (make target, weight). A target that the makefiles do not have is left out.
TARGETS = (("unit", 40.0), ("fuzz-smoke", 30.0), ("prove", 10.0))
# Of a processor, for each program: ends what spins, on a slow computer and on a fast one.
CPU_SECONDS = 1200
# Only what sleeps forever takes that long.
PATIENCE_SECONDS = 7200

SOURCES = {"unit": ROOT / "tests" / "unit", "fuzz-smoke": ROOT / "tests" / "fuzz",
           "prove": ROOT / "tests" / "prove"}
OTHER_GROUPS = ("system", "guest")

_SAID = re.compile(r"ok\b|# |\d+\.\.\d+$")  # by tests that pass
_TAP = re.compile(r"(not )?ok\b(?: (\d+))?(?:\s*-?\s*)(?:# SKIP\s*)?(.*)")


def parse_tap(text, prefix):
    """The Cases in TAP output, as cmocka prints it."""
    cases = []
    for line in text.splitlines():
        match = _TAP.fullmatch(line.strip())
        if match and (match.group(2) or match.group(3)):
            outcome = "skip" if "# SKIP" in line else "fail" if match.group(1) else "pass"
            name = match.group(3).strip() or f"number {match.group(2)}"
            cases.append(Case(f"{prefix}/{name}", outcome))
        elif line.startswith("# ") and cases and cases[-1].outcome != "pass":
            last = cases[-1]
            joined = f"{last.text}; {line[2:]}" if last.text else line[2:]
            if not line.startswith("# not ok - "):
                cases[-1] = Case(last.name, last.outcome, joined)
    return cases


def _run(target, add, cancel):
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        ["prlimit", f"--cpu={CPU_SECONDS}", "make", "-k", "-s", "-C", str(ROOT), f"B={os.environ.get('B', 'build')}", target],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True,
        errors="replace", start_new_session=True)
    waiter = threading.Thread(target=_end_group, args=(process, cancel), daemon=True)
    waiter.start()
    output = process.communicate()[0]
    if cancel.is_set():
        return
    cases = parse_tap(output, target)
    for case in cases:
        add(case)
    if process.returncode and not any(case.outcome == "fail" for case in cases):
        said = "\n".join(line for line in output.splitlines() if not _SAID.match(line))
        add(Case(target, "error", f"make {target} failed:\n{said[-4000:].rstrip()}"))
    elif not cases:
        add(Case(target, "error", f"make {target} reported no test"))


def _end_group(process, cancel, patience=PATIENCE_SECONDS):
    """Waits for the end of make, or ends it. What it started may outlive it, and would hold the pipe
    open that its output is read from."""
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline and not cancel.wait(0.2):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _has(target):
    """Whether the makefiles know `target`; where make is not installed yet, they may."""
    if not shutil.which("make"):
        return True
    done = subprocess.run(["make", "-n", "-C", str(ROOT), f"B={os.environ.get('B', 'build')}",
                           target], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          check=False)
    return f"No rule to make target '{target}'" not in done.stderr


def _may_hold(target, text_filter):
    """Whether a test of this target may have that in its name, which is only known once it is built:
    it is made of words of the sources."""
    group, slash, _ = text_filter.partition("/")
    group = group.partition("@")[0]  # of guests: the machine
    if slash and group != target and (group in OTHER_GROUPS or group in SOURCES):
        return False
    rest = text_filter.removeprefix(f"{target}/") if slash else text_filter
    if rest in f"{target}/":
        return True
    folder = SOURCES[target]
    texts = [str(path.relative_to(ROOT)) + path.read_text(encoding="utf-8", errors="replace")
             for path in folder.rglob("*") if path.suffix in (".c", ".h", ".mk", ".py")]
    return all(any(word in text for text in texts) for word in re.findall(r"\w+", rest))


def make_jobs(text_filter):
    """A job for each target that may hold tests the filter wants."""
    return [Job(target, lambda add, cancel, t=target: _run(t, add, cancel), weight,
                [f"{target}/..."])
            for target, weight in TARGETS if _may_hold(target, text_filter) and _has(target)]
