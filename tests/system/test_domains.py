# SPDX-License-Identifier: MIT
"""Domains on the real hypervisor: their lines, their ends, and what one does to the others."""

import subprocess

import runner
import runner.packages
from harness import LIMIT, FacetTest

# For what would go on for ever: three times what starting and five crashes need.
SOON = ("--ticks", "2000000000")


class DomainTest(FacetTest):
    """`facet run` with tiny guests."""

    weight = 8.0

    def run_guests(self, *guests, limit=LIMIT, **settings):
        """Runs guests as domains a, b, ...; each is the path of a kernel."""
        settings = {"on_reboot": "destroy", **settings}
        paths = [self.config(f"{chr(ord('a') + i)}.cfg", kernel=guest, **settings)
                 for i, guest in enumerate(guests)]
        return self.facet("run", *limit, *paths)

    def assert_ends(self, done, status, last):
        """The run's status and the hypervisor's last line."""
        self.assertEqual(done.status, status, done.out + done.err)
        self.assertEqual(done.lines[-1], f"(facet) all domains ended: {last}")

    def test_output_and_power_off(self):
        """Port 0xE9 reaches the user line by line; SCHEDOP_shutdown ends the run with 0."""
        done = self.run_guests(self.guest("hello\nworld\n"))
        self.assert_ends(done, 0, "1 powered off, 0 rebooted, 0 crashed")
        self.assertEqual([line for line in done.lines if line.startswith("(d1)")],
                         ["(d1) hello", "(d1) world"])
        self.assertIn("(facet) d1 a: powered off", done.lines)

    def test_line_without_end(self):
        """What a guest wrote last is not lost for want of a newline."""
        done = self.run_guests(self.guest("no newline"))
        self.assertIn("(d1) no newline", done.lines)

    def test_serial_console(self):
        """A machine without the debug port: all of what is said there comes by the serial port, to the last character."""
        text = "hello\n" + "x" * 1500 + "\n\nlast words"
        paths = [self.config(f"{name}.cfg", kernel=self.guest(text)) for name in ("a", "b")]
        done = self.facet("run", *LIMIT, "--serial", *paths)
        self.assert_ends(done, 0, "2 powered off, 0 rebooted, 0 crashed")
        for domid in (1, 2):
            said = [line for line in done.lines if line.startswith(f"(d{domid})")]
            self.assertEqual([line for line in said if "x" not in line],
                             [f"(d{domid}) hello", f"(d{domid}) ", f"(d{domid}) last words"])
            self.assertEqual(sum(line.count("x") for line in said), 1500)

    def test_reboot(self):
        """With on_reboot = "destroy" a reboot is an end, and a good one."""
        done = self.run_guests(self.guest("", "REBOOT"))
        self.assert_ends(done, 0, "0 powered off, 1 rebooted, 0 crashed")

    def test_reported_crash(self):
        """SHUTDOWN_crash."""
        done = self.run_guests(self.guest("", "CRASH"))
        self.assert_ends(done, 1, "0 powered off, 0 rebooted, 1 crashed")

    def test_crash_loop_ends(self):
        """on_crash = "restart": five times, if the domain does nothing but crash."""
        done = self.run_guests(self.guest("up\n", "CRASH"), limit=SOON, on_crash="restart")
        self.assert_ends(done, 1, "0 powered off, 0 rebooted, 1 crashed")
        self.assertEqual(done.lines.count("(d1) up"), 5)
        self.assertEqual(done.lines.count("(facet) d1 a: starts again"), 4)
        self.assertIn("(facet) d1 a: crashed 5 times within a second of its start: "
                      "not started again", done.lines)

    def test_watchdog_has_its_own_action(self):
        """As on Xen: on_watchdog, not on_crash."""
        guest = self.guest("", "WATCHDOG")
        done = self.run_guests(guest, on_watchdog="destroy", on_crash="restart")
        self.assert_ends(done, 1, "0 powered off, 0 rebooted, 1 crashed")
        self.assertIn("(facet) d1 a: crashed: its watchdog expired", done.lines)
        self.assertNotIn("(facet) d1 a: starts again", done.lines)
        done = self.run_guests(guest, limit=SOON, on_watchdog="restart", on_crash="destroy")
        self.assertEqual(done.lines.count("(facet) d1 a: starts again"), 4)

    def waits(self, *guests):
        """What the hypervisor says of domains that wait in vain, until some time has gone by."""
        paths = [self.config(f"{chr(ord('a') + i)}.cfg", kernel=guest) for i, guest in enumerate(guests)]
        done = self.facet("run", "--ticks", "300000000", *paths)
        self.assertEqual(done.status, 124, done.out + done.err)
        return [line for line in done.lines if " waits for " in line]

    def test_waits_for_xenstore(self):
        """A guest that waits for what is not there does not hang in silence: one line each."""
        self.assertEqual(self.waits(self.guest("", "STORE"), self.guest("", "YIELD"), self.guest("", "IDLE")), [
            "(facet) d1 a: waits for xenstore, which is not there",
            "(facet) d3 c: waits for an event, and none can come: xenstore, which it asked for, is not there",
            "(facet) d2 b: waits for xenstore, which is not there"])

    def test_grub_waits_for_xenstore(self):
        """GRUB for PVH looks for its disks there."""
        runner.packages.require("test")
        image = self.dir / "grub.img"
        subprocess.run(["grub-mkimage", "-O", "i386-xen_pvh", "-p", "/", "-o", image, "normal"], check=True)
        self.assertEqual(self.waits(image), ["(facet) d1 a: waits for xenstore, which is not there"])

    def test_triple_fault(self):
        """It ends the domain, not the hypervisor."""
        done = self.run_guests(self.guest("before\n", "TRIPLE"))
        self.assert_ends(done, 1, "0 powered off, 0 rebooted, 1 crashed")
        self.assertIn("(d1) before", done.lines)
        self.assertTrue(any(line.startswith("(facet) d1 a: crashed: ") for line in done.lines))

    def test_crash_spares_the_others(self):
        """Three domains, one crashes: the others run to their ends."""
        done = self.run_guests(self.guest("one\n", name="one"), self.guest("", "TRIPLE"),
                               self.guest("three\n", name="three"))
        self.assert_ends(done, 1, "2 powered off, 0 rebooted, 1 crashed")
        for line in ("(d1) one", "(d3) three", "(facet) d1 a: powered off",
                     "(facet) d3 c: powered off"):
            self.assertIn(line, done.lines)

    def test_spinning_domain_does_not_stop_others(self):
        """Time slices: a domain that never yields, started first, does not starve the second."""
        process = self.start("run", *LIMIT,
                             self.config("a.cfg", kernel=self.guest("", "SPIN")),
                             self.config("b.cfg", kernel=self.guest("alive\n")))
        seen = []
        for line in process.stdout:
            seen.append(line.rstrip("\n"))
            if seen[-1] == "(facet) d2 b: powered off":
                break
        self.assertIn("(d2) alive", seen)
        self.assertIsNone(process.poll())

    def test_spinning_domain_times_out(self):
        """--ticks ends what does not end by itself."""
        done = self.facet("run", "--ticks", "200000000",
                          self.config("a.cfg", kernel=self.guest("up\n", "SPIN")))
        self.assertEqual(done.status, 124, done.out + done.err)
        self.assertIn("(d1) up", done.lines)
        self.assertIn("stopped at its limit of instructions", done.err)

    def test_machine_without_virtualization(self):
        """A processor without VT-x and SVM: a line that names both, and status 1."""
        done = self.facet("run", *LIMIT, "--machine", "athlon64_clawhammer",
                          self.config("a.cfg", kernel=self.guest()))
        self.assertEqual(done.status, 1, done.out + done.err)
        self.assertTrue(any(line.startswith("(facet) fatal: this processor has no VT-x and no SVM")
                            for line in done.lines), done.out)

    def test_segment_outside_of_memory(self):
        """A kernel that wants to be loaded beyond the domain's memory is refused before anything starts."""
        done = self.run_guests(self.guest("ok\n"), memory=1)
        self.assertEqual((done.status, done.lines), (2, []), done.out + done.err)
        self.assertIn("need memory up to", done.err)

    def test_altp2m_trace(self):
        """With altp2m_trace the console has a line for each altp2m call, refused ones too."""
        settings = {"kernel": runner.build_dir() / "guest" / "attack.elf", "altp2m": "mixed",
                    "altp2m_policy": "audited", "cmdline": "policy=audited"}
        quiet = self.facet("run", *LIMIT, self.config("a.cfg", **settings))
        done = self.facet("run", *LIMIT,
                          self.config("b.cfg", altp2m_trace=1, **settings))
        self.assert_ends(done, 0, "1 powered off, 0 rebooted, 0 crashed")
        told = "\n".join(line for line in done.lines if line.startswith("(facet) d1v0 altp2m "))
        self.assertIn("altp2m set_domain_state(state=1) = 0\n", told)
        self.assertIn("altp2m create_p2m(hvmmem_default_access=rwx) = 0 (view=1)\n", told)
        self.assertRegex(told, r"altp2m set_mem_access\(view=0, access=r, gfn=0x[0-9a-f]+\) = -EPERM\n")
        self.assertRegex(told, r"altp2m isolate\(view=1, .*\) = -EPERM\n")
        self.assertNotIn("altp2m ", "".join(line for line in quiet.lines if "(facet)" in line))
