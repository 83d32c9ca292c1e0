# SPDX-License-Identifier: MIT
"""`facet drakvuf DIR`: DRAKVUF's plugins for Linux in the domain 0 of `facet demo host`, watching a guest that xl made.

DIR is DRAKVUF's source, with LibVMI's in it or named besides. Both are built in the build directory; nothing is fetched but
Debian's packages. What each plugin is to give, and why, is in tests/recorded/drakvuf.txt; docs/drakvuf.md tells more.
"""

import json
import os
import pathlib
import re
import shutil
import tempfile

from . import bochs, initramfs, libvmi, libvmi_host, machines, packages
from .base import Error, build, readable, source_of
from .debian import debian_kernel
from .kernelprofile import KERNEL_MAP, Profile
from .libvmi import Example, checked
from .options import machine as machine_options
from .options import parser as command_parser
from .recorded import RECORDED_DIR

RECORD = libvmi.Record(RECORDED_DIR / "drakvuf.txt", "drakvuf", "plugins")
TICKS = 200_000_000_000
SECONDS = 5  # that a plugin has, on Bochs
POWER_OFF = 11  # DRAKVUF's status when the guest's end ends it
SHOWN = 30  # lines of a plugin's output at each end
# DRAKVUF takes a kernel that stands where it was linked for one that it did not find. So the profile says that it was
# linked lower, and libvmi.conf where it is.
MOVED = -0x200000
# What DRAKVUF sets breakpoints on: in Debian's kernel a system call goes to another function, of the same arguments.
ALIASES = {"__do_sys_bpf": "__sys_bpf", "sock_sendmsg": "__sock_sendmsg"}
# What DRAKVUF opens by names that development packages have.
LIBRARIES = ("libxenctrl", "libxenstore", "libxentoollog", "libxenlight", "libxenforeignmemory")
PLUGINS = ("syscalls", "filetracer", "debugmon", "cpuidmon", "procmon", "procdump2", "ipt", "ptracemon", "ebpfmon",
           "unixsocketmon", "rebootmon")
LLVM = {"CC": "clang", "CXX": "clang++", "CC_LD": "lld", "CXX_LD": "lld"}

GUEST_SCRIPT = """
cp /bin/work /bin/other
work 1000000 &
echo "GUEST pid $! work"
echo "GUEST pid $$ init"
echo "GUEST release $(uname -r)"
echo "GUEST ready"
wait
"""
# Some calls, because each has its breakpoint: all of them are "syscalls-all".
SETUP = """
printf 'openat\\nunlink\\nbpf\\nptrace\\nkill\\n' >/calls
mkdir -p /dump
pid_of() { said | sed -n "s/^GUEST pid \\([0-9]*\\) $1\\$/\\1/p"; }
"""
END = "xl destroy guest 2>/dev/null\n"


def _said(plugin, *patterns):
    """The proof that a plugin told of the guest's program, in lines that have all of the patterns."""
    def proof(out, _facts):
        return any(all(re.search(one, line) for one in (rf'"Plugin": ?"{plugin}"', *patterns)) for line in out.lines)
    return proof


def _plugin(name, proof, arguments="", **more):
    plugin = name.partition("-")[0]
    return Example(name, f"-r /profile.json -l -d guest -o json -t $span -a {plugin} {arguments}", proof, seconds=300, **more)


def _processes(out, facts):
    """procmon lists what runs, with the numbers that the guest knows, and tells of a program that starts."""
    return (_said("procmon", rf'"PID": ?{facts.pids.get("work")},', r'"RunningProcess": ?"/bin/work"')(out, facts) and
            _said("procmon", BY_WORK, r'"CommandLine": ?"other 0 an argument"')(out, facts))


def _injected(out, _facts):
    """DRAKVUF has a number of the process that it started, and so has the process."""
    told = out.has(r'"Plugin": ?"inject".*"Status": ?"Success".*"InjectedPid": ?(\d+)')
    return told and told.group(1) in out.all(r"^GUEST injected (\d+)")


def _powered_off(out, facts):
    """DRAKVUF tells of the call, and of what the kernel makes of it, and ends for that. A PVH guest's kernel has nothing that
    switches the power off, and goes where a halt goes."""
    return (_said("rebootmon", r'"Cmd": ?"LINUX_REBOOT_CMD_POWER_OFF"')(out, facts) and out.status == POWER_OFF and
            _said("rebootmon", r'"Method": ?"machine_(power_off|halt)"')(out, facts))


IS_DUMP = "head -c 4 $one | grep -q ELF && grep -q 'hello from facet' $one"
BY_WORK = r'"ProcessName": ?"/bin/work"'
EXAMPLES = (
    _plugin("syscalls", _said("syscall", BY_WORK, r'"Method": ?"openat"', "/tmp/work/made"), "-S /calls"),
    _plugin("syscalls-all", _said("syscall", BY_WORK, r'"Method": ?"openat"', "/tmp/work/made")),
    _plugin("syscalls-fast", _said("syscall", BY_WORK, r'"Method": ?"openat"', "/tmp/work/made"), "-S /calls -F"),
    _plugin("syscalls-context", _said("syscall", BY_WORK, r'"Method": ?"openat"', "/tmp/work/made"),
            "-S /calls -C --context-process work"),
    _plugin("procmon-inject", _injected,
            "-i $(pid_of work) -m execproc -e /bin/other -f 0 -f injected", after="said | grep injected"),
    _plugin("filetracer", _said("filetracer", BY_WORK, r'"FileName": ?"/tmp/work/moved"')),
    _plugin("procmon", _processes, after="grep 'RunningProcess.*/bin/work' /log"),
    _plugin("ptracemon", _said("ptracemon", BY_WORK, "PTRACE_ATTACH")),
    _plugin("ebpfmon", _said("ebpfmon", BY_WORK, "BPF_MAP_CREATE")),
    _plugin("unixsocketmon", _said("unixsocketmon", BY_WORK, "hello from facet"), "--unixsocketmon-max-size-print 64"),
    _plugin("rebootmon", _said("rebootmon", BY_WORK)),
    _plugin("cpuidmon", _said("cpuidmon", BY_WORK, r'"Leaf": ?"?0x0"?')),
    _plugin("debugmon", _said("debugmon", BY_WORK)),
    _plugin("procdump2", lambda out, facts: _said("procdump", BY_WORK, "Success")(out, facts) and out.has("^/dump/"),
            "--procdump-dir /dump --procdump-use-maple-tree",
            after=f"for one in /dump/procdump.[01]; do {IS_DUMP} && echo $one; done; rm /dump/*"),
    _plugin("ipt", lambda out, facts: out.has("ipt") and out.status == 0, "--ipt-dir /dump --ipt-trace-os"),
    # The last: the guest ends.
    _plugin("rebootmon-off", _powered_off, "-t 60 --rebootmon-abort-on-power-off",
            before=""": >/log; (until grep -q '"rebootmon"' /log; do sleep 0.1; done; xl shutdown guest) >/dev/null 2>&1 &"""),
)


# ---- building ----

def check_source(source):
    """The directory, if it has DRAKVUF's source."""
    return source_of(source, "DRAKVUF", "src/libdrakvuf/libdrakvuf.h", "meson.build", "meson_options.txt")


def _build_vmi(source, tree):
    """Builds LibVMI, and installs it in the directory."""
    libvmi.build_library(source, tree / "libvmi", "-DBUILD_EXAMPLES=OFF", f"-DCMAKE_INSTALL_PREFIX={tree / 'installed'}")
    checked("LibVMI cannot be put into its place", "make", "-s", "-C", str(tree / "libvmi"), "install")


def _switches(source):
    """meson's for the plugins: those that know Linux."""
    options = source / "meson_options.txt"
    readable(options)
    text = options.read_text(encoding="utf-8", errors="replace")
    return [f"-Dplugin-{name}={'true' if name in PLUGINS else 'false'}" for name in re.findall(r"'plugin-([\w-]+)'", text)]


def _build_drakvuf(source, tree):
    environment = {**os.environ, **LLVM, "PKG_CONFIG_PATH": str(tree / "installed/lib/pkgconfig")}
    if not (tree / "drakvuf/build.ninja").exists():
        shutil.rmtree(tree / "drakvuf", ignore_errors=True)
        checked("DRAKVUF cannot be configured", "meson", "setup", str(tree / "drakvuf"), str(source), "-Drelease=true",
                *_switches(source), env=environment)
    checked("DRAKVUF does not build", "ninja", "-C", str(tree / "drakvuf"), "drakvuf", env=environment)


def build_all(source, vmi):
    """Builds LibVMI and DRAKVUF in the build directory. Returns the directory."""
    return libvmi.build_of("drakvuf", (source, vmi), "work", LibVMI=lambda tree: _build_vmi(vmi, tree),
                           DRAKVUF=lambda tree: _build_drakvuf(source, tree))


# ---- what DRAKVUF must know of the guest's kernel ----

def names_in(source):
    """Whether a name of the kernel's is one that DRAKVUF's source may ask for: it stands there as a word, or is a system call."""
    words = set()
    for path in (source / "src").rglob("*"):
        if path.suffix in (".c", ".cpp", ".h"):
            words |= set(re.findall(r"[A-Za-z_]\w+", path.read_text(encoding="utf-8", errors="replace")))
    return lambda name: name.partition(".")[0] in words or re.match("__(x64|ia32)_sys_", name)


def _vmi_conf(profile):
    init, top = profile.symbols["init_task"], profile.symbols["init_top_pgt"]
    return (f'guest {{\n    ostype = "Linux";\n    volatility_ist = "/profile.json";\n    linux_init_task = {init:#x};\n'
            f"    kpgd = {top - KERNEL_MAP:#x};\n}}\n")


# ---- the machine ----

def _files(source, tree):
    profile = Profile(libvmi.unpacked(debian_kernel(), tree))
    profile.symbols |= {name: profile.symbols[at] for name, at in ALIASES.items() if at in profile.symbols}
    document = json.dumps(profile.document(names_in(source), MOVED), separators=(",", ":"))
    programs = [tree / "drakvuf/drakvuf", tree / "installed/lib/libvmi.so.0"]
    libraries = {name: path for one in programs for name, path in initramfs.libraries(one).items() if "libvmi" not in name}
    folder = str(libvmi.LIBRARIES).lstrip("/")
    libraries |= {f"{folder}/{name}.so": os.path.realpath(f"/usr{libvmi.LIBRARIES}/{name}.so") for name in LIBRARIES}
    return {"profile.json": document.encode(), "etc/libvmi.conf": _vmi_conf(profile).encode(), "bin/drakvuf": programs[0],
            f"{folder}/libvmi.so.0": os.path.realpath(programs[1]), **libraries}


def _script(examples, where):
    """What domain 0 does. A second of a machine is as many instructions as it has; the program does a round in a tenth of one."""
    seconds = max(1, SECONDS * bochs.TICKS_PER_SECOND // where.backend.TICKS_PER_SECOND)
    return libvmi_host.MAKE + SETUP + f"span={seconds}\n" + libvmi.runs(examples, SHOWN, "drakvuf") + END


def settings(where):
    """Domain 0's, on a machine. DRAKVUF has a page with a breakpoint be executed and not read, which AMD's has not: then Facet makes it."""
    return {"altp2m_narrow": 1} if "npt" in (where.has or ()) else {}


def _arguments(arguments):
    parser = command_parser(
        "drakvuf", "Build DRAKVUF from its source in DIR, run its plugins for Linux in a Debian domain 0 on Facet, on a guest "
        "that xl makes there, and compare with what tests/recorded/drakvuf.txt says.",
        epilog="exit status: 0 if every result is the recorded one, else 1; with --quiet the table is printed alone")
    parser.add_argument("directory", metavar="DIR", help="DRAKVUF's source; it is left as it is")
    parser.add_argument("plugins", metavar="PLUGIN", nargs="*", default=[], help="run only these")
    parser.add_argument("--libvmi", metavar="DIR", help="LibVMI's source, if it is not in DIR/libvmi")
    parser.add_argument("--verbose", action="store_true", help="print all that the machine says")
    machine_options(parser)
    return parser.parse_intermixed_args(arguments)


def _sources(options):
    """DRAKVUF's source, and LibVMI's."""
    source = check_source(options.directory)
    if not options.libvmi and not (source / "libvmi/libvmi").is_dir():
        raise Error(f"{source} has no LibVMI in it (git submodule update --init libvmi); --libvmi can name its source")
    return source, libvmi.check_source(options.libvmi or source / "libvmi")


def main(arguments):
    """Runs `facet drakvuf`. Returns its exit status."""
    options = _arguments(arguments)
    where = machines.find(options.machine)
    source, vmi = _sources(options)
    examples = libvmi.chosen(EXAMPLES, options.plugins, "plugin for Linux is called")
    for what in ("drakvuf", "host"):
        packages.require(what, where)
    build()
    tree = build_all(source, vmi)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        paths = libvmi_host.configs(folder, _script(examples, where), _files(source, tree), GUEST_SCRIPT, tree / "work",
                                    **settings(where))
        return libvmi.see(examples, paths, options, libvmi.HOST, where, RECORD, ticks=where.limit(TICKS),
                          **libvmi_host.machine(folder))
