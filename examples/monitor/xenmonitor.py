# SPDX-License-Identifier: MIT
"""What a monitor in Python needs of Debian's Xen libraries (4.17), by ctypes: calls, the ring, and its events.

A failing call raises OSError with the errno of the library, and the call's name as its text. The structs and numbers are
Xen's public headers' (xen/vm_event.h, xen/io/ring.h, xen/memory.h, xenctrl.h).
"""

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char, c_int, c_size_t, c_uint, c_uint16, c_uint32, c_uint64, c_uint8, c_ulong, c_void_p

PAGE_SIZE = 4096
PROT_READ, PROT_WRITE = 1, 2

VERSION = 7  # VM_EVENT_INTERFACE_VERSION
REASON_MEM_ACCESS, REASON_SOFTWARE_BREAKPOINT, REASON_SINGLESTEP = 1, 6, 7
FLAG_VCPU_PAUSED, FLAG_TOGGLE_SINGLESTEP, FLAG_ALTERNATE_P2M, FLAG_FAST_SINGLESTEP = 1 << 0, 1 << 4, 1 << 7, 1 << 11
ACCESS_N, ACCESS_R, ACCESS_W, ACCESS_RW, ACCESS_X, ACCESS_RX, ACCESS_WX, ACCESS_RWX = range(8)
ACCESS_DEFAULT = 10  # XENMEM_access_default: as the host map has it
NO_ERROR_CODE = 0xFFFFFFFF


class Selector(ctypes.Structure):
    """struct vm_event_x86_selector_reg."""

    _fields_ = [("limit", c_uint32, 20), ("ar", c_uint32, 12)]


class Registers(ctypes.Structure):
    """struct vm_event_regs_x86."""

    _fields_ = [(name, c_uint64) for name in (
        "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rflags dr6 dr7 rip cr0 cr2 cr3 cr4 sysenter_cs "
        "sysenter_esp sysenter_eip msr_efer msr_star msr_lstar gdtr_base npt_base vmtrace_pos").split()] + \
        [(f"{name}_base", c_uint32) for name in ("cs", "ss", "ds", "es")] + [("fs_base", c_uint64), ("gs_base", c_uint64)] + \
        [(name, Selector) for name in ("cs", "ss", "ds", "es", "fs", "gs")] + [("shadow_gs", c_uint64), ("gdtr_limit", c_uint16)] + \
        [(f"{name}_sel", c_uint16) for name in ("cs", "ss", "ds", "es", "fs", "gs")] + [("_pad", c_uint16)]


class MemAccess(ctypes.Structure):
    """struct vm_event_mem_access."""

    _fields_ = [("gfn", c_uint64), ("offset", c_uint64), ("gla", c_uint64), ("flags", c_uint32), ("_pad", c_uint32)]


class Debug(ctypes.Structure):
    """struct vm_event_debug."""

    _fields_ = [("gfn", c_uint64), ("pending_dbg", c_uint64), ("insn_length", c_uint32), ("type", c_uint8), ("_pad", c_uint8 * 3)]


class FastSinglestep(ctypes.Structure):
    """struct vm_event_fast_singlestep."""

    _fields_ = [("p2midx", c_uint16)]


class Particular(ctypes.Union):
    """What is particular to a kind of event."""

    _fields_ = [("mem_access", MemAccess), ("software_breakpoint", Debug), ("fast_singlestep", FastSinglestep)]


class Event(ctypes.Structure):
    """vm_event_request_t and vm_event_response_t, which are the same."""

    _fields_ = [("version", c_uint32), ("flags", c_uint32), ("reason", c_uint32), ("vcpu_id", c_uint32), ("altp2m_idx", c_uint16),
                ("_pad", c_uint16 * 3), ("u", Particular), ("regs", Registers)]


class SharedRing(ctypes.Structure):
    """struct vm_event_sring: the ring's page, up to its entries."""

    _fields_ = [("req_prod", c_uint32), ("req_event", c_uint32), ("rsp_prod", c_uint32), ("rsp_event", c_uint32),
                ("pvt", c_uint8 * 4), ("_pad", c_uint8 * 44)]


ENTRIES = 1 << ((PAGE_SIZE - ctypes.sizeof(SharedRing)) // ctypes.sizeof(Event)).bit_length() - 1

# name: (library, result, arguments behind the handle). Results: int: negative is an error; pointers and fds likewise.
_DOMAIN = c_uint32
_CALLS = {
    "xc_domain_pause": (c_int, _DOMAIN), "xc_domain_unpause": (c_int, _DOMAIN),
    "xc_domain_maximum_gpfn": (c_int, _DOMAIN, POINTER(c_ulong)), "xc_domain_setmaxmem": (c_int, _DOMAIN, c_uint64),
    "xc_domain_populate_physmap_exact": (c_int, _DOMAIN, c_ulong, c_uint, c_uint, POINTER(c_ulong)),
    "xc_domain_decrease_reservation_exact": (c_int, _DOMAIN, c_ulong, c_uint, POINTER(c_ulong)),
    "xc_translate_foreign_address": (c_ulong, _DOMAIN, c_int, c_uint64),
    "xc_monitor_enable": (c_void_p, _DOMAIN, POINTER(c_uint32)), "xc_monitor_disable": (c_int, _DOMAIN),
    "xc_monitor_software_breakpoint": (c_int, _DOMAIN, c_bool),
    "xc_altp2m_set_domain_state": (c_int, _DOMAIN, c_bool),
    "xc_altp2m_create_view": (c_int, _DOMAIN, c_uint, POINTER(c_uint16)), "xc_altp2m_destroy_view": (c_int, _DOMAIN, c_uint16),
    "xc_altp2m_switch_to_view": (c_int, _DOMAIN, c_uint16),
    "xc_altp2m_set_mem_access": (c_int, _DOMAIN, c_uint16, c_ulong, c_uint),
    "xc_altp2m_change_gfn": (c_int, _DOMAIN, c_uint16, c_ulong, c_ulong),
    "xenforeignmemory_map": (c_void_p, _DOMAIN, c_int, c_size_t, POINTER(c_ulong), POINTER(c_int)),
    "xenforeignmemory_unmap": (c_int, c_void_p, c_size_t),
    "xenevtchn_fd": (c_int,), "xenevtchn_bind_interdomain": (c_int, _DOMAIN, c_uint32), "xenevtchn_unbind": (c_int, c_uint32),
    "xenevtchn_notify": (c_int, c_uint32), "xenevtchn_pending": (c_int,), "xenevtchn_unmask": (c_int, c_uint32),
    "xendevicemodel_inject_event": (c_int, c_uint16, c_int, c_uint8, c_uint8, c_uint32, c_uint8, c_uint64),
}
_LIBRARIES = {"xc": ("libxenctrl.so.4.17", "xc_interface_open", (None, None, 0)),
              "xenforeignmemory": ("libxenforeignmemory.so.1", "xenforeignmemory_open", (None, 0)),
              "xenevtchn": ("libxenevtchn.so.1", "xenevtchn_open", (None, 0)),
              "xendevicemodel": ("libxendevicemodel.so.1", "xendevicemodel_open", (None, 0))}


class Xen:
    """The libraries' calls as methods of their names, without the handle: xen.xc_domain_pause(2)."""

    def __init__(self):
        self._libraries, self._handles = {}, {}
        for prefix, (file, name, arguments) in _LIBRARIES.items():
            library = ctypes.CDLL(file, use_errno=True)
            function = getattr(library, name)
            function.restype = c_void_p
            self._libraries[prefix], self._handles[prefix] = library, function(*arguments)
            if not self._handles[prefix]:
                self._fail(name)

    @staticmethod
    def _fail(name):
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")

    def __getattr__(self, name):
        prefix = name.partition("_")[0]
        result, *types = _CALLS[name]
        function = getattr(self._libraries[prefix], name)
        function.restype, function.argtypes = result, [c_void_p, *types]

        def call(*arguments):
            value = function(self._handles[prefix], *arguments)
            if value is None or (result is c_int and value < 0):
                self._fail(name)
            return value
        setattr(self, name, call)
        return call

    def page(self, domain, gfn, protection=PROT_READ):
        """A page of another domain, as a context manager that gives its bytes."""
        return _Page(self, domain, gfn, protection)


class _Page:
    def __init__(self, xen, domain, gfn, protection):
        self._xen = xen
        error = c_int(0)
        self._at = xen.xenforeignmemory_map(domain, protection, 1, byref(c_ulong(gfn)), byref(error))
        if error.value:
            xen.xenforeignmemory_unmap(self._at, 1)
            raise OSError(abs(error.value), f"gfn {gfn:#x} of domain {domain}")

    def __enter__(self):
        return (c_char * PAGE_SIZE).from_address(self._at)

    def __exit__(self, *_):
        self._xen.xenforeignmemory_unmap(self._at, 1)


class Ring:
    """The ring of a domain's events, with the channel that tells of them."""

    def __init__(self, xen, domain):
        self._xen, self._domain, self._seen = xen, domain, 0
        port = c_uint32()
        self._at = xen.xc_monitor_enable(domain, byref(port))
        try:
            self._shared = SharedRing.from_address(self._at)
            ctypes.memset(self._at, 0, PAGE_SIZE)
            self._shared.req_event = self._shared.rsp_event = 1
            self._entries = (Event * ENTRIES).from_address(self._at + ctypes.sizeof(SharedRing))
            self._port = xen.xenevtchn_bind_interdomain(domain, port)
        except OSError:
            xen.xc_monitor_disable(domain)
            raise

    def fileno(self):
        """For select and poll: there is something to read when events have come."""
        return self._xen.xenevtchn_fd()

    def heard(self):
        """What made fileno() readable is taken, so that the next event is told again."""
        self._xen.xenevtchn_unmask(self._xen.xenevtchn_pending())

    def answer_all(self, answer):
        """Gives each event to answer(Event) and its result, an Event, to the hypervisor."""
        while True:
            while self._seen != self._shared.req_prod:
                request = Event.from_buffer_copy(self._entries[self._seen % ENTRIES])
                self._seen = (self._seen + 1) & 0xFFFFFFFF
                self._entries[self._shared.rsp_prod % ENTRIES] = answer(request)
                self._shared.rsp_prod = (self._shared.rsp_prod + 1) & 0xFFFFFFFF
                self._xen.xenevtchn_notify(self._port)
            self._shared.req_event = (self._seen + 1) & 0xFFFFFFFF
            if self._seen == self._shared.req_prod:
                return

    def close(self):
        """No more events. Everybody who waits goes on."""
        self._xen.xenevtchn_unbind(self._port)
        ctypes.CDLL(None).munmap(c_void_p(self._at), c_size_t(PAGE_SIZE))
        self._xen.xc_monitor_disable(self._domain)


def reply(request):
    """The answer that lets a vCPU go on as it is."""
    return Event(version=VERSION, vcpu_id=request.vcpu_id, reason=request.reason, flags=request.flags & FLAG_VCPU_PAUSED)
