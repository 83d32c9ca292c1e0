# SPDX-License-Identifier: MIT
"""What a signal ends has ended what it started, whenever it comes: also while that is being started, when nobody knows it yet."""

import itertools
import os
import signal
import subprocess
import sys

import runner
from harness import FacetTest

# Starts one that has a child, through what is tested, with the signal coming in when it runs already and Popen has not returned.
SCRIPT = """
import os, subprocess, sys
sys.path.insert(0, 'tools')
sys.dont_write_bytecode = True
from runner import emulator, signals

really = subprocess.Popen.__init__

def slow(self, *args, **options):
    really(self, *args, **options)
    print(self.stdout.readline().decode(), end='', flush=True)
    os.kill(os.getpid(), {number})

signals.install()
subprocess.Popen.__init__ = slow
try:
    {start}
    print('went on', flush=True)
except signals.Terminated as terminated:
    sys.exit(128 + terminated.number)
except KeyboardInterrupt:
    sys.exit(130)
"""


COMMAND = "['sh', '-c', 'sleep 7200 & echo $$ $!; wait']"
STARTS = {"tool": f"with signals.started({COMMAND}, stdout=subprocess.PIPE): print('went on', flush=True)",
          "emulator": f"emulator.Emulator({COMMAND}, '.')"}


class SignalTest(FacetTest):
    """See the module's text."""

    weight = 2.0

    def test_while_it_starts(self):
        """It and its child are gone, and nothing went on."""
        for number, what in itertools.product((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), STARTS):
            with self.subTest(number=number, what=what):
                done = subprocess.run([sys.executable, "-c", SCRIPT.format(number=int(number), start=STARTS[what])], cwd=runner.ROOT, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ), check=False,
                                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
                self.assertEqual(done.stderr, "")
                self.assertEqual(done.returncode, 128 + number)
                pids = done.stdout.split()
                self.assertEqual(len(pids), 2, done.stdout)
                self.assert_gone(pids)
