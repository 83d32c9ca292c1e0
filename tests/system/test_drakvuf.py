# SPDX-License-Identifier: MIT
"""How `facet drakvuf` judges what DRAKVUF's plugins say, and what it makes for them; DRAKVUF itself is not in the tree."""

import pathlib
from unittest import mock

from harness import FacetTest
from runner import drakvuf, libvmi, machines
from runner.base import Error


class DrakvufTest(FacetTest):
    """Proofs, the record, the source."""

    weight = 1.0

    def test_proof(self):
        """What the plugin says of another program, or another plugin of this one, proves nothing."""
        proof = next(one for one in drakvuf.EXAMPLES if one.name == "ptracemon").proof
        line = '{"Plugin":"ptracemon","PID":95,"ProcessName":"/bin/work","Type":"PTRACE_ATTACH","TargetPID":96}'
        self.assertTrue(proof(libvmi.Output(["noise", line]), libvmi.Facts()))
        for wrong in (line.replace("ptracemon", "syscall"), line.replace("/bin/work", "/init"), line.replace("ATTACH", "CONT")):
            self.assertFalse(proof(libvmi.Output([wrong]), libvmi.Facts()))

    def test_processes(self):
        """The list has the guest's own number of its program, and there is word of one that starts."""
        proof = next(one for one in drakvuf.EXAMPLES if one.name == "procmon").proof
        lines = ['{"Plugin":"procmon","PID":95,"PPID":1,"RunningProcess":"/bin/work"}',
                 '{"Plugin":"procmon","PID":99,"ProcessName":"/bin/work","CommandLine":"other 0 an argument"}']
        self.assertTrue(proof(libvmi.Output(lines), libvmi.Facts({"work": 95})))
        self.assertFalse(proof(libvmi.Output(lines), libvmi.Facts({"work": 9})))
        self.assertFalse(proof(libvmi.Output(lines[:1]), libvmi.Facts({"work": 95})))

    def test_injected(self):
        """The number that DRAKVUF has of what it started is the process's own."""
        proof = next(one for one in drakvuf.EXAMPLES if one.name == "procmon-inject").proof
        line = '{"Plugin": "inject", "Status": "Success", "ProcessName": "/bin/other", "InjectedPid": 315, "InjectedTid": 315}'
        self.assertTrue(proof(libvmi.Output([line, "GUEST injected 315"]), libvmi.Facts()))
        self.assertFalse(proof(libvmi.Output([line, "GUEST injected 31"]), libvmi.Facts()))
        self.assertFalse(proof(libvmi.Output([line]), libvmi.Facts()))

    def test_powered_off(self):
        """The call, what the kernel makes of it, and DRAKVUF's own end for that reason: none is enough without the others."""
        proof = next(one for one in drakvuf.EXAMPLES if one.name == "rebootmon-off").proof
        lines = ['{"Plugin":"rebootmon","PID":95,"Method":"sys_reboot","Cmd":"LINUX_REBOOT_CMD_POWER_OFF","Arg":null}',
                 '{"Plugin":"rebootmon","PID":95,"ProcessName":"/bin/busybox","Method":"machine_halt"}']
        self.assertTrue(proof(libvmi.Output(lines, 11), libvmi.Facts()))
        self.assertTrue(proof(libvmi.Output([lines[0], lines[1].replace("halt", "power_off")], 11), libvmi.Facts()))
        self.assertFalse(proof(libvmi.Output(lines, 0), libvmi.Facts()))
        self.assertFalse(proof(libvmi.Output(lines[:1], 11), libvmi.Facts()))
        self.assertFalse(proof(libvmi.Output(lines[1:], 11), libvmi.Facts()))

    def test_no_output(self):
        """Nothing that a plugin does not print is taken for a proof."""
        for example in drakvuf.EXAMPLES:
            with self.subTest(example.name):
                self.assertFalse(libvmi.judge(example, libvmi.Output(status=0), libvmi.Facts()))

    def test_record(self):
        """Each plugin is recorded, each failure has a reason, each reason is of use."""
        used = set()
        for one in machines.MACHINES:
            reasons, recorded = drakvuf.RECORD.read((one.name,))
            self.assertEqual(set(recorded), {one.name for one in drakvuf.EXAMPLES})
            used |= {key for _, *keys in recorded.values() for key in keys}
        self.assertEqual(used, set(reasons))

    def test_names(self):
        """What DRAKVUF may ask for: words of its source, system calls, what the compiler made of either."""
        source = self.dir / "source"
        (source / "src/libdrakvuf").mkdir(parents=True)
        (source / "src/libdrakvuf/linux.h").write_text('{"task_struct", "comm"}, HOOK(vfs_read)', encoding="ascii")
        wanted = drakvuf.names_in(source)
        for name, answer in (("task_struct", True), ("task_struct.isra.0", True), ("__x64_sys_openat", True), ("vfs_read", True), ("vfs_write", False)):
            self.assertEqual(bool(wanted(name)), answer, name)

    def test_source(self):
        """What is not DRAKVUF's source is refused, and so is one without LibVMI's."""
        with self.assertRaises(Error):
            drakvuf.check_source(self.dir)
        (self.dir / "src/libdrakvuf").mkdir(parents=True)
        self.write("meson.build", "")
        self.write("src/libdrakvuf/libdrakvuf.h", "")
        with self.assertRaises(Error):
            drakvuf.check_source(self.dir)  # without its options, nobody knows its plugins
        self.write("meson_options.txt", "")
        done = self.facet("drakvuf", self.dir)
        self.assertEqual(done.status, 2)
        self.assertIn("--libvmi", done.err)
        done = self.facet("drakvuf", self.dir, "--libvmi", self.dir, "procmon")
        self.assertEqual((done.status, done.out), (2, ""))
        self.assertIn("is not the source of LibVMI", done.err)

    def _source(self, name):
        """A directory with options of three plugins, in an order of its own."""
        source = self.dir / name
        source.mkdir()
        (source / "meson_options.txt").write_bytes(b"# \xe9\noption('plugin-procmon', type: 'boolean')\noption('plugin-regmon')\n")
        return source

    def test_switches(self):
        """The plugins for Linux are built, others not; options that cannot be read are told of in words."""
        source = self._source("source")
        self.assertEqual(drakvuf._switches(source), ["-Dplugin-procmon=true", "-Dplugin-regmon=false"])
        (source / "meson_options.txt").unlink()
        with self.assertRaisesRegex(Error, "meson_options.txt"):
            drakvuf._switches(source)
        (source / "meson_options.txt").mkdir()
        with self.assertRaisesRegex(Error, "meson_options.txt"):
            drakvuf._switches(source)

    def _built(self, source, vmi):
        """What is configured when they are built; the commands do nothing but that they leave what meson does."""
        configured = []

        def checked(_what, *command, **_more):
            if command[:2] == ("meson", "setup"):
                configured.append(pathlib.Path(command[3]))
                pathlib.Path(command[2]).mkdir()
                (pathlib.Path(command[2]) / "build.ninja").touch()
        with mock.patch.object(drakvuf, "checked", checked), mock.patch.object(libvmi, "checked", checked), \
             mock.patch.object(libvmi, "build_dir", lambda: self.dir), mock.patch.object(libvmi, "check_source", lambda one: one):
            drakvuf.build_all(source, vmi)
        return configured

    def test_another_source(self):
        """What was built of one source stays for it, and is gone for another, of LibVMI's too."""
        one, other, vmi = self._source("one"), self._source("other"), self._source("vmi")
        self.assertEqual(self._built(one, vmi), [one])
        self.assertEqual(self._built(one, vmi), [])
        self.assertEqual(self._built(other, vmi), [other])
        self.assertEqual(self._built(other, one), [other])
        self.assertEqual(self._built(other, one), [])
