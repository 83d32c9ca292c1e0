# SPDX-License-Identifier: MIT
"""The altp2m command on Facet and on real Xen: the same binary, the same commands, in a Linux guest
and from outside it (Xen's dom0, Facet's monitor domain).

tests/recorded/tool-commands holds the commands in their order; what each gave on Xen is in
tests/recorded/tool-guest.txt and tool-outside.txt: "TOOL STATUS COMMAND | TEXT", where TEXT is
a line of what it printed.
"""

import pathlib
import re
import tempfile

from . import initramfs, packages
from .base import Error, build_dir, progress
from .config import config
from .debian import debian_kernel
from .machine import Stop, boot
from .recorded import RECORDED_DIR, read_lines

TICKS = 20_000_000_000
COMMANDS = RECORDED_DIR / "tool-commands"
CMDLINE = "quiet mitigations=off cryptomgr.notests=1"
PLACES = ("guest", "outside")
# What runs the commands: $1 is the option that names the domain, if it is another.
SCRIPT = """\
while read -r line; do
    # shellcheck disable=SC2086
    altp2m $1 $line > /tmp/out 2>&1 < /dev/null
    rc=$?
    if [ $rc = 0 ]; then text=$(tail -n 1 /tmp/out); else text=$(head -n 1 /tmp/out); fi
    echo "TOOL $rc $line | $text"
done < /commands
echo TOOL end
"""
INIT = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
insmod /lib/xen-privcmd.ko unrestricted=1
insmod /lib/xen-evtchn.ko 2> /dev/null
sh /tool.sh "$(sed -n 's/.*facet.domain=\\([0-9]*\\).*/-d\\1/p' /proc/cmdline)" | bench-linux say
bench-linux end
"""


def guest_files(directory):
    """(kernel, initramfs) of a Linux that runs the commands."""
    packages.require("demo")
    kernel = debian_kernel()
    output = directory / "tool.gz"
    initramfs.build(output, kernel, [build_dir() / "altp2m", build_dir() / "guest/bench-linux"],
                    INIT, extra={"tool.sh": SCRIPT.encode(), "commands": COMMANDS,
                                 "lib/xen-evtchn.ko":
                                 kernel.modules / "kernel/drivers/xen/xen-evtchn.ko"})
    return kernel.vmlinuz, output


def parse(lines):
    """{command: (status, last line)}; a command's later run counts as one of its own."""
    found, times = {}, {}
    for line in lines:
        match = re.fullmatch(r"TOOL (\d+) (.*?) \| ?(.*)", line)
        if match:
            name = match.group(2)
            times[name] = times.get(name, 0) + 1
            key = name if times[name] == 1 else f"{name} ({times[name]})"
            found[key] = (int(match.group(1)), match.group(3))
    return found


def on_facet():
    """{place: lines} of two machines: a guest by itself, and a monitor with a domain to work on."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        kernel, ramdisk = guest_files(directory)
        linux = {"kernel": kernel, "ramdisk": ramdisk, "memory": 256}
        (directory / "guest.cfg").write_text(
            config(name="guest", altp2m="mixed", cmdline=CMDLINE, **linux), encoding="utf-8")
        (directory / "monitor.cfg").write_text(
            config(name="monitor", monitor=1, cmdline=f"{CMDLINE} facet.domain=2", **linux),
            encoding="utf-8")
        (directory / "target.cfg").write_text(
            config(name="target", kernel=build_dir() / "guest" / "bench.elf", memory=320,
                   altp2m="mixed", cmdline="part=wait"), encoding="utf-8")
        for place, names in zip(PLACES, (["guest"], ["monitor", "target"])):
            progress(f"the altp2m command on Facet: {place}")

            def stop(line):
                if line.text == "TOOL end":
                    raise Stop()
            result = boot([directory / f"{name}.cfg" for name in names], ticks=TICKS,
                          on_line=stop)
            found[place] = result.texts("d1")
            if "TOOL end" not in found[place]:
                raise Error(f"{place}: {result.reason}\n" + "\n".join(found[place][-5:]))
    return found


def on_xen():
    """The same on real Xen."""
    import xen  # needs its packages
    with tempfile.TemporaryDirectory() as scratch:
        kernel, ramdisk = guest_files(pathlib.Path(scratch))
        guests = [
            xen.Guest("guest", kernel, 256, "mixed", CMDLINE, ramdisk),
            xen.Guest("outside", build_dir() / "guest" / "bench.elf", 320, "mixed", "part=wait",
                      dom0='sh /guests/tool.sh "-d $d"')]
        files = {"tool.sh": SCRIPT.replace("/commands", "/guests/commands").encode(),
                 "commands": COMMANDS.read_bytes(),
                 "altp2m": (build_dir() / "altp2m").read_bytes()}
        return {name: outcome.lines for name, outcome in xen.run(guests, files=files).items()}


def recorded():
    """{place: lines} of the recorded run on Xen."""
    return {place: read_lines(f"tool-{place}") for place in PLACES}


def table(there, here):
    """Rows (command, then for each place the status on Xen and on Facet; None: not run)."""
    xen = {place: parse(there.get(place, [])) for place in PLACES}
    facet = {place: parse(here.get(place, [])) for place in PLACES}
    keys = list(dict.fromkeys(key for found in (facet, xen) for place in PLACES
                              for key in found[place]))
    return [(key, *(found[place].get(key) for place in PLACES for found in (xen, facet)))
            for key in keys]


def verdict(result):
    """What became of a command, in a word."""
    if result is None:
        return "-"
    return {0: "works", 1: "refused", 2: "usage", 128 + 9: "killed"}.get(result[0], str(result[0]))


def print_table(rows):
    """Prints the table: a command on each line."""
    head = ("command", "guest, Xen", "guest, Facet", "outside, Xen", "outside, Facet")
    for key, *cells in [head, *((key, *map(verdict, results)) for key, *results in rows)]:
        print(f"{key:32} " + " ".join(f"{text:14}" for text in cells).rstrip())
