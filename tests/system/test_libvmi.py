# SPDX-License-Identifier: MIT
"""How `facet libvmi` learns and judges what LibVMI's examples say; LibVMI itself is not in the tree."""

import itertools
import pathlib
import struct
from unittest import mock

from harness import FacetTest
from runner import kernelprofile, libvmi, machines
from runner.base import Error

RULES = "# a comment\nreason disk none here\nexample map-symbol works\nexample read-disk fails disk\n"
PAHOLE = ("struct task_struct {\n\tstruct list_head           tasks;                /*  2192    16 */\n"
          "\tstruct mm_struct *         mm;                   /*  2272     8 */\n"
          "\tchar                       comm[16];             /*  2976    16 */\n};\n")
SAID = (("d2", "GUEST pid 93 busy"), ("d2", "GUEST module xen_evtchn"), ("d2", "GUEST release 6.1.0-1-cloud"),
        ("d1", "LV symbol ffffffff82a1aa40 D init_task"), ("d1", "LV begin vmi-process-list"),
        ("d1", "LV : [    0] swapper/0 (struct addr:ffffffff82a1aa40)"),
        ("d1", "LV : [   93] busy (struct addr:ffff888004658000)"), ("d1", "noise"), ("d1", "LV end 0 2"),
        ("d1", "LV + vmi-process-list more"))


class Said:
    """A line of the machine."""

    def __init__(self, source, text):
        self.source, self.text = source, text


class LibvmiTest(FacetTest):
    """What is learned of the kernel, what examples say, and the record."""

    weight = 1.0

    def test_watcher(self):
        """Facts and output come from the right domain; a wrong process number is no proof."""
        watcher = libvmi.Watcher(False)
        for source, text in SAID:
            watcher.line(Said(source, text))
        out = watcher.outputs["vmi-process-list"]
        self.assertEqual((out.status, out.count, len(out.lines)), (0, 2, 3))
        self.assertEqual(watcher.facts.symbols, {"init_task": 0xffffffff82a1aa40})
        example = next(one for one in libvmi.EXAMPLES if one.name == "vmi-process-list")
        self.assertTrue(libvmi.judge(example, out, watcher.facts))
        watcher.facts.pids["busy"] = 94
        self.assertFalse(libvmi.judge(example, out, watcher.facts))
        with self.assertRaises(libvmi.machine.Stop):
            watcher.line(Said("facet", "d1 monitor: powered off"))

    def test_host(self):
        """In domain 0 the guest's words come by its console's daemon, among the monitor's own."""
        watcher = libvmi.Watcher(False, libvmi.HOST)
        for _, text in SAID:
            watcher.line(Said("d0", text))
        self.assertEqual(watcher.facts.pids, {"busy": 93})
        self.assertEqual(watcher.outputs["vmi-process-list"].count, 2)
        watcher.line(Said("facet", "d1 monitor: powered off"))
        with self.assertRaises(libvmi.machine.Stop):
            watcher.line(Said("facet", "d0 host: powered off"))

    def test_no_output(self):
        """Nothing that an example does not print is taken for a proof."""
        for example in libvmi.EXAMPLES:
            with self.subTest(example.name):
                self.assertFalse(libvmi.judge(example, None, libvmi.Facts()))
                self.assertFalse(libvmi.judge(example, libvmi.Output(status=0), libvmi.Facts()))

    def test_kernel(self):
        """Offsets, and type information in an image that has other things too."""
        self.assertEqual([libvmi.offset_in(PAHOLE, one) for one in ("tasks", "mm", "comm")],
                         [2192, 2272, 2976])
        with self.assertRaises(Error):
            libvmi.offset_in(PAHOLE, "pid")
        blob = struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, 8, 8, 4) + b"typetypename"
        image = self.write("vmlinux", b"x" * 7 + blob[:8] + b"y" * 40 + blob + b"z")
        self.assertEqual(kernelprofile.extract_btf(image.read_bytes()), blob)
        with self.assertRaises(Error):
            kernelprofile.extract_btf(b"\x9f\xeb\x01\0\x18\0\0\0" + b"\xff" * 40)

    def test_record(self):
        """Each example is recorded, each failure has a reason; malformed lines are refused."""
        self.assertEqual(libvmi.parse(RULES)[1]["read-disk"], ("fails", "disk"))
        self.assertEqual(libvmi.parse(RULES + "example read-disk@amd works\n", where=("amd",))[1]["read-disk"], ("works",))
        self.assertEqual(libvmi.parse(RULES + "example read-disk@amd works\n")[1]["read-disk"], ("fails", "disk"))
        used = set()
        for one, place in itertools.product(machines.MACHINES, (libvmi.MONITOR, libvmi.HOST)):
            reasons, recorded = libvmi.parse(libvmi.RECORDED.read_text(encoding="utf-8"), where=(one.name, place.word))
            self.assertEqual(set(recorded), {one.name for one in libvmi.EXAMPLES})
            used |= {key for _, *keys in recorded.values() for key in keys}
        self.assertEqual(used, set(reasons))
        for bad in ("example a@amd works", "example a fails", "example a works x", "example a great", "reason x"):
            with self.subTest(bad), self.assertRaises(Error):
                libvmi.parse(bad)

    def test_source(self):
        """What is not LibVMI's source is refused."""
        with self.assertRaises(Error):
            libvmi.build_examples(self.dir)

    def test_build(self):
        """The parts in their order, then the guest's program; what was built of other sources is gone before."""
        done = []
        with mock.patch.object(libvmi, "build_dir", lambda: self.dir), \
             mock.patch.object(libvmi, "checked", lambda _what, *command: done.append(pathlib.Path(command[-1]).name)):
            tree = libvmi.build_of("tree", ("one",), "guest", first=lambda tree: done.append(tree), second=lambda tree: (tree / "made").touch())
            self.assertEqual((done, (tree / "made").exists()), ([tree, "guest.c"], True))
            for source, there in (("one", True), ("other", False)):
                libvmi.build_of("tree", (source,), "guest")
                self.assertEqual((tree / "made").exists(), there)

    def test_chosen(self):
        """All, or those that are named; a name that none has is refused with what there is."""
        self.assertEqual(libvmi.chosen(libvmi.EXAMPLES, [], "example is called"), list(libvmi.EXAMPLES))
        self.assertEqual([one.name for one in libvmi.chosen(libvmi.EXAMPLES, ["va-pages", "map-addr"], "example is called")],
                         ["map-addr", "va-pages"])
        with self.assertRaisesRegex(Error, "no example is called nothing; there are vmi-process-list, "):
            libvmi.chosen(libvmi.EXAMPLES, ["nothing", "va-pages"], "example is called")

    def test_runs(self):
        """Each example by its own program, or all by one, with what comes before and after."""
        one = libvmi.Example("vmi-rwmem-read", "-x", None, 7, "before", "after")
        self.assertIn("\nbefore\nrun vmi-rwmem-read 7 vmi-rwmem -x\n{ after; } 2>&1", libvmi.runs([one], 5))
        self.assertIn("head -n 5 /log", libvmi.runs([one], 5))
        self.assertIn("run vmi-rwmem-read 7 drakvuf -x\n", libvmi.runs([one], 5, "drakvuf"))
