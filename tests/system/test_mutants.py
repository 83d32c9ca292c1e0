# SPDX-License-Identifier: MIT
"""tests/smp finds what is wrong with each mutant of the sources that it tests."""

import os
import subprocess
import sys

import runner
from harness import FacetTest


class MutantsTest(FacetTest):
    """tests/smp/mutants.py."""

    weight = 15.0

    def test_each_is_found(self):
        """The sources as they are pass, and no mutant of them does."""
        done = subprocess.run([sys.executable, runner.ROOT / "tests/smp/mutants.py", os.environ.get("B", "build")], cwd=runner.ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"\n(\d+) mutants, \1 found\n$")
