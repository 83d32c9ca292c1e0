/* SPDX-License-Identifier: MIT */
/* Prints how many pages of the machine nobody has: XEN_SYSCTL_physinfo, whose MiB are too coarse
 * for xl's leaks. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/sysctl.h>

struct call {
    uint64_t op, arg[5];
};
#define HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct call)) /* xen/privcmd.h */

int main(void)
{
    xen_sysctl_t *op =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    struct call c = {__HYPERVISOR_sysctl, {(uint64_t)op}};
    int fd = open("/dev/xen/privcmd", O_RDWR);

    if (op == MAP_FAILED || fd < 0) {
        perror("pages");
        return 1;
    }
    *op = (xen_sysctl_t){.cmd = XEN_SYSCTL_physinfo,
                         .interface_version = XEN_SYSCTL_INTERFACE_VERSION};
    if (ioctl(fd, HYPERCALL, &c)) {
        perror("pages");
        return 1;
    }
    printf("%llu\n", (unsigned long long)op->u.physinfo.free_pages);
    return 0;
}
