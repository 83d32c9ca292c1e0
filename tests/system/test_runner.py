# SPDX-License-Identifier: MIT
"""The runner itself, with a stand-in for the hypervisor: what it streams, how it ends."""

import os
import pty
import select
import shutil
import signal
import subprocess
import time

import runner
from harness import GOODBYE, LIMIT, PATIENCE, TICKS, FacetTest


class RunnerTest(FacetTest):
    """`facet run` around a machine whose every word is known."""

    def run_standin(self, text, end="OFF", *more):
        """Runs a stand-in hypervisor to its end."""
        return self.facet("run", "--hypervisor", self.standin(text, end), *more, self.any_config())

    def any_config(self):
        """The stand-in ignores its domains, but the runner wants one."""
        return self.config("a.cfg", kernel=self.guest())

    def start_halted(self):
        """Starts a machine that says a line and halts. Returns (process, its descendants)."""
        process = self.start("run", "--hypervisor", self.standin("(facet) up\n", "HALT"),
                             self.any_config())
        self.assertEqual(process.stdout.readline(), "(facet) up\n")
        children = self.children(process.pid)
        self.assertIn("bochs-bin", children.values())
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
        self.assertIn("PANIC", done.err)

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
            done = self.facet("run", *LIMIT, "--hypervisor", self.standin("(d1) ", "RANDOM"),
                              self.any_config(), env=dict(os.environ, FACET_SEED=seed))
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
        self.assertTrue(os.path.exists(directory + "/facet.iso"))
        self.addCleanup(os.rmdir, directory)
        for name in os.listdir(directory):
            self.addCleanup(os.unlink, f"{directory}/{name}")
        result = runner.boot([self.any_config()],
                             hypervisor=self.standin(GOODBYE.format(1, 0, 0)))
        self.assertEqual((result.status, result.directory), (0, None))

    def test_callback_stops(self):
        """The API's callback sees each line and can end the run."""
        seen = []

        def on_line(line):
            seen.append(str(line))
            raise runner.Stop(7, "enough")

        result = runner.boot([self.any_config()], ticks=TICKS, on_line=on_line,
                             hypervisor=self.standin("(d3) x\n", "HALT"))
        self.assertEqual((result.status, result.reason, seen), (7, "enough", ["(d3) x"]))

    def test_interactive_echo(self):
        """Bytes go raw both ways between the terminal and COM2; the terminal is restored."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        before = self.settings(slave)
        process = self.start("run", "--interactive", "--hypervisor",
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

    def test_image_boots(self):
        """`facet image` writes a file, and its list of domains is the one given."""
        image = self.dir / "x.iso"
        done = self.facet("image", "-o", image, "--hypervisor", self.standin("x"),
                          self.any_config())
        self.assertEqual(done.status, 0, done.err)
        self.assertGreater(image.stat().st_size, 100_000)

    def test_image_beside_grub_of_other_platforms(self):
        """A host that starts by UEFI has GRUB for that too, without some of our modules."""
        platforms = self.dir / "grub"
        shutil.copytree("/usr/lib/grub/i386-pc", platforms / "i386-pc")
        for other in ("x86_64-efi", "i386-efi", "x86_64-xen"):
            shutil.copytree("/usr/lib/grub/i386-pc", platforms / other)
            (platforms / other / "biosdisk.mod").unlink()
        mounted = self.namespace(f"mount --bind {platforms} /usr/lib/grub")
        image = self.dir / "x.iso"
        done = subprocess.run(
            [*mounted, runner.ROOT / "facet", "image", "-o", image, "--hypervisor",
             self.standin("x"), self.any_config()], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreater(image.stat().st_size, 100_000)


class UsageTest(FacetTest):
    """Wrong options: status 2 and words that help, before anything is started."""

    def assert_refused(self, *arguments, wanted):
        """The command is refused with `wanted` in its message."""
        done = self.facet(*arguments)
        self.assertEqual(done.status, 2, done.err)
        self.assertIn(wanted, done.err)

    def test_unknown_machine(self):
        """The models that exist are listed."""
        config = self.config("a.cfg", kernel=self.guest())
        self.assert_refused("run", "--machine", "z80", config, wanted="corei7_skylake_x")

    def test_wrong_options(self):
        """Each is named."""
        for arguments, wanted in (
                ((), "COMMAND"),
                (("fly",), "fly"),
                (("run",), "CONFIG"),
                (("run", "--timeout", "0", "x"), "--timeout"),
                (("run", "--timeout", "soon", "x"), "--timeout"),
                (("run", "--memory", "-1", "x"), "--memory"),
                (("run", "--frobnicate", "x"), "--frobnicate"),
                (("image", "x"), "--output"),
                (("setup", "--for", "fun"), "--for"),
                (("run", "/nonexistent.cfg"), "/nonexistent.cfg: cannot read")):
            with self.subTest(arguments):
                self.assert_refused(*arguments, wanted=wanted)

    def test_help(self):
        """Every command explains itself."""
        for command in ("", "setup", "build", "run", "image", "test"):
            with self.subTest(command):
                done = self.facet(*[command] if command else [], "--help")
                self.assertEqual((done.status, done.err), (0, ""))
                self.assertIn("usage: facet", done.out)

    def test_too_small_machine(self):
        """Domains that do not fit are refused, with the sum."""
        config = self.config("a.cfg", kernel=self.guest(), memory=900)
        self.assert_refused("run", "--memory", "512", "--hypervisor", self.standin(""), config,
                            wanted="the domains need 909 MiB together")

    def test_too_large_for_computer(self):
        """More than this computer has is refused before the emulator tries."""
        config = self.config("a.cfg", kernel=self.guest(), memory=1 << 20)
        self.assert_refused("run", "--hypervisor", self.standin(""), config,
                            wanted="MiB together")
