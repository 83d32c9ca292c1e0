# SPDX-License-Identifier: MIT
"""Makes the bootable image: GRUB, the hypervisor, the table of domains, their files."""

import errno
import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field

from . import signals
from .base import Error, ToolError, build_dir, result, run_dir, tool

# By name: the host may have GRUB for other platforms too, which lack some of the modules.
GRUB_PLATFORM = "/usr/lib/grub/i386-pc"
# What grub.cfg uses, what finds it on the disc, and what grub-mkrescue's own configuration asks for.
GRUB_MODULES = "multiboot biosdisk iso9660 normal boot minicmd " \
    "part_acorn part_amiga part_apple part_bsd part_dfly part_dvh part_gpt part_msdos part_plan part_sun part_sunpc"
# The same for UEFI, whose GRUB is one file in a file system of its own, and looks for the disc or disk that it is on.
EFI_PLATFORM = "/usr/lib/grub/x86_64-efi"
EFI_MODULES = ("multiboot2", "iso9660", "part_gpt", "part_msdos", "search", "search_fs_file", "normal", "boot", "minicmd")
EFI_START = "search --no-floppy --file --set=root /{mark}\nset prefix=($root)/boot/grub/efi\n"
EFI_IMAGE = "boot/efi.img"
# How the tools speak of a full disk: they themselves, and xorriso of what it would need.
FULL = (os.strerror(errno.ENOSPC), "exceeds free space on media")
# Memory, in MiB, that a machine needs besides the domains' own and the boot modules: so much, and of what it has more than
# 4 GiB a part for the hypervisor's tables of all frames and of the domains' memory.
OVERHEAD_MIB = 64
OVERHEAD_PART = 128


def _overhead(mib):
    return OVERHEAD_MIB + max(0, mib - 4096) // OVERHEAD_PART


@dataclass
class Image:
    """What a machine starts from, a disc or a directory of files, and what it asks of the machine."""

    path: pathlib.Path
    domains: dict = field(default_factory=dict)  # domid -> name
    memory_mib: int = 0  # the least memory a machine needs to run it
    modules: list = field(default_factory=list)  # (file, text that the boot loader passes on)
    options: str = ""  # the hypervisor's command line

    def remove(self):
        """Takes it off the disk."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink()


def hypervisor_path(hypervisor=None):
    """The hypervisor's image: given, or the built one."""
    path = pathlib.Path(hypervisor) if hypervisor else build_dir() / "facet.elf"
    if not path.exists():
        raise Error(f"there is no hypervisor at {path}; run `./facet build`")
    return path


def _communicate(command, environment):
    """Runs a command. Whatever ends this early ends what the command started, too."""
    with signals.started([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, errors="replace", env=environment) as process:
        out, err = process.communicate()
    return process.returncode, out, err


def _run(command, what, scratch=None):
    """Runs a tool that reports to stderr; its words are the error's. `scratch`: where it may put files."""
    environment = dict(os.environ, LC_ALL="C.UTF-8", **({"TMPDIR": str(scratch)} if scratch else {}))
    status, out, err = _communicate(command, environment)
    if status and any(word in err for word in FULL):
        raise Error(f"{what}: {os.strerror(errno.ENOSPC)}")
    if status:
        raise ToolError(err.rstrip() or f"{what} failed with status {status}")
    return out, err


def _compile(configs, blob, interactive, limit_mib, warn):
    """Runs facet-config. Returns (modules, domains, KiB the domains need, {module: its domains})."""
    command = [tool("facet-config"), "-o", blob]
    if interactive:
        command.append("-i")
    if limit_mib:
        command += ["-m", str(limit_mib)]
    out, warnings = _run([*command, "--", *configs], "facet-config")
    if warn and warnings:
        warn(warnings.rstrip())
    modules, domains, kib, users = [], {}, 0, {}
    for line in out.splitlines():
        if line.startswith("module\t"):
            modules.append(tuple(line.split("\t", 3)[2:]))
            continue
        _, number, memory, tables, name, kernel, ramdisk, where = line.split("\t", 7)
        domains[int(number)] = name
        kib += int(memory) + int(tables)
        users.setdefault(int(kernel), []).append((where, memory, ramdisk))
    return modules, domains, kib, users


def _copy(source, target):
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise Error(f"{source} cannot be copied to {target.parent}: {error.strerror}") from None


def _grub_cfg(modules, options="", version=""):
    """`version`: of Multiboot, as GRUB's commands have it. With 2 there is more to learn of UEFI, but GRUB asks the
    screen for its modes first, of which Bochs' dies: for a BIOS it is 1."""
    lines = ["set timeout=0", f"multiboot{version} /boot/facet.elf {options}".rstrip()]
    lines += [f"module{version} /boot/{name} {text}" for name, text in modules]
    return "\n".join(lines) + "\nboot\n"


def _write_efi(directory, scratch, output):
    """Puts a file system for UEFI into `directory`, with a GRUB that finds the disc by a file that only this one has."""
    mark, what = f"boot/{uuid.uuid4().hex}", f"{output} cannot be written"
    (directory / mark).touch()
    start, program, target = scratch / "start.cfg", scratch / "BOOTX64.EFI", directory / EFI_IMAGE
    start.write_text(EFI_START.format(mark=mark), encoding="ascii")
    _run(["grub-mkimage", "-O", "x86_64-efi", "-d", EFI_PLATFORM, "-p", "/boot/grub/efi", "-c", start, "-o", program,
          *EFI_MODULES], what, scratch)
    _run(["mformat", "-C", "-f", "2880", "-i", target, "::"], what, scratch)
    _run(["mmd", "-i", target, "::EFI", "::EFI/BOOT"], what, scratch)
    _run(["mcopy", "-i", target, program, "::EFI/BOOT/"], what, scratch)


def write_iso(directory, output, efi=False):
    """Writes a disc with GRUB for a BIOS and what is in `directory`, which has boot/grub/grub.cfg; for UEFI, too, with
    boot/grub/efi/grub.cfg. The same file is a disk's image."""
    directory = pathlib.Path(directory)
    with result(output) as beside, tempfile.TemporaryDirectory(prefix="grub-", dir=directory.parent) as scratch:
        if efi:
            _write_efi(directory, pathlib.Path(scratch), output)
        _run(["grub-mkrescue", "-d", GRUB_PLATFORM, "-o", beside, "--fonts=", "--locales=", "--themes=",
              f"--install-modules={GRUB_MODULES}", directory,
              *(["--efi-boot", EFI_IMAGE, "-efi-boot-part", "--efi-boot-image"] if efi else [])],
             f"{output} cannot be written", scratch)


def lay_out(configs, directory, interactive=False, memory=None, hypervisor=None, warn=None, options=""):
    """Puts what a boot loader loads for `configs` into a new directory: facet.elf and modules.

    `memory` is what the machine has, in MiB, if known: domains that do not fit are refused.
    `warn` is called with the text of warnings about the configurations. `options`: the hypervisor's command line.
    """
    elf = hypervisor_path(hypervisor)
    limit = memory - _overhead(memory) if memory else None
    if limit is not None and limit <= 0:
        raise Error(f"a machine of {memory} MiB is too small: the hypervisor itself "
                    f"needs {OVERHEAD_MIB} MiB")
    directory.mkdir(parents=True)
    modules, domains, kib, users = _compile(configs, directory / "domains.dtb", interactive, limit, warn)
    for i, (kind, path) in enumerate(modules, 1):
        if kind == "kernel":
            fits = [word for user in users[i] for word in user]
            _run([tool("facet-kernel"), path, directory / f"module{i}", *fits], "facet-kernel")
        else:
            _copy(path, directory / f"module{i}")
    _copy(elf, directory / "facet.elf")
    files = sum(f.stat().st_size for f in directory.iterdir())
    need = -(-kib // 1024) + -(-files // (1 << 20))
    need += _overhead(need)
    return Image(directory, domains, need, [("domains.dtb", "domains"),
                                            *((f"module{i}", kind) for i, (kind, _) in enumerate(modules, 1))], options)


def make_image(configs, output, *more):
    """Writes an image for `configs` to `output`, for a disc or a disk; `more` is as for lay_out()."""
    with tempfile.TemporaryDirectory(prefix="image-", dir=run_dir()) as scratch:
        boot = pathlib.Path(scratch) / "boot"
        made = lay_out(configs, boot, *more)
        for folder, version in (("grub", ""), ("grub/efi", "2")):
            (boot / folder).mkdir()
            (boot / folder / "grub.cfg").write_text(_grub_cfg(made.modules, made.options, version), encoding="ascii")
        write_iso(scratch, output, efi=True)
    return Image(pathlib.Path(output), made.domains, made.memory_mib, made.modules)


# In a folder that make_files() wrote: what to load.
LOAD_LIST = "load"


def check_files_directory(directory):
    """Refuses what make_files() cannot replace: it takes away only what it made."""
    directory = pathlib.Path(directory)
    try:
        if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
            raise Error(f"{directory} is not a directory")
        if directory.is_dir() and any(directory.iterdir()) and not (directory / LOAD_LIST).is_file():
            raise Error(f"{directory} holds other files: nothing is written there")
        parent = directory.resolve().parent
        if not parent.is_dir():
            raise Error(f"{directory} cannot be written: there is no directory {parent}")
        os.rmdir(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=parent))
    except OSError as error:
        raise Error(f"{directory} cannot be written: {error.strerror}") from None


def make_files(configs, directory, *more):
    """The same as files in a directory, for a boot loader that is there already: LOAD_LIST has what it is to load,
    a file's name and its string in each line. One that this made before is replaced when the new files are all there."""
    check_files_directory(directory)
    directory = pathlib.Path(directory).resolve()
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        new = pathlib.Path(scratch) / "new"
        made = lay_out(configs, new, *more)
        lines = [f"facet.elf {made.options}".rstrip(), *(f"{name} {text}" for name, text in made.modules)]
        (new / LOAD_LIST).write_text("\n".join(lines) + "\n", encoding="ascii")
        if directory.exists():
            directory.rename(pathlib.Path(scratch) / "old")
        new.rename(directory)
    return Image(directory, made.domains, made.memory_mib, made.modules)
