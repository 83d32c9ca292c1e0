# SPDX-License-Identifier: MIT
"""examples/libvmi: the monitor on LibVMI traces execve of a Debian guest, in guests made by `facet guest`. LibVMI is in no package of
Debian 12: its source is where $FACET_LIBVMI says, as `facet libvmi` takes it."""

import os
import shutil
import subprocess

import runner
from harness import LIMIT, FacetTest
from runner import libvmi, packages

EXAMPLE = runner.ROOT / "examples" / "libvmi"
CALLS = 4
MONITOR = f"""exectrace-libvmi 2 /proc/kallsyms {CALLS}
altp2m domains
timeout 1 exectrace-libvmi 2 /proc/kallsyms 1000 > /log
tail -n 1 /log
altp2m domains
"""
TARGET = "n=0; until [ $n -ge 80 ]; do busybox echo traced $n >/dev/null; sleep 0.1; n=$((n + 1)); done; echo the end"


class LibvmiMonitorTest(FacetTest):
    """The example as a user builds and runs it."""

    weight = 40.0

    def setUp(self):
        super().setUp()
        if not os.environ.get("FACET_LIBVMI"):
            self.skipTest("LibVMI's source (FACET_LIBVMI names its directory)")
        for package, _ in packages.missing("libvmi"):
            self.skipTest(f"{package} (./facet libvmi installs it)")

    def _program(self):
        """Built without xenstore, which LibVMI otherwise wants to reach, and the domain does not have."""
        source, tree = libvmi.check_source(os.environ["FACET_LIBVMI"]), self.dir / "libvmi"
        libvmi.build_library(source, tree, "-DENABLE_XENSTORE=OFF", "-DBUILD_EXAMPLES=OFF")
        subprocess.run(["make", "-s", "-C", EXAMPLE, f"SOURCE={source}", f"BUILD={tree}", f"O={self.dir}"], check=True)
        return self.dir / "exectrace-libvmi"

    def _guest(self, name, *arguments):
        done = self.facet("guest", "-o", self.dir / name, *arguments)
        self.assertEqual(done.status, 0, done.err)
        return self.dir / name / "guest.cfg"

    def test_execve(self):
        """Calls with their arguments; nothing is left in the guest, also after a signal."""
        monitor = self._guest("monitor", "--monitor", "--program", self._program(), "--command", MONITOR)
        target = self._guest("target", "--altp2m", "external", "--command", TARGET)
        shutil.rmtree(self.dir / "libvmi")
        done = self.facet("run", *LIMIT, monitor, target)
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        calls = [line for line in done.lines if line.startswith("(d1) vcpu 0 execve ")]
        self.assertEqual(len(calls), CALLS, done.out)
        for line in calls:
            self.assertRegex(line, r"execve /\S+: (busybox echo traced \d+|sleep 0\.1)$")
        counts = [int(line.split()[2]) for line in done.lines if line.startswith("(d1) exectrace: ")]
        self.assertEqual((len(counts), counts[0]), (2, CALLS), done.out)
        self.assertGreater(counts[1], 0)
        rows = [line for line in done.lines if line.startswith("(d1) 2 ")]
        self.assertEqual([row.split()[-1] for row in rows], ["off"] * 2, done.out)
        self.assertIn("(d2) the end", done.lines)
