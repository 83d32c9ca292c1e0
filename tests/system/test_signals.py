# SPDX-License-Identifier: MIT
"""What a signal ends has ended what it started, whenever it comes: also while that is being started, when nobody knows it yet."""

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
from runner import signals

really = subprocess.Popen.__init__

def slow(self, *args, **options):
    really(self, *args, **options)
    print(self.stdout.readline().decode(), end='', flush=True)
    os.kill(os.getpid(), {number})

signals.install()
subprocess.Popen.__init__ = slow
try:
    with signals.started(['sh', '-c', 'sleep 7200 & echo $$ $!; wait'], stdout=subprocess.PIPE):
        print('went on', flush=True)
except signals.Terminated as terminated:
    sys.exit(128 + terminated.number)
except KeyboardInterrupt:
    sys.exit(130)
"""


class SignalTest(FacetTest):
    """See the module's text."""

    weight = 2.0

    def test_while_it_starts(self):
        """It and its child are gone, and nothing went on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                done = subprocess.run([sys.executable, "-c", SCRIPT.format(number=int(number))], cwd=runner.ROOT, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ), check=False,
                                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
                self.assertEqual(done.stderr, "")
                self.assertEqual(done.returncode, 128 + number)
                pids = done.stdout.split()
                self.assertEqual(len(pids), 2, done.stdout)
                self.assert_gone(pids)
