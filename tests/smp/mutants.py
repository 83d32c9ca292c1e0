# SPDX-License-Identifier: MIT
"""Takes out of the protocols for several processors one fence, wait, look or kick at a time, in the hypervisor's own sources, and runs
test_smp with that: each has to be found. A line for each, and the counts; status 1 if one was not found.

    python3 tests/smp/mutants.py BUILD [NAME...]

`./facet prove` and tests/system/test_mutants.py run it.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 300

# name: (source, what stands there, what is put there)
MUTANTS = {
    "no wait for who is in the guest": ("hv/x86/smp.c", "    while (place(c) == CPU_IN_GUEST) {\n        if (late", "    while (false) {\n        if (late"),
    "no kick": ("hv/x86/smp.c", "        apic_send(c->apic_id, APIC_KICK_VECTOR);\n", ""),
    "the note of a kick stays": ("hv/x86/smp.c", "    c->kicked = false;\n    __atomic_store_n(&c->place, CPU_IN_GUEST",
                                 "    __atomic_store_n(&c->place, CPU_IN_GUEST"),
    "the lock is given up before the guest": ("hv/x86/smp.c", "    __atomic_store_n(&c->place, CPU_IN_GUEST, __ATOMIC_RELEASE);\n    smp_release();\n",
                                              "    smp_release();\n    __builtin_ia32_pause();\n"
                                              "    __atomic_store_n(&c->place, CPU_IN_GUEST, __ATOMIC_RELEASE);\n"),
    "out of the guest with the lock only": ("hv/x86/smp.c", "    __atomic_store_n(&c->place, CPU_CAME_OUT, __ATOMIC_RELEASE);\n    smp_acquire();\n",
                                            "    smp_acquire();\n    __atomic_store_n(&c->place, CPU_CAME_OUT, __ATOMIC_RELEASE);\n"),
    "who waits for the lock does not let go": ("hv/x86/smp.c", "            smp_unload(c);\n", ""),
    "letting go is not waited for": ("hv/x86/smp.c", "    while (__atomic_load_n(&c->let_go, __ATOMIC_ACQUIRE)) {\n        __builtin_ia32_pause();\n    }\n",
                                     ""),
    "letting go is said without order": ("hv/x86/smp.c", "            __atomic_store_n(&c->let_go, false, __ATOMIC_RELEASE);\n",
                                         "            __atomic_store_n(&c->let_go, false, __ATOMIC_RELAXED);\n"),
    "letting go is heard without order": ("hv/x86/smp.c", "    while (__atomic_load_n(&c->let_go, __ATOMIC_ACQUIRE)) {",
                                          "    while (__atomic_load_n(&c->let_go, __ATOMIC_RELAXED)) {"),
    "coming out is said without order": ("hv/x86/smp.c", "    __atomic_store_n(&c->place, CPU_CAME_OUT, __ATOMIC_RELEASE);\n    smp_acquire();\n",
                                         "    __atomic_store_n(&c->place, CPU_CAME_OUT, __ATOMIC_RELAXED);\n    smp_acquire();\n"),
    "who let go does not take it back": ("hv/x86/smp.c", "    smp_reload(this_cpu());\n", ""),
    "the note of a kick stays with who idles": ("hv/x86/smp.c", "    c->kicked = false;\n    c->idle = true;\n", "    c->idle = true;\n"),
    "idle when the lock is given up": ("hv/x86/smp.c", "    c->idle = true;\n    smp_release();\n", "    smp_release();\n    __builtin_ia32_pause();\n    c->idle = true;\n"),
    "the lock lets two in": ("hv/x86/smp.c", "    while (__atomic_load_n(&big.serving, __ATOMIC_ACQUIRE) != mine) {",
                             "    while (__atomic_load_n(&big.serving, __ATOMIC_ACQUIRE) + 1 < mine) {"),
    "the lock is taken without order": ("hv/x86/smp.c", "    while (__atomic_load_n(&big.serving, __ATOMIC_ACQUIRE) != mine) {",
                                        "    while (__atomic_load_n(&big.serving, __ATOMIC_RELAXED) != mine) {"),
    "the lock is given up without order": ("hv/x86/smp.c", "big.serving + 1, __ATOMIC_RELEASE);", "big.serving + 1, __ATOMIC_RELAXED);"),
    "the generation is not raised": ("hv/vcpu/remote.c", "    generations[d->id]++;\n", ""),
    "a flush expels nobody": ("hv/vcpu/remote.c", "    generations[d->id]++;\n    remote_stop(d);\n", "    generations[d->id]++;\n"),
    "no look at the generation": ("hv/vcpu/remote.c", "    if (*flushed != now) {", "    if (false) {"),
    "a state is taken from who is in the guest": ("hv/vcpu/remote.c", "    vcpu_expel(v);\n    if (elsewhere(v) && v->on->loaded == v) {",
                                                  "    if (elsewhere(v) && v->on->loaded == v) {"),
    "a state is taken that was not let go": ("hv/vcpu/remote.c", "        smp_let_go(v->on);\n", ""),
    "an exit counts whose registers were replaced": ("hv/vcpu/remote.c", "    v->exit_dropped = elsewhere(v) && v->on->place == CPU_CAME_OUT;\n", ""),
    "an exit counts of who was paused": ("hv/vcpu/remote.c", "    return v && !sched_may_run(v) && !v->exit.special ? SMP_EXIT_PAUSED : SMP_EXIT;",
                                         "    return SMP_EXIT;"),
    "a pause expels nobody": ("hv/vcpu/sched.c", "    v->paused++;\n    vcpu_expel(v);\n", "    v->paused++;\n"),
    "who goes offline stays in the guest": ("hv/vcpu/sched.c", "    v->state = VCPU_OFFLINE;\n    vcpu_expel(v);\n", "    v->state = VCPU_OFFLINE;\n"),
    "who is woken stays in the guest": ("hv/vcpu/sched.c", "        smp_kick(v->on); /* it has something to look at before it goes on */\n", ""),
    "who gives a vCPU up keeps its state": ("hv/vcpu/sched.c", "    if (smp_on) { /* another processor may be the next */\n        vcpu_unload(v);\n    }\n", ""),
    "who idles is not woken": ("hv/vcpu/sched.c", "    if (smp_cpu(cpu)->idle) {\n        smp_kick(smp_cpu(cpu));\n    }\n", ""),
    "old translations on the processor that it comes back to": ("hv/vcpu/load.c", "        vcpu_flush(v);\n", ""),
    "a state is borrowed that is elsewhere": ("hv/vcpu/load.c", "        vcpu_take(v);\n        vcpu_load(v);\n", "        vcpu_load(v);\n"),
    "who borrowed a state keeps it": ("hv/vcpu/load.c", "    if (before != v && smp_on) { /* another processor may want it */\n        vcpu_unload(v);\n    }\n", ""),
    "guests run before a change is done": ("hv/exit/run.c", "    if (settled) {\n        exit_once", "    if (true) {\n        exit_once"),
    "a change for all expels nobody": ("hv/platform.c", "        remote_stop(d);\n", ""),
    "a change of view expels nobody": ("hv/platform.c", "        vcpu_expel(vcpu_of(a)); /* to come back with what is said here */\n", ""),
    "a view is asked for of who is in the guest": ("hv/platform.c", "        vcpu_take(vcpu_of(a));\n", ""),
    "a flush is this processor's alone": ("hv/platform.c", "        remote_flush(domain_of(pm));\n", ""),
}


def _commands(build):
    """How make compiles each source, and links the test: {what is made: command}."""
    made = subprocess.run(["make", "-n", f"B={build}", f"{build}/unit/test_smp", *(word for source, _, _ in MUTANTS.values() for word in ("-W", source))],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.replace("\\\n", " ")
    lines = [shlex.split(line) for line in made.splitlines() if " -o " in line]
    return {line[line.index("-o") + 1]: line[2:] if line[0].endswith("into") else line for line in lines}


def _build(build, commands, source, text, directory):
    """test_smp with that text in place of the source's. Returns its path."""
    made = {source: directory / "mutant.c", f"{build}/smp/{source[:-2]}.o": directory / "mutant.o",
            f"{build}/unit/test_smp": directory / "test_smp"}
    made[source].write_text(f'#line 1 "{source}"\n' + text, encoding="utf-8")
    for target in list(made)[1:]:
        words = [str(made.get(word, word)) for word in commands[target]]
        for option in ("-MT", "-MF"):
            if option in words:
                words[words.index(option) + 1] = str(directory / "deps")
        words[1:1] = ["-w", "-I", str(pathlib.Path(source).parent)]
        subprocess.run(words, cwd=ROOT, check=True)
    return made[f"{build}/unit/test_smp"]


def _run(program):
    """(status, what it says); SECONDS are for what has no end where nobody looks for it: no verdict."""
    environment = dict(os.environ, TSAN_OPTIONS="symbolize=0")
    try:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                              env=environment, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"not at its end after {SECONDS} s"
    return done.returncode, done.stdout


def _found(status, said):
    """By what a mutant is found, or None."""
    told = re.findall(r"# (seed \d+: .*)|WARNING: ThreadSanitizer: (.*?) \(", said)
    if not status or not told:
        return None
    failed, machines = len(re.findall(r"^\[  ERROR   \]", said, re.M)), len(re.findall(r"^\[ RUN ", said, re.M))
    return f"{next(filter(None, told[0]))} (on {failed} of {machines} machines)"


def _try(build, commands, name):
    """By what that mutant is found, or None and why not."""
    source, was, becomes = MUTANTS[name]
    text = (ROOT / source).read_text(encoding="utf-8")
    if text.count(was) != 1:
        return None, f"{source} has changed, and this list has not"
    with tempfile.TemporaryDirectory(prefix="facet-mutant-") as directory:
        status, said = _run(_build(build, commands, source, text.replace(was, becomes), pathlib.Path(directory)))
    return _found(status, said), said if status is None else "not found"


def main(build, words):
    """The exit status."""
    names = [name for name in MUTANTS if not words or any(word in name for word in words)]
    found = 0
    subprocess.run(["make", "-s", f"B={build}", f"{build}/unit/test_smp"], cwd=ROOT, check=True)
    status, said = _run(f"{build}/unit/test_smp")
    if status != 0:
        print(f"OPEN    the sources as they are fail:\n{said}")
        return 1
    commands = _commands(build)
    for name in names:
        how, why_not = _try(build, commands, name)
        found += how is not None
        print(f"{'proven' if how else 'OPEN  '}  {name}: {how or why_not}", flush=True)
    print(f"{len(names)} mutants, {found} found", flush=True)
    return 0 if found == len(names) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
