# SPDX-License-Identifier: MIT
"""Real Xen 4.17, from Debian's packages, on the same emulated machine as Facet.

    import xen
    result = xen.run(guests, timeout=1800)
    result["ticks"].lines      what the guest wrote to port 0xE9
    result["ticks"].ending     "powered off", "rebooted", "crashed" or "did not end"
    lines, windows = xen.run_host(kernel, ramdisk, ...)    a domain 0 with files of its own
    xen.version()              of the package, such as "4.17.5+23-ga4e5191dc0-1+deb12u1"

Guests run one after the other, each as the only one beside dom0: Debian's kernel with busybox and
xl in an initramfs. It takes some minutes, nearly all of it dom0's start. Xen and dom0's kernel are
downloaded and unpacked, xl and its libraries installed.
"""

from .files import version
from .host import run_host
from .machine import Guest, Outcome, run

__all__ = ["Guest", "Outcome", "run", "run_host", "version"]
