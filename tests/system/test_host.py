# SPDX-License-Identifier: MIT
"""A Debian domain with `control = 1` runs Debian's own xl, unmodified, on domains that it makes: with
xenstored and xenconsoled, without disk and network."""

import pathlib
import re
import subprocess

import runner
from harness import HERE, TICKS, FacetTest
from runner import initramfs, kmodules, machines

XEN = pathlib.Path("/usr/lib/xen-4.17/bin")
PROGRAMS = [XEN / "xl", XEN / "xenstored", XEN / "xenconsoled", XEN / "xen-init-dom0", pathlib.Path("/usr/bin/xenstore-write")]
LIBGCC = pathlib.Path("/lib/x86_64-linux-gnu/libgcc_s.so.1")
CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
MACHINE_MIB = 640
GUEST = """\
name = 'made'
type = 'pvh'
kernel = '/guest.elf'
memory = 16
vcpus = 1
on_poweroff = 'preserve'
"""
SCRIPT = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
mkdir -p /dev/pts /var /run/xen /run/xenstored /run/lock /etc/xen
mount -t devpts devpts /dev/pts
rm -rf /var/run /var/lock; ln -s /run /var/run; ln -s /run/lock /var/lock
mkdir -p /var/log/xen /var/lib/xen /var/lib/xenstored
for m in @MODULES@; do insmod /lib/$m.ko; done
xsd xenstored --pid-file=/run/xenstored.pid
while ! [ -S /run/xenstored/socket ]; do sleep 0.1; done
xen-init-dom0
xenstore-write /local/pool/0/name Pool-0
xenconsoled --pid-file=/run/xenconsoled.pid
say() { n=$1; shift; "$@" > /out 2>&1; echo "status $?" >> /out; sed "s/^/XL $n: /" /out; }
say info xl info
say create xl create -p /made.cfg
say paused xl list
say unpause xl unpause made
while ! xl list | grep -q -- "---s--"; do sleep 0.2; done
say ended xl list
say vcpus xl vcpu-list
say destroy xl destroy made
while xl list | grep -q -- "-----d\\|--p--d\\|(null)"; do sleep 0.2; done
say gone xl list
say again xl create /made.cfg
say pause xl pause made
say last xl destroy made
"""


class HostTest(FacetTest):
    """Xen's own toolstack, unmodified."""

    weight = 60.0

    def _config(self):
        kernel = runner.debian_kernel()
        modules = kmodules.with_needed(kernel, {"xen-evtchn": "", "xen-gntdev": ""})
        extra = {"etc/xen/xl.conf": b'autoballoon="off"\nrun_hotplug_scripts=0\n', "made.cfg": GUEST.encode(),
                 "guest.elf": runner.build_dir() / "guest" / "hello.elf", "lib/x86_64-linux-gnu/libgcc_s.so.1": LIBGCC}
        for program in PROGRAMS:
            extra |= {f"bin/{program.name}": program, **initramfs.libraries(program)}
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", self.dir / "xsd", HERE / "xsd.c"], check=True)
        extra["bin/xsd"] = self.dir / "xsd"
        names = []
        for path in modules.values():
            names.append(path.name.partition(".")[0])
            extra[f"lib/{names[-1]}.ko"] = kmodules.read(path)
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(),
                                   SCRIPT.replace("@MODULES@", " ".join(names)), extra)
        return self.config("host.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=256, control=1, cmdline=CMDLINE)

    def _run(self, machine):
        missing = [str(path) for path in PROGRAMS if not path.exists()]
        if missing:
            self.skipTest(f"{', '.join(missing)} (package xen-utils-4.17, xenstore-utils)")
        machine = machines.find(machine)
        done = self.facet("run", "--machine", machine.name, "--memory", str(MACHINE_MIB),
                          "--ticks", str(machine.limit(TICKS)), self._config())
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        said = {}
        for line in done.lines:
            found = re.match(r"\(d0\) XL (\w+): (.*)", line)
            if found:
                said.setdefault(found.group(1), []).append(found.group(2))
        text = {step: "\n".join(lines) for step, lines in said.items()}
        for step in text:
            self.assertIn("status 0", text[step], done.out[-8000:])
        self.assertIn("4.17.7-facet", text["info"])
        self.assertRegex(text["paused"], r"(?m)^made +1 +16 +1\s+-[b-]p---")
        self.assertRegex(text["ended"], r"(?m)^made +1 +16 +1\s+---s--")
        self.assertRegex(text["vcpus"], r"(?m)^made +1 +0 ")
        self.assertNotIn("made", text["gone"])
        self.assertEqual(sum(line.startswith("(d1) TEST hello.greet: pass") for line in done.lines), 1)
        self.assertIn("(facet) d1 domain-1: powered off", done.out)
        self.assertIn("(facet) d2 domain-2: ", done.out)

    def test_xl_on_amd(self):
        """It makes a domain, which runs, and ends it; and another one, whose number is another."""
        self._run("amd")
