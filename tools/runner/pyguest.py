# SPDX-License-Identifier: MIT
"""A Python interpreter for a Linux guest: the program, and of its library what is needed.

What is needed is asked of the interpreter itself: it imports what the Python files of the guest import, and
tells what it has loaded then. Without such files it is the whole standard library, but for what the table below
names. The modules go into the guest compiled, so that nothing is compiled there.
"""

import ast
import pathlib
import re
import shutil
import subprocess
import tempfile

from .base import Error

INTERPRETER = re.compile(r"python3(?:\.[0-9]+)?")
# Of the whole library, what nobody wants in a guest: tests, windows, what installs packages.
LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "turtle", "lib2to3", "ensurepip", "venv", "distutils",
            "pydoc_data", "site-packages", "dist-packages", "__phello__", "antigravity", "this")

# Run by the guest's interpreter, which is told what to leave out, and modules, "*" for all: prints the files of what it has
# loaded then, and the library's if all are wanted. It loads nothing for itself. What comes without a file is in the program.
_TELL = r"""
import sys
sys.path += __import__("site").getsitepackages()
left_out, names = sys.argv[1].split(","), sys.argv[2:]
for name in ["encodings.ascii", "encodings.latin_1", "encodings.utf_8", "linecache", "os", "site", "traceback", *names]:
    try:
        __import__(name)
    except ImportError:
        pass
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        print(module.__file__)
if names == ["*"]:
    import pathlib, sysconfig
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    for path in [*library.rglob("*.py"), *library.glob("lib-dynload/*.so")]:
        if not set(left_out) & set(path.relative_to(library).with_suffix("").parts):
            print(path)
"""
# Puts files into a directory by their paths in the guest; Python's compiled.
_PUT = r"""
import pathlib, py_compile, shutil, sys
for line in sorted(set(sys.stdin.read().splitlines())):
    place = pathlib.Path(sys.argv[1]) / line.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if line.endswith(".py"):
        py_compile.compile(line, str(place) + "c", line, doraise=True,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    else:
        shutil.copyfile(line, place)
"""


def _ask(program, code, *arguments, text=""):
    done = subprocess.run([str(program), "-I", "-S", "-c", code, *arguments], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Error(f"{program} does not tell what it needs: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return done.stdout


def is_interpreter(path):
    """Whether a program is a Python 3, by its name."""
    return bool(INTERPRETER.fullmatch(pathlib.Path(path).resolve().name))


def named(name):
    """The path of the interpreter that a name means: Debian's own, if it is there."""
    return shutil.which(name, path="/usr/bin:/bin") or shutil.which(name)


def imported(path):
    """Names of the modules that a Python file imports, anywhere in it."""
    try:
        tree = ast.parse(pathlib.Path(path).read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise Error(f"{path} is not Python: {error}") from None
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def add(tree, interpreter, scripts, scratch):
    """Puts an interpreter into the Tree of a guest, with what these files need of its library, or all of it.
    `scratch`: a directory that stays until the tree is written."""
    program = pathlib.Path(interpreter).resolve()
    place = str(program).lstrip("/")
    if place in tree:
        return
    names = sorted(set().union(*map(imported, scripts))) if scripts else ["*"]
    library = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    _ask(program, _PUT, str(library), text=_ask(program, _TELL, ",".join(LEFT_OUT), *names))
    for path in sorted(library.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(library))
            if path.suffix == ".so":
                tree.program(path, name)
            else:
                tree.file(name, path, 0o644)
    tree.program(program, place)
    for name in ("python3", program.name):
        for directory in ("bin", "usr/bin"):
            if f"{directory}/{name}" != place:
                tree.link(f"{directory}/{name}", f"/{place}")
