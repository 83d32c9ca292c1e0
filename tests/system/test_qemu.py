# SPDX-License-Identifier: MIT
"""What the runner promises (contract.py), of a machine of QEMU; and what is its own there."""

import subprocess
from unittest import mock

import runner
from contract import Contract
from harness import LIMIT, FacetTest
from runner import qemu


class QemuTest(Contract, FacetTest):
    """`facet run` on the machine `amd`."""

    machine = "amd"
    program = "qemu-system-x86_64"
    kept = ("boot", "qemu.sh", "qemu.log", "com1.txt")
    resolution = qemu.RESOLUTION
    reset = "the machine was reset"

    def test_watchdog(self):
        """The limit is in units of the watchdog, and never below what was asked for."""
        for ticks in (1, 1000, 1 << 30, 2_013_263_040, 20_000_000_000, qemu.MOST_TICKS):
            with self.subTest(ticks):
                first, second, _, actual = qemu.watchdog(ticks)
                self.assertTrue(1 <= first <= qemu.STAGE_MOST and 1 <= second <= qemu.STAGE_MOST)
                self.assertTrue(ticks <= actual <= ticks * 1.01 + 2000, actual)

    def test_too_high_limit(self):
        """Refused before anything starts."""
        done = self.run_standin("", "OFF", "--ticks", str(qemu.MOST_TICKS + 1))
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn(f"at most {qemu.MOST_TICKS} instructions", done.err)

    def test_emulator_that_does_not_start(self):
        """Its own words are shown."""
        with mock.patch.object(qemu, "_arguments", lambda *_: [qemu.PROGRAM, "-frobnicate"]):
            result = runner.boot([self.any_config()], machine=self.machine, hypervisor=self.standin(""))
        self.assertEqual((result.status, result.reason), (1, "the emulator stopped"))
        self.assertIn("-frobnicate: invalid option", result.log_tail)

    def test_by_hand(self):
        """The script that --keep leaves starts the same machine on a terminal."""
        result = runner.boot([self.any_config()], machine=self.machine, keep=True,
                             hypervisor=self.standin("(facet) up\n"))
        self.addCleanup(subprocess.run, ["rm", "-r", result.directory], check=True)
        done = subprocess.run(["sh", "qemu.sh", "-action", "shutdown=poweroff"], cwd=result.directory,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(done.stdout, "(facet) up\n")

    def test_bad_seed(self):
        """What is no number is refused."""
        import os
        done = self.facet("run", "--machine", self.machine, *LIMIT, self.any_config(),
                          env=dict(os.environ, FACET_SEED="soon"))
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn("FACET_SEED is not a number: soon", done.err)
