# SPDX-License-Identifier: MIT
"""`facet demo agent`: an agent inside of a Debian Linux protects the kernel around it.

The modules (agent/linux) are built for the guest's kernel; demo/agent_steps.sh runs in the guest
and checks each step. As with the other demo, it counts only if every step was reported as done.
"""

import os
import sys

import demo
from runner import initramfs

STEPS = (
    "what a rootkit can do without an agent",
    "the agent protects the kernel",
    "the key can be used, through the gate",
    "attack the system call table and the IDT",
    "attack the kernel's text",
    "attack the key",
    "attack the key by another mapping of it",
    "attack the agent",
    "attack by the agent's own hypercalls",
    "attack by an interrupt table of one's own",
    "attack the registers that lead into the kernel",
    "attack the agent by page tables",
    "attack the kernel by page tables",
    "attack from user space",
    "the kernel goes on patching itself",
    "unload the agent",
)
SCRIPT = "agent_steps.sh"
MODULES = ("facet_agent.ko", "facet_attack.ko")
# A module of Debian's own, to be loaded and unloaded under protection.
INNOCENT = "kernel/drivers/net/dummy.ko"
VCPUS = 4
CMDLINE = "console=hvc0 cryptomgr.notests=1 quiet loglevel=1"  # with the kernel's default mitigations


class AgentStory(demo.Story):
    """Ten oopses are long: the kernel's own log is shown only if asked for."""

    def __init__(self, out, paint, log):
        super().__init__(out, paint, STEPS)
        self._log = log

    def line(self, line):
        """One Line of the runner."""
        if self._log or line.source != "d1" or line.text.startswith("demo: "):
            super().line(line)


def build_modules(runner, kernel):
    """Builds the modules for this kernel; returns {path in the guest: path here}."""
    runner.build(["agent-linux", f"KERNEL_HEADERS={kernel.headers}"])
    made = runner.build_dir() / "agent" / "linux" / "src"
    files = {f"lib/{name}": made / name for name in MODULES}
    files["lib/dummy.ko"] = kernel.modules / INNOCENT
    files["bin/facet-usermap"] = runner.build_dir() / "facet-usermap"
    return files


def configuration(runner, directory):
    """Makes the guest's initramfs and configuration file; returns its path and the kernel."""
    kernel = runner.debian_kernel(headers=True)
    directory.mkdir(parents=True, exist_ok=True)
    script = demo.scripts(runner, demo.STEPS_SCRIPT, SCRIPT)
    ramdisk = initramfs.script(directory / "agent-initramfs.gz", kernel, runner.build_dir(),
                               script, extra=build_modules(runner, kernel))
    path = directory / "agent.cfg"
    path.write_text(runner.config(
        name="agent", kernel=kernel.vmlinuz, ramdisk=ramdisk, cmdline=CMDLINE,
        memory=demo.MEMORY_MIB, vcpus=VCPUS, altp2m="mixed",
        altp2m_policy="audited"), encoding="utf-8")
    return path, kernel


def main(runner, arguments):
    """Runs the demo. 0 only if each step did what it says."""
    if runner.installed:
        raise runner.Error("`facet demo agent` builds kernel modules: it is there in Facet's source tree only, as "
                           "`./facet demo agent`")
    parser = demo.options(
        runner, "demo agent", "See an agent inside of a Debian Linux protect the "
        "kernel around it from a rootkit. Installs what it needs, as root.",
        f"the guest has {demo.told(VCPUS)}")
    parser.add_argument("--log", action="store_true",
                        help="show the guest kernel's log too, with the attackers' oopses")
    args = parser.parse_args(arguments)

    settings = demo.prepare(runner, args)
    paint = demo.Paint(sys.stdout)
    path, kernel = configuration(runner, runner.work_dir("demo"))
    print(f"Linux {kernel.release} as a PVH guest of Facet, {demo.MEMORY_MIB} MiB, "
          f"{demo.told(VCPUS)}, altp2m=\"mixed\", altp2m_policy=\"audited\", with an agent{os.linesep}",
          flush=True)
    story = AgentStory(sys.stdout, paint, args.log)
    result = runner.boot([path], on_line=story.line, **settings)
    return demo.verdict(result, story, paint)
