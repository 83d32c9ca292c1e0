# SPDX-License-Identifier: MIT
"""The files of Xen and dom0: unpacked packages, and the initramfs made of them."""

import gzip
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

from runner import archive
from runner.base import Error, build_dir, progress
from runner.debian import cache, cache_dir, keep, real_kernel, scratch_dir

HYPERVISOR = "xen-hypervisor-4.17-amd64"
KERNEL_META = "linux-image-amd64"  # the cloud kernel cannot be dom0
XEN_BIN = pathlib.Path("/usr/lib/xen-4.17/bin")
PROGRAMS = ("xl", "xenstored", "xenconsoled", "xen-init-dom0")
MODULES = ("xen-privcmd", "xen-evtchn", "xenfs", "xen-gntdev", "xen-gntalloc")
APPLETS = ("sh", "mount", "cat", "echo", "sleep", "usleep", "insmod", "poweroff", "mkdir",
           "head", "tail", "timeout")
DIRECTORIES = ("bin", "proc", "sys", "dev", "run", "var/lib/xenstored",
               "var/lib/xen", "var/log/xen", "var/lock", "etc/xen", "mod", "tmp", "guests")


def _output(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **options)
    if done.returncode:
        raise Error(f"{command[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def _fetch(directory):
    found = archive.find(HYPERVISOR)
    if not found:
        raise archive.Missing(f"apt does not know {HYPERVISOR}")
    some = [real_kernel(KERNEL_META), found]
    progress(f"downloading {' and '.join(one.name for one in some)} (to unpack, not to install)")
    with scratch_dir(directory.parent) as path:
        tree = path / "tree"
        archive.fetch(some, tree)
        (tree / "version").write_text(found.version, encoding="ascii")
        keep(tree, directory)


def unpacked():
    """The directory with Xen and dom0's kernel; downloaded at first use."""
    directory = cache_dir() / "xen-4.17"
    if not (directory / "version").exists():
        with cache():
            if not (directory / "version").exists():
                archive.with_lists(lambda: _fetch(directory))
    return directory


def version():
    """The version of Debian's package of Xen."""
    return (unpacked() / "version").read_text(encoding="ascii").strip()


def one_file(directory, pattern):
    """The one file that matches."""
    found = sorted(directory.glob(pattern))
    if not found:
        raise Error(f"no {pattern} in {directory}")
    return found[0]


def _libraries(programs):
    listed = "".join(_output("ldd", str(program)) for program in programs)
    return sorted(set(re.findall(r"(/\S+\.so\S*)", listed)))


def _copy(source, root):
    target = root / str(source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def make_initramfs(script, guests, output):
    """Writes dom0's initramfs: `script` is /init, guests are {file name: bytes} below /guests."""
    tree = unpacked()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name in DIRECTORIES:
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "var/run").symlink_to("/run")
        shutil.copy("/bin/busybox", root / "bin" / "busybox")
        for name in APPLETS:
            (root / "bin" / name).symlink_to("busybox")
        programs = [*(XEN_BIN / name for name in PROGRAMS), build_dir() / "xen-tables"]
        # libgcc is loaded by name when a thread ends.
        for path in [*programs, *_libraries(programs), "/lib/x86_64-linux-gnu/libgcc_s.so.1"]:
            _copy(path, root)
        (root / "bin" / "xen-tables").symlink_to(build_dir() / "xen-tables")
        (root / "etc/xen/xl.conf").touch()
        for name in MODULES:
            module = one_file(tree / "lib" / "modules", f"**/{name}.ko")
            shutil.copy(module, root / "mod" / module.name)
        for name, content in guests.items():
            (root / "guests" / name).write_bytes(content)
            (root / "guests" / name).chmod(0o755)
        init = root / "init"
        init.write_text(script, encoding="ascii")
        init.chmod(init.stat().st_mode | stat.S_IXUSR)
        names = "\n".join(str(p.relative_to(root)) for p in sorted(root.rglob("*")))
        packed = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(),
                                stdout=subprocess.PIPE, cwd=root, check=True).stdout
    output.write_bytes(gzip.compress(packed, 1))
