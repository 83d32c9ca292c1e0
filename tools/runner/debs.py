# SPDX-License-Identifier: MIT
"""`facet packages`: builds the Debian packages, from debian/, in a copy of the tree."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from . import packages
from .base import ROOT, Error, build, build_dir, result, say

# Not the source's: what builds and editors leave.
LEFT_OUT = (".git", "__pycache__", ".ci")


def check_output(directory):
    """Refuses what cannot be the folder of the packages."""
    path = pathlib.Path(directory)
    if not directory:
        raise Error("the folder for the packages has no name")
    try:
        if path.exists() and not path.is_dir():
            raise Error(f"{path} is not a directory")
        if not path.exists() and not path.resolve().parent.is_dir():
            raise Error(f"{path} cannot be made: there is no directory {path.resolve().parent}")
        os.rmdir(tempfile.mkdtemp(prefix=".facet-", dir=path if path.exists() else path.resolve().parent))
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror}") from None


def _copy(target):
    """The sources, with the build directory that is there, so that nothing is built twice."""
    ignored = {build_dir().name} if build_dir().parent == ROOT else set()

    def ignore(folder, names):
        return [name for name in names if name in LEFT_OUT or (folder == str(ROOT) and name in ignored)]
    shutil.copytree(ROOT, target, symlinks=True, ignore=ignore)
    (target / "build").symlink_to(build_dir())


def make(output):
    """Builds the packages and puts them into the folder. Returns their paths."""
    build()  # what the packages hold, and headers that changed
    # Not in the build directory, where make looks for what it included.
    with tempfile.TemporaryDirectory(prefix="facet-packages-") as scratch:
        tree = pathlib.Path(scratch) / "facet"
        _copy(tree)
        environment = dict(os.environ, B="build", LC_ALL="C.UTF-8", SOURCE_DATE_EPOCH=_date(tree))
        environment.pop("MAKEFLAGS", None)
        # -nc: the copy is fresh, and `clean` would empty the real build directory.
        done = subprocess.run(["dpkg-buildpackage", "-b", "-nc", "-us", "-uc", "-ui"], cwd=tree, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
        if done.returncode:
            print("\n".join(done.stdout.splitlines()[-30:]), file=sys.stderr)
            raise Error("the packages could not be built")
        made = []
        output.mkdir(exist_ok=True)
        for deb in sorted(pathlib.Path(scratch).glob("*.deb")):
            made.append(output / deb.name)
            with result(made[-1]) as beside:
                shutil.copyfile(deb, beside)
    return made


def _date(tree):
    shown = subprocess.run(["dpkg-parsechangelog", "-S", "Timestamp"], cwd=tree, stdout=subprocess.PIPE, text=True,
                           check=True)
    return shown.stdout.strip()


def main(args):
    """Runs `facet packages`. Returns its exit status."""
    check_output(args.output)
    packages.require("packages")
    for deb in make(pathlib.Path(args.output)):
        say(f"wrote {deb}")
    return 0
