# SPDX-License-Identifier: MIT
"""`facet demo`: a Debian Linux on Facet shows altp2m on the memory of one of its processes.

The guest's program (demo/guest) does the steps and checks each; what it prints is described in
demo/guest/report.h. This side tells the story, and believes it only if every step of STEPS was
reported as done, in order, and the guest then powered off.
"""

import os
import pathlib
import re
import sys

from runner import initramfs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))  # for the other demos

STEPS = (
    "ask what is here",
    "turn altp2m on",
    "take real memory of this process",
    "one address, two views, two contents",
    "a page that exists in one view and not in the other",
    "switch views with VMFUNC from user space",
    "hide a view",
    "break a restriction while nobody listens",
    "ask for what cannot be done",
    "put everything back",
)
STEPS_SCRIPT = "steps.sh"  # comes before a demo that is a script
MEMORY_MIB = 256
MOST_VCPUS = 4
# The kernel's tests of its own cryptography are nearly half of the instructions of its boot.
CMDLINE = "console=hvc0 mitigations=off cryptomgr.notests=1 quiet loglevel=1"
# Some ten times what a demo takes: only one that hangs executes so many instructions.
TICKS = 20_000_000_000

_BEGIN = re.compile(r"demo: begin steps=([0-9]+)(?: tsc=([0-9]+))?")
_END = re.compile(r"demo: end ok=([0-9]+) failed=([0-9]+)(?: tsc=([0-9]+))?")
_STEP = re.compile(r"demo: step ([0-9]+)(?:(: )| (ok|FAILED): )(.*)")


class Paint:
    """Colours, on a terminal that wants them."""

    def __init__(self, stream):
        self._on = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" \
            and "NO_COLOR" not in os.environ

    def __call__(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self._on else text


class Story:
    """Takes the machine's lines, prints them for people and keeps what they claim."""

    source = "d1"  # whose steps they are

    def __init__(self, out, paint, steps=STEPS):
        self._out, self._paint = out, paint
        self.steps = steps
        self.begun = None     # (steps announced, tsc), from the first line; tsc 0: not told
        self.started = {}     # step number -> title
        self.done = []        # step numbers in the order in which they were ok
        self.failed = {}      # step number -> why
        self.end = None       # (ok, failed, tsc)
        self.begin_seconds = None

    def _say(self, text=""):
        print(text, file=self._out, flush=True)

    def line(self, line):
        """One Line of the runner."""
        if line.source != self.source or not line.text.startswith("demo: "):
            self._say(self._paint("2", f"[{line.seconds:6.1f} s] {line}"))
            return
        begin, end = _BEGIN.fullmatch(line.text), _END.fullmatch(line.text)
        step = _STEP.fullmatch(line.text)
        if begin:
            self.begun = (int(begin.group(1)), int(begin.group(2) or 0))
            self.begin_seconds = line.seconds
            self._say(f"[{line.seconds:6.1f} s] Linux has booted and the demo program runs\n")
        elif end:
            self.end = tuple(int(group or 0) for group in end.groups())
        elif step:
            self._step(int(step.group(1)), step.group(3), step.group(4))
        else:
            self._say("   " + line.text[len("demo: "):])

    def _step(self, number, verdict, text):
        if verdict is None:
            self.started[number] = text
            self._say(self._paint("1", f"{number:2}. {text[:1].upper()}{text[1:]}"))
        elif verdict == "ok":
            self.done.append(number)
            self._say(f"     {self._paint('32', 'ok')}: {text}\n")
        else:
            self.failed[number] = text
            self._say(f"     {self._paint('31', 'FAILED')}: {text}\n")

    def complaints(self):
        """What keeps this from being a demo that worked, in words."""
        found = [f"step {n} ({self.started.get(n, '?')}) failed: {why}"
                 for n, why in self.failed.items()]
        if self.begun is None:
            return ["the demo program never started"]
        if self.begun[0] != len(self.steps):
            found.append(f"the guest announced {self.begun[0]} steps, not {len(self.steps)}")
        for number, title in enumerate(self.steps, 1):
            if number in self.failed:
                continue
            if number not in self.done:
                found.append(f"step {number} ({title}) was not done")
            elif self.started.get(number) != title:
                found.append(f"step {number} was \"{self.started.get(number)}\", not \"{title}\"")
        if self.done != sorted(set(self.done)):
            found.append("the steps were not done in order, each once")
        if self.end is None:
            found.append("the demo program did not reach its end")
        elif self.end[:2] != (len(self.steps), 0):
            found.append(f"the demo program counts {self.end[0]} steps done, {self.end[1]} failed")
        return found


def scripts(runner, *names):
    """The shell scripts of this folder with these names, as one."""
    return "".join((runner.ROOT / "demo" / name).read_text(encoding="utf-8") for name in names)


def configuration(runner, directory, shell=False, vcpus=1):
    """Makes the guest's initramfs and configuration file; returns the file's path and the kernel.

    The guest runs the demo or, with `shell`, a root shell on its console.
    """
    kernel = runner.debian_kernel()
    name, make = ("shell", initramfs.shell) if shell else ("demo", initramfs.demo)
    directory.mkdir(parents=True, exist_ok=True)
    ramdisk = make(directory / f"{name}-initramfs.gz", kernel, runner.build_dir())
    path = directory / f"{name}.cfg"
    path.write_text(runner.config(
        name=name, kernel=kernel.vmlinuz, ramdisk=ramdisk, cmdline=CMDLINE,
        memory=MEMORY_MIB, vcpus=vcpus, altp2m="mixed"), encoding="utf-8")
    return path, kernel


def _summary(result, story, complaints, paint):
    if story.begin_seconds is not None:
        tsc = f", guest's time stamp counter then {story.begun[1]:,}" if story.begun[1] else ""
        print(f"power-on to user space: {story.begin_seconds:.1f} s{tsc}")
    if story.end is not None and story.begun is not None and story.begun[1]:
        print(f"the steps themselves:   {story.end[2] - story.begun[1]:,} ticks")
    total = f", {result.ticks:,} instructions" if result.ticks else ""
    print(f"whole run:              {result.seconds:.1f} s{total}")
    if complaints:
        for text in complaints:
            print(f"{paint('31', 'FAILED')}: {text}")
    print(f"{len(story.done)} of {len(story.steps)} steps did what they say"
          f"{'' if complaints else paint('32', ': the demo worked')}")


def verdict(result, story, paint):
    """Prints how it went. The exit status: 0 only if each step did what it says."""
    complaints = story.complaints()
    if result.status:
        complaints.append(result.reason or f"the run ended with status {result.status}")
    elif not any(e.how == "powered off" for e in result.endings.values()):
        complaints.append("the guest did not power off")
    _summary(result, story, complaints, paint)
    return 0 if not complaints else result.status or 1


def prepare(runner, args, purpose="demo"):
    """What every demo needs: a machine that there is, packages, and everything built. Returns what
    the options say of the machine, for runner.boot()."""
    found = runner.machine.check(args.machine, args.ticks)
    runner.require(purpose, found)
    runner.build()
    return {"machine": args.machine, "processors": args.processors, "keep": args.keep,
            "ticks": args.ticks or found.limit(TICKS), "timeout": args.timeout}


def vcpus(args):
    """How many a guest has: one for each processor."""
    return min(args.processors, MOST_VCPUS)


def told(number):
    """So many vCPUs, in words."""
    return f"{number} vCPU{'s' * (number > 1)}"


def shell(settings):
    """The same machine for somebody who types, for as long as that takes."""
    return {**settings, "ticks": None, "timeout": None, "interactive": True}


def options(runner, name, description, has=None):
    """A parser with the options that every demo has; has: what vCPUs there are, however many processors."""
    parser = runner.options.Parser(prog=f"facet {name}", description=description)
    runner.options.limits(parser)
    runner.options.quiet(parser)
    runner.options.machine(parser, has or f"each guest has as many vCPUs, up to {MOST_VCPUS}")
    parser.add_argument("--keep", action="store_true", help="keep the run's files")
    return parser


def main(runner, arguments):
    """Runs the demo. 0 only if each step did what it says."""
    if arguments[:1] == ["agent"]:
        import agent_demo  # pylint: disable=import-outside-toplevel
        return agent_demo.main(runner, arguments[1:])
    if arguments[:1] == ["monitor"]:
        import monitor_demo  # pylint: disable=import-outside-toplevel
        return monitor_demo.main(runner, arguments[1:])
    if arguments[:1] == ["host"]:
        import host_demo  # pylint: disable=import-outside-toplevel
        return host_demo.main(runner, arguments[1:])
    if arguments and not arguments[0].startswith("-"):
        raise runner.Error(f"there is no demo '{arguments[0]}': there are `facet demo`, "
                           "`facet demo agent`, `facet demo monitor` and `facet demo host`")
    parser = options(
        runner, "demo", "See altp2m work: a Debian Linux boots on Facet and shows "
        "several views of one process' memory. Installs what it needs, as root. "
        "There are three more: `facet demo agent`, an agent in a Linux that protects its kernel, "
        "`facet demo monitor`, a Linux that watches another from outside, and `facet demo host`, Debian's xl, which "
        "makes a guest with a disk and a network.")
    parser.add_argument("--shell", action="store_true",
                        help="no demo: a root shell in the same guest, on this terminal")
    args = parser.parse_args(arguments)

    settings = prepare(runner, args)
    paint = Paint(sys.stdout)
    path, kernel = configuration(runner, runner.work_dir("demo"), args.shell, vcpus(args))
    print(f"Linux {kernel.release} as a PVH guest of Facet, {MEMORY_MIB} MiB, {told(vcpus(args))}, "
          "altp2m=\"mixed\"\n", flush=True)
    if args.shell:
        return runner.boot([path], **shell(settings)).status
    story = Story(sys.stdout, paint)
    result = runner.boot([path], on_line=story.line, **settings)
    return verdict(result, story, paint)
