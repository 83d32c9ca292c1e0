# SPDX-License-Identifier: MIT
"""What `facet run` promises of every machine, with a stand-in for the hypervisor whose every word is known:
what it streams, how it ends, what it leaves. test_runner.py has it of Bochs, test_qemu.py of QEMU."""

import os
import pty
import select
import shutil
import signal
import time
from unittest import mock

import runner
from harness import GOODBYE, LIMIT, PATIENCE, TICKS


class Contract:
    """For a subclass of FacetTest."""

    machine = runner.machines.DEFAULT
    program = "bochs-bin"  # the emulator's process
    kept = ("facet.disk", "bochsrc", "bochs.log")  # some of what --keep keeps
    resolution = 0  # what two equal runs may differ by in ticks
    reset = "PANIC"  # in what is said of a machine that resets itself

    def run_standin(self, text, end="OFF", *more):
        """Runs a stand-in hypervisor to its end."""
        return self.facet("run", "--machine", self.machine, "--hypervisor", self.standin(text, end), *more,
                          self.any_config())

    def any_config(self):
        """The stand-in ignores its domains, but the runner wants one."""
        return self.config("a.cfg", kernel=self.guest())

    def start_halted(self):
        """Starts a machine that says a line and halts. Returns (process, its descendants)."""
        process = self.start("run", "--machine", self.machine, "--hypervisor",
                             self.standin("(facet) up\n", "HALT"), self.any_config())
        self.assertEqual(process.stdout.readline(), "(facet) up\n")
        children = self.children(process.pid)
        self.assertIn(self.program[:15], children.values())
        return process, children

    def test_streams_lines_and_succeeds(self):
        """Only lines of a domain or the hypervisor are shown, in order."""
        text = "noise\n(facet) one\n(d1) two\n(d12) three\n(e1) noise\n" + GOODBYE.format(1, 0, 0)
        done = self.run_standin(text)
        self.assertEqual(done.lines, ["(facet) one", "(d1) two", "(d12) three",
                                      GOODBYE.format(1, 0, 0).rstrip()])
        self.assertEqual((done.status, done.err), (0, ""))

    def test_hides_control_characters(self):
        """A guest must not be able to drive the user's terminal."""
        done = self.run_standin("(d1) \x1b[2J\ttab\x07\r\n" + GOODBYE.format(1, 0, 0))
        self.assertEqual(done.lines[0], "(d1) \\x1b[2J\ttab\\x07")

    def test_crash_is_1(self):
        """One crashed domain makes the run fail, though others powered off."""
        done = self.run_standin("(facet) d1 a: crashed: triple fault\n" + GOODBYE.format(2, 0, 1))
        self.assertEqual(done.status, 1)

    def test_reboot_is_0(self):
        """A domain that rebooted for good ended well."""
        self.assertEqual(self.run_standin(GOODBYE.format(0, 1, 0)).status, 0)

    def test_fatal_is_1(self):
        """A fatal error is named, and a machine that then halts is switched off."""
        done = self.run_standin("(facet) fatal: no VT-x\n", "HALT", *LIMIT)
        self.assertEqual(done.status, 1)
        self.assertIn("fatal: no VT-x", done.err)

    def test_dead_machine_is_1(self):
        """A triple fault of the hypervisor ends the run with the emulator's words."""
        done = self.run_standin("(facet) up\n", "TRIPLE", *LIMIT)
        self.assertEqual(done.status, 1)
        self.assertIn("the emulator stopped", done.err)
        self.assertIn(self.reset, done.err)

    def test_early_power_off_is_1(self):
        """A machine that goes off without saying goodbye has failed."""
        done = self.run_standin("(facet) up\n")
        self.assertEqual(done.status, 1)
        self.assertIn("switched off before", done.err)

    def test_timeout_is_124(self):
        """The run ends at its time limit, with nothing left behind."""
        done = self.run_standin("(facet) up\n", "HALT", "--timeout", "3")
        self.assertEqual(done.status, 124)
        self.assertIn(done.lines, ([], ["(facet) up"]))  # how far it came is the computer's affair
        self.assertIn("timed out after 3 s", done.err)

    def test_limit_of_instructions_is_124(self):
        """The run ends there, however fast the computer is."""
        done = self.run_standin("(facet) up\n", "HALT", "--ticks", "1000")
        self.assertEqual((done.status, done.lines), (124, []))
        self.assertIn("stopped at its limit of instructions", done.err)

    def test_same_seed_same_run(self):
        """With FACET_SEED a machine takes neither time nor random numbers from the computer."""
        said = []
        for seed in "1", "1", "2":
            if len(said) == 1:
                time.sleep(1.1)  # the clock that is not to be seen goes on
            done = self.facet("run", *LIMIT, "--machine", self.machine, "--hypervisor",
                              self.standin("(d1) ", "RANDOM"), self.any_config(),
                              env=dict(os.environ, FACET_SEED=seed))
            said += done.lines
        self.assertEqual(len(said), 3)
        self.assertEqual(said[0], said[1])
        self.assertNotEqual(said[0][:13], said[2][:13])
        self.assertEqual(said[0][13:], said[2][13:])

    def test_ctrl_c_leaves_nothing(self):
        """SIGINT, which Ctrl-C sends, ends runner and emulator."""
        process, children = self.start_halted()
        process.send_signal(signal.SIGINT)
        self.finish(process)
        self.assertEqual(process.returncode, 130)
        self.assert_gone(children)

    def test_sigterm_leaves_nothing(self):
        """SIGTERM ends runner and emulator."""
        process, children = self.start_halted()
        process.terminate()
        self.finish(process)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assert_gone(children)

    def test_sigkill_leaves_nothing(self):
        """Even a runner that is killed takes the emulator with it."""
        process, children = self.start_halted()
        process.kill()
        process.wait()
        self.assert_gone(children)

    def test_runs_in_parallel(self):
        """Two machines at the same time do not disturb each other."""
        first, _ = self.start_halted()
        done = self.run_standin(GOODBYE.format(1, 0, 0))
        self.assertEqual(done.status, 0)
        self.assertIsNone(first.poll())

    def test_leaves_no_files(self):
        """A run's directory goes with the run; --keep keeps it."""
        keep = self.run_standin(GOODBYE.format(1, 0, 0), "OFF", "--keep")
        directory = keep.err.rsplit(" ", 1)[-1].strip()
        self.addCleanup(shutil.rmtree, directory)
        self.assertEqual(set(self.kept) - set(os.listdir(directory)), set())
        result = runner.boot([self.any_config()], machine=self.machine,
                             hypervisor=self.standin(GOODBYE.format(1, 0, 0)))
        self.assertEqual((result.status, result.directory), (0, None))

    def test_callback_stops(self):
        """The API's callback sees each line and can end the run."""
        seen = []

        def on_line(line):
            seen.append(str(line))
            raise runner.Stop(7, "enough")

        result = runner.boot([self.any_config()], ticks=TICKS, on_line=on_line, machine=self.machine,
                             hypervisor=self.standin("(d3) x\n", "HALT"))
        self.assertEqual((result.status, result.reason, seen), (7, "enough", ["(d3) x"]))

    def test_interactive_echo(self):
        """Bytes go raw both ways between the terminal and COM2; the terminal is restored."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        before = self.settings(slave)
        process = self.start("run", "--interactive", "--machine", self.machine, "--hypervisor",
                             self.standin("(facet) up\n", "ECHO"), self.any_config(),
                             stdin=slave, stdout=slave)
        self.expect(master, b"(facet) up\r\n")
        self.assertNotEqual(self.settings(slave), before)
        os.write(master, b"a\x03\x1bz")
        self.expect(master, b"a\x03\x1bz")
        os.write(master, b"\x1d")
        self.finish(process)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(self.settings(slave), before)

    def test_typed_ahead(self):
        """What is typed before the machine is up is not lost: it comes with what is typed next."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        os.write(master, b"ab")
        self.expect(master, b"ab")  # the terminal's own echo: it has them
        process = self.start("run", "--interactive", "--machine", self.machine, "--hypervisor",
                             self.standin("(facet) up\n", "ECHO"), self.any_config(), stdin=slave, stdout=slave)
        self.expect(master, b"(facet) up\r\n")
        os.write(master, b"c")
        self.expect(master, b"abc")
        os.write(master, b"\x1d")
        self.finish(process)

    @staticmethod
    def settings(terminal):
        """A terminal's settings."""
        import termios
        return termios.tcgetattr(terminal)

    def expect(self, master, wanted):
        """Reads from a terminal until `wanted` has come."""
        got, deadline = b"", time.monotonic() + PATIENCE
        while wanted not in got:
            ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
            self.assertTrue(ready, f"waited for {wanted!r}, got {got!r}")
            got += os.read(master, 4096)

    def test_same_number_of_instructions(self):
        """With a seed a run takes the same ticks each time, and is cut at the same word by a limit."""
        def boot(end, ticks):
            return runner.boot([self.any_config()], machine=self.machine, ticks=ticks,
                               hypervisor=self.standin("(d1) begins\n", end))
        with mock.patch.dict(os.environ, FACET_SEED="1"):
            whole = boot("OFF", TICKS)
            self.assertGreater(whole.ticks, 1_000_000)
            self.assertTrue(whole.powered_off)
            self.assertAlmostEqual(boot("OFF", TICKS).ticks, whole.ticks, delta=self.resolution)
            cut = [boot("TALK", whole.ticks + 10_000_000) for _ in range(2)]
        self.assertEqual([result.status for result in cut], [124, 124])
        self.assertGreater(len(cut[0].lines), 10)
        self.assertEqual(len(cut[0].lines), len(cut[1].lines))
        self.assertEqual(cut[0].ticks, cut[1].ticks)

    def test_processors(self):
        """A machine has as many as were asked for, and they start."""
        done = self.run_standin("(d1) ", "COUNT", "--processors", "4", *LIMIT)
        self.assertEqual(done.lines, ["(d1) 00000004"])

    def test_serial_console(self):
        """Without a debug port the serial port is the console; what is written to the port is lost."""
        done = self.run_standin("(d1) lost\n", "SERIAL", "--serial", *LIMIT)
        self.assertEqual(done.lines, ["(d1) by COM1"])
