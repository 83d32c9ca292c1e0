#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A monitor in Python: prints each execve() of another domain with its arguments, as exectrace.c does.

    exectrace.py DOMID SYMBOLS COUNT    SYMBOLS: that kernel's /proc/kallsyms

A copy of the page with the system call has an INT3 at its first byte. One altp2m view shows the copy in place of the page,
executable and not readable, and the domain runs on that view. What meets the INT3, or reads the page, makes one step in view 0,
where the page is what it always was, and is back in the view after it.
"""

import contextlib
import ctypes
import select
import signal
import sys

import xenmonitor as xm

FUNCTION = "__x64_sys_execve"
REGS_DI, REGS_SI = 0x70, 0x68  # of Linux' struct pt_regs, which RDI points to: the path, and argv
INT3_VECTOR, SW_EXCEPTION = 3, 6  # as the processor has them for INT3
ARGS, TEXT, TRIES = 16, 128, 1000


def symbol(file):
    """The address of the function."""
    with open(file, encoding="ascii", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if len(words) >= 3 and words[2] == FUNCTION:
                return int(words[0], 16)
    sys.exit(f"exectrace.py: no address of {FUNCTION} in {file}")


class ExecTrace:
    """Watches a domain from start() on, until close()."""

    def __init__(self, domain, function):
        self.xen, self.domain, self.function = xm.Xen(), domain, function
        self.calls, self._leaving = 0, False
        self._undo = contextlib.ExitStack()

    # ---- setting up, with what takes it back ----

    def start(self):
        """The domain runs on the view from here on. If anything fails, nothing stays."""
        with contextlib.ExitStack() as self._undo:
            self.xen.xc_domain_pause(self.domain)
            self._undo.callback(self.xen.xc_domain_unpause, self.domain)
            self.ring = xm.Ring(self.xen, self.domain)
            self._undo.callback(self.ring.close)
            self.xen.xc_monitor_software_breakpoint(self.domain, True)
            page = self._find_page()
            self._make_view(page, self._make_copy(page))
            self.xen.xc_domain_unpause(self.domain)
            self._undo.callback(self._stop)
            self._undo = self._undo.pop_all()

    def _stop(self):
        """Nobody runs; those events that are out are answered before the view goes."""
        self.xen.xc_domain_pause(self.domain)
        self._leaving = True
        self.ring.answer_all(self._answer)

    def close(self):
        """Puts everything back."""
        self._undo.close()

    def _find_page(self):
        """With page table isolation the kernel's addresses are there only while it runs: until then it is let go again."""
        for _ in range(TRIES):
            gfn = self.xen.xc_translate_foreign_address(self.domain, 0, self.function)
            if gfn:
                return gfn
            self.xen.xc_domain_unpause(self.domain)
            self.xen.xc_domain_pause(self.domain)
        raise OSError(0, "the function is not in the domain's memory")

    def _make_copy(self, page):
        """A page behind the domain's last one."""
        copy = ctypes.c_ulong()
        self.xen.xc_domain_maximum_gpfn(self.domain, ctypes.byref(copy))
        self.xen.xc_domain_setmaxmem(self.domain, 2**64 - 1)
        copy.value += 1
        self.xen.xc_domain_populate_physmap_exact(self.domain, 1, 0, 0, ctypes.byref(copy))
        self._undo.callback(self.xen.xc_domain_decrease_reservation_exact, self.domain, 1, 0, ctypes.byref(copy))
        with self.xen.page(self.domain, page) as old, \
                self.xen.page(self.domain, copy.value, xm.PROT_READ | xm.PROT_WRITE) as new:
            new.raw = old.raw
            new[self.function % xm.PAGE_SIZE] = b"\xcc"
        return copy.value

    def _make_view(self, page, copy):
        self.xen.xc_altp2m_set_domain_state(self.domain, True)
        self._undo.callback(self.xen.xc_altp2m_set_domain_state, self.domain, False)
        view = ctypes.c_uint16()
        self.xen.xc_altp2m_create_view(self.domain, xm.ACCESS_DEFAULT, ctypes.byref(view))
        self.view = view.value
        self._undo.callback(self.xen.xc_altp2m_destroy_view, self.domain, self.view)
        self.xen.xc_altp2m_change_gfn(self.domain, self.view, page, copy)
        self.xen.xc_altp2m_set_mem_access(self.domain, self.view, page, xm.ACCESS_X)
        self.xen.xc_altp2m_switch_to_view(self.domain, self.view)
        self._undo.callback(self.xen.xc_altp2m_switch_to_view, self.domain, 0)

    # ---- watching ----

    def watch(self, count):
        """Until so many calls were seen, or a signal came."""
        poll = select.poll()
        poll.register(self.ring, select.POLLIN)
        while self.calls < count and not self._leaving:
            if poll.poll(1000):
                self.ring.heard()
            self.ring.answer_all(self._answer)

    def leave(self, *_):
        """As a signal's handler: watch() returns."""
        self._leaving = True

    def _answer(self, request):
        answer = xm.reply(request)
        breakpoint_ = request.reason == xm.REASON_SOFTWARE_BREAKPOINT
        ours = breakpoint_ and request.regs.rip == self.function
        if breakpoint_ and not ours:  # the guest's own: it gets it back
            self.xen.xendevicemodel_inject_event(self.domain, request.vcpu_id, INT3_VECTOR, SW_EXCEPTION, xm.NO_ERROR_CODE,
                                                 request.u.software_breakpoint.insn_length, 0)
            return answer
        answer.flags |= xm.FLAG_ALTERNATE_P2M | (0 if self._leaving else xm.FLAG_FAST_SINGLESTEP)
        answer.altp2m_idx = 0
        answer.u.fast_singlestep.p2midx = self.view
        if ours:
            self.calls += 1
            self._print_call(request)
        return answer

    def _print_call(self, request):
        vcpu, regs = request.vcpu_id, request.regs.rdi
        argv, words = self._number(vcpu, regs + REGS_SI), []
        while argv and len(words) < ARGS:
            at = self._number(vcpu, argv + 8 * len(words))
            if not at:
                break
            words.append(self._string(vcpu, at))
        print(f"vcpu {vcpu} execve {self._string(vcpu, self._number(vcpu, regs + REGS_DI))}: {' '.join(words)}", flush=True)

    # ---- the domain's memory, by the tables that a vCPU is on ----

    def _read(self, vcpu, address, size):
        data = b""
        while len(data) < size:
            at = address + len(data)
            gfn = self.xen.xc_translate_foreign_address(self.domain, vcpu, at)
            if not gfn:
                break
            with self.xen.page(self.domain, gfn) as page:
                data += page.raw[at % xm.PAGE_SIZE:][:size - len(data)]
        return data

    def _number(self, vcpu, address):
        """Eight bytes; 0 if they are not in memory now."""
        return int.from_bytes(self._read(vcpu, address, 8), "little")

    def _string(self, vcpu, address):
        data = self._read(vcpu, address, TEXT).partition(b"\0")[0] if address else b""
        return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data) if data else "?"


def main():
    """0, and everything put back, also if it was interrupted."""
    if len(sys.argv) != 4 or not sys.argv[1].isdigit() or not sys.argv[3].isdigit():
        print("usage: exectrace.py DOMID SYMBOLS COUNT", file=sys.stderr)
        return 2
    try:
        trace = ExecTrace(int(sys.argv[1]), symbol(sys.argv[2]))
        trace.start()
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, trace.leave)
            trace.watch(int(sys.argv[3]))
        finally:
            trace.close()
    except OSError as error:
        print(f"exectrace.py: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"exectrace.py: {trace.calls} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
