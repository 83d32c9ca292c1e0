/* SPDX-License-Identifier: MIT */
/* One domain as its configuration file describes it, every value checked. */
#pragma once

#include "diag.h"
#include "xlcfg.h"

#include <facet/limits.h>
#include <stdint.h>

#define DOMAIN_VIEWS_DEFAULT 10 /* as libxl */
#define DOMAIN_MONITORS_MAX  16 /* names in `monitors` */

struct domain {
    char *name;
    char *kernel;          /* path, usable from the current directory */
    char *ramdisk;         /* likewise, or NULL */
    unsigned kernel_line;  /* where the file names it */
    uint64_t ramdisk_size; /* bytes */
    char *cmdline;         /* may be empty */
    uint64_t memory_kib;
    uint64_t table_memory_kib;
    uint32_t vcpus;
    uint64_t cpus[DOMAIN_VCPUS]; /* on which processors each vCPU may run; 0: any */
    uint32_t altp2m_count;
    uint32_t altp2m_guest_views;        /* policy audited: 0: half of them */
    uint32_t altp2m_guest_tables;       /* pages; policy audited: 0: half of table_memory_kib */
    uint64_t altp2m_allow, altp2m_deny; /* sets of sub-operations (core/policy.h) */
    const char *altp2m;                 /* this and the following: static strings */
    const char *altp2m_policy;
    bool altp2m_trace;
    bool altp2m_narrow;
    const char *on_poweroff;
    const char *on_crash;
    const char *on_watchdog;
    const char *on_reboot;
    bool monitor;                    /* may control every other domain */
    bool control;                    /* may make domains, and controls those */
    bool hardware;                   /* drives the machine's devices; then also `control` */
    uint16_t pci_hide[PCI_HIDE_MAX]; /* but for these: bus, device, function */
    unsigned pci_hidden;
    size_t monitors_size; /* bytes used of `monitors`, names with their NULs: whom else it may */
    char monitors[DOMAIN_MONITORS_MAX * (DOMAIN_NAME_MAX + 1)];
};

/*
 * Checks every setting of `config` and fills `out`. Relative paths are taken from the directory
 * of diag->file. All errors go to `diag`; `out` is meaningful only if there were none, but is
 * released with domain_free() in any case.
 */
void domain_from_config(const struct xlcfg *config, struct domain *out, struct diag *diag);

void domain_free(struct domain *domain);
