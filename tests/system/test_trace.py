# SPDX-License-Identifier: MIT
"""`facet trace`: the instructions it shows are those that ran."""

import re

from harness import FacetTest

TEXT = "one line\n"


class TraceTest(FacetTest):
    """A guest that writes to port 0xE9 exits once for each byte."""

    weight = 8.0

    def trace(self, *options):
        """Runs the command on such a guest."""
        return self.facet("trace", *options, self.config("a.cfg", kernel=self.guest(TEXT)))

    def test_an_exit_from_entry_to_entry(self):
        """It begins at the function and ends before the guest; both ways of counting agree."""
        done = self.trace("--at", "vmx_exit", "--skip", "3", "--to-guest", "--order")
        self.assertEqual(done.status, 0, done.err)
        rows = [line.split() for line in done.lines]
        self.assertEqual(rows[0][1], "vmx_exit")
        self.assertEqual(rows[-1][1], "instructions")
        self.assertNotIn("(guest)", done.out)
        counted = [int(row[0].replace(",", "")) for row in rows]
        self.assertEqual(sum(counted[:-1]), counted[-1])
        self.assertGreater(counted[-1], 50)

    def test_each_instruction(self):
        """The list has as many as were asked for, the first at the function's address."""
        done = self.trace("--at", "vmx_exit", "--instructions", "40", "--list")
        self.assertEqual(done.status, 0, done.err)
        self.assertRegex(done.lines[0], r"^ *[0-9a-f]{6} vmx_exit +\S+")
        self.assertEqual(len(done.lines) - 1, int(done.lines[-1].split()[0]))
        self.assertTrue(40 <= len(done.lines) - 1 <= 41, done.lines[-1])

    def test_function_that_is_reached_again(self):
        """The trace ends there and says so; one that is as long as it was to be says nothing."""
        done = self.trace("--at", "vmx_exit", "--skip", "3", "--instructions", "10000", "--list")
        self.assertEqual(done.status, 0, done.err)
        number = done.lines[-1].split()[0]
        self.assertLess(int(number.replace(",", "")), 10000)
        self.assertIn(f"the trace ends after {number} instructions: vmx_exit was reached again", done.err)
        self.assertEqual(self.trace("--at", "vmx_exit", "--instructions", "40").err, "")
        self.assertEqual(self.trace("--at", "vmx_exit", "--to-guest").err, "")

    def test_who_called(self):
        """The beginning of everything is on every stack."""
        done = self.trace("--at", "sched_op", "--stack")
        self.assertEqual(done.status, 0, done.err)
        self.assertRegex(done.lines[-1], r"^ *[0-9a-f]{6} boot_on_stack +\S*hv/boot/start.S:[0-9]+$")

    def test_function_that_is_not_reached(self):
        """Said, with status 1."""
        done = self.trace("--at", "vmx_exit", "--skip", "100000")
        self.assertEqual(done.status, 1)
        self.assertIn("vmx_exit was not reached 100001 times", done.err)

    def test_function_that_does_not_exist(self):
        """Wrong usage; names like it are offered."""
        done = self.trace("--at", "get_mem_access")
        self.assertEqual(done.status, 2)
        self.assertTrue(re.search(r"no function 'get_mem_access'; there is .*subop_get_mem_access",
                                  done.err), done.err)
