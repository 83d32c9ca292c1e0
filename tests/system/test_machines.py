# SPDX-License-Identifier: MIT
"""The machines: that each is what it is said to be, that Facet starts there or says why not, and how
tests choose among them."""

import pathlib
import shlex
import shutil
import subprocess
from unittest import mock

import runner
from harness import GOODBYE, LIMIT, FacetTest
from runner import guests, machines, packages
from runner.base import Error

ALL = [machine.name for machine in machines.MACHINES]


class MachineTest(FacetTest):
    """Each machine of machines.py."""

    weight = 30.0

    def cpuid(self, machine):
        """What the processor says of itself, as the words of tests/guest/README.md."""
        done = self.facet("run", "--machine", machine.name, *LIMIT, "--hypervisor",
                          self.standin("(d1) ", "CPU"), self.config("a.cfg", kernel=self.guest()))
        text = done.lines[0].split()[1]
        basic, extended_c, extended_d, svm, structured = (int(text[i:i + 8], 16) for i in range(0, 40, 8))
        has = {"vmx"} if basic >> 5 & 1 else set()
        if extended_c >> 2 & 1:
            has |= {"svm"} | ({"npt"} if svm & 1 else set())
        if machine.emulator == "qemu":  # bugs of its processor that are to be left out
            self.assertFalse(extended_d >> 27 & 1, "RDTSCP")
            self.assertFalse(structured >> 20 & 1, "SMAP")
        return has

    def test_processors_are_as_described(self):
        """The vendor's virtualization is there, and the other one's is not."""
        for machine in machines.MACHINES:
            with self.subTest(machine.name):
                self.assertEqual(self.cpuid(machine), machine.has & {"vmx", "svm", "npt"})

    def run_hello(self, machine, processors):
        """A small guest runs and powers off; or there is the one line that says why none can."""
        config = self.config("a.cfg", kernel=runner.build_dir() / "guest" / "hello.elf")
        done = self.facet("run", "--machine", machine.name, "--processors", str(processors), *LIMIT, config)
        if machine.guests:
            self.assertEqual((done.status, done.err), (0, ""))
            self.assertEqual(done.lines[-1] + "\n", GOODBYE.format(1, 0, 0))
            self.assertIn("(d1) TEST hello.greet: pass", done.lines)
            said = [line for line in done.lines if "processor" in line]
            self.assertEqual(said, [f"(facet) processors: {processors} of {processors}"] * (processors > 1))
        else:
            said = [line for line in done.lines if line.startswith("(facet) fatal: this processor")]
            self.assertEqual((done.status, len(said), done.lines[-1:]), (1, 1, said))
            self.assertEqual(done.err, said[0].replace("(facet)", "facet:") + "\n")

    def test_guest_on_each(self):
        """With one processor; the default machine has all other tests, too."""
        for machine in machines.MACHINES[1:]:
            with self.subTest(machine.name):
                self.run_hello(machine, 1)

    def test_guest_beside_others(self):
        """All processors come up; who is said to be there and does not, or has another clock, would be told of."""
        for machine in machines.MACHINES:
            for number in (2, 4):
                with self.subTest(machine.name, processors=number):
                    self.run_hello(machine, number)

    def test_many_processors(self):
        """As many as Facet takes."""
        self.run_hello(machines.find("amd"), 64)

    def test_command_line(self):
        """What the hypervisor's own command line says: fewer processors than there are; or nonsense, which ends it."""
        refused = {"processors=0": "a number from 1 to 64 is wanted, or all", "processors=65": "a number from 1",
                   "processors=": "a number from 1", "processors=2x": "a number from 1",
                   "processor=2": "which is unknown: there is processors="}
        done = self.facet("run", "--keep", "--machine", "amd", "--processors", "4", *LIMIT,
                          self.config("a.cfg", kernel=runner.build_dir() / "guest" / "hello.elf"))
        directory = pathlib.Path(done.err.rsplit(" ", 1)[-1].strip())
        self.addCleanup(shutil.rmtree, directory)
        script = (directory / "qemu.sh").read_text(encoding="utf-8")
        for options, answer in {"processors=2": "(facet) processors: 2 of 4", "": "(facet) processors: 4 of 4",
                                "processors=all": "(facet) processors: 4 of 4", **refused}.items():
            with self.subTest(options):
                ran = subprocess.run(["sh", "-c", script.replace("processors=4", shlex.quote(options)), "qemu.sh", "-action", "shutdown=poweroff"],
                                     cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
                self.assertIn(answer, ran.stdout)
                self.assertEqual("(facet) fatal: the command line says" in ran.stdout, options in refused)


class ChoiceTest(FacetTest):
    """--machine, wherever it is an option."""

    weight = 10.0

    def test_unknown_machine(self):
        """Status 2 and the machines that there are, before anything is done."""
        config = self.config("a.cfg", kernel=self.guest())
        for command in (["run", config], ["trace", "--at", "vmx_exit", config], ["demo"], ["demo", "agent"],
                        ["demo", "monitor"], ["test"], ["setup"], ["bench"]):
            with self.subTest(command[:2]):
                done = self.facet(command[0], *command[1:], "--machine", "z80")
                self.assertEqual((done.status, done.out), (2, ""))
                self.assertIn(f"unknown machine 'z80': there are {', '.join(ALL)}", done.err)

    def test_without_bochs(self):
        """What is not known of Bochs' models, because it is not there, is not asked for."""
        with mock.patch.object(machines.bochs, "PROGRAM", "no-such-program"):
            self.assertEqual(machines.find("amd").emulator, "qemu")
            with self.assertRaisesRegex(Error, "unknown machine 'broadwell_ult'.*facet setup --for run"):
                machines.find("broadwell_ult")
        self.assertEqual(machines.find("broadwell_ult").cpu, "broadwell_ult")

    def test_only_with_bochs(self):
        """What QEMU cannot do is refused with the names of machines that can."""
        done = self.facet("trace", "--at", "vmx_exit", "--machine", "amd",
                          self.config("a.cfg", kernel=self.guest()))
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn("needs Bochs, but 'amd' is a machine of QEMU; Bochs has: corei7_skylake_x, ryzen",
                      done.err)
        for name, wanted in (("amd", "counting VM exits needs Bochs"), ("ryzen", "on Intel's processors only")):
            done = self.facet("bench", "--exits", "--machine", name)
            self.assertEqual((done.status, done.out), (2, ""))
            self.assertIn(wanted, done.err)

    def test_bench(self):
        """On another machine: its figures, and neither Xen's nor targets, which are not of there. On ryzen Xen's
        of there, its own targets, and what it costs on Intel; on amd what there is of these."""
        from runner import bench
        with mock.patch.object(bench, "_measure", return_value=({"xen_version": 300}, {})) as measure:
            report = bench.measured(bench.parsed(["--quick", "--machine", "broadwell_ult"]))
            self.assertEqual(measure.call_args.args[2].name, "broadwell_ult")
            here = bench.measured(bench.parsed(["--quick"]))
        row = report["operations"][0]
        self.assertEqual([row[key] for key in ("xen", "facet", "target", "ratio")], [None, 300, None, None])
        self.assertIn("Bochs broadwell_ult", report["machine"])
        self.assertIsNotNone(here["operations"][0]["xen"])
        self.assertEqual(here["operations"][0]["target"], 350)
        ticks = {"xen_version": 300, "get_domain_state": 600, "view_vmmcall": 100}
        with mock.patch.object(bench, "_measure", return_value=(ticks, {})), \
                mock.patch.object(bench, "read_lines", side_effect=lambda name: [f"TICKS xen_version {len(name)}"]):
            found = {name: bench.measured(bench.parsed(["--markdown", "--machine", name]))["operations"]
                     for name in ("ryzen", "amd")}
        rows = [[row[key] for key in ("name", "xen", "facet", "intel", "target", "reached")] for row in found["ryzen"]]
        self.assertEqual(rows, [["xen_version", len("ticks-ryzen"), 300, 300, 275, False],
                                ["get_domain_state", None, 600, 600, 660, True],
                                ["view_vmmcall", None, 100, 100, 150, True]])
        self.assertEqual([row["target"] for row in found["amd"]], [None] * 3)
        self.assertEqual(bench.markdown(found["ryzen"])[:3], [
            "| operation | Xen 4.17 | Facet | ratio | Facet on Intel | target | |", "|---|---:|---:|---:|---:|---:|---|",
            "| bare hypercall (xen_version) | 11 | 300 | 0.0 | 300 | 275 | missed |"])

    def test_packages(self):
        """An emulator is installed for the machine that needs it, and for the tests."""
        def wanted(*arguments):
            return {names.split("|")[0] for names, _ in packages.wanted(*arguments)}
        for purpose in ("run", "demo", "monitor"):
            with self.subTest(purpose):
                self.assertIn("bochs", wanted(purpose))
                self.assertEqual(wanted(purpose, "qemu") - wanted(purpose), {"qemu-system-x86"})
                self.assertNotIn("bochs", wanted(purpose, "qemu"))
                self.assertNotIn("grub-pc-bin", wanted(purpose))
        self.assertLess({"bochs", "qemu-system-x86", "grub-pc-bin"}, wanted("test"))
        with mock.patch.object(packages, "_installed", return_value={"gcc"}), \
                mock.patch.object(packages.os, "geteuid", return_value=1000), \
                self.assertRaisesRegex(Error, "as root, run:\n  apt-get install .* qemu-system-x86"):
            packages.require("run", machines.find("amd"))


class GuestsTest(FacetTest):
    """Which guests run where, and what their tests are called."""

    weight = 3.0

    def jobs(self, manifest, where, text_filter=""):
        """The Jobs of a manifest's guests at places()."""
        (self.dir / "manifest").write_text(manifest, encoding="utf-8")
        with mock.patch.object(guests, "GUEST_DIR", self.dir):
            return guests.guest_jobs(text_filter, where)

    def names(self, *arguments):
        """The names of the tests in such jobs."""
        return sorted(name for job in self.jobs(*arguments) for name in job.contents)

    def test_names(self):
        """The default machine with one processor is left out of them."""
        for name, number, wanted in ((None, 1, "guest/a/..."), ("amd", 1, "guest@amd/a/..."),
                                     ("ryzen", 4, "guest@ryzen*4/a/..."),
                                     (machines.DEFAULT, 2, "guest@*2/a/...")):
            with self.subTest(name, number=number):
                found = guests.places(name or machines.DEFAULT, number)
                self.assertEqual(self.names("a", found), [wanted])
        self.assertEqual(self.names("a", guests.places("all")),
                         ["guest/a/...", "guest@amd/a/...", "guest@ryzen/a/..."])

    def test_filter_names_a_machine(self):
        """A test that the suite would not run is run by its name."""
        for name in ("guest@amd/a", "guest@ryzen*2/a", "guest@*3/a"):
            with self.subTest(name):
                found = guests.places(text_filter=name)
                self.assertEqual(self.names("a\nb", found, name), [f"{name}/..."])
        self.assertEqual(self.names("a", guests.places(text_filter="guest@z80/a"), "guest@z80/a"), [])

    def test_machine_lacks_something(self):
        """A skip that names it, and nothing is started for that."""
        manifest = "a needs=vmx,npt\nb needs=ept group=g\nc group=g\nd"
        cases = []
        for job in self.jobs(manifest, guests.places("amd")):
            if "skipped" in job.name:
                job.run(cases.append, None)
        self.assertEqual([(case.name, case.outcome, case.text) for case in cases],
                         [("guest@amd/a", "skip", "vmx: amd has none")]
                         + [(f"guest@amd/{name}", "skip", "ept: amd has none") for name in "bc"])
        self.assertEqual(self.names(manifest, guests.places("broadwell_ult")),
                         [f"guest@broadwell_ult/{name}/..." for name in "abcd"])
        with self.assertRaisesRegex(Error, "manifest:1: no machine has: wings"):
            guests.parse_manifest("a needs=ept,wings")

    def test_chosen(self):
        """Where the suite does not run all guests it runs those, groups whole."""
        manifest = "a chosen=1\nb\nc group=g\nd group=g chosen=1"
        place = guests.Place(machines.find("amd"))
        self.assertEqual(self.names(manifest, [(place, True)]), [f"guest@amd/{n}/..." for n in "acd"])
        self.assertEqual(len(self.names(manifest, [(place, False)])), 4)

    def test_several(self):
        """The suite runs some with more processors, too; one that wants one processor is a skip there."""
        manifest = "a several=1\nb\nc processors=1 several=1"
        found = self.names(manifest, None, "guest")
        self.assertEqual([name for name in found if "*" in name],
                         [f"guest@*{n}/{name}" for n in guests.SEVERAL for name in ("a/...", "c")])
        self.assertEqual(self.names(manifest, None, "guest@*4/"),
                         ["guest@*4/a/...", "guest@*4/b/...", "guest@*4/c"])
        cases = []
        for job in self.jobs(manifest, None, "guest@*4/c"):
            job.run(cases.append, None)
        self.assertEqual([(case.outcome, case.text) for case in cases],
                         [("skip", "one processor: corei7_skylake_x*4 has none")])

    def test_suite_runs_what_is_switched_on(self):
        """By default: the machines on which Facet starts."""
        self.assertEqual([(place.machine.name, chosen) for place, chosen in guests.places()],
                         [(m.name, m.guests == "chosen") for m in machines.MACHINES if m.guests])
        self.assertIn(("corei7_skylake_x", False), [(p.machine.name, c) for p, c in guests.places()])
