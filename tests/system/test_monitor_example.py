# SPDX-License-Identifier: MIT
"""examples/monitor: a monitor in C on libxenctrl traces execve of a Debian guest; and the same with the default access `n`,
which sees no call: the console says why."""

import subprocess
import sys

import runner
from harness import LIMIT, FacetTest
from runner import initramfs

sys.path.insert(0, str(runner.ROOT / "demo"))

import demo  # noqa: E402  pylint: disable=wrong-import-position

EXAMPLE = runner.ROOT / "examples" / "monitor"
CALLS = 4
# Both domains run the same kernel, at the same address.
MONITOR = f"""export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
exectrace 2 /proc/kallsyms {CALLS}
altp2m domains
echo "now with n"
timeout 1 exectrace-n 2 /proc/kallsyms 1
altp2m domains
"""
TARGET = """n=0
while [ $n -lt 100 ]; do busybox echo traced $n >/dev/null; sleep 0.1; n=$((n + 1)); done
echo "the target is at its end"
"""
SAID = "(facet) d2 target: view 1 denies reads of its page tables"


class MonitorExampleTest(FacetTest):
    """The example as a user builds it, between two Debian kernels."""

    weight = 30.0

    def _build(self, name, *settings):
        made = subprocess.run(["make", "-s", "-C", EXAMPLE, f"O={self.dir / name}", *settings], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((made.returncode, made.stdout), (0, ""))
        return self.dir / name / "exectrace"

    def _configs(self):
        kernel, built = runner.debian_kernel(), runner.build_dir()
        good = self._build("good")
        extra = {"bin/exectrace": good, "bin/exectrace-n": self._build("bad", "CPPFLAGS=-DVIEW_ACCESS=XENMEM_access_n"),
                 "lib/xen-evtchn.ko": kernel.modules / "kernel/drivers/xen/xen-evtchn.ko", **initramfs.libraries(good)}
        for name, script, more, settings in (("monitor", MONITOR, extra, {"memory": 192, "monitors": ["target"]}),
                                             ("target", TARGET, None, {"memory": 96, "altp2m": "external"})):
            ramdisk = initramfs.script(self.dir / f"{name}.gz", kernel, built, script, more)
            yield self.config(f"{name}.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, cmdline=demo.CMDLINE, vcpus=1, **settings)

    def test_execve(self):
        """Calls with their arguments; nothing is left in the guest; the console tells of `n`, and only then."""
        done = self.facet("run", *LIMIT, *self._configs())
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        calls = [line for line in done.lines if line.startswith("(d1) vcpu 0 execve ")]
        self.assertEqual(len(calls), CALLS, done.out)
        for line in calls:
            self.assertRegex(line, r"execve /\S+: (busybox echo traced \d+|sleep 0\.1)$")
        self.assertIn("(d1) exectrace: 4 calls", done.lines)
        self.assertIn("(d1) exectrace: 0 calls", done.lines)
        self.assertIn("(d2) the target is at its end", done.lines)
        rows = [line for line in done.lines if line.startswith("(d1) 2 ")]
        self.assertEqual([row.split()[-1] for row in rows], ["off", "off"], done.out)
        said = [i for i, line in enumerate(done.lines) if line.startswith(SAID)]
        self.assertEqual(len(said), 1, done.out)
        self.assertGreater(said[0], done.lines.index("(d1) now with n"))
