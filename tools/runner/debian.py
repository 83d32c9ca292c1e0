# SPDX-License-Identifier: MIT
"""Debian's cloud kernel and its headers, as files: downloaded and unpacked, never installed.

The cache is $FACET_CACHE, else facet/ in $XDG_CACHE_HOME, else ~/.cache/facet. It outlives the
clone, so that a second clone needs no download. Delete it to get a newer kernel.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
from dataclasses import dataclass

from . import archive
from .base import Error, cache_dir, locked, progress, say

META_PACKAGE = "linux-image-cloud-amd64"
FLAVOUR = "-cloud-amd64"
HOST_PACKAGE = "linux-image-amd64"
HOST_RELEASE = r"[0-9.]+-[0-9]+-amd64"
IMAGE = r"linux-image-[0-9]"
# What modules are built with, of all that the headers depend on; the compiler is ours.
HEADERS = r"linux-headers-[0-9]\S*-common|linux-kbuild-[0-9]"


@dataclass(frozen=True)
class DebianKernel:
    """An unpacked kernel package."""

    release: str  # as uname -r
    vmlinuz: pathlib.Path
    system_map: pathlib.Path
    modules: pathlib.Path  # the directory lib/modules/RELEASE
    headers: pathlib.Path = None  # where modules for it are built, if that was asked for

    @property
    def version(self):
        """The version of its package."""
        return self.vmlinuz.parents[1].name.split("_")[1].replace("%3a", ":")


@contextlib.contextmanager
def cache():
    """The cache's directory, for one at a time."""
    directory = cache_dir()
    try:
        with locked(directory / ".lock"):
            yield directory
    except OSError as error:
        raise Error(f"the cache {directory} cannot be used: {error.strerror}; FACET_CACHE can name "
                    "another directory") from None


@contextlib.contextmanager
def scratch_dir(directory):
    """A directory in the cache for a download. What one that was killed left is removed."""
    for left in directory.glob(f"{archive.SCRATCH_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=archive.SCRATCH_PREFIX, dir=directory) as path:
        yield pathlib.Path(path)


def keep(tree, target):
    """Moves what was unpacked to its place, whole or not at all."""
    shutil.rmtree(target, ignore_errors=True)
    tree.rename(target)


def _cached(directory):
    """The whole kernels in the cache, the newest first."""
    found = []
    for vmlinuz in directory.glob("linux-image-*_*/boot/vmlinuz-*"):
        top, release = vmlinuz.parents[1], vmlinuz.name[len("vmlinuz-"):]
        kernel = DebianKernel(release, vmlinuz, top / "boot" / f"System.map-{release}",
                              top / "lib" / "modules" / release)
        if kernel.system_map.exists() and kernel.modules.is_dir():
            found.append(kernel)
    return sorted(found, key=lambda kernel: kernel.vmlinuz.stat().st_mtime, reverse=True)


def real_kernel(meta_package):
    """The package with the kernel behind a meta package, or one that holds a kernel."""
    metas = archive.offered(meta_package)
    if not metas:
        raise archive.Missing(f"apt does not know {meta_package}")
    if re.match(IMAGE, meta_package):
        return metas[0]
    for meta in metas:
        for clause in archive.clauses(meta, IMAGE):
            found = archive.find(clause)
            if found:
                return found
    raise archive.Missing(f"the archive has no kernel that satisfies {meta_package}: "
                          f"{', '.join(meta.depends for meta in metas)}")


def _fetch(directory, meta_package=META_PACKAGE):
    """Downloads the kernel that the archive has now; returns its DebianKernel."""
    package = real_kernel(meta_package)
    target = directory / f"{package.name}_{package.version.replace(':', '%3a')}_amd64"
    whole = [kernel for kernel in _cached(directory) if kernel.vmlinuz.parents[1] == target]
    if whole:
        return whole[0]
    progress(f"downloading Debian's kernel package {package.name} (to unpack, not to install)")
    with scratch_dir(directory) as path:
        archive.fetch([package], path / "tree")
        keep(path / "tree", target)
    for kernel in _cached(directory):
        if kernel.vmlinuz.parents[1] == target:
            return kernel
    raise Error(f"the kernel package has no boot/vmlinuz-*, System.map or modules; see {target}")


def _headers_place(directory, kernel):
    """(top of the unpacked headers, where modules are built in it)."""
    top = directory / f"linux-headers-{kernel.release}_{kernel.version.replace(':', '%3a')}"
    return top, top / "usr" / "src" / f"linux-headers-{kernel.release}"


def _with_headers(directory, kernel):
    """The kernel with its headers, if they are in the cache; else None."""
    _, place = _headers_place(directory, kernel)
    return dataclasses.replace(kernel, headers=place) if place.is_dir() else None


def _fetch_headers(directory, kernel, same_version):
    """Downloads the headers of a kernel. The release names the interface of modules; packages of
    the same version are the kernel's very own."""
    name = f"linux-headers-{kernel.release}"
    found = sorted(archive.offered(name), key=lambda one: one.version != kernel.version)
    found = [one for one in found if one.version == kernel.version or not same_version]
    if not found:
        raise archive.Missing(f"the archive has no {name} {kernel.version}")
    needed = archive.closure(found[0], HEADERS)
    progress(f"downloading the headers of kernel {kernel.release} (to unpack, not to install)")
    top, place = _headers_place(directory, kernel)
    with scratch_dir(directory) as path:
        tree = path / "tree"
        archive.fetch(needed, tree)
        # It names the common headers' directory as it is once installed.
        makefile = tree / place.relative_to(top) / "Makefile"
        text = makefile.read_text(encoding="utf-8")
        makefile.write_text(text.replace("/usr/src/", "$(dir $(lastword $(MAKEFILE_LIST)))../"),
                            encoding="utf-8")
        keep(tree, top)
    return _with_headers(directory, kernel)


def _for_guests(directory):
    """Those of them that are the kernel for virtual machines: others are there because somebody named them."""
    return [kernel for kernel in _cached(directory) if kernel.release.endswith(FLAVOUR)]


def _whole(directory, headers):
    """What is asked for, if the cache has it; else None."""
    cached = _for_guests(directory)
    if headers:
        return next(filter(None, (_with_headers(directory, kernel) for kernel in cached)), None)
    return cached[0] if cached else None


def _fetch_pair(directory):
    """A kernel with headers. The archive may have moved on and have none for the kernel that is in
    the cache: then both are fetched anew."""
    cached = _for_guests(directory)
    if cached:
        try:
            return _fetch_headers(directory, cached[0], same_version=True)
        except archive.Missing as error:
            say(f"{str(error).splitlines()[0]}; looking for a kernel with its headers")
    return archive.with_lists(
        lambda: _fetch_headers(directory, _fetch(directory), same_version=False))


def debian_kernel(headers=False):
    """Debian 12's kernel for virtual machines, from the cache or downloaded; with the headers to
    build modules for it, if they are wanted."""
    found = _whole(cache_dir(), headers)  # a cache that is complete need not be writable
    if found:
        return found
    with cache() as directory:
        return _whole(directory, headers) or (
            _fetch_pair(directory) if headers else archive.with_lists(lambda: _fetch(directory)))


def host_kernel():
    """Debian 12's kernel for any machine, from the cache or downloaded: a hardware domain's. The one for virtual machines has
    no drivers for those, and cannot be Xen's dom0."""
    def cached(directory):
        return next((kernel for kernel in _cached(directory) if re.fullmatch(HOST_RELEASE, kernel.release)), None)

    found = cached(cache_dir())
    if found:
        return found
    with cache() as directory:
        return cached(directory) or archive.with_lists(lambda: _fetch(directory, HOST_PACKAGE))


def named_kernel(name):
    """Debian's kernel of a release, as 6.1.0-44-cloud-amd64, or the newest of a flavour, as amd64."""
    def cached(directory):
        return next((kernel for kernel in _cached(directory) if kernel.release == name), None)

    found = cached(cache_dir())
    if found:
        return found
    with cache() as directory:
        return cached(directory) or archive.with_lists(lambda: _fetch(directory, f"linux-image-{name}"))
