# SPDX-License-Identifier: MIT
"""Holds the walls between the rooms of hv/ and the core: one TAP line a check.

1. What is one vendor's (its headers, instructions, fields, constants) stays in hv/vmx or hv/svm.
2. A room includes headers of rooms that stand before it in ORDER, and of no others.
3. A room calls functions of those rooms, and of later ones those in UPWARD alone.
What is not so is listed below, with how often at most and why; a use more fails, and so does an entry
that is not needed any more. Plants a few violations first, to see itself fail.
"""

import functools
import re
import sys
from pathlib import Path

# Words of a vendor's, in code and in comments. VMFUNC, VMCALL and #VE are in the interface, and the SDM
# is the reference for what both vendors have.
VENDORS = re.compile(
    r"\b(?:vm(?:read|write|ptrld|clear|xon|launch|resume|run|load|save)\w*|inv(?:ept|vpid|lpga)|stgi|clgi|skinit"
    r"|VMCS\w*|VMCB\w*|EPTP\w*|EPT|EPT_\w+|VPID|NPT|NPT_\w+|nCR3|ASID\w*|EXITINTINFO|EVENTINJ|EXIT_REASON_\w+|SVM_EXIT_\w+"
    r"|(?:vmx|svm|ept|npt|vmcs|vmcb|vpid|asid)_\w+|MSR_(?:IA32_)?VMX\w*|(?:MSR_)?VM_HSAVE\w*|VMX|SVM|MTF|VT-x|AMD-V)\b"
    r"|asm/(?:vmx|svm)\.h", re.IGNORECASE)

# Rooms, the lowest first: each may include those before it. `vcpu.h` stands for all that struct vcpu and
# struct domain are made of, which everybody above knows.
ORDER = ("include", "core", "lib", "x86", "mm", "vcpu.h", "vmx", "svm", "vcpu", "guest", "host", "exit", "boot")
SHARED = {"hv/vcpu.h", "hv/domain.h", "hv/host.h", "hv/monitor.h", "hv/context.h", "hv/guest/guest_state.h", "hv/guest/monitor_state.h", "hv/exit/exit_state.h",
          "hv/guest/xen_abi.h", "hv/guest/domctl_abi.h",
          "hv/vcpu/agent.h", "hv/vcpu/area.h", "hv/vcpu/entry_regs.S", "hv/vcpu/event.h", "hv/vcpu/exit.h", "hv/vcpu/state.h", "hv/vcpu/vendor.h"}
APART = {("vmx", "svm"), ("svm", "vmx")}  # neither knows the other
CORE = {"abi.h", "altp2m.h", "format.h", "physmap.h", "platform.h", "policy.h"}  # for the hypervisor

# (room that calls, room that is called): functions. What a room asks of a later one is a seam, and narrow.
UPWARD = {
    ("core", "guest"): r"platform_\w+",  # the core's seam: hv/platform.c
    ("svm", "exit"): "vcpu_exit_own|vcpu_reflect",  # what concerns one vCPU alone; #VE without a way through hv/exit
    ("vmx", "exit"): "vcpu_exit_own",
    ("svm", "vcpu"): r"vcpu_code_\w+|vcpu_view_root|vcpu_enter_view|vcpu_mirror_\w+",  # the instruction, where the processor does not tell it; what VMFUNC would do
    ("vcpu", "guest"): "cpuid_gib_pages|cpuid_physical_bits|domain_crash|domain_say|monitor_listens",
    ("guest", "host"): r"host_\w+",  # what only the hardware domain has: hv/host.h
    ("lib", "x86"): "cpu_stop_others|power_off|power_reset",  # fatal(), and what ends the machine
    ("vmx", "vcpu"): "remote_enter",  # what other processors took away
    ("x86", "boot"): "early_alloc",  # before there are frames
    ("x86", "vcpu"): "smp_exit_counts|smp_reload|smp_unload",  # of the vCPU that a processor has
}

# (file, word or header): (uses, why)
ALLOWED = {
    ("hv/guest/monitor.c", "vmx"): (4, "Xen's events have fields of that name"),
    ("hv/vcpu/event.h", "vmx"): (1, "the form that Xen's structures have is VMX's"),
    ("hv/vcpu/exit.h", "vmx"): (2, "so are the numbers that monitors are told"),
    ("hv/vcpu/state.h", "vmx"): (1, "the same"),
    ("hv/vcpu/vendor.c", "ept"): (1, "says what is missing"),
    ("hv/vcpu/vendor.c", "svm"): (1, "says what is missing"),
    ("hv/vcpu/vendor.c", "svm_vendor"): (5, "chooses"),
    ("hv/vcpu/vendor.c", "vmx_vendor"): (5, "chooses"),
    ("hv/vcpu/vendor.c", "vt-x"): (2, "says what is missing"),
    ("hv/vcpu/vendor.h", "ept"): (1, "an example of what caps.summary says"),
    ("hv/vcpu/vendor.h", "svm"): (6, "the seam itself"),
    ("hv/vcpu/vendor.h", "svm_vendor"): (4, "the seam itself"),
    ("hv/vcpu/vendor.h", "vmx"): (5, "the seam itself"),
    ("hv/vcpu/vendor.h", "vmx_vendor"): (5, "the seam itself"),
    ("hv/lib/console.c", "hv/x86/cpu.h"): (1, "writes to ports"),
    ("hv/lib/console.c", "hv/x86/power.h"): (1, "ends the machine"),
    ("hv/mm/frame.c", "hv/boot/boot.h"): (1, "where the image lies"),
    ("hv/x86/paging.c", "hv/boot/boot.h"): (1, "the same"),
    ("hv/x86/paging.c", "hv/boot/early.h"): (1, "runs before there are frames"),
    ("hv/x86/processors.c", "hv/boot/early.h"): (1, "the same"),
}


@functools.lru_cache(maxsize=None)
def code(text):
    """The text without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def room(path):
    """The room of a file, by its path."""
    parts = Path(path).parts
    if path in SHARED:
        return "vcpu.h"
    if path == "hv/platform.c":
        return "guest"
    return parts[1] if parts[0] == "hv" and len(parts) > 2 else parts[0]


def find(source, name, sources):
    """The path of what `source` includes as "name", or None if it is not of ours."""
    for base in (str(Path(source).parent), "hv", "."):
        path = str(Path(base, name)) if base != "." else name
        if path in sources:
            return path
    return None


def climbs(path, sources):
    """Headers that the file includes and may not."""
    here = room(path)
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', sources[path], re.M):
        other = find(path, name, sources)
        there = room(other) if other else here
        if there == here:
            continue
        inside = there == "core" and Path(other).name not in CORE
        if ORDER.index(there) > ORDER.index(here) or (here, there) in APART or inside:
            yield other


ATTRIBUTE = re.compile(r"__attribute__\s*\(\([^;{}]*?\)\)\s*")
DEFINITION = re.compile(r"^(static\b)?[a-z_][\w *]*(?:\n[\w *]*)?\b(\w+)\([^;{}]*\)\s*\{", re.M)
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")


@functools.lru_cache(maxsize=None)
def defined(text):
    """(whether it is static, name) of each function in a text without comments."""
    return [(bool(static), name) for static, name in DEFINITION.findall(ATTRIBUTE.sub("", text))]


def definitions(sources):
    """Function -> the room that defines it, of those that a header tells of; a name of two rooms is nobody's."""
    rooms, told = {}, set()
    for path, text in sources.items():
        if path.endswith(".h"):
            told.update(CALL.findall(code(text)))
    for path, text in sources.items():
        if path.endswith(".c"):
            for static, name in defined(code(text)):
                if not static and name in told:
                    rooms.setdefault(name, set()).add(room(path))
    return {name: where.pop() for name, where in rooms.items() if len(where) == 1}


def calls(path, sources, rooms):
    """Functions of later rooms that the file calls and may not."""
    here, text = room(path), code(sources[path])
    own = {name for _, name in defined(text)}
    for name in set(CALL.findall(text)) - own:
        there = rooms.get(name, here)
        if there == here or path.endswith(".h"):
            continue
        if (ORDER.index(there) > ORDER.index(here) or (here, there) in APART) and \
                not re.fullmatch(UPWARD.get((here, there), ""), name):
            yield f"{name}() of {there}"


def words(path, sources):
    """Words of a vendor's in a file that is in neither's room."""
    if room(path) in ("vmx", "svm"):
        return []
    return [word.lower() for word in VENDORS.findall(sources[path])]


def problems(sources, allowed):
    """What is wrong with the sources, a dictionary of path -> text."""
    wrong, seen, rooms = [], {}, definitions(sources)
    for path in sorted(sources):
        for what in (*words(path, sources), *climbs(path, sources), *calls(path, sources, rooms)):
            seen[path, what] = seen.get((path, what), 0) + 1
    for (path, what), n in seen.items():
        most = allowed.get((path, what), (0, ""))[0]
        if n > most:
            wrong.append(f"{path}: {what} {n} times, {most} allowed")
    wrong += [f"{path}: {what} is allowed and not used" for path, what in allowed if (path, what) not in seen]
    return wrong


def planted(sources):
    """(what is planted, whether it is found)"""
    clean = not problems(sources, ALLOWED)

    def found(path, text):
        return clean and bool(problems({**sources, path: sources.get(path, "") + text}, ALLOWED))

    yield "a field of Intel's", found("hv/guest/msr.c", "void f(void) { vmwrite(GUEST_RIP, 0); }")
    yield "a structure of AMD's", found("hv/x86/fpu.c", "struct vmcb_save *save;")
    yield "a header of a vendor's", found("hv/guest/hvm.c", "#include <asm/svm.h>\n")
    yield "a function of a vendor's", found("hv/boot/boot.c", "void f(void) { vmx_selftest(); }")
    yield "a word in a comment", found("core/view.c", "/* an entry of the EPTP list */")
    yield "an include that climbs", found("hv/mm/frame.c", '#include "guest/guest.h"\n')
    yield "a call that climbs", found("hv/guest/hvm.c", "void f(void) { exit_once(v); }")
    yield "a call that climbs by its own declaration", found("hv/mm/frame.c", "void sched_run(void); void f(void) { sched_run(); }")
    yield "the core calls past its seam", found("core/view.c", "void f(void) { domain_say(d); }")
    yield "the core knows the hypervisor", found("core/view.c", '#include "hv/vcpu.h"\n')
    yield "the inside of the core", found("hv/guest/hvm.c", '#include "core/pool.h"\n')
    yield "one vendor knows the other", found("hv/svm/npt.c", '#include "vmx/vmx.h"\n')
    yield "a file that is new", found("hv/guest/new.c", "uint64_t e = EPTP_FLAGS;")
    yield "nothing, in a vendor's room", not found("hv/vmx/vmx.c", "void f(void) { vmwrite(0, 0); }")
    yield "nothing, by the way down", not found("hv/guest/hvm.c", '#include "mm/frame.h"\n')
    yield "nothing, by a call down", not found("hv/exit/run.c", "void f(void) { domain_say(d); }")
    yield "nothing, by a seam", not found("hv/vcpu/load.c", "void f(void) { domain_say(d); }")
    yield "nothing, by the interface", not found("core/view.c", "/* VMFUNC, VMCALL, #VE */")


def main():
    """Prints the checks; the exit status is 1 if one fails."""
    sources = {str(path): path.read_text(encoding="utf-8") for top in ("core", "hv", "include")
               for path in Path(top).rglob("*.[chS]")}
    checks = [("each room keeps to itself what is its own", problems(sources, ALLOWED))]
    checks += [(f"planted: {what}", [] if right else ["not seen"]) for what, right in planted(sources)]
    for check, wrong in checks:
        print(f"not ok - {check}\n# " + "\n# ".join(wrong) if wrong else f"ok - {check}")
    return 1 if any(wrong for _, wrong in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
