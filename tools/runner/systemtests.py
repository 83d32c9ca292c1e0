# SPDX-License-Identifier: MIT
"""Runs the unittest classes in tests/system/test_*.py, each test method a job of its own."""

import importlib.util
import sys
import time
import unittest

from .base import ROOT
from .results import Case, Job

SYSTEM_DIR = ROOT / "tests" / "system"


class _Outcome(unittest.TestResult):
    """Keeps the one outcome of one test method."""

    def __init__(self):
        super().__init__()
        self.case = ("pass", "")

    def _set(self, outcome, text):
        if self.case[0] not in ("fail", "error"):
            self.case = (outcome, text)

    def addError(self, test, err):
        super().addError(test, err)
        self._set("error", self.errors[-1][1].rstrip())

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._set("fail", self.failures[-1][1].rstrip())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._set("skip", reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            kind = "fail" if issubclass(err[0], test.failureException) else "error"
            self._set(kind, f"{subtest._subDescription()}: {err[1]}")


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _methods(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _methods(item)
        else:
            yield item


def _run(test, name, add, cancel):
    outcome, started = _Outcome(), time.monotonic()
    test.cancel = cancel
    test.run(outcome)
    if cancel.is_set():
        raise KeyboardInterrupt
    add(Case(name, *outcome.case, time.monotonic() - started))


def _title(path, test):
    """system/linux/boots for method test_boots in test_linux.py."""
    method = test.id().rpartition(".")[2]
    return f"system/{path.stem[len('test_'):]}/{method[len('test_'):]}"


def system_jobs(text_filter):
    """A job for each test method whose name the filter wants."""
    jobs = []
    if str(SYSTEM_DIR) not in sys.path:
        sys.path.insert(0, str(SYSTEM_DIR))  # for `import harness`
    for path in sorted(SYSTEM_DIR.glob("test_*.py")):
        module = _load(path)
        for test in _methods(unittest.defaultTestLoader.loadTestsFromModule(module)):
            name = _title(path, test)
            if text_filter in name:
                weight = getattr(test, "weight", 10.0)
                jobs.append(Job(name, lambda add, cancel, t=test, n=name: _run(t, n, add, cancel),
                                weight, [name]))
    return jobs
