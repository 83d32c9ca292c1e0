# SPDX-License-Identifier: MIT
"""A Debian domain with `monitor = 1` runs Debian's own xen-access on small guests, one for each of
its modes. What it prints is compared with what each guest says that it did."""

import pathlib
import re

import runner
from harness import TICKS, FacetTest
from runner import initramfs, machines

XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
# xen-access' mode, and what its target does. Domain ids follow from the order, from 2 on.
MODES = {"write": "write", "exec": "exec", "breakpoint": "int3", "cpuid": "cpuid",
         "debug": "int1", "desc_access": "sgdt", "write_ctrlreg_cr4": "cr4"}
# What it says of each event, in modes that are checked by counting.
COUNTED = {"breakpoint": "Breakpoint: rip=", "debug": "Type: 5. Length: 1.",
           "desc_access": "descriptor=2, is write=0", "write_ctrlreg_cr4": "reg=CR4, old_value="}
VIEW_MODES = {"altp2m_write": "write", "altp2m_exec": "exec"}
PAGES = 16  # of mon-target.c

# One after the other; each is interrupted when it has had its events, and its log is shown,
# accesses counted by gfn: there are thousands when a view restricts all memory.
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
watch() {
    : > /err$1
    xen-access $1 $2 > /log$1 2> /err$1 &
    pid=$!
    n=0
    while [ "$(grep -c "Got event" /err$1)" -lt 17 ] && [ $n -lt 200 ] && kill -0 $pid; do
        sleep 0.1; n=$((n + 1))
    done
    sleep $3
    kill -INT $pid; wait $pid
    sed -n "s/^PAGE ACCESS: \\(...\\) for GFN \\([0-9a-f]*\\) .*/\\1 \\2/p" /log$1 | sort |
        uniq -c | sed "s/^ */XA $2: accesses /"
    grep -v "^Got event" /err$1 | head -n 40 | sed "s/^/XA $2: /"
    grep -Ev "^PAGE ACCESS|Switching|^Singlestep" /log$1 | head -n 64 | sed "s/^/XA $2: /"
}
"""


class XenAccessTest(FacetTest):
    """Xen's own tool, unmodified."""

    weight = 60.0

    def _configs(self, modes):
        kernel = runner.debian_kernel()
        script = SCRIPT
        for domid, mode in enumerate(modes, 2):
            script += f"watch {domid} {mode} {1 if 'altp2m' in mode else 0.5}\n"
        module = kernel.modules / "kernel/drivers/xen/xen-evtchn.ko"
        extra = {"bin/xen-access": XEN_ACCESS, "lib/xen-evtchn.ko": module,
                 **initramfs.libraries(XEN_ACCESS)}
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(), script,
                                   extra)
        configs = [self.config("monitor.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256,
                               monitor=1, cmdline=CMDLINE)]
        for mode, what in modes.items():
            configs.append(self.config(f"{mode}.cfg", memory=16, altp2m="external",
                                       kernel=runner.build_dir() / "guest" / "mon-target.elf",
                                       cmdline=f"what={what} rounds=1"))
        return configs

    def _compare(self, modes, machine=machines.DEFAULT):
        if not XEN_ACCESS.exists():
            self.skipTest("Debian's xen-access (package xen-utils-4.17)")
        machine = machines.find(machine)
        done = self.facet("run", "--machine", machine.name, "--ticks", str(machine.limit(TICKS)),
                          *self._configs(modes))
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        said = {mode: [] for mode in modes}
        for line in done.lines:
            found = re.match(r"\(d1\) XA (\w+): (.*)", line)
            if found:
                said[found.group(1)].append(found.group(2))
        for domid, mode in enumerate(modes, 2):
            with self.subTest(mode):
                self._check(mode, said[mode],
                            [line for line in done.lines if line.startswith(f"(d{domid}) ")])

    def test_modes(self):
        """Events for exactly what the guests did, in each mode; all end well."""
        self._compare(MODES)

    def test_view_modes(self):
        """The same with a view that restricts all memory, and a step over each access."""
        self._compare(VIEW_MODES)

    def test_modes_on_amd(self):
        """No mode needs what AMD's nested paging lacks. QEMU 7.2 makes #UD of INT1 in a guest: `debug` is left out."""
        self._compare({mode: what for mode, what in MODES.items() if what != "int1"}, "amd")

    def test_view_modes_on_amd(self):
        """Nor with views."""
        self._compare(VIEW_MODES, "amd")

    def _check(self, mode, said, target):
        text = "\n".join(target)
        self.assertRegex(text, r"round 1: " if "exec" in mode else r"round 1: 16 of 16 watched")
        if mode in COUNTED:
            self.assertGreaterEqual(sum(COUNTED[mode] in line for line in said), PAGES,
                                    "\n".join(said[:60]))
        elif "write" in mode or "exec" in mode:
            self._check_accesses(mode, said, text)
        else:
            leaves = {int(m.group(1), 16) for line in said
                      if (m := re.search(r"CPUID executed: .*Insn length: 2 0x([0-9a-f]+)", line))}
            self.assertLessEqual(set(range(0x40000000, 0x40000000 + PAGES)), leaves,
                                 "\n".join(said[:40]))

    def _check_accesses(self, mode, said, text):
        """Without a view a page is watched once; with one, in every round until the monitor ends. The
        first round and the last may have been watched in part, even if all of their accesses were slow:
        a monitor that ends takes its time, too, while the guest is in a round."""
        first = int(re.search(r"gfn ([0-9a-f]+) \+ 10", text).group(1), 16)
        wanted = "rw-" if "write" in mode else "--x"
        seen = {int(m.group(2), 16): int(m.group(1)) for line in said
                if (m := re.fullmatch(rf"accesses (\d+) {wanted} ([0-9a-f]+)", line))}
        rounds = len(re.findall(r"round \d+: 16 of 16 watched", text))
        least, most = (1, 1) if "altp2m" not in mode else (max(rounds - 1, 1), rounds + 2)
        for gfn in range(first, first + PAGES):
            self.assertTrue(least <= seen.get(gfn, 0) <= most,
                            f"gfn {gfn:x}, {least} to {most} times in:\n" + "\n".join(said))
