# SPDX-License-Identifier: MIT
"""examples/monitor/xenmonitor.py against Xen's headers: structs, numbers and calls are written down there a second time."""

import ctypes
import subprocess
import sys

import runner
from harness import FacetTest

EXAMPLE = runner.ROOT / "examples" / "monitor"
STRUCTS = {"Selector": "struct vm_event_x86_selector_reg", "Registers": "struct vm_event_regs_x86", "MemAccess": "struct vm_event_mem_access",
           "Debug": "struct vm_event_debug", "FastSinglestep": "struct vm_event_fast_singlestep", "Event": "vm_event_request_t"}
NUMBERS = {"VERSION": "VM_EVENT_INTERFACE_VERSION", "ACCESS_DEFAULT": "XENMEM_access_default",
           "PAGE_SIZE": "XC_PAGE_SIZE", "NO_ERROR_CODE": "~0u", "PROT_READ": "PROT_READ", "PROT_WRITE": "PROT_WRITE"}
PREFIXES = {"REASON_": "VM_EVENT_REASON_", "FLAG_": "VM_EVENT_FLAG_", "ACCESS_": "XENMEM_access_"}
FIELDS = {("Event", "regs"): "data.regs.x86", ("Event", "u"): "u"}
HEADERS = ("stdio.h", "stddef.h", "sys/mman.h", "xenctrl.h", "xen/vm_event.h", "xen/hvm/hvm_op.h", "xen/hvm/dm_op.h", "xenevtchn.h", "xenforeignmemory.h",
           "xendevicemodel.h")
HANDLES = {"xc": "xc_interface *", "xenforeignmemory": "xenforeignmemory_handle *", "xenevtchn": "xenevtchn_handle *",
           "xendevicemodel": "xendevicemodel_handle *"}
# What ctypes has one name for: {call: {argument: type}}.
SPELLED = {"xc_translate_foreign_address": {2: "unsigned long long"}, "xenforeignmemory_map": {3: "const unsigned long *"}}
# A type of ctypes as the compiler is to have it.
C_TYPES = {ctypes.c_int: "int", ctypes.c_uint: "unsigned int", ctypes.c_ulong: "unsigned long", ctypes.c_uint8: "unsigned char",
           ctypes.c_uint16: "unsigned short",  ctypes.c_void_p: "void *", ctypes.c_bool: "_Bool"}


def xenmonitor():
    """The module, which is no part of a package."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        import xenmonitor as module
    finally:
        sys.path.remove(str(EXAMPLE))
    return module


class PythonMonitorTest(FacetTest):
    """What was copied from the headers still is theirs."""

    weight = 2.0

    def _compiled(self, name, text, *libraries):
        """What a C program with this in its main() prints."""
        head = "".join(f"#include <{header}>\n" for header in HEADERS)
        source = self.write(f"{name}.c", f"{head}int main(void)\n{{\n{text}\n    return 0;\n}}\n")
        subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Werror", "-o", self.dir / name, source, *libraries], check=True)
        return subprocess.run([self.dir / name], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()

    def test_structs(self):
        """Sizes, and the offset and size of each member; the ring, and how many entries it has."""
        module, lines, wanted = xenmonitor(), [], []
        for name, c_name in STRUCTS.items():
            kind = getattr(module, name)
            lines.append(f'printf("{name} %zu\\n", sizeof({c_name}));')
            wanted.append(f"{name} {ctypes.sizeof(kind)}")
            for field, *_ in [] if name == "Selector" else kind._fields_:
                place, at = getattr(kind, field), FIELDS.get((name, field), field)
                lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({c_name}, {at}), sizeof((({c_name} *)0)->{at}));')
                wanted.append(f"{name}.{field} {place.offset} {place.size}")
        for field in ("mem_access", "software_breakpoint", "fast_singlestep"):
            lines.append(f'printf("{field} %zu\\n", sizeof(((vm_event_request_t *)0)->u.{field}));')
            wanted.append(f"{field} {getattr(module.Particular, field).size}")
        lines.append('printf("ring %zu %d\\n", offsetof(vm_event_sring_t, ring), (int)__RING_SIZE((vm_event_sring_t *)0, XC_PAGE_SIZE));')
        wanted.append(f"ring {ctypes.sizeof(module.SharedRing)} {module.ENTRIES}")
        self.assertEqual(self._compiled("structs", "\n".join(lines)), wanted)

    def test_numbers(self):
        """Each constant; one that is not known to this test fails it."""
        module, names = xenmonitor(), {}
        for name, value in vars(module).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, int) and name != "ENTRIES":
                prefix = next((one for one in PREFIXES if name.startswith(one) and name not in NUMBERS), None)
                rest = name[len(prefix):] if prefix else ""
                names[name] = NUMBERS.get(name) or PREFIXES[prefix] + (rest.lower() if prefix == "ACCESS_" else rest)
        text = "\n".join(f'printf("{name} %u\\n", (unsigned int){c_name});' for name, c_name in names.items())
        self.assertEqual(self._compiled("numbers", text), [f"{name} {getattr(module, name)}" for name in names])
        self.assertGreater(len(names), 15)

    def test_calls(self):
        """The libraries have each call, with these types: a declaration that differs from the header's does not compile."""
        module, lines = xenmonitor(), []
        for name, (result, *types) in module._CALLS.items():
            arguments = [f"{C_TYPES[kind._type_]} *" if issubclass(kind, ctypes._Pointer) else C_TYPES[kind] for kind in types]
            for at, spelling in SPELLED.get(name, {}).items():
                arguments[at] = spelling
            lines.append(f"{C_TYPES[result]} {name}({', '.join([HANDLES[name.partition('_')[0]], *arguments])});")
        self.assertGreater(len(lines), 20)
        self._compiled("calls", "\n".join(lines))
