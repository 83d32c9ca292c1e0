# SPDX-License-Identifier: MIT
"""What a test run is made of: jobs, which give cases."""

from dataclasses import dataclass, field
from typing import Callable

OUTCOMES = ("pass", "skip", "error", "fail")
BAD = ("error", "fail")


@dataclass(frozen=True)
class Case:
    """The outcome of one test.

    pass; skip: the text names what is absent; error: the test itself broke; fail: Facet broke.
    """

    name: str  # like "guest/hello/memory"
    outcome: str
    text: str = ""
    seconds: float = 0.0

    def matches(self, text):
        """Whether a filter wants this test: also what failed and holds the wanted ones, which then are not there."""
        return text in self.name or (self.outcome in BAD and text.startswith(self.name + "/"))


@dataclass
class Job:
    """Something to run that gives one or more cases."""

    name: str
    run: Callable  # run(add, cancel): calls add(Case) for each; cancel is a threading.Event
    weight: float = 1.0  # rough seconds: long jobs are started first
    contents: list = field(default_factory=list)  # names of its tests, "NAME/..." if unknown
