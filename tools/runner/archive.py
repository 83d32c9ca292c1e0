# SPDX-License-Identifier: MIT
"""What Debian's archive holds, by apt's lists: packages to download and unpack, not to install.

Which version satisfies a dependency is looked up, never guessed from another package's: parts of one
source are rebuilt alone, and lists of several suites hold several versions of a name.
"""

import contextlib
import errno
import os
import pathlib
import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass

from . import packages
from .base import Error
from .progress import Count

# One alternative of a dependency: name, architecture qualifier, relation to a version.
_ALTERNATIVE = re.compile(r"([a-z0-9][a-z0-9.+-]+)(?::\S+)?\s*(?:\((<<|<=|=|>=|>>)\s*(\S+?)\))?.*")
# Downloads that are under way; what one that was killed left behind is removed by the next.
SCRATCH_PREFIX = "part-"


class Missing(Error):
    """The lists or the archive do not have something: newer lists may help."""


@dataclass(frozen=True)
class Package:
    """A version of a package that the archive offers."""

    name: str
    version: str
    depends: str = ""
    size: int = 0  # of its file


def _run(*command, cwd=None):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", check=False, cwd=cwd, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, LC_ALL="C.UTF-8"))
    except FileNotFoundError:
        raise Error(f"there is no {command[0]} here: packages come from Debian's archive") from None


def _failure(what, done, kind):
    """The Error for a tool that failed: with the line in which it says why. A full disk is told
    as such, and nothing to try again: tar speaks of it as of a short write."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    full = os.strerror(errno.ENOSPC)
    if any(full in line or " Wrote only " in line for line in lines):
        return Error(f"could not {what}: {full}")
    errors = [line for line in lines if re.match(r"E: |dpkg\S*: error", line)]
    reason = (errors or lines or [f"status {done.returncode}"])[0].removeprefix("E: ")
    return kind(f"could not {what}: {reason}")


def _records(name, *options):
    """Packages of this name in apt's lists, in apt's order."""
    found = []
    for record in _run("apt-cache", "show", *options, name).stdout.split("\n\n"):
        fields = dict(re.findall(r"^(\S+): (.*)$", record, re.M))
        if fields.get("Package") == name and "Filename" in fields:  # not one only installed here
            found.append(Package(name, fields["Version"], fields.get("Depends", ""), int(fields.get("Size", 0))))
    return found


def offered(name):
    """The versions of a package that can be had, the one that apt would take first."""
    return list(dict.fromkeys([*_records(name, "--no-all-versions"),
                               *_records(name, "--all-versions")]))


def clauses(package, pattern):
    """The dependencies of a package that `pattern` matches, as text."""
    return [clause.strip() for clause in package.depends.split(",")
            if re.match(pattern, clause.strip())]


def _satisfies(version, relation, wanted):
    return not relation or _run("dpkg", "--compare-versions", version, relation,
                                wanted).returncode == 0


def find(clause):
    """A Package that satisfies a dependency, or None."""
    for alternative in clause.split("|"):
        name, relation, wanted = _ALTERNATIVE.fullmatch(alternative.strip()).groups()
        for package in offered(name):
            if _satisfies(package.version, relation, wanted):
                return package
    return None


def closure(package, pattern):
    """The package and what it depends on, and so on, as far as `pattern` matches."""
    found = {package.name: package}
    waiting = [package]
    while waiting:
        one = waiting.pop()
        for clause in clauses(one, pattern):
            needed = find(clause)
            if not needed:
                raise Missing(f"the archive has no {clause}, which {one.name} {one.version} needs")
            if needed.name not in found:
                found[needed.name] = needed
                waiting.append(needed)
    return list(found.values())


def _download(package, scratch):
    """Downloads a package into the directory `scratch`, and tells how far it is; returns the finished process."""
    over = threading.Event()
    count = Count(package.name, -(-package.size // 1000000), " MB")

    def watch():
        while not over.wait(0.5):
            with contextlib.suppress(OSError):  # apt renames what is whole
                count.at(sum(file.stat().st_size for file in pathlib.Path(scratch).rglob("*") if file.is_file()) // 1000000)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"{package.name}={package.version}", cwd=scratch)
    finally:
        over.set()
        watcher.join()
        count.end()


def fetch(some, tree):
    """Downloads packages and unpacks them into the directory `tree`."""
    for package in some:
        with tempfile.TemporaryDirectory(dir=tree.parent) as scratch:
            done = _download(package, scratch)
            debs = list(pathlib.Path(scratch).glob("*.deb"))
            if done.returncode or not debs:
                raise _failure(f"download {package.name} {package.version}", done, Missing)
            done = _run("dpkg", "-x", str(debs[0]), str(tree))
            if done.returncode:
                raise _failure(f"unpack {package.name} {package.version} in {tree.parent.parent}",
                               done, Error)


def with_lists(work):
    """work(), which may find something Missing; then once more after the lists were refreshed."""
    try:
        return work()
    except Missing as error:
        if os.geteuid() != 0:
            raise Error(f"{error}\nif apt's lists are old, run as root:\n  apt-get update") from None
    packages.update()
    return work()
