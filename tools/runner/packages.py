# SPDX-License-Identifier: MIT
"""The Debian packages Facet needs, each with its reason, and their installation."""

import os
import subprocess
import sys

from .base import Error, installed, progress, say
from .progress import hushed

LOCK_SECONDS = 600

# Purpose -> (package, reason). "a|b" is satisfied by either; a is the one installed.
# A purpose includes those in NEEDS.
PACKAGES = {
    "build": (
        ("gcc", "compiles the hypervisor and the tools"),
        ("make", "drives the build"),
        ("libc6-dev", "C library for the tools; <elf.h>"),
        ("linux-libc-dev", "constants of VMX, EFLAGS, the Linux boot protocol"),
        ("libxen-dev", "Xen's public ABI; libxencall for the altp2m command"),
        ("musl-dev", "memory and string functions inside the hypervisor"),
        ("libklibc-dev", "vsnprintf inside the hypervisor"),
        ("libfdt-dev", "device trees: how the hypervisor learns its domains"),
        ("zlib1g-dev", "unpacks gzip kernels"),
        ("libbz2-dev", "unpacks bzip2 kernels"),
        ("liblzo2-dev", "unpacks lzo kernels"),
        ("liblzma-dev", "unpacks xz kernels"),
        ("liblz4-dev", "unpacks lz4 kernels"),
        ("libzstd-dev", "unpacks zstd kernels"),
    ),
    "image": (
        ("grub-common", "grub-mkrescue: makes the boot image"),
        ("grub-pc-bin", "GRUB for machines with a BIOS"),
        ("grub-efi-amd64-bin", "GRUB for machines with UEFI"),
        ("xorriso", "writes the ISO image"),
        ("mtools", "makes the file system that UEFI reads"),
    ),
    "bochs": (
        ("bochs", "emulates machines, VT-x with EPT, VMFUNC and #VE included"),
        ("bochs-term|bochs-wx|bochs-sdl|bochs-x", "a front end that bochs insists on"),
        ("bochsbios", "the emulated machine's BIOS"),
        ("vgabios", "the emulated machine's VGA BIOS"),
    ),
    "qemu": (
        ("qemu-system-x86", "emulates machines, AMD-V with nested paging included"),
    ),
    "demo": (
        ("busybox-static", "user space of the Linux guest"),
        ("libelf1|libelf1t64", "checks the objects of kernel modules"),
    ),
    "monitor": (
        ("xen-utils-4.17", "xen-access, which watches a domain"),
    ),
    "host": (
        ("xen-utils-4.17", "xl and the daemons of a domain 0"),
        ("xen-utils-common", "the scripts that give guests disks and networks"),
        ("xenstore-utils", "likewise"),
        ("bash", "runs them"),
        ("util-linux", "likewise"),
        ("bsdutils", "a terminal for xl console"),
        ("e2fsprogs", "makes a disk"),
    ),
    "compare": (
        ("xen-utils-4.17", "xl and xenstored: dom0 of the Xen that Facet is compared with"),
        ("cpio", "packs dom0's initramfs"),
    ),
    "plot": (
        ("gnuplot-nox|gnuplot-qt|gnuplot-x11", "draws the charts"),
    ),
    "libvmi": (
        ("cmake", "LibVMI's build"),
        ("pkg-config|pkgconf", "likewise"),
        ("bison", "LibVMI's configuration files"),
        ("flex", "likewise"),
        ("libglib2.0-dev", "LibVMI"),
        ("libjson-c-dev", "LibVMI's profiles of kernels"),
        ("dwarves", "pahole: offsets in the guest's kernel"),
        ("xen-utils-4.17", "oxenstored: names of domains"),
        ("xenstore-utils", "writes them"),
    ),
    "drakvuf": (
        ("meson", "DRAKVUF's build"),
        ("ninja-build", "likewise"),
        ("clang", "compiles DRAKVUF: g++ has not what it uses of C"),
        ("lld", "links it"),
        ("cmake", "LibVMI's build"),
        ("pkg-config|pkgconf", "likewise"),
        ("bison", "LibVMI's configuration files"),
        ("flex", "likewise"),
        ("libglib2.0-dev", "LibVMI and DRAKVUF"),
        ("libjson-c-dev", "profiles of kernels"),
        ("zlib1g-dev", "dumps of processes"),
        ("libzstd-dev", "likewise"),
    ),
    "packages": (
        ("dpkg-dev", "builds Debian packages"),
        ("build-essential", "what each Debian package is built with"),
        ("debhelper", "likewise"),
    ),
    "prove": (
        ("libcmocka-dev", "the enumerations' frame"),
        ("spin", "explores protocols"),
        ("frama-c-base", "shows that parsers have no run-time error"),
    ),
    "test": (
        ("libcmocka-dev", "unit tests"),
        ("libzydis-dev", "a second opinion on instructions"),
        ("clang", "second compiler; fuzzing"),
        ("clang-format", "holds the tree to its own style"),
        ("g++", "the headers for embedders are C++, too"),
        ("libclang-rt-14-dev", "libFuzzer and sanitizers for clang"),
        ("cpio", "checks the initramfs writer"),
        ("groff-base", "checks the man pages"),
        ("python3-jsonschema", "holds JSON to its schema"),
        ("pkg-config|pkgconf", "finds the installed libraries"),
        ("lintian", "checks the packages"),
        ("debootstrap", "a Debian to install the packages into"),
        ("ovmf", "UEFI for an emulated machine"),
        ("grub-xen-bin", "a PVH image that waits for xenstore"),
        ("lz4", "makes compressed kernels to unpack"),
        ("xz-utils", "likewise"),
        ("zstd", "likewise"),
    ),
}
# What starts a machine of each emulator.
EMULATORS = {"bochs": ("bochs",), "qemu": ("qemu",)}
# "emulator" stands for what the machine in question needs.
NEEDS = {
    "build": ("build",),
    "image": ("build", "image"),
    "run": ("build", "emulator"),
    "demo": ("build", "emulator", "demo"),
    "monitor": ("build", "emulator", "demo", "monitor"),
    "host": ("build", "emulator", "demo", "host"),
    "compare": ("build", "image", "emulator", "demo", "compare"),
    "plot": ("plot",),
    "libvmi": ("build", "emulator", "demo", "libvmi"),
    "drakvuf": ("build", "emulator", "demo", "drakvuf"),
    "packages": ("build", "packages"),
    "prove": ("build", "prove"),
    "test": ("build", "image", "bochs", "qemu", "demo", "monitor", "host", "plot", "packages",
             "test"),
}


def wanted(purpose, emulator="bochs"):
    """(package, reason) pairs of everything `purpose` needs on a machine of that emulator. Who is installed
    builds nothing."""
    parts = [one for part in NEEDS[purpose]
             for one in (EMULATORS[emulator] if part == "emulator" else (part,))]
    return [pair for part in parts for pair in PACKAGES[part] if not (installed and part == "build")]


def _run(*command, **options):
    try:
        return subprocess.run(command, check=False, **options)
    except FileNotFoundError:
        raise Error(f"there is no {command[0]} here: Facet's packages come from Debian's archive") from None


def _installed():
    query = _run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\\n", stdout=subprocess.PIPE, text=True)
    pairs = (line.split(" ", 1) for line in query.stdout.splitlines())
    return {name for status, name in pairs if status == "installed"}


def missing(purpose, emulator="bochs"):
    """(package, reason) pairs that are not installed."""
    have = _installed()
    return [(names.split("|")[0], reason) for names, reason in wanted(purpose, emulator)
            if not have.intersection(names.split("|"))]


def _apt(*arguments):
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    # A machine that has just started may be installing its updates.
    command = ["apt-get", "-q", "-o", "Dpkg::Use-Pty=0", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", *arguments]
    if not hushed():
        return _run(*command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode
    done = _run(*command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace")
    if done.returncode:
        print(done.stdout, end="", file=sys.stderr)
    return done.returncode


def _all_known(names):
    shown = _run("apt-cache", "show", "--no-all-versions", *names, stdout=subprocess.PIPE,
                 stderr=subprocess.DEVNULL, text=True)
    known = {line[9:] for line in shown.stdout.splitlines() if line.startswith("Package: ")}
    return known.issuperset(names)


def update():
    """Refreshes the package lists. If that fails, what is tried next tells more."""
    progress("refreshing apt's package lists")
    if _apt("update"):
        say("that failed; going on with the lists as they are")


def require(purpose, machine=None, asked=False):
    """Installs what `purpose` needs on a machine (machines.Machine; default: the default one) and the
    system does not have. Needs root only then. An installed command does so only if it is asked for that, and
    nothing else."""
    absent = missing(purpose, machine.emulator if machine else "bochs")
    if not absent:
        return
    names = [name for name, _ in absent]
    line = "apt-get install --no-install-recommends " + " ".join(names)
    if os.geteuid() != 0 or (installed and not asked):
        raise Error(f"packages are missing; as root, run:\n  {line}")
    progress(f"installing {len(names)} missing packages:")
    for name, reason in absent:
        progress(f"  {name}: {reason}")
    install = ("install", "-y", "--no-install-recommends", *names)
    if not _all_known(names):
        update()
    elif _apt(*install) == 0:
        return
    else:
        say("that failed; the package lists may be old")
        update()
    if _apt(*install):
        raise Error(f"could not install the packages; try as root:\n  {line}")
