# SPDX-License-Identifier: MIT
"""A Debian domain with `monitor = 1` runs Debian's own xen-access on small guests, one for each of
its modes. What it prints is compared with what each guest says that it did."""

import runner
from harness import TICKS, FacetTest
from runner import initramfs, machines
from xenaccess import MODES, VIEW_MODES, WATCH, XEN_ACCESS, check, said

CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
insmod /lib/xen-evtchn.ko
""" + WATCH


class XenAccessTest(FacetTest):
    """Xen's own tool, unmodified."""

    weight = 60.0

    def _configs(self, modes):
        kernel = runner.debian_kernel()
        script = SCRIPT
        # Domain ids follow from the order, from 2 on.
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
        for domid, mode in enumerate(modes, 2):
            with self.subTest(mode):
                check(self, mode, said(done.lines, "d1", domid),
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
