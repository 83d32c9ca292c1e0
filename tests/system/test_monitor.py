# SPDX-License-Identifier: MIT
"""A Debian domain with `monitor = 1` runs Debian's own xen-access on small guests, one for each of
its modes. What it prints is compared with what each guest says that it did."""

import os
import pathlib
import re
import subprocess
import sys

import runner
from harness import FacetTest

sys.path.insert(0, str(runner.ROOT / "demo"))

import initramfs  # noqa: E402  pylint: disable=wrong-import-position

XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
CMDLINE = "console=hvc0 quiet mitigations=off"
# xen-access' mode, and what its target does. Domain ids follow from the order, from 2 on.
MODES = {"write": "write", "exec": "exec", "breakpoint": "int3", "cpuid": "cpuid"}
PAGES = 16  # of mon-target.c

# One after the other; each is interrupted when it has had its events, and its log is shown. What it
# prints of them is buffered, but not that it was woken.
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
watch() {
    : > /log$1
    xen-access $1 $2 > /log$1 2>&1 &
    pid=$!
    n=0
    while [ "$(grep -c "Got event" /log$1)" -lt 17 ] && [ $n -lt 200 ] && kill -0 $pid; do
        sleep 0.1; n=$((n + 1))
    done
    sleep 1
    kill -INT $pid; wait $pid
    sed "s/^/XA $2: /" /log$1
}
"""


def libraries(program):
    """The shared libraries of a program, as files for an initramfs."""
    shown = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, text=True, check=True)
    return {word.lstrip("/"): os.path.realpath(word) for word in shown.stdout.split()
            if word.startswith("/")}


class XenAccessTest(FacetTest):
    """Xen's own tool, unmodified."""

    weight = 90.0

    def _configs(self):
        kernel = runner.debian_kernel()
        script = SCRIPT
        for domid, mode in enumerate(MODES, 2):
            script += f"watch {domid} {mode}\n"
        module = kernel.modules / "kernel/drivers/xen/xen-evtchn.ko"
        extra = {"bin/xen-access": XEN_ACCESS, "lib/xen-evtchn.ko": module,
                 **libraries(XEN_ACCESS)}
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(), script,
                                   extra)
        configs = [self.config("monitor.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256,
                               monitor=1, cmdline=CMDLINE)]
        for mode, what in MODES.items():
            configs.append(self.config(f"{mode}.cfg", memory=16, altp2m="external",
                                       kernel=runner.build_dir() / "guest" / "mon-target.elf",
                                       cmdline=f"what={what} rounds=1"))
        return configs

    def test_modes(self):
        """Events for exactly what the guests did, in each mode; all end well."""
        if not XEN_ACCESS.exists():
            self.skipTest("Debian's xen-access (package xen-utils-4.17)")
        done = self.facet("run", "--timeout", "280", *self._configs())
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        said = {mode: [] for mode in MODES}
        for line in done.lines:
            found = re.match(r"\(d1\) XA (\w+): (.*)", line)
            if found:
                said[found.group(1)].append(found.group(2))
        for domid, mode in enumerate(MODES, 2):
            with self.subTest(mode):
                self._check(mode, said[mode],
                            [line for line in done.lines if line.startswith(f"(d{domid}) ")])

    def _check(self, mode, said, target):
        text = "\n".join(target)
        self.assertRegex(text, r"round 1: 16 of 16 watched" if mode != "exec" else "round 1: ")
        if mode in ("write", "exec"):
            first = int(re.search(r"gfn ([0-9a-f]+) \+ 10", text).group(1), 16)
            wanted = "rw-" if mode == "write" else "--x"
            seen = [int(m.group(1), 16) for line in said
                    if (m := re.search(rf"PAGE ACCESS: {wanted} for GFN ([0-9a-f]+)", line))]
            for gfn in range(first, first + PAGES):
                self.assertEqual(seen.count(gfn), 1, f"gfn {gfn:x} in:\n" + "\n".join(said))
        elif mode == "breakpoint":
            self.assertGreaterEqual(sum("Breakpoint: rip=" in line for line in said), PAGES)
        else:
            leaves = {int(m.group(1), 16) for line in said
                      if (m := re.search(r"CPUID executed: .*Insn length: 2 0x([0-9a-f]+)", line))}
            self.assertLessEqual(set(range(0x40000000, 0x40000000 + PAGES)), leaves,
                                 "\n".join(said[:40]))
