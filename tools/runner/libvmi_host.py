# SPDX-License-Identifier: MIT
"""`facet libvmi DIR --host`: LibVMI's examples in the domain 0 of `facet demo host`, watching a guest that xl made.

Names of domains are in xenstore because the toolstack writes them there, and the guest's kernel is another than
domain 0's: the guest itself says where its symbols are.
"""

import sys

from .base import ROOT

# What the guest says comes by xenconsoled; domain 0 repeats it for who reads the machine's lines.
GUEST_SYMBOLS = """
grep -E " [TtDdRrBbV] (SYMBOLS)$" /proc/kallsyms | sed "s/^/GUEST symbol /"
echo "GUEST ready"
"""
MAKE = """
ulimit -c 0
said() { tr -d '\\r' <$console | grep '^GUEST '; }
until_said() {
    tries=0
    until said | grep -q "^GUEST $1" || [ $tries -ge 600 ]; do tries=$((tries + 1)); sleep 0.1; done
}
xl create -q /guest.cfg
until_said ready
said | grep -v symbol
domain=$(xl domid guest)
"""
SETUP = MAKE + """
mkdir -p /boot
said | sed -n 's/^GUEST symbol //p' >/boot/System.map
another() { xl create -q -p /guest.cfg 'name="another"' 'memory=96' 'disk=[]' 'vif=[]'; }
no_other() { xl destroy another; }
"""
END = """
until_said rounds
said | grep "^GUEST rounds"
"""


def demo():
    """The module of `facet demo host`, whose domain 0 it is."""
    folder = str(ROOT / "demo")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import host_demo  # pylint: disable=import-error,import-outside-toplevel
    return host_demo


def configs(directory, script, files, guest_script, program, **settings):
    """Makes domain 0's files. script: what it does when all runs; files: what it needs for that, by their names there.
    guest_script: what the guest does; program: one of its. settings: domain 0's. Returns the configurations' paths."""
    path, _, _ = demo().configuration(sys.modules[__package__], directory, script, files, hardware=True,
                                           guest_script=guest_script + "poweroff -f\n", guest_programs=[program], **settings)
    return [path]


def machine(directory):
    """What the machine has to have: boot()'s."""
    return {"memory": demo().MACHINE_MIB, "disk": demo().make_disk(directory)}
