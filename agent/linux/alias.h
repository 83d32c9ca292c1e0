/* SPDX-License-Identifier: MIT */
#pragma once

/* Writes to memory that the kernel maps read-only, through a mapping of one's own. */
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static inline unsigned long alias_pfn(const void *at)
{
    if (is_vmalloc_addr(at) || (unsigned long)at >= MODULES_VADDR)
        return vmalloc_to_pfn(at);
    return __pa(at) >> PAGE_SHIFT;
}

/* Within one page. */
static inline int alias_write(void *at, const void *from, size_t size)
{
    struct page *page = pfn_to_page(alias_pfn(at));
    char *map = vmap(&page, 1, VM_MAP, PAGE_KERNEL);

    if (!map)
        return -ENOMEM;
    memcpy(map + offset_in_page(at), from, size);
    vunmap(map);
    return 0;
}
