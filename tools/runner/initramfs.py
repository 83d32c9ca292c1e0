# SPDX-License-Identifier: MIT
"""Makes initramfs files for Linux guests: busybox, programs with what they need, kernel modules, files.

    tree = Tree()                        busybox and the directories that an init wants
    tree.file("etc/x", path or bytes)    a file; tree.add(source, "opt/x") takes directories, too
    tree.program(path, "bin/x")          a program with its interpreter and shared libraries
    tree.write(output, init)             the archive; `init` is a shell script

Three that are made of it:

    shell(output, kernel, build_dir)         a root shell on hvc0, altp2m in PATH
    script(output, kernel, build_dir, text)  runs a shell script, then powers off
    demo(output, kernel, build_dir)          runs the demo, then powers off

`kernel` has the attribute `modules`, its lib/modules/RELEASE directory, as runner.debian_kernel()
gives it; `build_dir` holds altp2m and facet-demo. `extra` adds files: {"bin/name": path or bytes}.
"""

import gzip
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import tempfile

from . import kmodules
from .base import Error
from .cpio import Archive

BUSYBOX = "busybox"
PRIVCMD = "xen-privcmd"
APPLETS_NEEDED = ("sh", "mount", "insmod", "poweroff", "setsid", "cttyhack")
# Where the loader of shared libraries looks without being told. /lib and /usr/lib are two directories here.
LIBRARY_DIRS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64")

# "unrestricted" is for kernels since 2026, which otherwise block user space's hypercalls in a
# guest; older kernels ignore it.
PRIVCMD_OPTION = "unrestricted=1"
MOUNTS = """#!/bin/sh
export PATH=/bin HOME=/ TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
"""
PROLOGUE = f"{MOUNTS}insmod /lib/{PRIVCMD}.ko {PRIVCMD_OPTION}\n"
# SCHEDOP_shutdown says more than a halted processor, which is all that poweroff leaves behind.
POWER_OFF = "{ [ -x /bin/facet-demo ] && facet-demo --power-off; } || poweroff -f\n"
SHELL = "echo \"facet: altp2m --help tells what there is; exit powers off\"\n" \
        "setsid cttyhack sh\n"
_LIBRARY = re.compile(r"\s*(?:(\S+) => )?(/\S+|not found)(?: \(0x[0-9a-f]+\))?")


def stripped(path):
    """A program's bytes without symbols and debug information; as they are where there is no strip(1)."""
    if not shutil.which("strip"):
        return path.read_bytes()
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
        raise Error("busybox is not installed (package busybox-static)")
    data = pathlib.Path(path).read_bytes()
    if _is_dynamic(data):
        raise Error(f"{path} is not static (package busybox-static)")
    shown = subprocess.run([path, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    return data, shown.stdout.split()


def libraries(program):
    """The shared libraries of a program or library, as `extra` takes files."""
    shown = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                           env=dict(os.environ, LC_ALL="C.UTF-8"))
    found = {}
    for line in shown.stdout.splitlines():
        match = _LIBRARY.fullmatch(line)
        if not match:
            continue  # the kernel's own, or a program without any
        name, path = match.group(1) or match.group(2), match.group(2)
        if path == "not found":
            raise Error(f"{program} needs {name}, which is not there")
        # What lies where only this program looks is found where all look.
        place = path if os.path.dirname(path) in LIBRARY_DIRS else f"{LIBRARY_DIRS[0]}/{os.path.basename(path)}"
        found[place.lstrip("/")] = pathlib.Path(path).resolve()
    return found


class Tree:
    """The files of an initramfs, by their paths in it."""

    def __init__(self, applets=None):
        self._entries = {}  # path: (mode, bytes, path here or, for links, the target)
        self._applets = applets

    def __contains__(self, name):
        return name in self._entries

    def directory(self, name):
        """An empty directory, or one to come."""
        self._entries.setdefault(name, (stat.S_IFDIR | 0o755, None))

    def file(self, name, content, mode=0o755):
        """A file with these bytes, or those of the file of that path."""
        self._entries[name] = (stat.S_IFREG | mode, content)

    def link(self, name, target):
        """A symbolic link."""
        self._entries[name] = (stat.S_IFLNK, target)

    def add(self, source, name):
        """A file, or a directory with all that is in it."""
        source = pathlib.Path(source)
        if not source.is_dir():
            self.file(name, source, 0o755 if os.access(source, os.X_OK) else 0o644)
            return
        self.directory(name)
        for path in sorted(source.iterdir()):
            if path.is_symlink():
                self.link(f"{name}/{path.name}", os.readlink(path))
            elif path.is_dir() or path.is_file():
                self.add(path, f"{name}/{path.name}")

    def program(self, path, name, data=None):
        """A program with its libraries; `data`: its bytes, if not as they are in the file."""
        self.file(name, path if data is None else data)
        if (data or pathlib.Path(path).read_bytes())[:4] == b"\x7fELF":
            for library, real in libraries(path).items():
                self.file(library, real)

    def size(self):
        """Bytes of all files."""
        return sum(len(content) if isinstance(content, bytes) else os.stat(content).st_size
                   for mode, content in self._entries.values() if stat.S_ISREG(mode))

    def _with_busybox(self):
        data, known = _busybox()
        entries = {name: (stat.S_IFDIR | 0o755, None) for name in ("proc", "sys", "dev", "tmp")}
        entries["bin/busybox"] = (stat.S_IFREG | 0o755, data)
        for applet in self._applets or known:
            if applet != BUSYBOX:
                entries[f"bin/{applet}"] = (stat.S_IFLNK, BUSYBOX)
        return {**entries, **self._entries}

    def write(self, output, init):
        """Writes the compressed archive; returns its path."""
        archive = Archive()
        for name, (mode, content) in self._with_busybox().items():
            if stat.S_ISDIR(mode):
                archive.directory(name)
            elif stat.S_ISLNK(mode):
                archive.link(name, content)
            else:
                data = content if isinstance(content, bytes) else pathlib.Path(content).read_bytes()
                archive.file(name, data, stat.S_IMODE(mode))
        archive.file("init", init.encode())
        output = pathlib.Path(output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(gzip.compress(archive.bytes(), 6, mtime=0))
        return output


def build(output, kernel, programs, init, applets=None, extra=None):
    """Writes `output`: busybox with `applets` (None: all it has), `programs` in /bin, xen-privcmd, `init`."""
    tree = Tree(applets)
    tree.file(f"lib/{PRIVCMD}.ko", kmodules.read(kmodules.find(kernel, PRIVCMD)), 0o644)
    for program in map(pathlib.Path, programs):
        tree.file(f"bin/{program.name}", stripped(program))
    for name, content in (extra or {}).items():
        tree.file(name, content)
    return tree.write(output, init)


def _programs(build_dir, *names):
    paths = [pathlib.Path(build_dir) / name for name in names]
    for path in paths:
        if not path.exists():
            raise Error(f"{path} is not built")
    return paths


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
