/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "core/policy.h"
#include "hv/guest/dtree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The index of `path` among the boot modules, added if new; negative errno if it cannot be had. */
static int module_index(struct module_list *list, enum module_kind kind, const char *path)
{
    size_t found = module_find(list, kind, path);
    char *real = found ? NULL : realpath(path, NULL);
    struct module *bigger;

    if (found)
        return (int)found;
    if (!real)
        return -errno;
    bigger = reallocarray(list->modules, list->count + 1, sizeof(*bigger));
    if (!bigger) {
        free(real);
        return -ENOMEM;
    }
    list->modules = bigger;
    list->modules[list->count++] = (struct module){.kind = kind, .path = real};
    return (int)list->count;
}

size_t module_find(const struct module_list *modules, enum module_kind kind, const char *path)
{
    char *real = realpath(path, NULL);
    size_t found = 0;

    for (size_t i = 0; real && i < modules->count; i++)
        if (modules->modules[i].kind == kind && !strcmp(modules->modules[i].path, real))
            found = i + 1;
    free(real);
    return found;
}

void module_list_free(struct module_list *modules)
{
    for (size_t i = 0; i < modules->count; i++)
        free(modules->modules[i].path);
    free(modules->modules);
    *modules = (struct module_list){0};
}

/* The names of a set of sub-operations as a list of strings; nothing if it is empty. */
static int tree_add_subops(void *fdt, const char *name, uint64_t set)
{
    char names[POLICY_ROWS_MAX * 32];
    size_t used = 0;

    for (unsigned i = 0; i < policy_nr_rows; i++) {
        const struct policy_row *row = &policy_rows[i];

        if ((set & policy_bit(row->number)) && used + strlen(row->name) < sizeof(names)) {
            memcpy(names + used, row->name, strlen(row->name) + 1);
            used += strlen(row->name) + 1;
        }
    }
    return used ? fdt_property(fdt, name, names, (int)used) : 0;
}

/* A mask for each vCPU; nothing if each may run anywhere. */
static int tree_add_cpus(void *fdt, const struct domain *d)
{
    fdt64_t masks[DOMAIN_VCPUS];
    bool any = false;

    for (uint32_t i = 0; i < d->vcpus; i++) {
        masks[i] = cpu_to_fdt64(d->cpus[i] ? d->cpus[i] : ~0ULL);
        any = any || d->cpus[i];
    }
    return any ? fdt_property(fdt, "cpus", masks, (int)(d->vcpus * sizeof(masks[0]))) : 0;
}

static int tree_add_hidden(void *fdt, const struct domain *d)
{
    fdt32_t cells[PCI_HIDE_MAX];

    for (unsigned i = 0; i < d->pci_hidden; i++)
        cells[i] = cpu_to_fdt32(d->pci_hide[i]);
    return fdt_property(fdt, "pci-hide", cells, (int)(d->pci_hidden * sizeof(cells[0])));
}

static int tree_add_domain(void *fdt, const struct domain *d, uint32_t domid,
                           struct module_list *modules)
{
    int kernel = module_index(modules, MODULE_KERNEL, d->kernel);
    int ramdisk = d->ramdisk ? module_index(modules, MODULE_RAMDISK, d->ramdisk) : 0;
    char node[32];
    int bad = 0;

    if (kernel < 0 || ramdisk < 0)
        return kernel < 0 ? kernel : ramdisk;
    snprintf(node, sizeof(node), "domain@%x", domid);
    bad |= fdt_begin_node(fdt, node);
    bad |= fdt_property_u32(fdt, "reg", domid);
    bad |= fdt_property_string(fdt, "name", d->name);
    bad |= fdt_property_u32(fdt, "kernel-module", (uint32_t)kernel);
    if (ramdisk)
        bad |= fdt_property_u32(fdt, "ramdisk-module", (uint32_t)ramdisk);
    bad |= fdt_property_string(fdt, "cmdline", d->cmdline);
    bad |= fdt_property_u64(fdt, "memory-kib", d->memory_kib);
    bad |= fdt_property_u32(fdt, "vcpus", d->vcpus);
    bad |= tree_add_cpus(fdt, d);
    bad |= fdt_property_string(fdt, "altp2m", d->altp2m);
    bad |= fdt_property_u32(fdt, "altp2m-count", d->altp2m_count);
    bad |= fdt_property_u64(fdt, "table-memory-kib", d->table_memory_kib);
    bad |= fdt_property_string(fdt, "altp2m-policy", d->altp2m_policy);
    bad |= tree_add_subops(fdt, "altp2m-allow", d->altp2m_allow);
    bad |= tree_add_subops(fdt, "altp2m-deny", d->altp2m_deny);
    if (d->altp2m_guest_views)
        bad |= fdt_property_u32(fdt, "altp2m-guest-views", d->altp2m_guest_views);
    if (d->altp2m_guest_tables)
        bad |= fdt_property_u32(fdt, "altp2m-guest-tables", d->altp2m_guest_tables);
    if (d->altp2m_narrow)
        bad |= fdt_property(fdt, "altp2m-narrow", NULL, 0);
    if (d->altp2m_trace)
        bad |= fdt_property(fdt, "altp2m-trace", NULL, 0);
    bad |= fdt_property_string(fdt, "on-poweroff", d->on_poweroff);
    bad |= fdt_property_string(fdt, "on-crash", d->on_crash);
    bad |= fdt_property_string(fdt, "on-reboot", d->on_reboot);
    bad |= fdt_property_string(fdt, "on-watchdog", d->on_watchdog);
    if (d->control)
        bad |= fdt_property(fdt, "control", NULL, 0);
    if (d->hardware)
        bad |= fdt_property(fdt, "hardware", NULL, 0);
    if (d->pci_hidden)
        bad |= tree_add_hidden(fdt, d);
    if (d->monitor)
        bad |= fdt_property(fdt, "monitor", NULL, 0);
    if (d->monitors_size)
        bad |= fdt_property(fdt, "monitors", d->monitors, (int)d->monitors_size);
    bad |= fdt_end_node(fdt);
    return bad ? -ENOSPC : 0;
}

uint32_t tree_domid(const struct domain *domains, size_t count, size_t index)
{
    bool first = domains[index].control, hardware = false;

    for (size_t i = 0; i < count; i++) {
        first = first && (i >= index || !domains[i].control);
        hardware |= domains[i].hardware;
    }
    return (hardware ? domains[index].hardware : first) ? 0 : (uint32_t)index + 1;
}

static int tree_fill(void *fdt, size_t room, const struct domain *domains, size_t count,
                     bool interactive, struct module_list *modules)
{
    int bad = 0;

    bad |= fdt_create(fdt, (int)room);
    bad |= fdt_finish_reservemap(fdt);
    bad |= fdt_begin_node(fdt, "");
    bad |= fdt_property_string(fdt, "compatible", "facet,boot");
    bad |= fdt_property_u32(fdt, "#address-cells", 2);
    bad |= fdt_property_u32(fdt, "#size-cells", 2);
    if (interactive)
        bad |= fdt_property(fdt, "facet,interactive", NULL, 0);
    bad |= fdt_begin_node(fdt, "domains");
    bad |= fdt_property_u32(fdt, "#address-cells", 1);
    bad |= fdt_property_u32(fdt, "#size-cells", 0);
    for (size_t i = 0; i < count; i++) {
        int error = tree_add_domain(fdt, &domains[i], tree_domid(domains, count, i), modules);

        if (error)
            return error;
    }
    bad |= fdt_end_node(fdt);
    bad |= fdt_end_node(fdt);
    bad |= fdt_finish(fdt);
    return bad ? -ENOSPC : 0;
}

void *tree_build(const struct domain *domains, size_t count, bool interactive,
                 struct module_list *modules, size_t *size)
{
    /* A domain's strings are bounded (domain.h), so this holds any tree. */
    const size_t room = 4096 + count * (DOMAIN_CMDLINE_MAX + 4096);
    void *fdt = malloc(room);
    int error = fdt ? tree_fill(fdt, room, domains, count, interactive, modules) : -ENOMEM;

    if (error) {
        free(fdt);
        errno = -error;
        return NULL;
    }
    *size = fdt_totalsize(fdt);
    return fdt;
}

const char *tree_refusal(const void *tree, size_t size, size_t nr_modules, size_t *bad)
{
    struct dtree t;
    const char *error = dtree_open(&t, tree, size);

    *bad = 0;
    if (error)
        return error;
    for (int node = dtree_first(&t); node >= 0 && !error; node = dtree_next(&t, node)) {
        struct domain_config c;

        error = dtree_domain(&t, node, (unsigned)nr_modules + 1, DOMAIN_MAX, DOMAIN_VCPUS, &c);
        *bad += !error;
    }
    return error;
}
