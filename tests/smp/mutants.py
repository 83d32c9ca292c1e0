# SPDX-License-Identifier: MIT
"""Takes out of the protocols for several processors one fence, wait, look or kick at a time, in the hypervisor's own sources, and runs
test_smp with that: each has to be found. A line for each, and the counts; status 1 if one was not found.

    python3 tests/smp/mutants.py BUILD [NAME...]
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = range(1, 9)  # of threads: they meet otherwise each time
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
    "an exit counts whose registers were replaced": ("hv/vcpu/remote.c", "    v->exit_dropped = elsewhere(v) && v->on->place == CPU_CAME_OUT;\n", ""),
    "an exit counts of who was paused": ("hv/vcpu/remote.c", "    return v && !sched_may_run(v) && !v->exit.special ? SMP_EXIT_PAUSED : SMP_EXIT;",
                                         "    return SMP_EXIT;"),
    "a pause expels nobody": ("hv/vcpu/sched.c", "    v->paused++;\n    vcpu_expel(v);\n", "    v->paused++;\n"),
    "who gives a vCPU up keeps its state": ("hv/vcpu/sched.c", "    if (smp_on) { /* another processor may be the next */\n        vcpu_unload(v);\n    }\n", ""),
    "who idles is not woken": ("hv/vcpu/sched.c", "    if (smp_cpu(cpu)->idle) {\n        smp_kick(smp_cpu(cpu));\n    }\n", ""),
    "old translations on the processor that it comes back to": ("hv/vcpu/load.c", "        vcpu_flush(v);\n", ""),
    "a state is borrowed that is elsewhere": ("hv/vcpu/load.c", "        vcpu_take(v);\n        vcpu_load(v);\n", "        vcpu_load(v);\n"),
    "who borrowed a state keeps it": ("hv/vcpu/load.c", "    if (before != v && smp_on) { /* another processor may want it */\n        vcpu_unload(v);\n    }\n", ""),
    "a change for all expels nobody": ("hv/platform.c", "        remote_stop(d);\n", ""),
    "a change of view expels nobody": ("hv/platform.c", "        vcpu_expel(vcpu_of(a)); /* to come back with what is said here */\n", ""),
    "a view is asked for of who is in the guest": ("hv/platform.c", "        vcpu_take(vcpu_of(a));\n", ""),
    "a flush is this processor's alone": ("hv/platform.c", "        remote_flush(domain_of(pm));\n", ""),
}


def _commands(build, source):
    """How make compiles that source, and links the test: {what is made: command}."""
    made = subprocess.run(["make", "-n", "-W", source, f"B={build}", f"{build}/unit/test_smp"], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True, check=True).stdout.replace("\\\n", " ")
    lines = [shlex.split(line) for line in made.splitlines() if " -o " in line]
    return {line[line.index("-o") + 1]: line[2:] if line[0].endswith("into") else line for line in lines}


def _build(build, source, text, directory):
    """test_smp with that text in place of the source's. Returns its path."""
    commands = _commands(build, source)
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


def _found(program):
    """By what the mutant is found, or None."""
    for seed in SEEDS:
        try:
            done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                                  env=dict(os.environ, FACET_MODEL_SEED=str(seed), FACET_MODEL_STEPS="300", FACET_MODEL_PATIENCE="1"), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"seed {seed}: it does not end"
        if done.returncode:
            told = re.search(r"# seed \d+: (.*)|# (nobody gets on)|WARNING: ThreadSanitizer: (.*?) \(", done.stdout)
            return f"seed {seed}: " + (next(filter(None, told.groups())) if told else done.stdout.strip().splitlines()[-1])
    return None


def main(build, names):
    """The exit status."""
    missed = 0
    subprocess.run(["make", "-s", f"B={build}", f"{build}/unit/test_smp"], cwd=ROOT, check=True)
    for name, (source, was, becomes) in MUTANTS.items():
        if names and not any(word in name for word in names):
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        if text.count(was) != 1:
            print(f"OPEN    {name}: {source} has changed, and this list has not", flush=True)
            missed += 1
            continue
        with tempfile.TemporaryDirectory(prefix="facet-mutant-") as directory:
            how = _found(_build(build, source, text.replace(was, becomes), pathlib.Path(directory)))
        missed += how is None
        print(f"{'proven' if how else 'OPEN  '}  {name}: {how or 'not found'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
