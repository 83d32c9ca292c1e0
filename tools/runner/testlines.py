# SPDX-License-Identifier: MIT
"""What guests say of their tests: facet-tests(5) has the format."""

import re

from .results import OUTCOMES, Case

_TEST = re.compile(r"TEST ([^\s:]+): (pass|skip|error|fail)(?: (.*))?")
_END = re.compile(r"END (\S+): (\d+) passed, (\d+) skipped, (\d+) errors?, (\d+) failed")


def parse(texts):
    """([(name, outcome, text)], the counts of the last END line or None) of a guest's lines."""
    tests, end = [], None
    for text in texts:
        test, last = _TEST.fullmatch(text), _END.fullmatch(text)
        if test:
            tests.append((test.group(1), test.group(2), test.group(3) or ""))
        elif last:
            end = tuple(int(number) for number in last.groups()[1:])
    return tests, end


def agrees(end, outcomes):
    """Whether an END line counts these outcomes."""
    return end == tuple(list(outcomes).count(kind) for kind in OUTCOMES)


def _trouble(tests, end, ending):
    """Why a domain's tests cannot be believed, or None. One that says nothing of tests has only to end well."""
    if ending is None:
        return "did not end"
    if ending.crashed:
        return ending.how
    if tests and not end:
        return "printed no END line"
    if end and not agrees(end, [outcome for _, outcome, _ in tests]):
        return "its END line does not count the TEST lines seen"
    return None


def cases(result):
    """The Cases of a whole run, from its machine.Result."""
    found, told = [], False
    for number, name in sorted(result.domains.items()):
        texts = result.texts(f"d{number}")
        tests, end = parse(texts)
        told = told or bool(tests)
        found += [Case(f"{name}/{test}", outcome, text) for test, outcome, text in tests]
        trouble = _trouble(tests, end, result.endings.get(number))
        if trouble:
            last = f"; last line: {texts[-1]}" if texts else ""
            found.append(Case(name, "fail", trouble + last))
        elif not tests:
            found.append(Case(name, "pass"))
    if not told:
        found.append(Case("tests", "fail", "no domain printed a TEST line"))
    return found
