# SPDX-License-Identifier: MIT
"""`facet guest -o DIR`: a Debian guest of one's own: kernel, initramfs and configuration, ready for `facet run`."""

import contextlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass

from . import guestkernel, initramfs, kmodules, options, packages, pyguest
from .base import COMMAND, Error, build, build_dir, progress, readable, tool
from .config import config

FILES = {"guest.cfg", "initramfs.gz", "vmlinuz"}
MODES = ("disabled", "mixed", "external", "limited")
# The kernel's tests of its own cryptography are nearly half of the instructions of its boot.
CMDLINE = "console=hvc0 cryptomgr.notests=1 quiet"
LEAST_MIB, MONITOR_MIB = 128, 192
# Libraries that monitors are linked with or, as LibVMI and Python do, open at run time.
XEN_LIBRARIES = ("libxenctrl.so.4.17", "libxenevtchn.so.1", "libxenforeignmemory.so.1", "libxendevicemodel.so.1",
                 "libxencall.so.1", "libxenstore.so.4")
LIBRARY_DIR = pathlib.Path("/usr/lib/x86_64-linux-gnu")
XEN_PROGRAMS = pathlib.Path("/usr/lib/xen-4.17/bin")
MONITOR_MODULES = ("xen-evtchn", "xen-gntdev")
# What make builds for guests.
OURS = ("altp2m", "facet-demo", "facet-target", "greet")
_MODULE = re.compile(r"[A-Za-z0-9_-]+")
_OPTION = re.compile(r"[A-Za-z0-9_]+(?:=[!-~]*)?")
_NAME = re.compile(r"[!-~]+")
_PLACE = re.compile(r"/[^\0\n]*")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, looked at."""

    modules: dict   # name: its options, as text
    files: dict     # path in the guest: path here
    programs: dict  # path in the guest: path here
    pythons: tuple  # interpreters
    scripts: tuple  # Python files among files and programs


# ---- looking at arguments ----

def _modules(texts):
    """{name: options} of --module NAME[=OPTIONS]."""
    found = {}
    for text in texts:
        name, _, rest = text.partition("=")
        if not _MODULE.fullmatch(name):
            raise Error(f"--module {text}: a module is named by letters, digits, - and _")
        for word in rest.split():
            if not _OPTION.fullmatch(word):
                raise Error(f"--module {text}: {word} is not an option of a module: NAME=VALUE is")
        if kmodules.spelled(name) in map(kmodules.spelled, found):
            raise Error(f"--module {name} is given twice")
        found[name] = " ".join(rest.split())
    return found


def _split(text):
    """(path here, path in the guest) of --file SRC[:DEST]: DEST begins with a slash."""
    source, colon, place = text.rpartition(":/")
    if not colon:
        return text, "/" + pathlib.Path(os.path.abspath(text)).name
    if place.endswith("/") or not place:
        place += pathlib.Path(os.path.abspath(source)).name
    return source, "/" + place


def _in_guest(text, place):
    parts = pathlib.PurePosixPath(place).parts[1:]
    if not parts or ".." in parts or not _PLACE.fullmatch(place):
        raise Error(f"{text}: {place} is no place for a file")
    if parts in (("init",), ("bin", "busybox")) or parts[0] in ("proc", "sys", "dev"):
        raise Error(f"{text}: {place} is the guest's own")
    return "/".join(parts)


def _look_at_tree(text, source):
    """Refuses what cannot be read, anywhere below."""
    def broken(error):
        raise Error(f"{error.filename}: cannot read: {error.strerror}") from None

    if os.path.isdir(source):
        for directory, _, names in os.walk(source, onerror=broken):
            for name in names:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    readable(path)
    elif not source:
        raise Error(f"--file {text}: the name of a file is missing")
    else:
        readable(source)


def _files(texts):
    """{path in the guest: path here} of --file."""
    found = {}
    for text in texts:
        source, place = _split(text)
        _look_at_tree(text, source)
        name = _in_guest(text, place)
        if name in found:
            raise Error(f"--file {text}: there is another for /{name}")
        found[name] = pathlib.Path(source)
    return found


def _program(text, monitor):
    """The path of a program that is named by its path, or by its name."""
    if "/" in text:
        readable(text)
        if not os.access(text, os.X_OK):
            raise Error(f"{text} cannot be executed")
        return pathlib.Path(text)
    if text in OURS:
        return build_dir() / text
    which = pyguest.named if pyguest.INTERPRETER.fullmatch(text) else shutil.which
    found = which(text) or shutil.which(text, path=str(XEN_PROGRAMS))
    if found:
        readable(found)
        return pathlib.Path(found)
    if monitor and text == "xen-access":
        return XEN_PROGRAMS / text  # will be installed
    raise Error(f"there is no program {text or 'without a name'}")


def _shebang(path):
    """(interpreter, its argument) of a script; else (None, None)."""
    with open(path, "rb") as file:
        line = file.readline(256)
    if not line.startswith(b"#!"):
        return None, None
    words = line[2:].decode(errors="replace").split()
    return (words[0] if words else None), (words[1] if len(words) > 1 else None)


def interpreter_of(path):
    """The Python that a script names, or None."""
    program, argument = _shebang(path)
    name = argument if program and pathlib.PurePosixPath(program).name == "env" else program
    found = pyguest.named(name) if name else None
    return pathlib.Path(found) if found and pyguest.is_interpreter(found) else None


def _look(args):
    """The Wanted of a command line; refuses what cannot be."""
    files = _files(args.file)
    programs, pythons = {}, []
    for text in dict.fromkeys(args.program):
        path = _program(text, args.monitor)
        name = f"bin/{path.name}"
        if pyguest.is_interpreter(path):
            pythons.append(path)
        elif name in programs or name in files:
            raise Error(f"--program {text}: there is another for /{name}")
        else:
            programs[name] = path
    scripts = [path for path in files.values() if path.suffix == ".py"]
    for path in programs.values():
        python = interpreter_of(path) if path.exists() else None
        if python:
            scripts.append(path)
            pythons.append(python)
    for script in scripts:
        pyguest.imported(script)
    if len(args.program) != len(set(args.program)):
        raise Error("the same --program is given twice")
    return Wanted(_modules(args.module), files, programs, tuple(pythons), tuple(scripts))


def _look_at_output(directory, replace):
    """Refuses a place where the guest could not be put, or where it would take the place of something else."""
    directory = pathlib.Path(os.path.abspath(directory))
    try:
        if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
            raise Error(f"{directory} is not a directory")
        held = {path.name for path in directory.iterdir()} if directory.exists() else set()
        if held and not replace:
            raise Error(f"{directory} is there already, and not empty" +
                        ("; --replace makes the guest anew" if held <= FILES else ""))
        if held - FILES:
            raise Error(f"{directory} holds what is not a guest: {', '.join(sorted(held - FILES)[:3])}")
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent):
            pass
    except OSError as error:
        raise Error(f"{directory} cannot be written: {error.strerror}") from None
    return directory


def _domain_name(args, directory):
    name = args.name if args.name is not None else re.sub(r"[^!-~]", "-", directory.name)
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise Error(f"--name {name}: a domain's name is 1 to 63 printable ASCII characters without blanks")
    return name


# ---- making the guest ----

def _module_lines(tree, kernel, modules):
    """Puts modules into the tree; returns the lines that load them. What is built in takes its options elsewhere."""
    lines = []
    for name, path in kmodules.with_needed(kernel, modules).items():
        tree.file(f"lib/{path.name.partition('.')[0]}.ko", kmodules.read(path), 0o644)
        given = next((text for one, text in modules.items() if kmodules.spelled(one) == name), "")
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in given.split())
        lines.append(f"insmod /lib/{path.name.partition('.')[0]}.ko {quoted}".rstrip())
    return lines


def _check_options(kernel, modules):
    """Refuses options that a module does not have: the kernel would only warn of them, in its log."""
    for name, text in modules.items():
        if kmodules.is_builtin(kernel, name):
            continue
        known = kmodules.options(kmodules.read(kmodules.find(kernel, name)))
        for word in text.split():
            if word.partition("=")[0] not in known and not (name in initramfs.PRIVCMD and word == initramfs.PRIVCMD_OPTION):
                raise Error(f"--module {name}={text}: kernel {kernel.release}'s {name} has no option "
                            f"{word.partition('=')[0]}; it has {', '.join(sorted(known)) or 'none'}")


def _all_modules(wanted, kernel, monitor):
    """{name: options} of what this guest loads: what its kind needs, and what the user names."""
    own = {kmodules.spelled(name): (name, text) for name, text in wanted.modules.items()}
    modules = {}
    for name in (initramfs.PRIVCMD, *(MONITOR_MODULES if monitor else ())):
        text = own.pop(kmodules.spelled(name), (name, ""))[1]
        if name == initramfs.PRIVCMD and "unrestricted=" not in text:
            text = f"{initramfs.PRIVCMD_OPTION} {text}".rstrip()
        modules[name] = text
    if kernel.modules is None:
        if monitor or wanted.modules:
            raise Error(f"the modules of kernel {kernel.release} are not beside {kernel.vmlinuz}, nor in /lib/modules")
        return {}
    return {**modules, **dict(own.values())}


def _add_script_needs(tree, path):
    """What a script's first line names: a link to busybox, or a program."""
    program, argument = _shebang(path)
    for word in filter(None, (program, argument if program and program.endswith("/env") else None)):
        name = word.lstrip("/") if word.startswith("/") else f"bin/{word}"
        if name.startswith("bin/") and pathlib.PurePosixPath(name).name in ("sh", "env", "ash", "awk", "sed"):
            continue  # busybox
        found = shutil.which(word)
        if pathlib.PurePosixPath(name).name in ("sh", "env", "ash", "awk", "sed"):
            tree.link(name, "/bin/busybox")
        elif found and not pyguest.is_interpreter(found):
            tree.program(pathlib.Path(found).resolve(), name)


def _programs(tree, wanted):
    for name in OURS[:2]:
        tree.program(build_dir() / name, f"bin/{name}", initramfs.stripped(build_dir() / name))
    for name, path in wanted.programs.items():
        tree.program(path.resolve(), name)
        _add_script_needs(tree, path)


def _monitor_libraries(tree):
    """libxenctrl and its like, by the names that programs are linked with, and by those that LibVMI opens."""
    for name in XEN_LIBRARIES:
        path = LIBRARY_DIR / name
        tree.program(path.resolve(), f"lib/x86_64-linux-gnu/{name}")
        tree.link(f"lib/x86_64-linux-gnu/{name.partition('.so')[0]}.so", name)
    tree.program(XEN_PROGRAMS / "xen-access", "bin/xen-access")


def _init(lines, command):
    text = initramfs.MOUNTS + "".join(f"{line}\n" for line in lines)
    return text + (initramfs.SHELL if command is None else f"{command}\n") + initramfs.POWER_OFF


def _tree(args, wanted, kernel, scratch):
    """(Tree, init, what the kernel's command line gets) of the guest."""
    tree = initramfs.Tree()
    modules = _all_modules(wanted, kernel, args.monitor)
    _check_options(kernel, modules)
    lines = _module_lines(tree, kernel, modules) if modules else []
    if args.monitor:
        _monitor_libraries(tree)
    _programs(tree, wanted)
    for python in wanted.pythons:
        pyguest.add(tree, python, wanted.scripts, scratch)
    for name, path in wanted.files.items():
        tree.add(path, name)
    builtin = [f"{kmodules.spelled(name)}.{word}" for name, text in modules.items() if kmodules.is_builtin(kernel, name)
               for word in text.split()]
    return tree, _init(lines, args.command), builtin


def _config_text(args, name, directory, memory, more):
    """The configuration. It is the user's from now on, so it says what can be changed."""
    settings = {"name": name, "kernel": directory / "vmlinuz", "ramdisk": directory / "initramfs.gz",
                "extra": " ".join([CMDLINE, *more]), "memory": memory, "vcpus": args.vcpus,
                **({"monitor": 1} if args.monitor else {"altp2m": args.altp2m or "mixed"})}
    if args.monitor and args.altp2m:
        settings["altp2m"] = args.altp2m
    text = f"# Made by `facet guest`. Run it: {COMMAND} run --interactive {directory}/guest.cfg\n" + config(**settings)
    if args.monitor:
        text += '# monitor = 1: it may watch all others; instead of that: monitors = ["NAME", ...]\n'
    return text


def _memory(tree, archive, monitor):
    """MiB for the kernel, with the files in memory twice while they are unpacked."""
    files = (tree.size() + archive.stat().st_size) >> 20
    return max(MONITOR_MIB if monitor else LEAST_MIB, 96 + 2 * files)


def _put(made, directory):
    """Puts what was made in its place, whole: an old guest goes when the new one is there."""
    if directory.exists():
        old = pathlib.Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
        directory.rename(old / "guest")
        try:
            made.rename(directory)
        except OSError:
            (old / "guest").rename(directory)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        made.rename(directory)


@contextlib.contextmanager
def _beside(directory):
    """A directory beside `directory` for what is to become it, with the mode that it is to have."""
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        made = pathlib.Path(scratch) / "guest"
        made.mkdir(mode=stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        yield pathlib.Path(scratch), made


def _check(text, directory):
    """Refuses what the configuration compiler would."""
    path = directory / "check.cfg"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([str(tool("facet-config")), "-o", str(directory / "check.dtb"), "--", str(path)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode:
        raise Error(re.sub(rf"^.*{re.escape(path.name)}:(?:\d+:)? *", "", done.stderr.strip(), flags=re.M))


def make(args, wanted, name, directory, kernel):
    """Makes the guest in `directory`; returns its memory in MiB."""
    with _beside(directory) as (scratch, made):
        tree, init, more = _tree(args, wanted, kernel, scratch)
        progress("making the initramfs")
        archive = tree.write(made / "initramfs.gz", init)
        shutil.copyfile(kernel.vmlinuz, made / "vmlinuz")
        memory = args.memory or _memory(tree, archive, args.monitor)
        _check(_config_text(args, name, made, memory, more), scratch)
        (made / "guest.cfg").write_text(_config_text(args, name, directory, memory, more), encoding="utf-8")
        _put(made, directory)
    return memory


def _arguments(arguments):
    parser = options.parser(
        "guest", "Make a Debian guest in DIR: its kernel, an initramfs with what you name, and guest.cfg "
        "for `facet run`. It starts a root shell, or CMD, as root; when that ends, the domain powers off.")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where to; it is made")
    parser.add_argument("--replace", action="store_true", help="make a guest that is there anew")
    parser.add_argument("--monitor", action="store_true", help="a domain that may watch all others: event channels, "
                        "libxenctrl, xen-access")
    parser.add_argument("--module", metavar="M[=OPTIONS]", action="append", default=[],
                        help="load this module of the kernel, with what it needs")
    parser.add_argument("--file", metavar="SRC[:DEST]", action="append", default=[],
                        help="a file, or a directory with all in it; DEST begins with a slash (default: /NAME)")
    parser.add_argument("--program", metavar="P", action="append", default=[],
                        help="a program, by its path or name, in /bin, with its shared libraries; python3 comes "
                        "with what the Python files import, or, without any, with its library")
    parser.add_argument("--command", metavar="CMD", help="run this with sh in place of a shell")
    parser.add_argument("--kernel", metavar="VERSION|PATH", help="another kernel: a release (as uname -r), a flavour "
                        "as `amd64`, or the file of one (default: Debian's cloud kernel)")
    parser.add_argument("--name", metavar="NAME", help="the domain's name (default: that of DIR)")
    parser.add_argument("--memory", type=options.mebibytes, metavar="MIB", help="default: by what is in it")
    parser.add_argument("--vcpus", type=options.vcpus, metavar="N", default=1)
    parser.add_argument("--altp2m", choices=MODES, help="default: mixed, and disabled for a monitor")
    return parser.parse_args(arguments)


def main(arguments):
    """Runs `facet guest`. Returns its exit status."""
    args = _arguments(arguments)
    wanted = _look(args)
    directory = _look_at_output(args.output, args.replace)
    name = _domain_name(args, directory)
    if args.command is not None and ("\0" in args.command or not args.command.strip()):
        raise Error("--command: there is nothing to run")
    guestkernel.look(args.kernel)
    packages.require("monitor" if args.monitor else "demo")
    build(["demo", "tools"])
    kernel = guestkernel.find(args.kernel)
    memory = make(args, wanted, name, directory, kernel)
    progress(f"wrote {directory}: Linux {kernel.release}, {memory} MiB; {COMMAND} run --interactive {directory}/guest.cfg")
    return 0
