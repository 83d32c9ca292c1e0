/* SPDX-License-Identifier: MIT */
/* What the hardware domain tells of devices, and asks of the machine. */
#include "host_private.h"
#include <xen/physdev.h>
#include <xen/platform.h>

/* It looked at a device, which its drivers will use by themselves: nothing follows from that. */
static long device_add(struct hypercall *h)
{
    struct physdev_pci_device_add a;

    if (copy_in(h, &a, h->arg[1], sizeof(a)) != 0) {
        return -EFAULT;
    }
    return a.seg == 0 && pci_there((unsigned)a.bus << 8 | a.devfn) &&
                   !hide_has((unsigned)a.bus << 8 | a.devfn)
               ? 0
               : -ENODEV;
}
_Static_assert(sizeof(struct physdev_pci_device_add) == 12, "physdev.h");

static long device_remove(struct hypercall *h)
{
    struct physdev_pci_device a;

    return copy_in(h, &a, h->arg[1], sizeof(a)) != 0 ? -EFAULT : a.seg == 0 ? 0 : -ENODEV;
}

long host_physdev_op(struct hypercall *h)
{
    switch ((uint32_t)h->arg[0]) {
    case PHYSDEVOP_pci_device_add:
        return device_add(h);
    case PHYSDEVOP_pci_device_remove:
        return device_remove(h);
    default:
        return -ENOSYS;
    }
}

#define STATE_OFF 5u

/* Any sleep but the one from which nothing wakes would be the machine's, and so everybody's. */
static long sleep(struct hypercall *h)
{
    struct xenpf_enter_acpi_sleep s;

    if (copy_in(h, &s, h->arg[0] + offsetof(struct xen_platform_op, u), sizeof(s)) != 0) {
        return -EFAULT;
    }
    if (s.sleep_state != STATE_OFF) {
        return -EOPNOTSUPP;
    }
    domain_shutdown(h->v->domain, SHUTDOWN_poweroff);
    return 0;
}

long host_platform_op(struct hypercall *h, uint32_t op)
{
    switch (op) {
    case XENPF_enter_acpi_sleep:
        return sleep(h);
    default:
        return -ENOSYS;
    }
}
