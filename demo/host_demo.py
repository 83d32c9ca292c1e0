# SPDX-License-Identifier: MIT
"""`facet demo host`: a Debian domain 0 makes a guest with Debian's own xl, and gives it a disk and a network.

Domain 0 drives the machine's devices, and the guest's disk is one of them: what the guest wrote is in the image
afterwards. demo/host_steps.sh runs in domain 0, as its init, and checks each step; demo/host_guest.sh is what the guest does.
Everything that runs there is Debian's, unmodified: the kernels with their backends and frontends, Xen's
toolstack and its hotplug scripts.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import demo
from runner import initramfs, kmodules
from runner.base import run_dir

STEPS = (
    "see the host",
    "xl makes a guest with a disk and a network",
    "its disk",
    "its network",
    "its console",
    "it reboots, and finds what it wrote",
    "pause and unpause it",
    "a disk and a network come and go",
    "altp2m watches it, busy",
    "Debian's xen-access watches it, busy",
    "destroy it",
)
SETUP, SCRIPT, GUEST = "host_setup.sh", "host_steps.sh", "host_guest.sh"
HOST_MIB, GUEST_MIB, MACHINE_MIB = 448, 128, 800
DISK_MIB = 8

XEN = pathlib.Path("/usr/lib/xen-4.17/bin")
SCRIPTS = pathlib.Path("/etc/xen/scripts")
# What domain 0 has of Debian's packages, where it is found by name and where the package has it.
PROGRAMS = [XEN / name for name in ("xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "xen-access")] + \
    [pathlib.Path("/usr/bin") / name for name in ("xenstore-read", "xenstore-write", "xenstore-list", "xenstore-rm", "bash",
                                                  "flock", "script")] + [pathlib.Path("/usr/sbin/losetup")]
# glibc loads it when a thread ends: no program names it.
LIBGCC = pathlib.Path("/lib/x86_64-linux-gnu/libgcc_s.so.1")
HOST_MODULES = ("xen-evtchn", "xen-gntdev", "xen-privcmd", "xenfs", "loop", "brd", "xen-blkback", "xen-netback", "bridge")
DEVICE_MODULES = ("ata_piix", "sd_mod")
GUEST_MODULES = ("xen-blkfront", "xen-netfront")
# A page of the guest's that a driver is given is not where the machine has it: the kernel copies it first.
HARDWARE = {"hardware": 1, "cmdline": f"{demo.CMDLINE} swiotlb=force"}
# The machine's disk, by its size.
FIND_DISK = f"""
for disk in /sys/block/sd*; do
    [ "$(cat "$disk/size")" -eq {DISK_MIB << 11} ] && ln -s "$(basename "$disk")" /dev/guest-disk
done
"""
XL_CONF = b'autoballoon="off"\n'


class HostStory(demo.Story):
    """What domain 0 says."""

    source = "d0"

    def __init__(self, out, paint):
        super().__init__(out, paint, STEPS)
        self.starts = None  # of the guest, as its disk's image says afterwards

    def complaints(self):
        """What keeps this from being a demo that worked, in words."""
        return super().complaints() + ([] if self.starts == 2 else [
            f"the disk's image says that the guest started {self.starts} times, not twice"])


def _load(tree, kernel, names):
    """Puts modules and what they need into the tree; returns the script that loads them."""
    order = []
    for path in kmodules.with_needed(kernel, names).values():
        order.append(path.name.partition(".")[0])
        tree.file(f"lib/{order[-1]}.ko", kmodules.read(path), 0o644)
    return "".join(f"insmod /lib/{name}.ko\n" for name in order)


def make_disk(directory):
    """A file system with a file; returns its image."""
    path, folder = directory / "host-disk.img", directory / "host-disk"
    folder.mkdir(exist_ok=True)
    (folder / "made").write_text("made by the demo\n", encoding="ascii")
    path.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(folder), str(path), f"{DISK_MIB}M"], check=True,
                   env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}, stdout=subprocess.DEVNULL)
    return path


def guest_config(**settings):
    """The text of the guest's xl.cfg."""
    settings = {"name": "guest", "type": "pvh", "kernel": "/vmlinuz", "ramdisk": "/guest.gz", "memory": GUEST_MIB, "vcpus": 1,
                "cmdline": demo.CMDLINE, "altp2m": "external", "disk": "file:/disk.img,xvda,w",
                "vif": "mac=00:16:3e:00:00:02,bridge=xenbr0", **settings}
    lists = {"disk", "vif"}
    return "".join(f"{key} = {[value] if key in lists else value!r}\n" for key, value in settings.items())


def _guest(runner, directory, script, programs):
    """The guest's ramdisk, and its kernel."""
    kernel, tree = runner.debian_kernel(), initramfs.Tree()
    load = _load(tree, kernel, GUEST_MODULES)
    for program in programs:
        tree.program(program, f"bin/{program.name}")
    tree.file("sbin/poweroff", b"#!/bin/sh\n/bin/poweroff -f\n")  # what xl shutdown has the kernel run
    return tree.write(directory / "host-guest.gz", initramfs.MOUNTS + load + (script or demo.scripts(runner, GUEST))), kernel


def missing():
    """What is not installed here of what domain 0 runs."""
    return [str(path) for path in [*PROGRAMS, SCRIPTS, LIBGCC] if not path.exists()] + \
        ([] if shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") else ["mke2fs"])


def _fill(tree, runner, guest):
    """Everything that domain 0 needs, but the modules."""
    ramdisk, kernel = guest
    for path in PROGRAMS:
        tree.program(path, str(path).lstrip("/"))
        if path.parent == XEN:
            tree.link(f"usr/sbin/{path.name}", str(path))
    tree.link("bin/bash", "/usr/bin/bash")
    tree.file(str(LIBGCC).lstrip("/"), LIBGCC)
    tree.add(SCRIPTS, "etc/xen/scripts")
    tree.file("etc/xen/xl.conf", XL_CONF, 0o644)
    tree.file("usr/sbin/altp2m", initramfs.stripped(runner.build_dir() / "altp2m"))
    tree.file("guest.cfg", guest_config().encode(), 0o644)
    tree.file("vmlinuz", kernel.vmlinuz, 0o644)
    tree.file("guest.gz", ramdisk, 0o644)
    tree.file("www/file", bytes(range(256)) * 1024, 0o644)
    tree.directory("var")


def configuration(runner, directory, script=None, extra=None, hardware=False, guest_script=None, guest_programs=(), **more):
    """Makes domain 0's files; returns the configuration's path and the two kernels. script: what it does, once
    everything runs; the demo's steps, if None. extra: more files for it. hardware: it drives the machine's devices, and
    the guest has the disk of make_disk(), which the machine has to have; else a file in domain 0's memory is the disk. guest_script, guest_programs: what the guest
    does instead of the demo's, and has for that. more: settings of domain 0."""
    directory.mkdir(parents=True, exist_ok=True)
    kernel, guest, tree = runner.host_kernel(), _guest(runner, directory, guest_script, guest_programs), initramfs.Tree()
    load = _load(tree, kernel, HOST_MODULES + (DEVICE_MODULES if hardware else ()))
    _fill(tree, runner, guest)
    if hardware:
        tree.file("guest.cfg", guest_config(disk="phy:/dev/guest-disk,xvda,w").encode(), 0o644)
        load += FIND_DISK
    else:
        tree.file("disk.img", make_disk(directory), 0o644)
    for name, content in (extra or {}).items():
        tree.file(name, content)
    script = demo.scripts(runner, demo.STEPS_SCRIPT, SCRIPT) if script is None else script
    ramdisk = tree.write(directory / "host.gz", initramfs.MOUNTS + load + demo.scripts(runner, SETUP) + script +
                         "\npoweroff -f\n")
    path = directory / "host.cfg"
    settings = {"cmdline": demo.CMDLINE, "control": 1, **(HARDWARE if hardware else {}), **more}
    path.write_text(runner.config(name="host", kernel=kernel.vmlinuz, ramdisk=ramdisk, vcpus=1, memory=HOST_MIB, **settings),
                    encoding="utf-8")
    return path, kernel, guest[1]


def starts(image):
    """How often a guest started with this disk."""
    done = subprocess.run(["debugfs", "-R", "cat /starts", str(image)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}, text=True, check=False)
    return done.stdout.count("start\n")


def main(runner, arguments):
    """Runs the demo. 0 only if each step did what it says."""
    parser = demo.options(
        runner, "demo host", "See Debian's xl make a guest on Facet, with a disk and a network that a Debian "
        "domain 0 gives it, and altp2m watch it. Installs what it needs, as root.",
        f"domain 0 and the guest have {demo.told(1)} each")
    parser.add_argument("--shell", action="store_true", help="no demo: a root shell in domain 0, on this terminal")
    args = parser.parse_args(arguments)

    settings = {**demo.prepare(runner, args, "host"), "memory": MACHINE_MIB}
    # The guest writes to its disk: another run of the demo has another one.
    with tempfile.TemporaryDirectory(prefix="host-", dir=run_dir()) as directory:
        return _show(runner, args, settings, pathlib.Path(directory))


def _show(runner, args, settings, directory):
    """The demo with its files in that directory."""
    paint = demo.Paint(sys.stdout)
    path, kernel, guest = configuration(runner, directory, initramfs.SHELL if args.shell else None, hardware=True)
    settings["disk"] = make_disk(directory)
    print(f"Domain 0 with Linux {kernel.release}, {HOST_MIB} MiB; its guest: Linux {guest.release}, {GUEST_MIB} MiB, "
          f"altp2m=\"external\"\n", flush=True)
    if args.shell:
        return runner.boot([path], **demo.shell(settings)).status
    story = HostStory(sys.stdout, paint)
    result = runner.boot([path], on_line=story.line, **settings)
    story.starts = starts(settings["disk"])
    return demo.verdict(result, story, paint)
