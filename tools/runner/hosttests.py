# SPDX-License-Identifier: MIT
"""Tests that make runs on this computer and that report in TAP (test anything protocol)."""

import contextlib
import os
import re
import subprocess
import threading

from .base import ROOT
from .results import Case, Job

# (make target, weight). A target that the makefiles do not have is left out.
TARGETS = (("unit", 40.0), ("fuzz-smoke", 30.0), ("prove", 10.0))
TIMEOUT_SECONDS = 600

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
        ["make", "-k", "-s", "-C", str(ROOT), f"B={os.environ.get('B', 'build')}", target],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True,
        errors="replace", start_new_session=True)
    watch = threading.Timer(TIMEOUT_SECONDS, process.kill)
    watch.start()
    waiter = threading.Thread(target=_kill_on, args=(process, cancel), daemon=True)
    waiter.start()
    output = process.communicate()[0]
    watch.cancel()
    if cancel.is_set():
        return
    cases = parse_tap(output, target)
    for case in cases:
        add(case)
    if process.returncode and not any(case.outcome == "fail" for case in cases):
        add(Case(target, "error", f"make {target} failed:\n{output[-4000:].rstrip()}"))
    elif not cases:
        add(Case(target, "error", f"make {target} reported no test"))


def _kill_on(process, cancel):
    while process.poll() is None:
        if cancel.wait(0.5):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, 9)
            return


def _has(target):
    """Whether the makefiles know `target`."""
    done = subprocess.run(["make", "-n", "-C", str(ROOT), f"B={os.environ.get('B', 'build')}",
                           target], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          check=False)
    return f"No rule to make target '{target}'" not in done.stderr


def make_jobs(text_filter):
    """A job for each target that may hold tests the filter wants."""
    return [Job(target, lambda add, cancel, t=target: _run(t, add, cancel), weight,
                [f"{target}/..."])
            for target, weight in TARGETS
            if (not text_filter or text_filter.split("/")[0] in target or "/" not in text_filter)
            and _has(target)]
