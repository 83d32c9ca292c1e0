# SPDX-License-Identifier: MIT
"""Makes the bootable image: GRUB, the hypervisor, the table of domains, their files."""

import pathlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field

from .base import Error, ToolError, build_dir, tool

# By name: the host may have GRUB for other platforms too, which lack some of the modules.
GRUB_PLATFORM = "/usr/lib/grub/i386-pc"
# What grub.cfg uses, and what finds it on the disc.
GRUB_MODULES = "multiboot biosdisk iso9660 normal boot minicmd"
# Memory, in MiB, that a machine needs besides the domains' own and the boot modules: so much, and of what it has more than
# 4 GiB a part for the hypervisor's tables of all frames and of the domains' memory.
OVERHEAD_MIB = 64
OVERHEAD_PART = 128


def _overhead(mib):
    return OVERHEAD_MIB + max(0, mib - 4096) // OVERHEAD_PART


@dataclass
class Image:
    """A boot image and what it asks of a machine."""

    path: pathlib.Path
    domains: dict = field(default_factory=dict)  # domid -> name
    memory_mib: int = 0  # the least memory a machine needs to run it


def hypervisor_path(hypervisor=None):
    """The hypervisor's image: given, or the built one."""
    path = pathlib.Path(hypervisor) if hypervisor else build_dir() / "facet.elf"
    if not path.exists():
        raise Error(f"there is no hypervisor at {path}; run `./facet build`")
    return path


def _run(command, what):
    """Runs a tool that reports to stderr; its words are the error's."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode:
        raise ToolError(done.stderr.rstrip() or f"{what} failed with status {done.returncode}")
    return done


def _compile(configs, blob, interactive, limit_mib, warn):
    """Runs facet-config. Returns (modules, domains, KiB the domains need, {module: its domains})."""
    command = [tool("facet-config"), "-o", blob]
    if interactive:
        command.append("-i")
    if limit_mib:
        command += ["-m", str(limit_mib)]
    done = _run([*command, "--", *configs], "facet-config")
    if warn and done.stderr:
        warn(done.stderr.rstrip())
    modules, domains, kib, users = [], {}, 0, {}
    for line in done.stdout.splitlines():
        if line.startswith("module\t"):
            modules.append(tuple(line.split("\t", 3)[2:]))
            continue
        _, number, memory, tables, name, kernel, ramdisk, where = line.split("\t", 7)
        domains[int(number)] = name
        kib += int(memory) + int(tables)
        users.setdefault(int(kernel), []).append((where, memory, ramdisk))
    return modules, domains, kib, users


def _grub_cfg(modules):
    lines = ["set timeout=0", "multiboot /boot/facet.elf", "module /boot/domains.dtb domains"]
    lines += [f"module /boot/module{i} {kind}" for i, (kind, _) in enumerate(modules, 1)]
    return "\n".join(lines) + "\nboot\n"


def write_iso(directory, output):
    """Writes a disc with GRUB for a BIOS and what is in `directory`, which has boot/grub/grub.cfg."""
    _run(["grub-mkrescue", "-d", GRUB_PLATFORM, "-o", output, "--fonts=", "--locales=", "--themes=",
          f"--install-modules={GRUB_MODULES}", directory], "grub-mkrescue")


def make_image(configs, output, interactive=False, memory=None, hypervisor=None, warn=None):
    """Writes the image for `configs` to `output`.

    `memory` is what the machine has, in MiB, if known: domains that do not fit are refused.
    `warn` is called with the text of warnings about the configurations.
    """
    elf = hypervisor_path(hypervisor)
    limit = memory - _overhead(memory) if memory else None
    if limit is not None and limit <= 0:
        raise Error(f"a machine of {memory} MiB is too small: the hypervisor itself "
                    f"needs {OVERHEAD_MIB} MiB")
    scratch_parent = build_dir() / "run"
    scratch_parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="image-", dir=scratch_parent) as scratch:
        boot = pathlib.Path(scratch) / "boot"
        (boot / "grub").mkdir(parents=True)
        modules, domains, kib, users = _compile(configs, boot / "domains.dtb", interactive, limit, warn)
        for i, (kind, path) in enumerate(modules, 1):
            if kind == "kernel":
                fits = [word for user in users[i] for word in user]
                _run([tool("facet-kernel"), path, boot / f"module{i}", *fits], "facet-kernel")
            else:
                shutil.copyfile(path, boot / f"module{i}")
        shutil.copyfile(elf, boot / "facet.elf")
        (boot / "grub" / "grub.cfg").write_text(_grub_cfg(modules), encoding="ascii")
        files = sum(f.stat().st_size for f in boot.iterdir() if f.is_file())
        write_iso(scratch, output)
    need = -(-kib // 1024) + -(-files // (1 << 20))
    need += _overhead(need)
    return Image(pathlib.Path(output), domains, need)
