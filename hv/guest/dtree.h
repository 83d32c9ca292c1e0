/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The device tree that describes the domains. Everything is checked before it is used: the tree
 * comes from a file. Runs on the host too, for tests.
 */
#include <facet/limits.h>

enum domain_action {
    ACTION_DESTROY,
    ACTION_RESTART,
    ACTION_PRESERVE,
};

#define VCPU_TABLES_KIB 1024ULL /* of table memory, for each vCPU, where nothing is said */

struct domain_config {
    bool numbered;  /* `reg` could be read: */
    unsigned domid; /* 0 only for who may make domains */
    char name[DOMAIN_NAME_MAX + 1];
    int kernel, ramdisk; /* module indices; ramdisk -1: none */
    const char *cmdline; /* in the tree; never NULL */
    uint64_t memory_kib;
    unsigned vcpus;
    const void *cpus;     /* in the tree: dtree_cpus() reads it; NULL: any */
    unsigned altp2m_mode; /* XEN_ALTP2M_* */
    unsigned altp2m_count;
    unsigned altp2m_policy;                           /* enum altp2m_policy */
    uint64_t altp2m_allow, altp2m_deny;               /* sets of sub-ops (core/policy.h) */
    unsigned altp2m_guest_views, altp2m_guest_tables; /* 0: the default */
    bool altp2m_trace;
    bool altp2m_narrow;
    uint64_t table_kib;
    enum domain_action on_poweroff, on_crash, on_reboot, on_watchdog;
    bool control;                    /* may make domains, and controls those */
    bool hardware;                   /* drives the machine's devices; then also `control` ... */
    uint16_t pci_hide[PCI_HIDE_MAX]; /* ... but for these: bus, device, function */
    unsigned pci_hidden;
    bool monitor;         /* may control every other domain */
    const char *monitors; /* in the tree: names of those it may control, each with its NUL */
    unsigned monitors_size;
};

struct dtree {
    const void *fdt;
    int domains; /* node offset */
    bool interactive;
};

/* NULL, or what is wrong with the tree as a whole. */
const char *dtree_open(struct dtree *t, const void *blob, uint64_t size);
/* First and next domain node; negative when there is none. */
int dtree_first(const struct dtree *t);
int dtree_next(const struct dtree *t, int node);
/*
 * Reads one node. NULL, or what is wrong with it; domid and name are filled as far as they could be
 * read, so that a message can name the domain. nr_modules bounds the module indices; module 0 is
 * the tree.
 */
const char *dtree_domain(const struct dtree *t, int node, unsigned nr_modules, unsigned max_domid,
                         unsigned max_vcpus, struct domain_config *out);
/* On which processors that vCPU may run: a bit for each by its number, at least one. */
uint64_t dtree_cpus(const struct domain_config *c, unsigned vcpu);
