# SPDX-License-Identifier: MIT
"""examples/monitor: monitors in C on libxenctrl and in Python trace execve of a Debian guest, in guests made by `facet guest`;
and the one in C with the default access `n`, which sees no call: the console says why."""

import re
import subprocess

import runner
from harness import LIMIT, FacetTest

EXAMPLE = runner.ROOT / "examples" / "monitor"
CALLS = 4
# Both domains run the same kernel, at the same address.
MONITOR = f"""exectrace 2 /proc/kallsyms {CALLS}
altp2m domains
python3 /exectrace.py 2 /proc/kallsyms {CALLS}
altp2m domains
python3 /exectrace.py 7 /proc/kallsyms 1
timeout 2 python3 /exectrace.py 2 /proc/kallsyms 1000 > /log
tail -n 1 /log
altp2m domains
echo "now with n"
timeout 1 exectrace-n 2 /proc/kallsyms 1
altp2m domains
"""
TARGET = """n=0
until [ $n -ge 160 ]; do busybox echo traced $n >/dev/null; sleep 0.1; n=$((n + 1)); done
echo "the target is at its end"
"""
SAID = "(facet) d2 target: view 1 denies reads of its page tables"


class MonitorExampleTest(FacetTest):
    """The examples as a user builds and runs them, between two Debian kernels."""

    weight = 40.0

    def _build(self, name, *settings):
        made = subprocess.run(["make", "-s", "-C", EXAMPLE, f"O={self.dir / 'made'}", f"NAME={name}", *settings],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((made.returncode, made.stdout), (0, ""))
        return self.dir / "made" / name

    def _guest(self, name, *arguments):
        done = self.facet("guest", "-o", self.dir / name, *arguments)
        self.assertEqual(done.status, 0, done.err)
        return self.dir / name / "guest.cfg"

    def _configs(self):
        good, bad = self._build("exectrace"), self._build("exectrace-n", "CPPFLAGS=-DVIEW_ACCESS=XENMEM_access_n")
        yield self._guest("monitor", "--monitor", "--program", good, "--program", bad, "--program", "python3",
                          "--file", EXAMPLE / "xenmonitor.py", "--file", EXAMPLE / "exectrace.py", "--command", MONITOR)
        yield self._guest("target", "--altp2m", "external", "--command", TARGET)

    def test_execve(self):
        """Calls with their arguments; nothing is left in the guest; the console tells of `n`, and only then."""
        done = self.facet("run", *LIMIT, *self._configs())
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        calls = [line for line in done.lines if line.startswith("(d1) vcpu 0 execve ")]
        self.assertEqual(len(calls), 2 * CALLS, done.out)
        for line in calls:
            self.assertRegex(line, r"execve /\S+: (busybox echo traced \d+|sleep 0\.1)$")
        for wanted in ("exectrace: 4 calls", "exectrace.py: 4 calls", "exectrace: 0 calls"):
            self.assertIn(f"(d1) {wanted}", done.lines)
        self.assertRegex(done.out, r"\(d1\) exectrace\.py: xc_domain_pause: .+\n")  # there is no domain 7
        counts = re.findall(r"^\(d1\) exectrace\.py: (\d+) calls$", done.out, re.M)
        self.assertEqual(len(counts), 2)
        self.assertGreater(int(counts[1]), 4)  # until SIGTERM came
        self.assertIn("(d2) the target is at its end", done.lines)
        rows = [line for line in done.lines if line.startswith("(d1) 2 ")]
        self.assertEqual([row.split()[-1] for row in rows], ["off"] * 4, done.out)
        said = [i for i, line in enumerate(done.lines) if line.startswith(SAID)]
        self.assertEqual(len(said), 1, done.out)
        self.assertGreater(said[0], done.lines.index("(d1) now with n"))
