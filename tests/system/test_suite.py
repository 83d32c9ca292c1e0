# SPDX-License-Identifier: MIT
"""The test runner itself: it must not believe a guest or a program that says too little."""

import shutil
from dataclasses import replace

from harness import FacetTest
from runner import Ending, Error, bugs, machines, packages
from runner.guests import GUEST_DIR, Place, judge, parse_manifest
from runner.hosttests import parse_tap
from runner.results import Case
from runner.suite import status


class JudgeTest(FacetTest):
    """From a guest's lines to outcomes."""

    weight = 0.1

    def outcomes(self, texts, how="powered off", line="g"):
        """{case name: outcome} of a guest that printed `texts` and ended so."""
        guest, = parse_manifest(line)
        ending = Ending(1, "g", how) if how else None
        return {case.name: case.outcome for case in judge(guest, texts, ending)}

    def test_good_guest(self):
        """All four outcomes, counted by END."""
        texts = ["TEST g.a: pass", "noise", "TEST g.b: skip VMFUNC", "TEST g.c: error x",
                 "TEST g.d: fail line 3: y", "END g: 1 passed, 1 skipped, 1 errors, 1 failed"]
        self.assertEqual(self.outcomes(texts), {
            "guest/g/a": "pass", "guest/g/b": "skip", "guest/g/c": "error", "guest/g/d": "fail"})

    def test_guests_that_say_too_little(self):
        """Each of these is a failure of the guest as a whole."""
        good = ["TEST g.a: pass", "END g: 1 passed, 0 skipped, 0 errors, 0 failed"]
        for texts, how in (([], "powered off"), (good[:1], "powered off"), (good, None),
                           (good, "crashed: triple fault"), (good, "rebooted"),
                           (good[1:], "powered off"),
                           (["TEST g.a: pass", "TEST g.b: pass", good[1]], "powered off"),
                           (["TEST g.a: passed", good[1]], "powered off")):
            with self.subTest(texts=texts, how=how):
                self.assertEqual(self.outcomes(texts, how).get("guest/g"), "fail")

    def test_guest_that_is_to_crash(self):
        """end=crash: a crash passes, anything else fails."""
        texts = ["TEST g.a: pass"]
        self.assertEqual(self.outcomes(texts, "crashed: x", "g end=crash"), {"guest/g/a": "pass"})
        self.assertEqual(self.outcomes(texts, "powered off", "g end=crash").get("guest/g"), "fail")

    def test_guest_that_may_end_as_it_likes(self):
        """end=any: any end passes, none fails."""
        self.assertEqual(self.outcomes([], "crashed: x", "g end=any"), {"guest/g/ended": "pass"})
        self.assertEqual(self.outcomes([], None, "g end=any").get("guest/g"), "fail")

    def test_manifest(self):
        """Comments, defaults, a command line with blanks and equal signs; errors have a line."""
        first, second = parse_manifest("# no\n\na elf=b memory=8\nc cmdline=x=1 memory=9\n")
        self.assertEqual((first.settings["elf"], first.settings["memory"]), ("b", "8"))
        self.assertEqual((second.settings["cmdline"], second.settings["memory"]),
                         ("x=1 memory=9", "16"))
        for line, words in (("colour=red", "not understood: colour=red"), ("end=well", "end must be one of"),
                            ("console=serial", "on a machine of its own"), ("alone=192 console=loud", "can be serial")):
            with self.subTest(line), self.assertRaisesRegex(Error, f"manifest:2: .*{words}"):
                parse_manifest(f"a\nb {line}")

    def excused(self, known, *outcomes):
        """What becomes of a guest's cases a, b, ... where an emulator is known to be wrong."""
        guest = replace(parse_manifest("g")[0], place=Place(machines.find("amd")))
        cases = [Case(f"guest@amd/g/{name}", outcome, "seen") for name, outcome in zip("abc", outcomes)]
        return [(case.name, case.outcome, case.text) for case in bugs.excuse(guest, cases, known)]

    def test_emulator_bugs(self):
        """A failure that is listed is a skip with the reason, on that machine and in that guest only; a
        pass says that the line can go, and a line for no test is an error."""
        known = bugs.parse("# no\n\namd g/a  no such trap\namd g/b x\namd h/c x\nryzen g/c x", ["amd", "ryzen"])
        self.assertEqual(self.excused(known, "fail", "pass", "fail"), [
            ("guest@amd/g/a", "skip", "no such trap (seen)"),
            ("guest@amd/g/b", "pass", "passes, its line in tests/guest/emulators can go: x"),
            ("guest@amd/g/c", "fail", "seen")])
        self.assertEqual(self.excused(known, "skip"), [
            ("guest@amd/g/a", "skip", "seen"),
            ("guest@amd/g/b", "error", "tests/guest/emulators has it, the guest has not")])

    def test_emulator_bugs_of_a_guest_that_broke(self):
        """What it did not get to is not asked for, and that it broke is never excused."""
        guest = replace(parse_manifest("g")[0], place=Place(machines.find("amd")))
        cases = [Case("guest@amd/g/a", "pass"), Case("guest@amd/g", "fail", "crashed")]
        self.assertEqual(bugs.excuse(guest, cases, {("amd", "g/b"): "x"}), cases)

    def test_emulator_list(self):
        """Errors have a line, and the list that there is names tests of the manifest."""
        for line, words in (("amd g/a", "wanted: MACHINE"), ("amd g reason", "wanted: MACHINE"),
                            ("z80 g/a reason", "unknown machine 'z80'"), ("amd g/b again", "g/b is there twice")):
            with self.subTest(line), self.assertRaisesRegex(Error, f"emulators:2: .*{words}"):
                bugs.parse(f"amd g/b reason\n{line}", ["amd"])
        names = {guest.name for guest in parse_manifest((GUEST_DIR / "manifest").read_text(encoding="utf-8"))}
        known = bugs.load([machine.name for machine in machines.MACHINES])
        self.assertEqual({name.partition("/")[0] for _, name in known} - names, set())

    def test_tap(self):
        """As cmocka prints it."""
        text = "1..3\nok 1 - a\nnot ok 2 - b\n# 1 != 2\nnot ok 3 # SKIP c\n# not ok - group\n"
        self.assertEqual(parse_tap(text, "unit"), [
            Case("unit/a", "pass"), Case("unit/b", "fail", "1 != 2"), Case("unit/c", "skip")])

    def test_filter_shows_what_broke_above(self):
        """A guest or target that broke as a whole is shown to who asked for one of its tests."""
        for outcome, text, wanted in (("fail", "guest/x/", True), ("fail", "guest/x/a", True),
                                      ("error", "guest/x/a", True), ("pass", "guest/x/a", False),
                                      ("fail", "guest/xy/a", False), ("fail", "guest/x", True)):
            with self.subTest(outcome=outcome, text=text):
                self.assertEqual(Case("guest/x", outcome).matches(text), wanted)

    def test_filter_shows_a_job_that_broke(self):
        """A job that breaks as a whole is shown, whatever the filter wants of its tests."""
        import queue
        import threading
        from runner.results import Job
        from runner.suite import Report, _work

        def breaks(_add, _cancel):
            raise Error("no image")
        jobs, report = queue.Queue(), Report("guest/a")
        jobs.put((1, Job("guests a, b", breaks)))
        _work(jobs, report, threading.Event(), 1)
        self.assertEqual([(case.outcome, case.text) for case in report.cases],
                         [("error", "no image")])

    def test_status(self):
        """Failures, errors and an empty run do not count as success."""
        for outcomes, wanted in ((["pass"], 0), (["pass", "skip"], 0), (["pass", "fail"], 1),
                                 (["pass", "error"], 1), (["skip"], 1), ([], 1)):
            cases = [Case(f"x/{i}", outcome) for i, outcome in enumerate(outcomes)]
            with self.subTest(outcomes):
                self.assertEqual(status(cases), wanted)


class UsageTest(FacetTest):
    """What is wrong with a test run's options is said before anything is built."""

    weight = 2.0

    def test_options(self):
        """A line, status 2, and no build."""
        new = self.dir / "new.xml"
        for arguments, wanted in (
                (("--filter", "frobnicated_zebra"), "no test has 'frobnicated_zebra' in its name"),
                (("--filter", "guest/frobnicated"), "no test has"),
                (("--filter", "system/suite/zebra"), "no test has"),
                (("--jobs", "0"), "--jobs"), (("--jobs", "-1"), "--jobs"),
                (("--jobs", "soon"), "--jobs"), (("--shuffle", "x"), "--shuffle"),
                (("--junit", "/nonexistent/x"), "/nonexistent/x cannot be written"),
                (("--junit", "/dev/full"), "/dev/full is not a file"),
                (("--junit", self.dir), "is not a file"),
                (("--junit", new, "--filter", "frobnicated_zebra"), "no test has"),
                (("zebra",), "zebra")):
            with self.subTest(arguments):
                done = self.facet("test", *arguments)
                self.assertEqual((done.status, done.out), (2, ""), done.err)
                self.assertIn(wanted, done.err)
                self.assertNotIn("building", done.err)
                self.assertNotIn("Traceback", done.err)
        self.assertFalse(new.exists())

    def test_machine_without_make(self):
        """The tests are looked for before what they need is installed: all that may be there are found."""
        (self.dir / "bin").mkdir()
        for name in ("env", "sh", "dirname", "python3"):
            (self.dir / "bin" / name).symlink_to(shutil.which(name))
        done = self.facet("test", "--list", env={"PATH": str(self.dir / "bin")})
        self.assertEqual((done.status, done.err), (0, ""))
        for name in ("unit/...", "system/suite/tap", "guest/hello/..."):
            self.assertIn(name, done.lines)

    def test_filter_runs_what_it_names(self):
        """A name with its group in front is of no other group's test."""
        from runner.suite import find_jobs
        for text, wanted in (("guest/hello", "guests"), ("guest/hello/", "guests"), ("guest@amd/hello", "guests@amd"),
                             ("guest@*4/smp", "guests@*4"), ("prove/", "prove"),
                             ("unit/", "unit"), ("fuzz-smoke/", "fuzz-smoke"), ("system/suite/tap", "system/")):
            with self.subTest(text):
                found = [job.name for job in find_jobs(text)]
                self.assertEqual([name for name in found if not name.startswith(wanted)], [])

    def test_shuffle(self):
        """The same order for the same seed; all of the jobs."""
        from runner.suite import find_jobs
        orders = [[job.name for job in find_jobs("system/", seed)] for seed in (1, 1, 2, None)]
        self.assertEqual(orders[0], orders[1])
        self.assertNotEqual(orders[0], orders[2])
        self.assertEqual(sorted(orders[0]), sorted(orders[3]))

    def test_host_test_that_leaves_a_child(self):
        """make is killed, or the run is over: what make started does not hold up the report."""
        import os
        import subprocess
        import threading
        from runner.hosttests import _end_group
        for patience, over in ((0.5, False), (3600, True)):
            with self.subTest(patience):
                cancel = threading.Event()
                process = subprocess.Popen(  # pylint: disable=consider-using-with
                    ["sh", "-c", "sleep 3600 & wait" if not over else "sleep 3600 &"],
                    stdout=subprocess.PIPE, start_new_session=True)
                waiter = threading.Thread(target=_end_group, args=(process, cancel, patience))
                waiter.start()
                self.assertEqual(process.communicate()[0], b"")
                waiter.join()
                self.assertFalse(os.path.exists(f"/proc/{process.pid}"))


class SetupTest(FacetTest):
    """Packages."""

    weight = 1.0

    def test_without_root(self):
        """Missing packages and no root: the line to type, and status 2."""
        import os
        from unittest import mock
        with mock.patch.object(packages, "_installed", return_value={"gcc", "bochs-x"}), \
                mock.patch.object(os, "geteuid", return_value=1000), \
                self.assertRaisesRegex(Error, "as root, run:\n  apt-get install .* make .* bochs "):
            packages.require("run")
        with mock.patch.object(packages, "_installed", return_value={"bochs-x"}):
            names = [name for name, _ in packages.missing("run")]
        self.assertNotIn("bochs-term", names)
        self.assertIn("gcc", names)

    def test_nothing_missing(self):
        """What this very run needed is there."""
        done = self.facet("setup", "--for", "test")
        self.assertEqual(done.status, 0, done.err)
        self.assertIn("are there", done.err)
