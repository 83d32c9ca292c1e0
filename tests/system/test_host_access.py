# SPDX-License-Identifier: MIT
"""Debian's xen-access in the hardware domain, on guests that xl made: what each of its modes gives, beside what was recorded."""

import re
import subprocess
import sys

import runner
from harness import HERE, TICKS, FacetTest
from runner import machines
from xenaccess import MODES, VIEW_MODES, WATCH, check, said

sys.path.insert(0, str(runner.ROOT / "demo"))

import host_demo  # noqa: E402  pylint: disable=wrong-import-position

RECORDED = runner.ROOT / "tests" / "recorded" / "xen-access.txt"
# What the target does. The last two: executed pages, as in the mode that it is made of; and a mode of ARM's, which it does not take here.
WHAT = {**MODES, **VIEW_MODES, "altp2m_write_no_gpt": "exec", "privcall": "write"}
TARGET = "name = 'target'\ntype = 'pvh'\nkernel = '/target.elf'\nmemory = 16\naltp2m = 'external'\n"


def recorded(machine):
    """[(options and mode, result)] of what is asked on that machine."""
    rows = {}
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        if " | " in line:
            mode, _, result = line.partition(" | ")
            mode, _, at = mode.partition("@")
            if at in ("", machine):
                rows[mode] = result
    return [(row, result) for row, result in rows.items() if not result.startswith("-")]


class HostAccessTest(FacetTest):
    """The table of docs/xl.md."""

    weight = 200.0

    def _run(self, rows, machine):
        absent = host_demo.missing()
        if absent:
            self.skipTest(f"{', '.join(absent)} (packages: ./facet setup --for host)")
        script = WATCH
        for row, _ in rows:
            option, mode = row.split()[-2::-1], row.split()[-1]
            preload, seconds = ("/usr/lib/gpfn.so", 1) if mode.startswith("altp2m") else ("", 0.5)
            script += (f"""preload={preload}\nxl create -q /target.cfg 'name="{mode}"' 'cmdline="what={WHAT[mode]} rounds=1"'\n"""
                       f'id=$(xl domid {mode}); echo "ROW {row} | $id"\n'
                       f'watch $id {mode} {seconds} {" ".join(option)}\nxl destroy {mode} 2>/dev/null\n')
        library = self.dir / "gpfn.so"
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, HERE / "gpfn.c"], check=True)
        files = {"usr/lib/gpfn.so": library, "target.cfg": TARGET.encode(), "target.elf": runner.build_dir() / "guest" / "mon-target.elf"}
        (self.dir / "host").mkdir()
        disk = host_demo.make_disk(self.dir / "host")
        path = host_demo.configuration(runner, self.dir / "host", script, files, hardware=True)[0]
        done = self.facet("run", "--machine", machine.name, "--memory", str(host_demo.MACHINE_MIB), "--disk", disk,
                          "--ticks", str(machine.limit(2 * TICKS)), path)
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        return done

    def _wrong(self, row, result, done):
        """What is not as recorded, in words."""
        mode = row.split()[-1]
        domid = re.search(rf"^\(d0\) ROW {re.escape(row)} \| (\d+)$", done.out, re.M).group(1)
        printed = said(done.lines, "d0", domid)
        if result != "works":
            return "" if result in "\n".join(printed) else f"{row}: not \"{result}\":\n" + "\n".join(printed)
        try:
            check(self, mode, printed, [line for line in done.lines if line.startswith(f"(d{domid}) ")])
        except AssertionError as error:
            return f"{row}: {error}"
        return ""

    def _compare(self, name):
        machine = machines.find(name)
        rows = recorded(machine.name)
        done = self._run(rows, machine)
        wrong = [text for row, result in rows if (text := self._wrong(row, result, done))]
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_modes_on_intel(self):
        """On Bochs."""
        self._compare(machines.DEFAULT)

    def test_modes_on_amd(self):
        """On QEMU."""
        self._compare("amd")
