# SPDX-License-Identifier: MIT
"""The kernel that `facet guest --kernel` names: a release, a flavour of Debian's, or a file."""

import pathlib
import re
import struct
import subprocess
import tempfile

from . import archive, debian
from .base import Error, readable, tool

RELEASE = re.compile(r"[0-9]+\.[0-9]+[A-Za-z0-9.+~-]*")
FLAVOUR = re.compile(r"[a-z][a-z0-9.+-]*")
# The Linux boot protocol: the header's magic number, and where it says where the version's text is.
MAGIC_AT, MAGIC, VERSION_AT, VERSION_BASE = 0x202, b"HdrS", 0x20E, 0x200


def release_of(path):
    """The release that a bzImage says it is, or None."""
    with open(path, "rb") as file:
        head = file.read(0x8200)
    if head[MAGIC_AT:MAGIC_AT + 4] != MAGIC:
        return None
    at = VERSION_BASE + struct.unpack_from("<H", head, VERSION_AT)[0]
    words = head[at:at + 256].partition(b"\0")[0].decode(errors="replace").split()
    return words[0] if words else None


def look(text):
    """Refuses what names no kernel, without asking anybody."""
    if text is None:
        return
    if "/" in text:
        readable(text)
    elif not RELEASE.fullmatch(text) and not (FLAVOUR.fullmatch(text) and archive.offered(f"linux-image-{text}")):
        raise Error(f"--kernel {text}: neither a release, as 6.1.0-44-cloud-amd64, nor one of Debian's "
                    "kernels, as amd64, nor the path of a file")


def _of_file(path):
    path = pathlib.Path(path).resolve()
    release = release_of(path)
    places = [] if not release or "/" in release else [
        path.parent.parent / "lib/modules" / release, path.parent / "lib/modules" / release,
        pathlib.Path("/lib/modules") / release]
    modules = next((place for place in places if (place / "kernel").is_dir()), None)
    return debian.DebianKernel(release or path.name, path, None, modules)


def find(text):
    """The DebianKernel that is wanted, from the cache or downloaded; one that Facet cannot boot is refused."""
    if text is None:
        kernel = debian.debian_kernel()
    elif "/" in text:
        kernel = _of_file(text)
    else:
        kernel = debian.named_kernel(text)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([str(tool("facet-kernel")), str(kernel.vmlinuz), f"{scratch}/kernel"], check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        raise Error(done.stderr.strip() or f"{kernel.vmlinuz} is no kernel for a guest")
    return kernel
