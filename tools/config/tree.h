/* SPDX-License-Identifier: MIT */
/* The boot image's table of domains as a flattened device tree, and the modules it refers to. */
#pragma once

#include "domain.h"

#include <stdbool.h>
#include <stddef.h>

enum module_kind {
    MODULE_KERNEL, /* to be unpacked to an ELF */
    MODULE_RAMDISK,
};

struct module {
    enum module_kind kind;
    char *path; /* canonical */
};

/* Boot modules in order. Element i is multiboot module i + 1: module 0 is the tree itself. */
struct module_list {
    struct module *modules;
    size_t count;
};

/* The index of a file of that kind from 1; 0 if it is not in the list. */
size_t module_find(const struct module_list *modules, enum module_kind kind, const char *path);

/* Domains are numbered from 1, but for the hardware domain, or else the first that may make others:
 * Xen's tools take 0 for theirs. */
uint32_t tree_domid(const struct domain *domains, size_t count, size_t index);
/*
 * Builds the tree for `count` domains, numbered by tree_domid(), and collects the files it names
 * in `modules`, each once. Returns the blob, released by free(), its size in `size`; or NULL
 * with errno set. The caller releases `modules` with module_list_free() in any case.
 */
void *tree_build(const struct domain *domains, size_t count, bool interactive,
                 struct module_list *modules, size_t *size);

/*
 * Reads the tree as the hypervisor does. Returns NULL, or its reason to refuse a domain, the index
 * of which is in `bad`, or the tree as a whole.
 */
const char *tree_refusal(const void *tree, size_t size, size_t nr_modules, size_t *bad);

void module_list_free(struct module_list *modules);
