# SPDX-License-Identifier: MIT
"""The command line of `facet`."""

import argparse
import importlib.util
import os
import subprocess
import sys

from . import disk, machine, machines, options, packages, reports, signals, testlines
from .base import ROOT, Error, ToolError, build, installed, progress, readable, say, tool, version, writable
from .image import check_files_directory, make_files, make_image
from .results import BAD

EXIT_CODES = """\
exit status:
  0    every domain powered off (or rebooted, with on_reboot = "destroy")
  1    a domain crashed, or the hypervisor or the machine stopped;
       with --tap or --junit also: a test failed, or there was none
  2    wrong options or configuration
  124  --timeout or --ticks ended the run
  130  Ctrl-C or Ctrl-] ended it
"""


def _command(commands, name, text, run, **more):
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                                 formatter_class=argparse.RawDescriptionHelpFormatter, **more)
    parser.set_defaults(run=run)
    if more.get("add_help", True):  # the others' parsers are their own
        options.quiet(parser)
    return parser


def _parser():
    parser = options.Parser(
        prog="facet", description="Facet: a hypervisor whose guests have many views of their "
        "memory (Xen's altp2m).", epilog="`facet COMMAND --help` tells about a command.")
    parser.add_argument("--version", action="version", version=f"facet {version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    setup = _command(commands, "setup", "install the Debian packages Facet needs", _setup)
    purposes = ["image", "run", "demo", "monitor", "host"] if installed else ["build", "image", "run", "demo", "monitor", "host", "test"]
    setup.add_argument("--for", dest="purpose", choices=purposes, default=purposes[-1],
                       help=f"what they are for (default: {purposes[-1]}, which is all)")
    setup.add_argument("--machine", metavar="NAME", help="what is run, or shown, on this machine")
    if not installed:
        _command(commands, "build", "build the hypervisor, the tools and the test guests", _build)
        debs = _command(commands, "packages", "build Debian packages", _packages)
        debs.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder that they are put into")
    run = _command(commands, "run", "run domains on Facet on an emulated machine", _run,
                   epilog=EXIT_CODES)
    _add_configs(run)
    options.limits(run)
    options.machine(run)
    run.add_argument("--memory", type=options.mebibytes, metavar="MIB",
                     help="the machine's memory (default: what the domains need)")
    run.add_argument("--interactive", action="store_true",
                     help="connect the terminal to the first domain's console; Ctrl-] leaves")
    run.add_argument("--serial", action="store_true", help="the machine has no debug port: the hypervisor's console "
                     "is the first serial port, as on a real machine, and as slow")
    run.add_argument("--disk", metavar="FILE",
                     help="the machine's second IDE disk, for a hardware domain, which may write to it")
    run.add_argument("--network", action="store_true", help="the machine has a network card, for a hardware domain")
    run.add_argument("--iommu", action="store_true", help="the machine, of QEMU, has an IOMMU")
    run.add_argument("--teacher", action="store_true", help="the machine, of QEMU, has its device for exercises, `edu`")
    run.add_argument("--keep", action="store_true", help="keep the run's files, say where")
    options.reports(run)
    image = _command(commands, "image", "write a boot image for a real machine (GRUB; BIOS and UEFI)",
                     _image)
    _add_configs(image)
    where = image.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", metavar="FILE", help="the image, for a disc or a disk")
    where.add_argument("--files", metavar="DIR", help="no image: a folder with the files, for a boot loader that is there; "
                       "DIR/load names them in their order")
    image.add_argument("--memory", type=options.mebibytes, metavar="MIB",
                       help="the machine's memory: refuse domains that do not fit")
    image.add_argument("--processors", type=options.processors_or_all, metavar="N|all",
                       help="how many of the machine's processors the hypervisor uses (default: 1)")
    image.add_argument("--interactive", action="store_true",
                       help="domain 1's console is the second serial port")
    check = _command(commands, "check", "tell whether Facet would run on this machine, and why not", _check,
                     epilog="exit status: 0 it would, 1 it would not, 3 that cannot be told without root, 2 wrong options")
    check.add_argument("--json", action="store_true", help="a JSON document")
    source = check.add_mutually_exclusive_group()
    source.add_argument("--dump", action="store_true", help="print what was looked at, for --from")
    source.add_argument("--from", dest="file", metavar="FILE", help="another machine, by what --dump printed there")
    for name, text, function in (("demo", "see altp2m work on a Debian Linux", _demo),
                                 ("guest", "make a Debian guest of your own", _guest)):
        _command(commands, name, text, function, add_help=False).set_defaults(passes_on=True)
    if installed:
        _add_absent(commands)
    else:
        _add_tree(commands)
    return parser


# What works on the sources, and says so where there are none.
TREE_ONLY = ("build", "packages", "trace", "test", "bench", "compare", "xtf", "libvmi", "drakvuf", "prove")


def _add_absent(commands):
    for name in TREE_ONLY:
        parser = commands.add_parser(name, add_help=False)
        parser.set_defaults(run=_absent, passes_on=True, name=name)


def _absent(args):
    raise Error(f"`{args.name}` needs Facet's source tree; there it is `./facet {args.name}`")


def _add_tree(commands):
    _add_trace(commands)
    for name, text, function in (
            ("test", "run all tests", _test),
            ("bench", "measure what operations cost, beside Xen's figures", _bench),
            ("compare", "check conformance with real Xen 4.17, and compare costs", _compare),
            ("xtf", "run Xen's test framework from its source", _xtf),
            ("libvmi", "run LibVMI's examples from its source", _libvmi),
            ("drakvuf", "run DRAKVUF's plugins for Linux from its source", _drakvuf),
            ("prove", "check to the end what can be, by enumeration and static analysis", _prove)):
        _command(commands, name, text, function, add_help=False).set_defaults(passes_on=True)


def _add_trace(commands):
    trace = _command(commands, "trace", "show which instructions of the hypervisor run, and how "
                     "many", _trace)
    _add_configs(trace)
    trace.add_argument("--at", dest="function", metavar="FUNCTION", required=True,
                       help="begin when the hypervisor reaches this function")
    trace.add_argument("--skip", type=options.skipped, default=0, metavar="N", help="not the first N times")
    trace.add_argument("--instructions", type=options.count, default=10000, metavar="N",
                       help="end after this many (default: %(default)s)")
    trace.add_argument("--to-guest", action="store_true",
                       help="end when a guest runs, even before that")
    shown = trace.add_mutually_exclusive_group()
    shown.add_argument("--order", action="store_true", help="the functions in order, not summed up")
    shown.add_argument("--list", action="store_true", help="each instruction")
    shown.add_argument("--stack", action="store_true",
                       help="who called it: what on the stack looks like a return address")
    options.limits(trace)
    options.machine(trace)


def _add_configs(parser):
    parser.add_argument("configs", nargs="+", metavar="CONFIG",
                        help="configuration file in xl.cfg syntax; the first is domain 1")
    parser.add_argument("--hypervisor", metavar="FILE", help="run this instead of the built one")


def _setup(args):
    packages.require(args.purpose, machines.find(args.machine), asked=True)
    progress(f"all packages for `{args.purpose}` are there")
    return 0


def _build(_args):
    packages.require("build")
    build()
    return 0


def _packages(args):
    from . import debs
    return debs.main(args)


def _look(args):
    """Refuses files that cannot be what they are to be, before anything is installed or built."""
    for path in [*args.configs, *([] if args.hypervisor is None else [args.hypervisor])]:
        readable(path)
    if args.hypervisor is not None:
        disk.look(args.hypervisor)
    if getattr(args, "disk", None) is not None:
        readable(args.disk)
    if getattr(args, "files", None) is not None:
        check_files_directory(args.files)
    if getattr(args, "output", None) is not None:
        writable(args.output)
        for path in args.configs:
            if os.path.exists(args.output) and os.path.samefile(path, args.output):
                raise Error(f"{path} is a configuration file: the image cannot be written to it")


def _run(args):
    _look(args)
    reports.check(args)
    packages.require("run", machine.check(args.machine, args.ticks))
    build(["tools" if args.hypervisor else "run-needs"])
    result = machine.boot(
        args.configs, timeout=args.timeout, ticks=args.ticks, machine=args.machine, memory=args.memory,
        processors=args.processors, interactive=args.interactive, keep=args.keep, serial=args.serial,
        disk=args.disk, network=args.network, iommu=args.iommu, teacher=args.teacher,
        hypervisor=args.hypervisor, on_line=machine.print_line, warn=_warn)
    if result.log_tail:
        print(result.log_tail, file=sys.stderr)
    if result.reason:
        say(result.reason)
    if result.directory:
        say(f"the run's files are in {result.directory}")
    if args.tap is None and args.junit is None:
        return result.status
    cases = testlines.cases(result)
    reports.write(args, cases)
    return result.status or int(any(case.outcome in BAD for case in cases))


def _check(args):
    if args.file is not None:
        readable(args.file)
    packages.require("build")
    build(["facet-check"])
    command = [tool("facet-check"), *(["--json"] if args.json else []), *(["--dump"] if args.dump else []),
               *([] if args.file is None else ["--from", args.file])]
    return subprocess.run(command, check=False).returncode


def _image(args):
    _look(args)
    packages.require("image")
    build(["tools" if args.hypervisor else "run-needs"])
    make, where = (make_image, args.output) if args.output is not None else (make_files, args.files)
    image = make(args.configs, where, args.interactive, args.memory, args.hypervisor, _warn,
                 f"processors={args.processors}" if args.processors else "")
    progress(f"wrote {image.path}; a machine needs {image.memory_mib} MiB for it")
    return 0


def _trace(args):
    from . import trace
    _look(args)
    return trace.main(args)


def _warn(text):
    print(text, file=sys.stderr, flush=True)


def _demo(args):
    path = ROOT / "demo" / "demo.py"
    if not path.exists():
        raise Error("this tree has no demo/demo.py")
    spec = importlib.util.spec_from_file_location("facet_demo", path)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    return demo.main(sys.modules[__package__], args.arguments)


def _test(args):
    from . import suite  # its imports are of no use to the other commands
    return suite.main(args.arguments)


def _guest(args):
    from . import guest
    return guest.main(args.arguments)


def _bench(args):
    from . import bench
    return bench.main(args.arguments)


def _compare(args):
    from . import compare
    return compare.main(args.arguments)


def _xtf(args):
    from . import xtf
    return xtf.main(args.arguments)


def _prove(args):
    from . import prove
    return prove.main(args.arguments)


def _libvmi(args):
    from . import libvmi
    return libvmi.main(args.arguments)


def _drakvuf(args):
    from . import drakvuf
    return drakvuf.main(args.arguments)


def main(arguments):
    """Runs the command. Returns the exit status."""
    signals.install()
    return guarded(lambda: _parse_and_run(arguments))


def _parse_and_run(arguments):
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    if "passes_on" in args:
        args.arguments = rest
    elif rest:
        parser.error(f"unknown option or argument: {' '.join(rest)}")
    return args.run(args)


def _flushed(work):
    """work(), also if it ends by sys.exit, and what it printed has reached standard output."""
    try:
        status = work()
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    return status


def _give_up_output():
    """What standard output did not take is lost; Python is not to try again at its end."""
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)


def guarded(work):
    """The exit status of work(), with what ends it early said in a line."""
    try:
        return _flushed(work)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2
    except Error as error:
        print(f"facet: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _give_up_output()
        return 141
    except OSError as error:
        _give_up_output()
        what = f"{error.filename}: " if error.filename else ""
        print(f"facet: {what}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except signals.Terminated as signal_:
        return 128 + signal_.number
