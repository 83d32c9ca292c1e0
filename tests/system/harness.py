# SPDX-License-Identifier: MIT
"""What the system tests share. A test is a method test_* of a subclass of FacetTest.

    self.dir                          a directory of the test's own, removed afterwards
    self.write("a.cfg", text)         a file in it; returns its path
    self.config("a.cfg", kernel=...)  a configuration file; name, type and memory have defaults
    self.facet("run", path)           runs ./facet to its end; gives .status .out .err .seconds
    self.start("run", path)           starts it; gives a subprocess.Popen, killed at the end
    self.standin(text, end)           a stand-in for the hypervisor: prints text, then ends
    self.guest(text, end)             a PVH guest: prints text, then ends
    self.children(pid)                pids of all descendants of a process
    self.namespace("mount ...")       a prefix for a command that is to run beside mounts of its own

`weight` is the test's rough time in seconds: long tests are started first.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from dataclasses import dataclass

import runner

HERE = pathlib.Path(__file__).resolve().parent
GOODBYE = "(facet) all domains ended: {} powered off, {} rebooted, {} crashed\n"
# What a machine may execute: several times what any test needs. A limit in seconds would be one on how
# fast the computer is.
TICKS = 20_000_000_000
LIMIT = ("--ticks", str(TICKS))
# The last resort, against what sleeps forever.
PATIENCE = 7200


@dataclass(frozen=True)
class Done:
    """A finished command."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self):
        """Lines of standard output."""
        return self.out.splitlines()


def quoted_steps(text, kind, prompt):
    """[(command, [lines below it])] of a document's blocks ```KIND; commands follow `prompt`."""
    found = []
    for block in re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith(prompt):
                found.append((line[len(prompt):], []))
            else:
                found[-1][1].append(line)
    return found


class FacetTest(unittest.TestCase):
    """See the module's text."""

    weight = 5.0
    cancel = None  # set by the suite: a threading.Event
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="facet-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, content):
        """Writes a file in the test's directory."""
        path = self.dir / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def config(self, file, **settings):
        """Writes a configuration file."""
        settings = {"name": pathlib.Path(file).stem, "memory": 16, **settings}
        return self.write(file, runner.config(**settings))

    def start(self, *arguments, **options):
        """Starts ./facet in a session of its own, so that signals reach it alone.

        Who runs the tests in the background may ignore SIGINT; ./facet must not inherit that.
        """
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, "text": True, "errors": "replace",
                   "start_new_session": True, **options}
        process = subprocess.Popen(["env", "--default-signal=INT", runner.ROOT / "facet",
                                    *map(str, arguments)], **options)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def facet(self, *arguments, **options):
        """Runs ./facet to its end."""
        started = time.monotonic()
        process = self.start(*arguments, **options)
        out, err = self.finish(process)
        return Done(process.returncode, out, err, time.monotonic() - started)

    def finish(self, process):
        """Waits for a started command and returns its (stdout, stderr)."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process, over))
        watcher.start()
        try:
            return process.communicate()
        finally:
            over.set()
            watcher.join()

    def _watch(self, process, over):
        """Ends a command that hangs, or that nobody wants any more."""
        deadline = time.monotonic() + PATIENCE
        while not over.wait(0.2):
            if time.monotonic() > deadline or (self.cancel and self.cancel.is_set()):
                process.terminate()
                return

    def namespace(self, *commands):
        """A prefix that gives a command mounts of its own, which the shell commands make; each must succeed."""
        for unshare in (["unshare", "-m"], ["unshare", "-r", "-m"]):
            done = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", self.dir], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False)
            if done.returncode == 0:
                return [*unshare, "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]
        return self.skipTest("mounts of one's own (unshare -m)")

    def assert_gone(self, pids):
        """None of the processes lives any more, or will in a moment; who is to bury them may be slow."""
        deadline = time.monotonic() + PATIENCE
        while any(self._alive(pid) for pid in pids):
            self.assertLess(time.monotonic(), deadline, "left behind: " + str(pids))
            time.sleep(0.05)

    @staticmethod
    def _alive(pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return text.rpartition(")")[2].split()[0] not in "ZX"

    def tool(self, name, *arguments, **options):
        """Runs one of the tools that make builds, such as facet-config."""
        done = subprocess.run([runner.build_dir() / name, *map(str, arguments)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                              timeout=PATIENCE, **options)
        return Done(done.returncode, done.stdout, done.stderr, 0.0)

    def _assemble(self, source, output, text, *defines):
        text_file = self.write(f"{output}.txt", text.encode())
        path = self.dir / output
        subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none",
                        "-Wl,-Ttext-segment=0x100000", "-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack",
                        f'-DTEXT="{text_file}"', *(f"-D{d}" for d in defines), "-o", path,
                        HERE / source], check=True)
        return path

    def standin(self, text, end="OFF"):
        """A multiboot kernel that writes `text` to port 0xE9, then ends.

        OFF: the machine powers off. HALT: it halts. TRIPLE: the processor shuts down after a
        triple fault. ECHO: what comes in at COM2 is sent back, `q` powers off. RANDOM: it writes a random
        number and what its clock says, and powers off. COUNT, CPU: how many processors start, what CPUID
        says. TALK: a line now and then, without end. SERIAL: it writes to COM1, too, and powers off.
        """
        return self._assemble("standin.S", f"standin-{end.lower()}.elf", text, f"END_{end}")

    def guest(self, text="", end="OFF", name="guest"):
        """A PVH guest that writes `text` to port 0xE9, then ends.

        OFF, REBOOT, CRASH, WATCHDOG: SCHEDOP_shutdown with that reason. SPIN: it loops forever.
        TRIPLE: it takes a triple fault. STORE, YIELD, IDLE: it asks for xenstore's channel, then notifies it, only yields,
        or blocks, for ever.
        """
        return self._assemble("payload.S", f"{name}-{end.lower()}.elf", text, f"END_{end}")

    @staticmethod
    def children(pid):
        """All descendants of a process, as {pid: command name}."""
        table = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], stdout=subprocess.PIPE,
                               text=True, check=True).stdout
        rows = [line.split(None, 2) for line in table.splitlines()]
        found, grown = {pid: ""}, True
        while grown:
            more = {int(p): name for p, parent, name in rows
                    if int(parent) in found and int(p) not in found}
            found.update(more)
            grown = bool(more)
        del found[pid]
        return found
