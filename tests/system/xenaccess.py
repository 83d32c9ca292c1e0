# SPDX-License-Identifier: MIT
"""Debian's xen-access on small guests, one for each of its modes: how it is run, and whether what it prints is what the
guest (tests/guest/mon-target.c) says that it did."""

import pathlib
import re

XEN_ACCESS = pathlib.Path("/usr/lib/xen-4.17/bin/xen-access")
# xen-access' mode, and what its target does.
MODES = {"write": "write", "exec": "exec", "breakpoint": "int3", "cpuid": "cpuid",
         "debug": "int1", "desc_access": "sgdt", "write_ctrlreg_cr4": "cr4"}
VIEW_MODES = {"altp2m_write": "write", "altp2m_exec": "exec"}
# What it says of each event, in modes that are checked by counting.
COUNTED = {"breakpoint": "Breakpoint: rip=", "debug": "Type: 5. Length: 1.",
           "desc_access": "descriptor=2, is write=0", "write_ctrlreg_cr4": "reg=CR4, old_value="}
PAGES = 16  # of mon-target.c

# watch DOMID MODE SECONDS [OPTION]: interrupted when it has had its events and that time, and its log is shown, accesses counted by
# gfn: there are thousands when a view restricts all memory. $preload: a library in front of its own.
WATCH = """
watch() {
    : > /err$1
    LD_PRELOAD=$preload xen-access $4 $1 $2 > /log$1 2> /err$1 &
    pid=$!
    n=0
    while [ "$(grep -c "Got event" /err$1)" -lt 17 ] && [ $n -lt 200 ] && kill -0 $pid 2>/dev/null; do
        sleep 0.1; n=$((n + 1))
    done
    sleep $3
    kill -INT $pid 2>/dev/null; wait $pid
    sed -n "s/^PAGE ACCESS: \\(...\\) for GFN \\([0-9a-f]*\\) .*/\\1 \\2/p" /log$1 | sort |
        uniq -c | sed "s/^ */XA $1: accesses /"
    grep -v "^Got event" /err$1 | head -n 40 | sed "s/^/XA $1: /"
    grep -Ev "^PAGE ACCESS|Switching|^Singlestep" /log$1 | head -n 64 | sed "s/^/XA $1: /"
}
"""


def said(lines, source, domid):
    """What xen-access printed of that domain, in the domain `source`."""
    return [found.group(1) for line in lines if (found := re.match(rf"\({source}\) XA {domid}: (.*)", line))]


def check(test, mode, printed, target):
    """Events for exactly what the guest did, with the assertions of the test; target: what the guest said."""
    text = "\n".join(target)
    test.assertRegex(text, r"round 1: " if "exec" in mode or "gpt" in mode else r"round 1: 16 of 16 watched")
    if mode in COUNTED:
        test.assertGreaterEqual(sum(COUNTED[mode] in line for line in printed), PAGES, "\n".join(printed[:60]))
    elif mode == "cpuid":
        leaves = {int(m.group(1), 16) for line in printed
                  if (m := re.search(r"CPUID executed: .*Insn length: 2 0x([0-9a-f]+)", line))}
        test.assertLessEqual(set(range(0x40000000, 0x40000000 + PAGES)), leaves, "\n".join(printed[:40]))
    else:
        _check_accesses(test, mode, printed, text)


def _check_accesses(test, mode, printed, text):
    """Without a view a page is watched once; with one, in every round until the monitor ends. The
    first round and the last may have been watched in part, even if all of their accesses were slow:
    a monitor that ends takes its time, too, while the guest is in a round."""
    first = int(re.search(r"gfn ([0-9a-f]+) \+ 10", text).group(1), 16)
    wanted = "rw-" if mode in ("write", "altp2m_write") else "--x"
    seen = {int(m.group(2), 16): int(m.group(1)) for line in printed
            if (m := re.fullmatch(rf"accesses (\d+) {wanted} ([0-9a-f]+)", line))}
    rounds = len(re.findall(r"round \d+: 16 of 16 watched", text))
    least, most = (1, 1) if "altp2m" not in mode else (max(rounds - 1, 1), rounds + 2)
    for gfn in range(first, first + PAGES):
        test.assertTrue(least <= seen.get(gfn, 0) <= most,
                        f"gfn {gfn:x}, {least} to {most} times in:\n" + "\n".join(printed))
