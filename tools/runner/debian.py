# SPDX-License-Identifier: MIT
"""Debian's cloud kernel and its headers, as files: downloaded and unpacked, never installed.

The cache is $FACET_CACHE, else facet/ in $XDG_CACHE_HOME, else ~/.cache/facet. It outlives the
clone, so that a second clone needs no download. Delete it to get a newer kernel.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from . import packages
from .base import Error, locked, say

META_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True)
class DebianKernel:
    """An unpacked kernel package."""

    release: str  # as uname -r
    vmlinuz: pathlib.Path
    system_map: pathlib.Path
    modules: pathlib.Path  # the directory lib/modules/RELEASE


def cache_dir():
    """Where downloads are kept."""
    if "FACET_CACHE" in os.environ:
        return pathlib.Path(os.environ["FACET_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "facet"


def _depends():
    """The real kernel package behind the meta package, or None."""
    shown = subprocess.run(["apt-cache", "depends", META_PACKAGE], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False)
    names = re.findall(r"Depends: (linux-image-[0-9]\S+)", shown.stdout)
    return names[0] if names else None


def _cached(cache):
    found = sorted(cache.glob("linux-image-*/boot/vmlinuz-*"), key=lambda p: p.stat().st_mtime)
    if not found:
        return None
    vmlinuz = found[-1]
    top, release = vmlinuz.parents[1], vmlinuz.name[len("vmlinuz-"):]
    return DebianKernel(release, vmlinuz, top / "boot" / f"System.map-{release}",
                        top / "lib" / "modules" / release)


def _download(package, directory):
    done = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package],
                          cwd=directory, stdout=subprocess.DEVNULL, check=False)
    debs = list(pathlib.Path(directory).glob("*.deb"))
    return debs[0] if done.returncode == 0 and debs else None


def _fetch(cache):
    package = _depends()
    if not package and os.geteuid() == 0:
        packages.update()
        package = _depends()
    if not package:
        raise Error(f"apt does not know {META_PACKAGE}; as root, run:\n  apt-get update")
    say(f"downloading Debian's kernel package {package} (to unpack, not to install)")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        deb = _download(package, scratch)
        if not deb and os.geteuid() == 0:
            packages.update()
            package = _depends() or package
            deb = _download(package, scratch)
        if not deb:
            raise Error(f"could not download {package}")
        tree = pathlib.Path(scratch) / "tree"
        if subprocess.run(["dpkg", "-x", str(deb), str(tree)], check=False).returncode:
            raise Error(f"could not unpack {deb.name}")
        target = cache / deb.stem
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def debian_kernel():
    """Debian 12's kernel for virtual machines, from the cache or downloaded."""
    cache = cache_dir()
    with locked(cache / ".lock"):
        kernel = _cached(cache)
        if not kernel:
            _fetch(cache)
            kernel = _cached(cache)
    if not kernel:
        raise Error(f"the kernel package has no boot/vmlinuz-*; see {cache}")
    return kernel


def _unpack(package, scratch, tree):
    """Downloads a package and unpacks it into `tree`; returns the names that it depends on."""
    directory = pathlib.Path(scratch) / package.partition("=")[0]
    directory.mkdir()
    deb = _download(package, directory)
    if not deb and os.geteuid() == 0:
        packages.update()
        deb = _download(package, directory)
    if not deb:
        raise Error(f"could not download {package}; if the archive has a newer kernel by now, "
                    f"delete {cache_dir()}")
    if subprocess.run(["dpkg", "-x", str(deb), str(tree)], check=False).returncode:
        raise Error(f"could not unpack {deb.name}")
    shown = subprocess.run(["dpkg-deb", "-f", str(deb), "Depends"], stdout=subprocess.PIPE,
                           text=True, check=True)
    return re.findall(r"[a-z0-9][a-z0-9.+-]+", shown.stdout)


def debian_headers(kernel):
    """The build directory for modules of `kernel`, from the cache or downloaded."""
    cache = cache_dir()
    version = kernel.vmlinuz.parents[1].name.split("_")[1]
    target = cache / f"linux-headers-{kernel.release}_{version}"
    build_dir = target / "usr" / "src" / f"linux-headers-{kernel.release}"
    with locked(cache / ".lock"):
        if target.exists():
            return build_dir
        say(f"downloading the headers of kernel {kernel.release} (to unpack, not to install)")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            tree = pathlib.Path(scratch) / "tree"
            needed = _unpack(f"linux-headers-{kernel.release}={version}", scratch, tree)
            for name in needed:
                if re.fullmatch(r"linux-headers-.*-common|linux-kbuild-.*", name):
                    _unpack(f"{name}={version}", scratch, tree)
            # It names the common headers' directory as it is once installed.
            makefile = tree / build_dir.relative_to(target) / "Makefile"
            text = makefile.read_text(encoding="utf-8")
            makefile.write_text(
                text.replace("/usr/src/", "$(dir $(lastword $(MAKEFILE_LIST)))../"),
                encoding="utf-8")
            tree.rename(target)
    return build_dir
