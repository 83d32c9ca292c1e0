# SPDX-License-Identifier: MIT
"""The machines that Facet runs on: what each is, which program emulates it, what it lacks.

A new machine is a line here; a new emulator is a module beside bochs.py and qemu.py (emulator.py says
what it must offer), a part of packages.py, and a line here.
"""

from dataclasses import dataclass

from . import bochs, qemu
from .base import Error

BACKENDS = {"bochs": bochs, "qemu": qemu}
DEFAULT = "corei7_skylake_x"
INTEL = frozenset({"vmx", "ept", "vmfunc", "ve"})
AMD = frozenset({"svm", "npt"})
# Bochs 2.7 cannot leave a guest of SVM that is in VM86: it panics with "VM is set in long mode".
VM86 = frozenset({"vm86"})
# Nor does it walk the page tables of 32 bits and of PAE rightly there.
PAGING32 = frozenset({"paging32"})
# QEMU 7.2 switches tasks of a guest of SVM itself, and no exit tells of it.
TASKEXITS = frozenset({"taskexits"})
KNOWN = INTEL | AMD | VM86 | PAGING32 | TASKEXITS


@dataclass(frozen=True)
class Machine:
    """A machine, by the name that --machine takes."""

    name: str
    emulator: str  # a key of BACKENDS, and the part of packages.py
    cpu: str  # the emulator's name for the processor
    text: str
    has: frozenset = None  # of what guests may need (tests/guest/README.md); None: not known
    # Which test guests `facet test` runs here unless it is told otherwise: "all", "chosen" (those that
    # the manifest says so of), or "": none, because Facet does not start here yet.
    guests: str = ""

    @property
    def backend(self):
        """The module that starts it."""
        return BACKENDS[self.emulator]

    def limit(self, ticks):
        """A limit of instructions that suits the default machine, for this one: who waits for a time of
        its clock needs as many more as a second has here."""
        return ticks * self.backend.TICKS_PER_SECOND // bochs.TICKS_PER_SECOND

    def need_bochs(self, what):
        """Refuses what only Bochs can do."""
        if self.emulator != "bochs":
            names = ", ".join(m.name for m in MACHINES if m.emulator == "bochs")
            raise Error(f"{what} needs Bochs, but '{self.name}' is a machine of "
                        f"{self.backend.NAME}; Bochs has: {names}")


# Where the last word is "", the tests of the runner (tests/system/test_machines.py) expect the line that
# says what the processor lacks, instead of a guest that powers off.
MACHINES = (
    Machine(DEFAULT, "bochs", DEFAULT, "Bochs, Intel with EPT, VMFUNC and #VE",
            INTEL | VM86 | PAGING32 | TASKEXITS, "all"),
    Machine("ryzen", "bochs", "ryzen", "Bochs, AMD with nested paging", AMD | TASKEXITS, "chosen"),
    # Bugs of QEMU's processor are left out of it: with SMAP, IRET at CPL 3 reads the stack as the
    # kernel; a guest's RDTSCP exits as RDTSC.
    Machine("amd", "qemu", "max,-smap,-rdtscp", "QEMU, AMD with nested paging", AMD | VM86 | PAGING32, "chosen"),
)


def find(name=None):
    """The machine of that name (None: the default one); any processor model of Bochs is one, too."""
    for machine in MACHINES:
        if machine.name == (DEFAULT if name is None else name):
            return machine
    there = ", ".join(machine.name for machine in MACHINES)
    models = bochs.models()
    if name in models:
        return Machine(name, "bochs", name, "a model of Bochs")
    more = ", ".join(model for model in models if model not in there.split(", "))
    raise Error(f"unknown machine '{name}': there are {there}; "
                + (f"and these models of Bochs: {more}" if more else
                   "and the models of Bochs, which `./facet setup --for run` installs"))
