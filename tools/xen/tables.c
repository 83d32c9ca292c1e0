/* SPDX-License-Identifier: MIT */
/*
 * Runs in dom0 of real Xen: prints how many pages of its pool a domain uses for tables. Xen does
 * not count them, but gives the free ones back when the pool is to shrink, and tells what is left.
 * For a domain that does not run any more: afterwards its pool has nothing free.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xenctrl.h>

int main(int argc, char **argv)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    uint64_t bytes = 0;

    if (argc != 2 || !xc)
        return 2;
    uint32_t domid = (uint32_t)strtoul(argv[1], NULL, 10);
    /* Refused when the pool cannot shrink so far; it shrinks as far as it can. */
    (void)xc_set_paging_mempool_size(xc, domid, 0);
    if (xc_get_paging_mempool_size(xc, domid, &bytes))
        return 1;
    printf("%" PRIu64 "\n", bytes / XC_PAGE_SIZE);
    return 0;
}
