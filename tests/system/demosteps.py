# SPDX-License-Identifier: MIT
"""What the tests of demos that are scripts share."""

import re

import runner


def report(steps):
    """What a domain prints that does all of the steps."""
    lines = [f"demo: begin steps={len(steps)}"]
    for number, title in enumerate(steps, 1):
        lines += [f"demo: step {number}: {title}", f"demo: step {number} ok: shown"]
    return lines + [f"demo: end ok={len(steps)} failed=0"]


def assert_titles(test, demo):
    """A demo's list of steps and its script's must not drift apart."""
    script = (runner.ROOT / "demo" / demo.SCRIPT).read_text(encoding="utf-8")
    test.assertEqual(re.findall(r'^step "(.*)" \w+$', script, re.M), list(demo.STEPS))
    test.assertIn(f'begin steps={len(demo.STEPS)}"', script)
