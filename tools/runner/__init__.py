# SPDX-License-Identifier: MIT
"""Builds, boots and watches Facet machines. Python 3.9+, standard library only.

For other programs of this repository (demo/demo.py, tests/system/test_*.py):

    import sys; sys.path.insert(0, "<repo>/tools")     # `./facet demo|test` has done this
    import runner

    result = runner.boot(["guest.cfg"], timeout=60, on_line=lambda line: print(line))
    result.status        0 all powered off, 1 one crashed / fatal / the emulator died, 124 timeout or ticks
    result.lines         every Line; str(line) is as printed: "(d1) text", "(facet) text"
    line.source          "d1", "d2", ..., or "facet"
    line.text            the text behind the source, control characters made visible
    line.seconds         wall time since the emulator was started
    result.texts("d1")   the texts of one source
    result.endings       {1: Ending(domid=1, name="a", how="powered off")}, "crashed: REASON" etc.
    result.reason        None, or in words why the run failed
    result.seconds       wall time of the whole run; result.boot_seconds: until the first line
    result.ticks         instructions the emulated processor had executed at the end, or None

An `on_line` callback may raise runner.Stop to end the run; status is then that of Stop(status).

    runner.boot(configs, timeout=None, machine=None, memory=None, interactive=False, keep=False,
                on_line=None, hypervisor=None, ticks=None, processors=1, serial=False)
    runner.machines.find(name) -> Machine; its limit(ticks) is what takes as long on the default machine
    runner.make_image(configs, output, interactive=False, memory=None, hypervisor=None) -> Image
    runner.debian_kernel() -> DebianKernel(release, vmlinuz, system_map, modules, headers)
    runner.host_kernel()     the same of the kernel that a hardware domain runs
        headers: with headers=True, where modules are built: make -C THERE M=... modules
    runner.initramfs     what Linux guests start with: initramfs.script(...), initramfs.Tree
    runner.options       types of options: seconds, ticks, ...; options.parser(NAME, DESCRIPTION)
    runner.require("demo", machine)   install the packages a purpose needs ("build" "run" "demo" "test")
    runner.build()           run make
    runner.config(name="a", kernel=..., memory=64, ...) -> text of a configuration file
    runner.ROOT, runner.build_dir()    the clone and its build directory (pathlib.Path)
    runner.work_dir(NAME)    where to make files that are made anew each time
    runner.installed     None in the clone; what `make install` left behind tells where things are then

Wrong input raises runner.Error, whose text is meant for the user; the exit status for it is 2.
"""

from .base import ROOT, Error, build, build_dir, installed, say, work_dir
from .config import config
from .debian import DebianKernel, debian_kernel, host_kernel
from .image import Image, make_image
from .machine import Ending, Line, Result, Stop, boot
from . import cpio, initramfs, machines, options
from .packages import require

__all__ = [
    "ROOT", "DebianKernel", "Ending", "Error", "Image", "Line", "Result", "Stop", "boot", "build",
    "build_dir", "config", "cpio", "debian_kernel", "host_kernel", "initramfs", "installed", "machines", "make_image", "options", "require",
    "say", "work_dir",
]
