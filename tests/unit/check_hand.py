# SPDX-License-Identifier: MIT
"""Finds code beside the hand that makes a pointer of a frame or looks one up: one TAP line a check.

hv/vcpu/hand.h is the one way into a guest's memory. Whatever else uses the functions below is listed
here with how often at most and why; a use more fails. Plants a few violations first, to see itself fail.
"""

import re
import sys
from pathlib import Path

HAND = {f"hv/vcpu/hand{part}.c" for part in ("", "_area", "_entry", "_page", "_reach", "_walk")}
RAW = ("frame_virt", "hostmap_lookup", "view_lookup", "platform_map", "domain_ram")
# An address made by hand: a pointer cast of something shifted by the page size.
CAST = re.compile(r"\(\s*(?:const\s+|volatile\s+)*(?:void|u?int\d+_t|struct \w+|char)\s*\*+\s*\)"
                  r"[^;,{}]*<<\s*PAGE_SHIFT")

# (file, function): (uses, why it is no guest's name that becomes a pointer)
ALLOWED = {
    ("core/fault.c", "hostmap_lookup"): (1, "reads an access"),
    ("core/hostmap.c", "hostmap_lookup"): (1, "its definition"),
    ("core/hostmap.c", "view_lookup"): (1, "its definition"),
    ("core/physmap.h", "hostmap_lookup"): (1, "its declaration"),
    ("core/physmap.h", "view_lookup"): (1, "its declaration"),
    ("core/platform.h", "platform_map"): (1, "its declaration"),
    ("core/pool.c", "platform_map"): (1, "the pool's own pages"),
    ("core/shadow.c", "platform_map"): (1, "copies a page whose access was checked (shadow_create)"),
    ("core/view.c", "view_lookup"): (1, "its definition"),
    ("hv/guest/builder.c", "frame_virt"): (5, "new frames: a domain, its building, a vCPU, its shared info"),
    ("hv/guest/ending.c", "hostmap_lookup"): (1, "frees what is there, by frame"),
    ("hv/host/iommu.c", "frame_virt"): (2, "new frames: the IOMMU's tables"),
    ("hv/host/msi.c", "frame_virt"): (2, "new frames: the domain's entries of a table of messages"),
    ("hv/host/memory.c", "frame_virt"): (2, "new frames: a boot module's new place"),
    ("hv/host/memory.c", "hostmap_lookup"): (1, "which leaf of a device's is taken away; nothing is read through it"),
    ("hv/guest/domctl.c", "hostmap_lookup"): (1, "tells a page's type"),
    ("hv/guest/evtchn.c", "frame_virt"): (1, "a new frame: channel records"),
    ("hv/guest/grant_copy.c", "frame_virt"): (1, "a frame that hand_frame_get() found when it was pinned"),
    ("hv/guest/grant_map.c", "frame_virt"): (1, "a new frame: records of mappings"),
    ("hv/guest/grant_map.c", "hostmap_lookup"): (3, "whether anything is there, and which frame, by number"),
    ("hv/guest/grant_pin.c", "frame_virt"): (2, "the grant table, and a new frame: what is used of it"),
    ("hv/guest/made.c", "frame_virt"): (1, "a new frame: what is known of a made domain"),
    ("hv/guest/made.c", "hostmap_lookup"): (1, "whether anything is there"),
    ("hv/guest/memory.c", "hostmap_lookup"): (3, "frames that are moved or given back, by number"),
    ("hv/guest/monitor_answer.c", "view_lookup"): (1, "reads an access"),
    ("hv/guest/monitor_control.c", "frame_virt"): (1, "new frames: maps of MSRs"),
    ("hv/guest/msr_exits.c", "frame_virt"): (1, "the same"),
    ("hv/guest/reservation.c", "frame_virt"): (1, "new frames: the list of an extent"),
    ("hv/mm/frame.c", "frame_virt"): (3, "free frames"),
    ("hv/mm/frame.h", "frame_virt"): (1, "its definition"),
    ("hv/mm/frame.h", "cast"): (1, "the same"),
    ("hv/platform.c", "frame_virt"): (3, "platform_map(), and twice the list of views in a page of the pool"),
    ("hv/platform.c", "platform_map"): (1, "its definition"),
    ("hv/exit/selftest.c", "frame_virt"): (1, "a new frame: code of its own"),
    ("hv/exit/reflect.c", "frame_virt"): (1, "the #VE page, which the core holds and which the processor would write"),
    ("hv/exit/walk.c", "frame_virt"): (1, "new frames: copies of the hand's pages"),
    ("hv/vcpu/mirror.c", "frame_virt"): (3, "new frames: tables of a mirror; a root"),
    ("hv/svm/svm.c", "frame_virt"): (2, "new frames: host state, map of ports"),
    ("hv/svm/vcpu.c", "frame_virt"): (3, "a new frame: the VMCB; twice a root"),
    ("hv/vcpu/vmfunc.c", "frame_virt"): (1, "the list of views, which a processor with VMFUNC would read"),
    ("hv/vcpu/msr_map.c", "frame_virt"): (1, "new frames: the map of MSRs"),
    ("hv/vcpu/patch.c", "frame_virt"): (2, "a new frame: a copy of the hand's page"),
    ("hv/vcpu/load.c", "frame_virt"): (1, "a new frame: FPU state"),
    ("hv/vmx/vcpu.c", "frame_virt"): (1, "a new frame: the VMCS"),
    ("hv/vmx/vmx.c", "frame_virt"): (1, "a new frame: the VMXON region"),
}


def code(text):
    """The text without comments and strings."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)


def uses(text):
    """Raw function -> how often it is used."""
    text = code(text)
    found = {name: len(re.findall(rf"\b{name}\b", text)) for name in RAW}
    found["cast"] = len(CAST.findall(text))
    return {name: n for name, n in found.items() if n}


def problems(sources, allowed):
    """What is wrong with the sources, a dictionary of path -> text."""
    wrong, seen = [], {key: 0 for key in allowed}
    for path in sorted(set(sources) - HAND):
        for name, n in uses(sources[path]).items():
            most = allowed.get((path, name), (0, ""))[0]
            seen[path, name] = n
            if n > most:
                wrong.append(f"{path}: {name} {n} times, {most} allowed")
    wrong += [f"{path}: {name} is allowed and not used"
              for (path, name), n in seen.items() if n == 0 and path in sources]
    return wrong


def planted(sources):
    """(what is planted, whether it is found)"""
    some, clean = "hv/guest/msr.c", not problems(sources, ALLOWED)

    def found(path, text):
        return clean and bool(problems({**sources, path: sources.get(path, "") + text}, ALLOWED))

    yield "a page by frame_virt", found(some, "void f(void) { g(frame_virt(m)); }")
    yield "a look-up of a view", found(some, "bool f(void) { return view_lookup(pm, v, g, &m); }")
    yield "a function pointer to a look-up", found(some, "look_fn *look = hostmap_lookup;")
    yield "one use more where some are allowed", found("hv/guest/builder.c", "p = frame_virt(m);")
    yield "a pointer made by a cast", \
        found(some, "uint8_t *p = (uint8_t *)(g.v << PAGE_SHIFT);")
    yield "a file that is new", found("hv/guest/new.c", "p = domain_ram(d, g);")
    yield "nothing, by a comment", not found(some, "/* frame_virt(m) */ // view_lookup")
    yield "nothing, by the hand", not found("hv/vcpu/hand.c", "p = frame_virt(m);")


def main():
    """Prints the checks; the exit status is 1 if one fails."""
    sources = {str(path): path.read_text() for top in ("core", "hv")
               for path in Path(top).rglob("*.[ch]")}
    checks = [("only the hand makes pointers of what guests name", problems(sources, ALLOWED))]
    checks += [(f"planted: {what}", [] if right else ["not seen"]) for what, right in planted(sources)]
    for check, wrong in checks:
        print(f"not ok - {check}\n# {', '.join(wrong)}" if wrong else f"ok - {check}")
    return 1 if any(wrong for _, wrong in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
