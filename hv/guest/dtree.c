/* SPDX-License-Identifier: MIT */
#include "dtree.h"
#include <facet/words.h>
#include <libfdt.h>
#include <string.h>
#include "core/policy.h"
#include "xen_abi.h"

_Static_assert(ACTION_RESTART == 1 && ACTION_PRESERVE == 2, "words.h");
_Static_assert(XEN_ALTP2M_mixed == 1 && XEN_ALTP2M_external == 2 && XEN_ALTP2M_limited == 3,
               "words.h");
_Static_assert(POLICY_GRANDFATHERED == 1 && POLICY_AUDITED == 2, "words.h");

#define MEMORY_MAX_KIB (1024ULL * DOMAIN_MEMORY_MAX)

const char *dtree_open(struct dtree *t, const void *blob, uint64_t size)
{
    *t = (struct dtree){.fdt = blob};
    if (size < sizeof(struct fdt_header) || size > INT32_MAX) {
        return "the device tree is truncated";
    }
    if (fdt_check_full(blob, size) != 0) {
        return "the device tree is malformed";
    }
    if (fdt_node_check_compatible(blob, 0, "facet,boot") != 0) {
        return "the device tree is not one of Facet's";
    }
    t->domains = fdt_subnode_offset(blob, 0, "domains");
    if (t->domains < 0) {
        return "the device tree has no domains";
    }
    t->interactive = fdt_getprop(blob, 0, "facet,interactive", NULL) != NULL;
    return NULL;
}

int dtree_first(const struct dtree *t)
{
    return fdt_first_subnode(t->fdt, t->domains);
}

int dtree_next(const struct dtree *t, int node)
{
    return fdt_next_subnode(t->fdt, node);
}

static bool get_u32(const struct dtree *t, int node, const char *name, uint32_t *out)
{
    int size;
    const void *p = fdt_getprop(t->fdt, node, name, &size);

    if (!p || size != 4) {
        return false;
    }
    *out = fdt32_ld(p);
    return true;
}

static bool get_u64(const struct dtree *t, int node, const char *name, uint64_t *out)
{
    int size;
    const void *p = fdt_getprop(t->fdt, node, name, &size);

    if (!p || size != 8) {
        return false;
    }
    *out = fdt64_ld(p);
    return true;
}

/* A property that is one NUL-terminated string, or NULL. */
static const char *get_string(const struct dtree *t, int node, const char *name, size_t max)
{
    int size;
    const char *s = fdt_getprop(t->fdt, node, name, &size);

    if (!s || size < 1 || (size_t)size > max + 1 || memchr(s, 0, (size_t)size) != s + size - 1) {
        return NULL;
    }
    return s;
}

/* Position of the property's value in a list of words; -1 if it is none of them. */
static int get_choice(const struct dtree *t, int node, const char *name, const char *const *words,
                      unsigned nr)
{
    const char *s = get_string(t, node, name, 32);

    for (unsigned i = 0; s && i < nr; i++) {
        if (strcmp(s, words[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool get_action(const struct dtree *t, int node, const char *name, enum domain_action *out)
{
    static const char *const words[] = {WORDS_ACTION};
    int i = get_choice(t, node, name, words, ARRAY_SIZE(words));

    if (i < 0) {
        return false;
    }
    *out = (enum domain_action)i;
    return true;
}

static bool get_module(const struct dtree *t, int node, const char *name, unsigned nr, int *out)
{
    uint32_t i;

    if (!get_u32(t, node, name, &i) || i == 0 || i >= nr) {
        return false;
    }
    *out = (int)i;
    return true;
}

static const char *read_identity(const struct dtree *t, int node, unsigned max_domid,
                                 struct domain_config *c)
{
    uint32_t domid;
    const char *name = get_string(t, node, "name", DOMAIN_NAME_MAX);

    if (name) {
        memcpy(c->name, name, strlen(name) + 1);
    }
    if (!get_u32(t, node, "reg", &domid) || domid > max_domid ||
        (domid == 0 && !fdt_getprop(t->fdt, node, "control", NULL))) {
        return "reg is not a domain id";
    }
    c->domid = domid;
    c->numbered = true;
    for (const char *p = c->name; *p; p++) {
        if (*p < ' ' || *p > '~') {
            c->name[0] = '\0';
            return "name has unprintable characters";
        }
    }
    return name && *name ? NULL : "name is missing or too long";
}

static const char *read_files(const struct dtree *t, int node, unsigned nr, struct domain_config *c)
{
    if (!get_module(t, node, "kernel-module", nr, &c->kernel)) {
        return "kernel-module is not one of the boot modules";
    }
    if (fdt_getprop(t->fdt, node, "ramdisk-module", NULL) &&
        !get_module(t, node, "ramdisk-module", nr, &c->ramdisk)) {
        return "ramdisk-module is not one of the boot modules";
    }
    c->cmdline = get_string(t, node, "cmdline", DOMAIN_CMDLINE_MAX);
    if (!c->cmdline) {
        c->cmdline = "";
        return "cmdline is missing or too long";
    }
    return NULL;
}

uint64_t dtree_cpus(const struct domain_config *c, unsigned vcpu)
{
    return c->cpus ? fdt64_ld((const fdt64_t *)c->cpus + vcpu) : ~0ULL;
}

static const char *read_cpus(const struct dtree *t, int node, struct domain_config *c)
{
    int size = 0;

    c->cpus = fdt_getprop(t->fdt, node, "cpus", &size);
    if (c->cpus && (size % 8 != 0 || (unsigned)size / 8 != c->vcpus)) {
        c->cpus = NULL;
        return "cpus has not one mask for each vCPU";
    }
    for (unsigned i = 0; i < c->vcpus; i++) {
        if (dtree_cpus(c, i) == 0) {
            return "cpus leaves a vCPU no processor";
        }
    }
    return NULL;
}

static const char *read_sizes(const struct dtree *t, int node, unsigned max_vcpus,
                              struct domain_config *c)
{
    if (!get_u64(t, node, "memory-kib", &c->memory_kib) || c->memory_kib < 1024 ||
        c->memory_kib > MEMORY_MAX_KIB || c->memory_kib % 4 != 0) {
        return "memory-kib is not a size from 1 MiB up in whole pages";
    }
    if (!get_u32(t, node, "vcpus", &c->vcpus) || c->vcpus == 0 || c->vcpus > max_vcpus) {
        return "vcpus is out of range";
    }
    if (fdt_getprop(t->fdt, node, "table-memory-kib", NULL) &&
        (!get_u64(t, node, "table-memory-kib", &c->table_kib) || c->table_kib > MEMORY_MAX_KIB)) {
        return "table-memory-kib is not a size";
    }
    if (c->table_kib == 0) { /* as libxl sizes it: 1 MiB a vCPU and 8 KiB a MiB of memory */
        c->table_kib = VCPU_TABLES_KIB * c->vcpus + c->memory_kib / 128;
    }
    return NULL;
}

static const char *read_altp2m(const struct dtree *t, int node, struct domain_config *c)
{
    static const char *const words[] = {WORDS_ALTP2M_MODE};
    int mode = get_choice(t, node, "altp2m", words, ARRAY_SIZE(words));

    if (mode < 0) {
        return "altp2m is not one of disabled, mixed, external, limited";
    }
    if (!get_u32(t, node, "altp2m-count", &c->altp2m_count) || c->altp2m_count > VIEW_MAX) {
        return "altp2m-count is out of range";
    }
    c->altp2m_mode = (unsigned)mode;
    return NULL;
}

/* The functions that a hardware domain is not to have. False: no such list. */
static bool get_hidden(const struct dtree *t, int node, struct domain_config *c)
{
    int size = 0;
    const fdt32_t *p = fdt_getprop(t->fdt, node, "pci-hide", &size);

    if (!p) {
        return true;
    }
    if (size % 4 != 0 || (unsigned)size > PCI_HIDE_MAX * 4) {
        return false;
    }
    for (c->pci_hidden = 0; c->pci_hidden < (unsigned)size / 4; c->pci_hidden++) {
        uint32_t f = fdt32_ld(p + c->pci_hidden);

        if (f > UINT16_MAX) {
            return false;
        }
        c->pci_hide[c->pci_hidden] = (uint16_t)f;
    }
    return true;
}

static const char *read_monitor(const struct dtree *t, int node, struct domain_config *c)
{
    int size = 0;

    c->control = fdt_getprop(t->fdt, node, "control", NULL) != NULL;
    c->hardware = fdt_getprop(t->fdt, node, "hardware", NULL) != NULL;
    if (c->hardware && (!c->control || c->domid != 0)) {
        return "hardware is for the domain with control whose reg is 0";
    }
    if (!get_hidden(t, node, c)) {
        return "pci-hide is not a list of functions";
    }
    c->monitor = fdt_getprop(t->fdt, node, "monitor", NULL) != NULL;
    c->monitors = fdt_getprop(t->fdt, node, "monitors", &size);
    c->monitors_size = c->monitors ? (unsigned)size : 0;
    if (c->monitors && (size < 2 || c->monitors[size - 1] != '\0')) {
        c->monitors_size = 0;
        return "monitors is not a list of names";
    }
    return NULL;
}

/* A list of sub-ops' names as a set; false if one is none. Absent: the empty set. */
static bool get_subops(const struct dtree *t, int node, const char *name, uint64_t *out)
{
    int size = 0;
    const char *s = fdt_getprop(t->fdt, node, name, &size);

    if (s && (size < 1 || s[size - 1] != '\0')) {
        return false;
    }
    for (int at = 0; s && at < size; at += (int)strlen(s + at) + 1) {
        uint64_t bit = policy_row_named(s + at);

        if (!bit) {
            return false;
        }
        *out |= bit;
    }
    return true;
}

static const char *read_policy(const struct dtree *t, int node, struct domain_config *c)
{
    static const char *const words[] = {WORDS_ALTP2M_POLICY};
    int policy = POLICY_OPEN;

    if (fdt_getprop(t->fdt, node, "altp2m-policy", NULL)) {
        policy = get_choice(t, node, "altp2m-policy", words, ARRAY_SIZE(words));
    }
    if (policy < 0) {
        return "altp2m-policy is not one of open, grandfathered, audited";
    }
    c->altp2m_policy = (unsigned)policy;
    c->altp2m_trace = fdt_getprop(t->fdt, node, "altp2m-trace", NULL) != NULL;
    c->altp2m_narrow = fdt_getprop(t->fdt, node, "altp2m-narrow", NULL) != NULL;
    if (!get_subops(t, node, "altp2m-allow", &c->altp2m_allow) ||
        !get_subops(t, node, "altp2m-deny", &c->altp2m_deny)) {
        return "altp2m-allow or altp2m-deny names what is not a sub-operation";
    }
    if ((fdt_getprop(t->fdt, node, "altp2m-guest-views", NULL) &&
         !get_u32(t, node, "altp2m-guest-views", &c->altp2m_guest_views)) ||
        c->altp2m_guest_views > VIEW_MAX ||
        (fdt_getprop(t->fdt, node, "altp2m-guest-tables", NULL) &&
         !get_u32(t, node, "altp2m-guest-tables", &c->altp2m_guest_tables))) {
        return "altp2m-guest-views or altp2m-guest-tables is out of range";
    }
    return NULL;
}

const char *dtree_domain(const struct dtree *t, int node, unsigned nr_modules, unsigned max_domid,
                         unsigned max_vcpus, struct domain_config *c)
{
    const char *error;

    *c = (struct domain_config){.kernel = -1, .ramdisk = -1, .cmdline = ""};
    error = read_identity(t, node, max_domid, c);
    if (!error) {
        error = read_files(t, node, nr_modules, c);
    }
    if (!error) {
        error = read_sizes(t, node, max_vcpus, c);
    }
    if (!error) {
        error = read_cpus(t, node, c);
    }
    if (!error) {
        error = read_altp2m(t, node, c);
    }
    if (!error) {
        error = read_monitor(t, node, c);
    }
    if (!error) {
        error = read_policy(t, node, c);
    }
    if (!error && (!get_action(t, node, "on-poweroff", &c->on_poweroff) ||
                   !get_action(t, node, "on-crash", &c->on_crash) ||
                   !get_action(t, node, "on-reboot", &c->on_reboot) ||
                   !get_action(t, node, "on-watchdog", &c->on_watchdog))) {
        error = "an action is not one of destroy, restart, preserve";
    }
    return error;
}
