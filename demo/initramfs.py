# SPDX-License-Identifier: MIT
"""Makes small initramfs files for Linux guests: busybox, the altp2m command, xen-privcmd.

    initramfs.shell(output, kernel, build_dir)         a root shell on hvc0, altp2m in PATH
    initramfs.script(output, kernel, build_dir, text)  runs a shell script, then powers off
    initramfs.demo(output, kernel, build_dir)          runs the demo, then powers off

`kernel` has the attribute `modules`, its lib/modules/RELEASE directory, as runner.debian_kernel()
gives it; `build_dir` holds altp2m and facet-demo. `extra` adds files: {"bin/name": path or bytes}.
Python's own cpio writer: no root, and the same bytes for the same input.
"""

import argparse
import gzip
import io
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from types import SimpleNamespace

BUSYBOX = "busybox"
MODULE = "kernel/drivers/xen/xen-privcmd.ko"
APPLETS_NEEDED = ("sh", "mount", "insmod", "poweroff", "setsid", "cttyhack")

# "unrestricted" is for kernels since 2026, which otherwise block user space's hypercalls in a
# guest; older kernels ignore it.
PROLOGUE = """#!/bin/sh
export PATH=/bin HOME=/ TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
insmod /lib/xen-privcmd.ko unrestricted=1
"""
# SCHEDOP_shutdown says more than a halted processor, which is all that poweroff leaves behind.
POWER_OFF = "{ [ -x /bin/facet-demo ] && facet-demo --power-off; } || poweroff -f\n"
SHELL = "echo \"facet: altp2m --help tells what there is; exit powers off\"\n" \
        "setsid cttyhack sh\n"


class Archive:
    """A cpio archive in the "newc" format (Documentation/driver-api/early-userspace of Linux)."""

    def __init__(self):
        self._out = io.BytesIO()
        self._inode = 0
        self._made = set()

    def _entry(self, name, mode, data=b""):
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        self._out.write(name.encode() + b"\0")
        self._pad()
        self._out.write(data)
        self._pad()

    def _pad(self):
        self._out.write(b"\0" * (-self._out.tell() % 4))

    def directory(self, name):
        """A directory and those above it, each once."""
        if name in self._made or name in ("", "."):
            return
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._made.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        """A regular file with these bytes."""
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        """A symbolic link."""
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        """The finished archive."""
        self._entry("TRAILER!!!", 0)
        return self._out.getvalue()


def _stripped(path):
    """A program's bytes without symbols and debug information."""
    with tempfile.TemporaryDirectory() as scratch:
        target = pathlib.Path(scratch) / path.name
        subprocess.run(["strip", "-o", str(target), str(path)], check=True)
        return target.read_bytes()


def _is_dynamic(elf):
    """Whether an ELF64 program names an interpreter (a PT_INTERP header, type 3)."""
    table, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    return any(struct.unpack_from("<I", elf, table + i * size)[0] == 3 for i in range(count))


def _busybox():
    path = shutil.which(BUSYBOX)
    if not path:
        raise FileNotFoundError("busybox is not installed (package busybox-static)")
    data = pathlib.Path(path).read_bytes()
    if _is_dynamic(data):
        raise ValueError(f"{path} is not static (package busybox-static)")
    shown = subprocess.run([path, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    return data, shown.stdout.split()


def _module(kernel):
    path = pathlib.Path(kernel.modules) / MODULE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; a compressed module is not supported")
    return path.read_bytes()


def build(output, kernel, programs, init, applets=None, extra=None):
    """Writes `output`: busybox with `applets` (None: all it has), `programs` in /bin, `init`."""
    archive = Archive()
    data, known = _busybox()
    for name in ("proc", "sys", "dev", "tmp"):
        archive.directory(name)
    archive.file("bin/busybox", data)
    names = {pathlib.Path(p).name for p in programs}
    for applet in applets or known:
        if applet != BUSYBOX and applet not in names:
            archive.link(f"bin/{applet}", BUSYBOX)
    archive.file("lib/xen-privcmd.ko", _module(kernel), 0o644)
    for program in programs:
        archive.file(f"bin/{pathlib.Path(program).name}", _stripped(pathlib.Path(program)))
    for name, content in (extra or {}).items():
        archive.file(name, content if isinstance(content, bytes)
                     else pathlib.Path(content).read_bytes())
    archive.file("init", init.encode())
    output = pathlib.Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(gzip.compress(archive.bytes(), 9, mtime=0))
    return output


def _programs(build_dir, *names):
    paths = [pathlib.Path(build_dir) / name for name in names]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} is not built")
    return paths


def libraries(program):
    """The shared libraries of a program, as `extra` takes files."""
    shown = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, text=True, check=True)
    return {word.lstrip("/"): pathlib.Path(word).resolve() for word in shown.stdout.split()
            if word.startswith("/")}


def script(output, kernel, build_dir, text, extra=None):
    """Runs `text` with sh as root on hvc0, then powers off."""
    programs = _programs(build_dir, "altp2m", "facet-demo", "greet")
    return build(output, kernel, programs, PROLOGUE + text + "\n" + POWER_OFF, extra=extra)


def shell(output, kernel, build_dir, extra=None):
    """A root shell on the console; its end powers the domain off."""
    return script(output, kernel, build_dir, SHELL, extra)


def demo(output, kernel, build_dir):
    """The demo, with only what it needs."""
    programs = _programs(build_dir, "altp2m", "facet-demo")
    return build(output, kernel, programs, PROLOGUE + "facet-demo\n" + POWER_OFF,
                 applets=APPLETS_NEEDED)


def main():
    """For use without the runner."""
    parser = argparse.ArgumentParser(description="make an initramfs for a Linux guest")
    parser.add_argument("kind", choices=("demo", "shell", "script"))
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("-m", "--modules", required=True, help="the kernel's lib/modules/RELEASE")
    parser.add_argument("-b", "--build", default="build", help="the build directory")
    parser.add_argument("-s", "--script", help="the script's file, for kind script")
    args = parser.parse_args()
    kernel = SimpleNamespace(modules=pathlib.Path(args.modules))
    if args.kind == "script":
        if not args.script:
            parser.error("kind script needs --script")
        text = pathlib.Path(args.script).read_text(encoding="utf-8")
        script(args.output, kernel, args.build, text)
    else:
        {"demo": demo, "shell": shell}[args.kind](args.output, kernel, args.build)
    return 0


if __name__ == "__main__":
    sys.exit(main())
