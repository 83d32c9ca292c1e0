# SPDX-License-Identifier: MIT
"""Kernel modules as files: where they are, what they need, which options they take."""

import lzma
import pathlib
import re
import subprocess

from .base import Error

_SUFFIX = re.compile(r"\.ko(?:\.(?:xz|gz|zst))?$")


def spelled(name):
    """The name as the kernel has it: `xen-privcmd` and `xen_privcmd` are one module."""
    return name.replace("-", "_")


def _file_name(path):
    return spelled(_SUFFIX.sub("", path.name))


def is_builtin(kernel, name):
    """Whether the kernel has it in itself."""
    try:
        text = (pathlib.Path(kernel.modules) / "modules.builtin").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(_file_name(pathlib.PurePosixPath(line)) == spelled(name) for line in text.splitlines())


def find(kernel, name):
    """The file of a module."""
    files = pathlib.Path(kernel.modules).rglob(f"{re.sub('[-_]', '[-_]', name)}.ko*")
    for path in files:
        if _SUFFIX.search(path.name) and _file_name(path) == spelled(name):
            return path
    raise Error(f"kernel {kernel.release} has no module {name}")


def read(path):
    """A module's bytes, not compressed."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix in (".gz", ".zst"):
        unpacker = {".gz": "gzip", ".zst": "zstd"}[path.suffix]
        try:
            return subprocess.run([unpacker, "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            raise Error(f"{path} cannot be unpacked: {unpacker} is needed for that") from None
    return data


def facts(data, key):
    """The values of `key` that a module says of itself ("modinfo")."""
    return [value.decode(errors="replace") for value in
            re.findall(rb"(?<=\0)" + re.escape(key.encode()) + rb"=([^\0]*)\0", b"\0" + data)]


def options(data):
    """Names of the options that a module takes."""
    return {text.partition(":")[0] for text in facts(data, "parmtype")}


def with_needed(kernel, names):
    """{name: path} of these modules, each after those that it needs; what the kernel has built in is left out."""
    found = {}

    def take(name):
        if spelled(name) in found or is_builtin(kernel, name):
            return
        path = find(kernel, name)
        for text in facts(read(path), "depends"):
            for other in filter(None, text.split(",")):
                take(other)
        found[spelled(name)] = path

    for name in names:
        take(name)
    return found
