# SPDX-License-Identifier: MIT
"""`facet libvmi DIR`: LibVMI's examples in a Debian domain on Facet, watching another Debian domain.

DIR is LibVMI's source. It is built in the build directory; nothing is fetched. What each example
is to give, and why, is in tests/recorded/libvmi.txt; docs/libvmi.md tells more. With --host the
first domain is domain 0, and xl makes the other: libvmi_host.py.
"""

import os
import pathlib
import re
import subprocess
import tempfile
from dataclasses import dataclass, field

from . import initramfs, kernelprofile, libvmi_host, machine, machines, packages
from .base import ROOT, Error, build, build_dir, locked, of_sources, progress, source_of
from .config import config
from .debian import debian_kernel
from .options import machine as machine_options
from .options import parser as command_parser
from .recorded import RECORDED_DIR

RECORDED = RECORDED_DIR / "libvmi.txt"
CMAKE = ("-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DENABLE_KVM=OFF", "-DENABLE_BAREFLANK=OFF",
         "-DENABLE_FILE=OFF", "-DENABLE_VMIFS=OFF", "-DENABLE_FREEBSD=OFF", "-DENABLE_OSX=OFF",
         "-DENABLE_STATIC=OFF")
XENSTORED = pathlib.Path("/usr/lib/xen-4.17/bin/oxenstored")
XENSTORE = pathlib.Path("/usr/bin/xenstore")
LIBRARIES = pathlib.Path("/lib/x86_64-linux-gnu")
CMDLINE = "console=hvc0 quiet mitigations=off cryptomgr.notests=1"
MONITOR_MIB, GUEST_MIB = 384, 96
TICKS = 100_000_000_000
LINES = 12  # of an example that are printed
SHOWN = 60  # lines of an example's output at each end
# Symbols that examples and LibVMI look up; the monitor's own kernel, the same one, knows where.
SYMBOLS = ("init_task", "init_top_pgt", "modules", "linux_banner", "init_uts_ns", "_text", "_stext",
           "__x64_sys_newuname", "startup_64", "kallsyms_on_each_symbol")

GUEST_SCRIPT = """
sleep 86400 &
sleep=$!
echo "GUEST pid $sleep sleep"
echo "GUEST pid $$ init"
cut -d " " -f 1 /proc/modules | sed "s/^/GUEST module /"
echo "GUEST release $(uname -r)"
cat /proc/version | sed "s/^/GUEST version /"
busy 1000000 &
cp /bin/busy /bin/other
other 1000000 > /dev/null &
echo "GUEST pid $! other"
wait $!
kill $sleep
"""

# Names in xenstore are what a toolstack would have written there.
MONITOR_SETUP = """
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
ulimit -c 0
insmod /lib/xen-evtchn.ko
insmod /lib/xen-gntdev.ko
mkdir -p /var/run/xenstored /var/lib/xenstored /var/log/xen /etc/xen /boot
oxenstored --no-domain-init --no-fork > /oxenstored.log 2>&1 &
n=0
until xenstore write /local/domain/2/name guest 2>/dev/null || [ $n -gt 50 ]; do
    sleep 0.1; n=$((n + 1))
done
echo "LV xenstore $(xenstore read /local/domain/2/name)"
sed "s/^/LV oxenstored: /" /oxenstored.log
domain=2
another() { xenstore write /local/domain/7/vm /vm/facet-test; }
no_other() { :; }
grep -E " [TtDdRrBbV] (SYMBOLS)$" /proc/kallsyms > /boot/System.map
"""
# hvc0 is slow: an example's output goes to a file first.
RUN = """
run() {
    name=$1 seconds=$2; shift 2
    echo "LV begin $name"
    timeout -k 20 -s INT $seconds "$@" > /log 2>&1
    status=$?
    lines=$(wc -l < /log)
    if [ $lines -le $((2 * SHOWN)) ]; then cat /log; else head -n SHOWN /log; tail -n SHOWN /log; fi |
        sed "s/^/LV : /"
    echo "LV end $status $lines"
}
"""
MONITOR_SCRIPT = """
sed "s/^/LV symbol /" /boot/System.map
address() { sed -n "s/^\\([0-9a-f]*\\) . $1\\$/0x\\1/p" /boot/System.map; }
"""


# ---- what is run, and what proves that it worked ----

@dataclass
class Facts:
    """What the guest said of itself, and what the monitor knows."""

    pids: dict = field(default_factory=dict)     # name: pid
    modules: list = field(default_factory=list)
    symbols: dict = field(default_factory=dict)  # name: address
    release: str = ""
    version: str = ""
    end: str = ""

    def learn(self, source, text, monitor="d1", guest="d2"):
        """Takes in one line of the machine; who says what the monitor and what the guest does."""
        words = text.split(None, 2)
        if source == guest and words[:1] == ["GUEST"] and len(words) > 2:
            if words[1] == "pid":
                pid, name = words[2].split()
                self.pids[name] = int(pid)
            elif words[1] == "module":
                self.modules.append(words[2].strip())
            elif words[1] == "release":
                self.release = words[2].strip()
            elif words[1] == "version":
                self.version = words[2].strip()
            elif words[1] == "rounds":
                self.end = words[2]
        elif source == monitor and text.startswith("LV symbol "):
            address, _, name = text[len("LV symbol "):].split()[:3]
            self.symbols[name] = int(address, 16)


@dataclass
class Output:
    """What an example printed."""

    lines: list = field(default_factory=list)
    status: int = None
    count: int = 0  # lines in all; those in the middle of many are not kept

    def has(self, pattern):
        """The first match of a regular expression in any line."""
        return next((m for line in self.lines if (m := re.search(pattern, line))), None)

    def all(self, pattern):
        """All first groups of a regular expression."""
        return [m.group(1) for line in self.lines if (m := re.search(pattern, line))]


@dataclass(frozen=True)
class Example:
    """A program of LibVMI's, how to run it, and the proof: (Output, Facts) -> bool."""

    name: str
    arguments: str
    proof: object
    seconds: int = 20
    before: str = ""
    after: str = ""


def _process_list(out, facts):
    found = re.findall(r"^\[ *(\d+)\] (\S+) ", "\n".join(out.lines), re.MULTILINE)
    seen = {name: int(pid) for pid, name in found}
    return all(seen.get(name) == pid for name, pid in facts.pids.items()) and "swapper/0" in seen


def _module_list(out, facts):
    return bool(facts.modules) and sorted(out.lines[-len(facts.modules):]) == sorted(facts.modules)


def _hex_dump(out, facts):
    """A hex dump's text column begins with what the guest's /proc/version begins with."""
    text = "".join(line[-16:] for line in out.lines if re.match(r"[0-9a-f]{8}\|", line))
    return bool(facts.version) and text.startswith(facts.version[:48])


EXAMPLES = (
    Example("vmi-process-list", "guest", _process_list),
    Example("vmi-module-list", "guest", _module_list),
    Example("map-symbol", "guest linux_banner", _hex_dump),
    Example("map-addr", "guest $(address linux_banner)", _hex_dump),
    Example("vmi-rwmem-read", "--domid $domain --read $(address linux_banner) --limit 64 --file /read",
            lambda out, facts: out.has("Read operation success: 64 bytes") and
            out.has(re.escape(facts.release)), after="cat /read; echo"),
    Example("vmi-rwmem-list", "--domid $domain --list-pages", lambda out, facts: out.count > 1000 and
            out.has(r"0xffffffff[0-9a-f]{8} \[0x\d+ .*-> 0x[0-9a-f]+")),
    Example("event-example", "guest", lambda out, facts: out.has("CR3=[0-9a-f]+ executing") and
            out.has("LSTAR Physical PFN == [0-9a-f]{3,}") and out.has("PAGE ACCESS: --x"), seconds=3),
    Example("cr3-event-example", "guest", lambda out, facts: len(set(out.all("Value=(0x[0-9a-f]+)"))) > 1,
            seconds=3),
    Example("va-pages", "guest", lambda out, facts: out.has(r"CR3: 0x[0-9a-f]+\. Pages: [1-9]"), seconds=3),
    Example("step-event-example", "guest", lambda out, facts: out.has(r"PID \d+ with CR3="), seconds=3),
    Example("singlestep-event-example", "guest",
            lambda out, facts: len(out.all("(Single-step event: VCPU:0)")) > 10 and
            out.has("Singlestep stopped") and out.has("Restarting singlestep"), seconds=3),
    Example("interrupt-event-example", "guest",
            lambda out, facts: len(out.all("(Int 3 happened: GFN=.*Length: 1)")) > 3, seconds=3),
    Example("breakpoint-recoil-example", "guest __x64_sys_newuname",
            lambda out, facts: out.has("Breakpoint hit at __x64_sys_newuname. Count: [3-9]") and
            out.has("Restore previous opcode"), seconds=3),
    Example("breakpoint-emulate-example", "guest __x64_sys_newuname 5",
            lambda out, facts: len(out.all("(We hit our breakpoint)")) > 2, seconds=3),
    Example("switch-view-example", "guest", lambda out, facts: out.status == 0 and
            out.has("SLAT feature active") and not out.has("Unable to|Failed to (init|switch|destroy)")),
    Example("msr-event-example", "guest", lambda out, facts: out.has("MSR write happened: MSR=0x"),
            seconds=3),
    Example("descriptor-event-example", "guest", lambda out, facts: out.has("IDTR access: [1-9]"),
            seconds=3),
    Example("new-physical-page-example", "guest",
            lambda out, facts: out.has("Retrieved value: 0xcafecafecafecafe") and out.status == 0),
    Example("xen-emulate-reponse", "guest $(address __x64_sys_newuname | cut -c 3-)",
            lambda out, facts: len(out.all("(PAGE ACCESS: ..x)")) > 3, seconds=3),
    Example("wait-for-domain-example", "guest",
            lambda out, facts: out.has(r"domain \d+ with uuid \S+ created"), seconds=10,
            before="(sleep 2; another) &", after="no_other"),
    Example("io-event-example", "-n guest", lambda out, facts: out.has("port"), seconds=3),
    # Interrupted between clearing an event and setting it again it leaves the page as watched: no listener may follow.
    Example("mem-event-example", "guest", lambda out, facts: out.has("mem_cb: at 0x.*permissions: ..X"),
            seconds=3),
    # The last: it makes the guest end.
    Example("vmi-rwmem-write", "--domid $domain --write $(printf 0x%x $(($(address init_uts_ns) + NODENAME))) "
            "--limit 5 --file /done",
            lambda out, facts: out.has("Write operation success: 5 bytes") and "name done" in facts.end,
            before='printf "done\\0" > /done', after="sleep 2"),
)
PROGRAMS = {"vmi-rwmem-read": "vmi-rwmem", "vmi-rwmem-write": "vmi-rwmem", "vmi-rwmem-list": "vmi-rwmem"}


# ---- building ----

def checked(what, *command, env=None):
    """Runs a command, which has to succeed; what: what it means if it does not. Returns what it printed."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                          check=False)
    if done.returncode:
        raise Error(f"{what}:\n{done.stdout[-4000:]}")
    return done.stdout


def check_source(source):
    """The directory, if it has LibVMI's source."""
    return source_of(source, "LibVMI", "libvmi/libvmi.h")


def build_library(source, tree, *settings):
    """Builds LibVMI in the directory `tree`."""
    checked("LibVMI cannot be configured", "cmake", "-S", str(check_source(source)), "-B", str(tree), *CMAKE, *settings)
    checked("LibVMI does not build", "make", "-s", "-C", str(tree), f"-j{os.cpu_count() or 1}")


def build_of(name, sources, program, **parts):
    """Builds in the build directory's `name`, which is emptied if it was for other sources: each part, a function of that
    directory, and last the program of tools/`name` that the guest runs. Returns the directory."""
    tree = build_dir() / name
    with locked(build_dir() / f".{name}-lock"):
        of_sources(tree, *sources)
        for what, make in parts.items():
            progress(f"building {what}")
            make(tree)
        checked(f"{program}.c does not build", "gcc", "-O2", "-static", "-Wall", "-Wextra", "-o", str(tree / program),
                str(ROOT / "tools" / name / f"{program}.c"))
    return tree


def build_examples(source):
    """Builds LibVMI in the build directory. Returns the directory."""
    source = check_source(source)
    return build_of("libvmi", (source,), "busy", LibVMI=lambda tree: build_library(source, tree))


def unpacked(kernel, tree):
    """The kernel's image, unpacked in the directory."""
    vmlinux = tree / "vmlinux"
    checked("the kernel cannot be unpacked", str(build_dir() / "facet-kernel"), str(kernel.vmlinuz), str(vmlinux))
    return vmlinux


# ---- what LibVMI must know of the guest's kernel ----

def offset_in(text, member):
    """The offset that pahole shows for a member of the outermost structure or one inside of it."""
    found = re.search(rf"[ *]{member}(?:\[\d+\])?; +/\* +(\d+) ", text)
    if not found:
        raise Error(f"pahole shows no member {member}")
    return int(found.group(1))


class Kernel:
    """The guest's kernel as LibVMI wants to know it."""

    MEMBERS = {"task_struct": ("tasks", "mm", "pid", "comm"), "mm_struct": ("pgd",),
               "new_utsname": ("nodename",)}

    def __init__(self, kernel, tree):
        vmlinux, btf = unpacked(kernel, tree), tree / "btf"
        btf.write_bytes(kernelprofile.extract_btf(vmlinux.read_bytes(), vmlinux))
        self.offsets = {}
        for struct_name, members in self.MEMBERS.items():
            text = checked("pahole failed", "pahole", "-F", "btf", "-C", struct_name, str(btf))
            self.offsets[struct_name] = {one: offset_in(text, one) for one in members}

    def conf(self):
        """/etc/libvmi.conf."""
        task = self.offsets["task_struct"]
        return (f'guest {{\n    ostype = "Linux";\n    sysmap = "/boot/System.map";\n'
                f'    linux_name = {task["comm"]:#x};\n    linux_tasks = {task["tasks"]:#x};\n'
                f'    linux_mm = {task["mm"]:#x};\n    linux_pid = {task["pid"]:#x};\n'
                f'    linux_pgd = {self.offsets["mm_struct"]["pgd"]:#x};\n}}\n')


# ---- the machine ----

def _libraries(*programs):
    return {name: path for program in programs for name, path in initramfs.libraries(program).items()}


def _modules(kernel, *names):
    return {f"lib/{name}.ko": kernel.modules / f"kernel/drivers/xen/{name}.ko" for name in names}


def _store_files(kernel):
    """What a monitor needs that has no toolstack beside it."""
    return {"bin/oxenstored": XENSTORED, "bin/xenstore": XENSTORE, **_libraries(XENSTORED, XENSTORE),
            **_modules(kernel, "xen-evtchn", "xen-gntdev")}


def _monitor_files(tree, known, examples):
    files = {"etc/libvmi.conf": known.conf().encode()}
    # LibVMI opens these by the names that development packages have.
    for name in ("libxenctrl.so", "libxenstore.so"):
        files[f"lib/x86_64-linux-gnu/{name}"] = os.path.realpath(LIBRARIES / f"{name}.4.17"
                                                                 if "ctrl" in name else LIBRARIES / f"{name}.4")
    libraries = sorted((tree / "libvmi").glob("libvmi.so.0"))
    files["lib/x86_64-linux-gnu/libvmi.so.0"] = os.path.realpath(libraries[0])
    files.update({name: path for name, path in
                  _libraries(libraries[0], LIBRARIES / "libxenctrl.so.4.17").items() if "libvmi" not in name})
    for name in {PROGRAMS.get(one.name, one.name) for one in examples}:
        files[f"bin/{name}"] = tree / "examples" / name
    return files


def runs(examples, shown, program=""):
    """The script that runs the examples; shown: lines at each end. program: what runs them all, if it is one."""
    text = RUN.replace("SHOWN", str(shown))
    for one in examples:
        what = program or PROGRAMS.get(one.name, one.name)
        text += f"{one.before}\nrun {one.name} {one.seconds} {what} {one.arguments}\n"
        if one.after:
            text += f'{{ {one.after}; }} 2>&1 | sed "s/^/LV + {one.name} /"\n'
    return text


def _script(examples, known):
    return MONITOR_SCRIPT + runs(examples, SHOWN).replace("NODENAME", str(known.offsets["new_utsname"]["nodename"]))


def _with_symbols(text):
    return text.replace("SYMBOLS", "|".join(SYMBOLS))


def _host_configs(directory, tree, examples):
    """Domain 0, which has its guest's files."""
    known = Kernel(debian_kernel(), tree)
    script = libvmi_host.SETUP + _script(examples, known) + libvmi_host.END
    return libvmi_host.configs(directory, script, _monitor_files(tree, known, examples),
                               _with_symbols(libvmi_host.GUEST_SYMBOLS) + GUEST_SCRIPT, tree / "busy")


def _monitor_configs(directory, tree, examples):
    """A monitor's domain, and the one that it watches."""
    kernel = debian_kernel()
    known = Kernel(kernel, tree)
    guest = initramfs.script(directory / "guest.gz", kernel, build_dir(), "insmod /lib/xen-evtchn.ko\n" + GUEST_SCRIPT,
                             {**_modules(kernel, "xen-evtchn"), "bin/busy": tree / "busy"})
    monitor = initramfs.script(directory / "monitor.gz", kernel, build_dir(),
                               _with_symbols(MONITOR_SETUP) + _script(examples, known),
                               {**_store_files(kernel), **_monitor_files(tree, known, examples)})
    settings = ({"name": "monitor", "ramdisk": monitor, "memory": MONITOR_MIB, "monitor": 1},
                {"name": "guest", "ramdisk": guest, "memory": GUEST_MIB, "altp2m": "external"})
    paths = []
    for one in settings:
        path = directory / f"{one['name']}.cfg"
        path.write_text(config(kernel=kernel.vmlinuz, cmdline=CMDLINE, **one), encoding="utf-8")
        paths.append(path)
    return paths


@dataclass(frozen=True)
class Place:
    """Where the examples run: the word for it in the record, the monitor's domain, whose lines are the guest's, and how
    the configurations are made."""

    word: str
    monitor: str
    name: str
    guest: str
    configs: object


MONITOR = Place("", "d1", "monitor", "d2", _monitor_configs)
HOST = Place("host", "d0", "host", "d0", _host_configs)


class Watcher:
    """Sorts the machine's lines: facts, and each example's output."""

    def __init__(self, verbose, place=MONITOR):
        self.facts, self.outputs = Facts(), {}
        self._verbose, self._now, self._place = verbose, None, place

    def line(self, line):
        """One Line of the runner."""
        self.facts.learn(line.source, line.text, self._place.monitor, self._place.guest)
        if self._verbose:
            print(line, flush=True)
        if line.source != self._place.monitor:
            if line.source == "facet" and line.text.startswith(f"{self._place.monitor} {self._place.name}: "):
                raise machine.Stop(0)
            return
        text = line.text
        if text.startswith("LV begin "):
            self._now = self.outputs[text[9:]] = Output()
            progress(text[9:])
        elif text.startswith("LV : ") and self._now:
            self._now.lines.append(text[5:])
        elif text.startswith("LV end ") and self._now:
            status, count = text[7:].split()
            self._now.status, self._now.count = int(status), int(count)
        elif text.startswith("LV + "):
            name, _, rest = text[5:].partition(" ")
            self.outputs.setdefault(name, Output()).lines.append(rest)


def parse(text, file="tests/recorded/libvmi.txt", where=(machines.DEFAULT,)):
    """({reason: its text}, {example: (outcome, reason)}) of what is recorded for a machine and, last, a place.

    Lines: "reason KEY TEXT", "example NAME works", "example NAME fails KEY"; "example NAME@WHERE ..."
    stands behind the line for all, and is for that machine or that place alone.
    """
    reasons, examples, own = {}, {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, name, rest = (line.split(None, 2) + ["", ""])[:3]
        outcome, *key = rest.split() or [""]
        known = (outcome == "works" and not key or
                 outcome == "fails" and len(key) == 1 and key[0] in reasons)
        plain, _, at = name.partition("@")
        if word == "reason" and rest and name not in reasons:
            reasons[name] = rest
        elif word == "example" and known and not at and name not in examples:
            examples[name] = (outcome, *key)
        elif word == "example" and known and at and plain in examples and name not in own:
            own[name] = (outcome, *key)
        else:
            raise Error(f"{file}:{number}: not understood: {line}")
    for word in where:
        examples = {name: own.get(f"{name}@{word}", one) for name, one in examples.items()}
    return reasons, examples


def judge(example, out, facts):
    """Whether the example's output proves that it worked."""
    if not out:
        return False
    try:
        return bool(example.proof(out, facts))
    except (AttributeError, KeyError, ValueError, IndexError):
        return False


@dataclass(frozen=True)
class Record:
    """A file of what is recorded, and the words for whose examples they are."""

    path: pathlib.Path
    whose: str = "libvmi"
    called: str = "examples"

    def read(self, where):
        """parse() of it."""
        return parse(self.path.read_text(encoding="utf-8"), self.path, where)


def print_table(found, outputs, quiet, where=(machines.DEFAULT,), record=Record(RECORDED)):
    """Prints what each example said and gave there. Returns the number of unexpected results."""
    reasons, recorded = record.read(where)
    bad = 0
    for name in [] if quiet else found:
        lines = outputs[name].lines if name in outputs else []
        print(f"---- {name}", *lines[:LINES], sep="\n    ")
        if len(lines) > LINES:
            print(f"    ... {outputs[name].count} lines")
    print("----")
    for name, outcome in found.items():
        expected, *key = recorded.get(name, ("nothing",))
        good = outcome == expected
        bad += not good
        print(f"{name:28} {outcome:6} "
              f"{' '.join(key) if good else f'UNEXPECTED: recorded is {expected}'}".rstrip())
    used = {key for name in found for key in recorded.get(name, ())[1:]}
    for key in sorted(used):
        print(f"  {key}: {reasons[key]}")
    works = sum(outcome == "works" for outcome in found.values())
    print(f"{record.whose}: {works} of {len(found)} {record.called} work; {bad} unexpected")
    return bad


def chosen(examples, names, what):
    """Those of the examples with these names, or all if there are no names. what: the error's words for a name that none has."""
    unknown = set(names).difference(one.name for one in examples)
    if unknown:
        raise Error(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in examples)}")
    return [one for one in examples if not names or one.name in names]


def see(examples, paths, options, place, where, record=Record(RECORDED), **settings):
    """Boots the domains, which run the examples at that place, and prints what is found beside the record. settings: boot()'s.
    Returns the exit status."""
    watcher = Watcher(options.verbose, place)
    progress(f"running {len(examples)} {record.called}")
    machine.boot(paths, machine=where.name, processors=options.processors, on_line=watcher.line, **settings)
    found = {one.name: "works" if judge(one, watcher.outputs.get(one.name), watcher.facts) else "fails" for one in examples}
    return 1 if print_table(found, watcher.outputs, options.quiet, (where.name, place.word), record) else 0


def _arguments(arguments):
    parser = command_parser(
        "libvmi", "Build LibVMI from its source in DIR, run its examples in a "
        "Debian domain on Facet against another Debian domain, and compare with what "
        "tests/recorded/libvmi.txt says.",
        epilog="exit status: 0 if every result is the recorded one, else 1; with --quiet the table is printed alone")
    parser.add_argument("directory", metavar="DIR", help="LibVMI's source; it is left as it is")
    parser.add_argument("examples", metavar="EXAMPLE", nargs="*", default=[], help="run only these")
    parser.add_argument("--host", action="store_true", help="in the domain 0 of `facet demo host`, with a guest that xl makes")
    parser.add_argument("--verbose", action="store_true", help="print all that the machine says")
    machine_options(parser)
    return parser.parse_args(arguments)


def main(arguments):
    """Runs `facet libvmi`. Returns its exit status."""
    options = _arguments(arguments)
    where, place = machines.find(options.machine), HOST if options.host else MONITOR
    check_source(options.directory)
    examples = chosen(EXAMPLES, options.examples, "example is called")
    for what in ("libvmi", "host") if options.host else ("libvmi",):
        packages.require(what, where)
    build()
    tree = build_examples(options.directory)
    with tempfile.TemporaryDirectory() as scratch:
        paths = place.configs(pathlib.Path(scratch), tree, examples)
        more = libvmi_host.machine(pathlib.Path(scratch)) if options.host else {}
        return see(examples, paths, options, place, where, ticks=where.limit(TICKS), **more)
