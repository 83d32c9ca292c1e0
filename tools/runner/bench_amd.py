# SPDX-License-Identifier: MIT
"""What `facet bench` promises on AMD, and beside what it prints it. See bench.py."""

# What there is on AMD alone; as bench.py's OPERATIONS.
OPERATIONS = (
    ("view_vmmcall", "VMMCALL to another view", None),
    ("ve_skip", "#VE alone: its handler leaves the write out", None),
    ("vmcall_foreign", "VMCALL, Intel's, with an unknown number", None),
)
# The machine whose ticks are promised: those of `amd` depend on what QEMU makes of an instruction.
MACHINE = "ryzen"
TARGETS = {"xen_version": 275, "cpuid": 290, "view_vmmcall": 150, "vmfunc": 350, "ve_skip": 500}
# A sub-operation may cost this part more than on Intel.
MORE = 0.10
SUBOPS = (
    "get_domain_state", "create_destroy", "set_mem_access_first", "set_mem_access", "get_mem_access",
    "set_mem_access_multi_256", "set_suppress_ve_multi_256", "change_gfn", "change_gfn_revert", "switch_p2m",
    "set_suppress_ve", "get_suppress_ve", "get_p2m_idx", "set_visibility", "set_domain_state_on",
    "set_domain_state_off")


def goals(machine, intel):
    """{operation: ticks to reach} on a Machine; `intel`: what each costs on the default one."""
    if machine.name != MACHINE:
        return {}
    return {**{name: int(intel[name] * (1 + MORE)) for name in SUBOPS if name in intel}, **TARGETS}
