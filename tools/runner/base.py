# SPDX-License-Identifier: MIT
"""Where things are, how to say things, and how to build."""

import contextlib
import fcntl
import os
import pathlib
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

from . import signals
from .progress import Count, progress, say  # noqa: F401  say is for those who import it from here

try:
    from . import installed  # `make install` writes it: where the programs are, from here, and the version
except ImportError:
    installed = None

HERE = pathlib.Path(__file__).resolve().parent
# The clone or, installed, the folder that has this one and demo/.
ROOT = HERE.parent if installed else HERE.parents[1]
# What `make --trace` says when it makes a file, and what compilers, linkers and make say of trouble.
_TARGET = re.compile(r"\S+:\d+: (?:update )?target '")
_TROUBLE = re.compile(r"error:|undefined reference|\*\*\* |cannot find", re.I)

# What a user types.
COMMAND = "facet" if installed else "./facet"


class Error(Exception):
    """Wrong input or environment. The text is for the user; the command exits with 2."""


class ToolError(Error):
    """An error in the words of a tool, which name file and line: printed as they are."""


def build_dir():
    """The build directory: $B as for make, default `build` in the clone. Installed: where the programs are."""
    if installed:
        return (HERE / installed.LIBEXECDIR).resolve()
    return ROOT / os.environ.get("B", "build")


def cache_dir():
    """Where downloads are kept."""
    if os.environ.get("FACET_CACHE"):
        return pathlib.Path(os.environ["FACET_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return pathlib.Path(base or pathlib.Path.home() / ".cache") / "facet"
    except RuntimeError:
        raise Error("there is no home directory for a cache; set FACET_CACHE") from None


def work_dir(name):
    """A folder for files that are made anew each time, kept until then."""
    return cache_dir() / name if installed else build_dir() / name


def run_dir():
    """Where runs keep their files for as long as they last."""
    if installed:
        return pathlib.Path(tempfile.gettempdir())
    path = build_dir() / "run"
    path.mkdir(parents=True, exist_ok=True)
    return path


def tool(name):
    """The path of a program built by make."""
    path = build_dir() / name
    if not path.exists():
        raise Error(f"{path} is not built; run `./facet build`")
    return path


def readable(path):
    """Refuses what is not a file that can be read, before anything is done with it."""
    path = pathlib.Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Error(f"{path}: cannot read: not a regular file")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Error(f"{path}: cannot read: {error.strerror}") from None


def source_of(directory, what, *parts):
    """The directory, as an absolute path, if it has the parts that make it the source of `what`."""
    directory = pathlib.Path(directory)
    try:
        directory = directory.resolve()
        for part in parts:
            (directory / part).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise Error(f"{directory} is not the source of {what}") from None
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Error(f"{directory}: cannot read: {why}") from None
    return directory


def of_sources(tree, *sources):
    """Makes a directory for what is built of these sources, or empties it if it was for others'."""
    record, text = tree / ".sources", "".join(f"{source}\n" for source in sources)
    try:
        known = record.read_text(encoding="utf-8", errors="surrogateescape") == text
    except OSError:
        known = False
    if not known:
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True, exist_ok=True)
        record.write_text(text, encoding="utf-8", errors="surrogateescape")


def version():
    """The version that the Makefile gives."""
    if installed:
        return installed.VERSION
    return re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M).group(1)


@contextlib.contextmanager
def _beside(path):
    """A new, empty file in the directory of `path`, gone at the end of the block if it is still there."""
    directory = pathlib.Path(os.path.realpath(path)).parent  # a symbolic link stays one
    beside = directory / f".facet-{secrets.token_hex(8)}"
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise Error(f"{path} cannot be written: no file can be made in {directory}: {error.strerror}") from None
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _take_place(beside, path):
    """All of it is on the disk before the old file goes; whose that was, and who may read it, stays."""
    target = os.path.realpath(path)
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    if os.path.exists(target):
        old = os.stat(target)
        with contextlib.suppress(PermissionError):
            os.chown(beside, old.st_uid, old.st_gid)
        os.chmod(beside, stat.S_IMODE(old.st_mode))
    os.rename(beside, target)


@contextlib.contextmanager
def result(path):
    """A file for the block to write, which takes the place of `path` when the block ends well. When it
    does not, there is no file with a part of a result, and `path` is as it was."""
    with _beside(path) as beside:
        try:
            yield beside
            _take_place(beside, path)
        except OSError as error:
            if error.filename not in (None, str(beside)):  # one that the block reads
                raise
            raise Error(f"{path} cannot be written: {error.strerror}") from None


def write_result(path, text):
    """Writes a file of text, whole or not at all."""
    with result(path) as beside:
        beside.write_text(text, encoding="utf-8")


def writable(path):
    """Refuses a file that could not be written, before the work whose result it is to hold."""
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_file():
            raise Error(f"{path} is not a file")
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        with _beside(path):
            pass
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def locked(path):
    """Holds an exclusive lock: one builder or downloader at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _building():
    """The build directory, for one at a time."""
    try:
        lock = contextlib.ExitStack()
        lock.enter_context(locked(build_dir() / ".lock"))
    except OSError as error:
        raise Error(f"the build directory {build_dir()} cannot be used: {error.strerror}; B can name another "
                    "directory") from None
    with lock:
        yield


def _make(command):
    """Runs make and tells how far it is; returns its status and what it printed."""
    jobs = os.cpu_count() or 1
    planned = subprocess.run([*command, "-n", "--trace"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    progress(f"building ({jobs} jobs)")
    count = Count("building", sum(1 for line in planned.stdout.splitlines() if _TARGET.match(line)), " files")
    lines, done = [], 0
    try:  # a signal: make and all that it runs end, too, before the next may build
        with signals.started([*command, f"-j{jobs}", "--output-sync=target", "--trace"], signal.SIGTERM, text=True,
                             errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                if _TARGET.match(line):
                    done += 1
                    count.at(done)
                else:
                    lines.append(line.rstrip("\n"))
    finally:
        count.end()
    return process.returncode, lines


def build(targets=()):
    """Runs make for `targets` (default: everything) and shows what went wrong if it fails."""
    if installed:
        return
    command = ["make", "-C", str(ROOT), f"B={os.environ.get('B', 'build')}", *targets]
    with _building():
        if subprocess.run([*command, "-q"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        status, lines = _make(command)
    if status:
        errors = [i for i, line in enumerate(lines) if _TROUBLE.search(line)]
        first = max(0, errors[0] - 3) if errors else 0
        print("\n".join(lines[first:first + 30]), file=sys.stderr)
        raise Error("the build failed; `make` shows all of it")
