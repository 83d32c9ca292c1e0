# SPDX-License-Identifier: MIT
"""`facet demo monitor`: one Debian Linux watches another from outside.

demo/monitor_steps.sh runs in the monitor, domain 1, and checks each step; demo/monitor/target.c is
what the watched domain 2 does. As with the other demos, it counts only if every step was reported
as done, and if the watched domain says, too, that it saw nothing.
"""

import pathlib
import re
import sys

import demo
from runner import initramfs

STEPS = (
    "see who is there",
    "Debian's xen-access watches the other domain",
    "put a hidden breakpoint into its kernel",
    "let it look for the breakpoint",
    "watch a page of its kernel's data",
    "fail a system call of its, from outside",
)
SETUP, SCRIPT = "monitor_setup.sh", "monitor_steps.sh"
XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
EVENT_CHANNELS = "kernel/drivers/xen/xen-evtchn.ko"
MONITOR_MIB, TARGET_MIB = 192, 96

_CHANGED = re.compile(r"work: the code of \S+ looked changed ([0-9]+) times")


class MonitorStory(demo.Story):
    """Shows what both domains say, and keeps what the watched one says of itself."""

    def __init__(self, out, paint):
        super().__init__(out, paint, STEPS)
        self.changed = None  # times that the watched guest's code looked changed to it
        self.refused = False

    def line(self, line):
        """One Line of the runner."""
        if line.source == "d2":
            found = _CHANGED.fullmatch(line.text)
            if found:
                self.changed = int(found.group(1))
            self.refused |= "sethostname: Operation not permitted" in line.text
        super().line(line)

    def complaints(self):
        """What keeps this from being a demo that worked, in words."""
        found = super().complaints()
        if self.changed is None:
            found.append("the watched domain did not say how its code looked")
        elif self.changed:
            found.append(f"the watched domain saw its code changed {self.changed} times")
        if not self.refused:
            found.append("no system call failed in the watched domain")
        return found


def configurations(runner, directory, script=None, vcpus=1):
    """Makes both domains' files; returns the configurations' paths and the kernel.

    script: what the monitor does, once it can watch; the demo's steps, if None.
    """
    kernel, built = runner.debian_kernel(), runner.build_dir()
    directory.mkdir(parents=True, exist_ok=True)
    script = demo.scripts(runner, SETUP) + \
        (demo.scripts(runner, demo.STEPS_SCRIPT, SCRIPT) if script is None else script)
    extra = {"bin/xen-access": XEN_ACCESS, "lib/xen-evtchn.ko": kernel.modules / EVENT_CHANNELS,
             **initramfs.libraries(XEN_ACCESS)}
    ramdisks = {
        "monitor": initramfs.script(directory / "monitor-initramfs.gz", kernel, built, script,
                                    extra),
        "target": initramfs.script(directory / "target-initramfs.gz", kernel, built,
                                   "facet-target", {"bin/facet-target": built / "facet-target"}),
    }
    settings = {"monitor": {"memory": MONITOR_MIB, "monitors": ["target"]},
                "target": {"memory": TARGET_MIB, "altp2m": "external"}}
    paths = []
    for name, ramdisk in ramdisks.items():
        path = directory / f"{name}.cfg"
        path.write_text(runner.config(name=name, kernel=kernel.vmlinuz, ramdisk=ramdisk,
                                      cmdline=demo.CMDLINE, vcpus=vcpus, **settings[name]),
                        encoding="utf-8")
        paths.append(path)
    return paths, kernel


def main(runner, arguments):
    """Runs the demo. 0 only if each step did what it says."""
    parser = demo.options(
        runner, "demo monitor", "See one Debian Linux watch another from outside: "
        "with Debian's xen-access, then with hidden breakpoints and a page watch. Installs what "
        "it needs, as root.")
    parser.add_argument("--shell", action="store_true",
                        help="no demo: a root shell in the monitor, on this terminal")
    args = parser.parse_args(arguments)

    settings = demo.prepare(runner, args, "monitor")
    paint = demo.Paint(sys.stdout)
    paths, kernel = configurations(runner, runner.work_dir("demo"),
                                   initramfs.SHELL if args.shell else None, demo.vcpus(args))
    print(f"Two domains with Linux {kernel.release} and {demo.told(demo.vcpus(args))} each: a monitor of "
          f"{MONITOR_MIB} MiB, and the one that it watches, {TARGET_MIB} MiB, altp2m=\"external\"\n", flush=True)
    if args.shell:
        return runner.boot(paths, **demo.shell(settings)).status
    story = MonitorStory(sys.stdout, paint)
    result = runner.boot(paths, on_line=story.line, **settings)
    return demo.verdict(result, story, paint)
