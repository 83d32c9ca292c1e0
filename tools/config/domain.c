/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include "core/physmap.h"
#include "core/policy.h"
#include "hv/guest/layout.h"
#include "cpus.h"
#include "keys.h"
#include <facet/words.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <strings.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/hvm/params.h>

struct domain_reader {
    const struct xlcfg *config;
    struct diag *diag;
};

/* Those that are carried out; keys.c has the others. */
static const char *const domain_keys[] = {
    "name",
    "type",
    "kernel",
    "ramdisk",
    "cmdline",
    "extra",
    "root",
    "memory",
    "maxmem",
    "vcpus",
    "maxvcpus",
    "cpus",
    "altp2m",
    "altp2mhvm",
    "altp2m_count",
    "shadow_memory",
    "on_crash",
    "on_poweroff",
    "on_reboot",
    "on_watchdog",
    "on_soft_reset",
    "control",
    "hardware",
    "pci_hide",
    "monitor",
    "monitors",
    "altp2m_policy",
    "altp2m_allow",
    "altp2m_deny",
    "altp2m_guest_views",
    "altp2m_guest_tables",
    "altp2m_trace",
    "altp2m_narrow",
};

static const char *const domain_modes[] = {WORDS_ALTP2M_MODE, NULL};
/* xl's: what is carried out, then what is taken for one of those. */
static const char *const domain_actions[] = {
    WORDS_ACTION, "rename-restart", "coredump-destroy", "coredump-restart", "soft-reset", NULL};

static char *domain_format(const char *a, const char *b, const char *c)
{
    char *text;

    if (asprintf(&text, "%s%s%s", a, b, c) < 0) {
        perror("facet-config");
        abort();
    }
    return text;
}

/* The line to name in a message about `key`: its own, or none if it is absent. */
static unsigned domain_line(const struct domain_reader *r, const char *key)
{
    const struct xlcfg_setting *setting = xlcfg_find(r->config, key);

    return setting ? setting->line : 0;
}

/* The setting, unless it is absent or its value could not be read (which was reported). */
static const struct xlcfg_setting *domain_setting(const struct domain_reader *r, const char *key)
{
    const struct xlcfg_setting *setting = xlcfg_find(r->config, key);

    return setting && !setting->bad ? setting : NULL;
}

/* The string value of `key`, or NULL if absent or wrong. As in xl, a number is one, as
 * it is written. */
static const char *domain_string(const struct domain_reader *r, const char *key)
{
    const struct xlcfg_setting *setting = domain_setting(r, key);

    if (!setting)
        return NULL;
    if (setting->value.type == XLCFG_LIST) {
        diag_error(r->diag, setting->line, "%s must be a \"string\"", key);
        return NULL;
    }
    return setting->value.string;
}

static int64_t domain_number(const struct domain_reader *r, const char *key, int64_t fallback,
                             int64_t min, int64_t max, const char *unit)
{
    const struct xlcfg_setting *setting = domain_setting(r, key);
    int64_t number;

    if (!setting)
        return fallback;
    if (!xlcfg_number(setting, &number) || number < min || number > max) {
        diag_error(r->diag, setting->line, "%s must be a number from %" PRId64 " to %" PRId64 "%s",
                   key, min, max, unit);
        return fallback;
    }
    return number;
}

static bool domain_boolean(const struct domain_reader *r, const char *key)
{
    return domain_number(r, key, 0, INT64_MIN, INT64_MAX, "") != 0;
}

/* One of the NULL-terminated `choices`. */
static const char *domain_choice(const struct domain_reader *r, const char *key,
                                 const char *fallback, const char *const *choices)
{
    const struct xlcfg_setting *setting = domain_setting(r, key);
    char accepted[160] = "";

    if (!setting)
        return fallback;
    for (const char *const *c = choices; *c; c++) {
        size_t used = strlen(accepted);

        if (setting->value.type != XLCFG_LIST && !strcmp(setting->value.string, *c))
            return *c;
        snprintf(accepted + used, sizeof(accepted) - used, "%s\"%s\"",
                 c == choices ? ""
                 : c[1]       ? ", "
                              : " or ",
                 *c);
    }
    diag_error(r->diag, setting->line, "%s must be %s", key, accepted);
    return fallback;
}

static void domain_require(const struct domain_reader *r, const char *key, const char *what)
{
    if (!xlcfg_find(r->config, key))
        diag_error(r->diag, 0, "%s is missing: %s", key, what);
}

static void domain_read_name(const struct domain_reader *r, struct domain *out)
{
    const char *name = domain_string(r, "name");
    size_t length = name ? strlen(name) : 0;
    bool good = length > 0 && length <= DOMAIN_NAME_MAX;

    domain_require(r, "name", "name = \"...\"");
    if (!name)
        return;
    for (size_t i = 0; i < length; i++)
        good = good && name[i] > ' ' && name[i] < 0x7f;
    if (!good)
        diag_error(r->diag, domain_line(r, "name"),
                   "name must be 1 to %u printable ASCII characters without blanks",
                   DOMAIN_NAME_MAX);
    out->name = domain_format(name, "", "");
}

static void domain_read_type(const struct domain_reader *r)
{
    static const char *const types[] = {"pvh", NULL};

    domain_require(r, "type", "type = \"pvh\" is the one that Facet runs");
    domain_choice(r, "type", types[0], types);
}

/* `path` seen from the current directory, when it stands in the configuration file. */
static char *domain_path(const struct domain_reader *r, const char *path)
{
    const char *slash = strrchr(r->diag->file, '/');
    char *directory, *joined;

    if (*path == '/' || !slash)
        return domain_format(path, "", "");
    directory = strndup(r->diag->file, (size_t)(slash - r->diag->file) + 1);
    joined = domain_format(directory ? directory : "", path, "");
    free(directory);
    return joined;
}

/* Returns the path of a file that can be read, its size in `size`; or NULL. */
static char *domain_file(const struct domain_reader *r, const char *key, uint64_t *size)
{
    const char *value = domain_string(r, key);
    unsigned line = domain_line(r, key);
    struct stat st;
    char *path;

    if (!value)
        return NULL;
    if (!*value || strpbrk(value, "\n\r")) {
        diag_error(r->diag, line, "%s must be the path of a file", key);
        return NULL;
    }
    path = domain_path(r, value);
    if (stat(path, &st) || access(path, R_OK))
        diag_error(r->diag, line, "%s: cannot read %s: %s", key, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        diag_error(r->diag, line, "%s: %s is not a regular file", key, path);
    else if (st.st_size == 0)
        diag_error(r->diag, line, "%s: %s is empty", key, path);
    *size = (uint64_t)st.st_size;
    return path;
}

static void domain_read_files(const struct domain_reader *r, struct domain *out)
{
    uint64_t size = 0;

    domain_require(r, "kernel", "kernel = \"FILE\", a PVH kernel");
    out->kernel = domain_file(r, "kernel", &size);
    out->kernel_line = domain_line(r, "kernel");
    out->ramdisk = domain_file(r, "ramdisk", &out->ramdisk_size);
    if (out->ramdisk && out->memory_kib && out->ramdisk_size / 1024 >= out->memory_kib)
        diag_error(r->diag, domain_line(r, "ramdisk"),
                   "ramdisk of %" PRIu64 " KiB does not fit in the %" PRIu64
                   " MiB of memory of this domain",
                   out->ramdisk_size / 1024, out->memory_kib / 1024);
}

/* As xl: `root` and `extra` make up the command line, unless `cmdline` gives it whole. */
static void domain_read_cmdline(const struct domain_reader *r, struct domain *out)
{
    const char *cmdline = domain_string(r, "cmdline");
    const char *root = domain_string(r, "root");
    const char *extra = domain_string(r, "extra");
    unsigned line = domain_line(r, "cmdline");

    if (cmdline) {
        if (root || extra)
            diag_warn(r->diag, domain_line(r, root ? "root" : "extra"),
                      "cmdline is set: root and extra are ignored");
        out->cmdline = domain_format(cmdline, "", "");
    } else if (root) {
        char *tail = domain_format(extra ? " " : "", extra ? extra : "", "");

        out->cmdline = domain_format("root=", root, tail);
        free(tail);
        line = domain_line(r, extra && strlen(extra) > strlen(root) ? "extra" : "root");
    } else {
        out->cmdline = domain_format(extra ? extra : "", "", "");
        line = domain_line(r, "extra");
    }
    if (strlen(out->cmdline) > DOMAIN_CMDLINE_MAX)
        diag_error(r->diag, line, "the command line has %zu bytes; the most is %u",
                   strlen(out->cmdline), DOMAIN_CMDLINE_MAX);
}

/* What libxl gives a domain for its tables: 1 MiB per vCPU and 8 KiB per MiB of memory. */
static uint64_t domain_default_tables(const struct domain *d)
{
    return (uint64_t)d->vcpus * 1024 + d->memory_kib / 1024 * 8;
}

/* The least table memory that a domain of this memory and views can be built with, in KiB. */
static uint64_t domain_least_tables(const struct domain *d)
{
    uint64_t reserve = layout_host_reserve(d->memory_kib << 10), low = 0,
             high = UINT32_MAX - reserve;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (physmap_fits(d->altp2m_count, (uint32_t)(reserve + middle), (uint32_t)reserve))
            high = middle;
        else
            low = middle + 1;
    }
    return low * 4;
}

static void domain_check_tables(const struct domain_reader *r, const struct domain *d)
{
    uint64_t least = domain_least_tables(d);

    if (d->table_memory_kib < least)
        diag_error(r->diag, domain_line(r, "shadow_memory"),
                   "shadow_memory must be at least %" PRIu64 " (MiB) for %" PRIu64
                   " MiB of memory and %" PRIu32 " views",
                   (least + 1023) / 1024, d->memory_kib / 1024, d->altp2m_count);
}

static void domain_read_vcpus(const struct domain_reader *r, struct domain *out)
{
    int64_t most;

    out->vcpus = (uint32_t)domain_number(r, "vcpus", 1, 1, DOMAIN_VCPUS, "");
    most = domain_number(r, "maxvcpus", out->vcpus, 1, INT32_MAX, "");
    if (most < out->vcpus)
        diag_error(r->diag, domain_line(r, "maxvcpus"), "maxvcpus is less than vcpus (%" PRIu32 ")",
                   out->vcpus);
    else if (most > out->vcpus)
        diag_warn(r->diag, domain_line(r, "maxvcpus"),
                  "maxvcpus is not carried out: the domain has its %" PRIu32
                  " vCPUs and cannot get more",
                  out->vcpus);
}

/* As xl: a list has a string for each vCPU, and those that it has none for may run anywhere. */
static void domain_read_cpus(const struct domain_reader *r, struct domain *out)
{
    const struct xlcfg_setting *setting = domain_setting(r, "cpus");
    const struct xlcfg_value *value = setting ? &setting->value : NULL;
    bool list = value && value->type == XLCFG_LIST;

    for (uint32_t i = 0; value && i < out->vcpus; i++) {
        const struct xlcfg_value *one = list ? &value->items[i] : value;
        const char *wrong;

        if (list && i == value->count)
            break;
        wrong = one->type == XLCFG_LIST ? "is a list in a list"
                                        : cpus_parse(one->string, &out->cpus[i]);
        if (wrong) {
            diag_error(r->diag, one->line, "cpus %s", wrong);
            break;
        }
    }
}

static void domain_read_sizes(const struct domain_reader *r, struct domain *out)
{
    int64_t memory = domain_number(r, "memory", 0, 1, DOMAIN_MEMORY_MAX, " (MiB)");
    int64_t maxmem = domain_number(r, "maxmem", memory, 1, DOMAIN_MEMORY_MAX, " (MiB)");
    int64_t tables = domain_number(r, "shadow_memory", -1, 1, DOMAIN_MEMORY_MAX, " (MiB)");

    domain_require(r, "memory", "memory = MEBIBYTES");
    if (memory && maxmem < memory)
        diag_error(r->diag, domain_line(r, "maxmem"), "maxmem is less than memory (%" PRId64 ")",
                   memory);
    else if (memory && maxmem > memory)
        diag_warn(r->diag, domain_line(r, "maxmem"),
                  "maxmem is not carried out: the domain has its %" PRId64
                  " MiB of memory and cannot get more",
                  memory);
    domain_read_vcpus(r, out);
    domain_read_cpus(r, out);
    out->memory_kib = (uint64_t)memory * 1024;
    out->table_memory_kib = tables < 0 ? domain_default_tables(out) : (uint64_t)tables * 1024;
}

/* As xl: a number, or a name in any case. */
static const char *domain_mode(const struct domain_reader *r, const char *fallback)
{
    const struct xlcfg_setting *setting = domain_setting(r, "altp2m");
    int64_t number;

    if (!setting)
        return fallback;
    if (xlcfg_number(setting, &number)) {
        if (number >= XEN_ALTP2M_disabled && number <= XEN_ALTP2M_limited)
            return domain_modes[number];
    } else if (setting->value.type != XLCFG_LIST) {
        for (const char *const *m = domain_modes; *m; m++)
            if (!strcasecmp(setting->value.string, *m))
                return *m;
    }
    diag_error(r->diag, setting->line,
               "altp2m must be \"disabled\", \"mixed\", \"external\" or \"limited\", or 0 to 3");
    return fallback;
}

static void domain_read_altp2m(const struct domain_reader *r, struct domain *out)
{
    bool old = domain_boolean(r, "altp2mhvm");
    const struct xlcfg_setting *alias = domain_setting(r, "altp2mhvm");
    bool both = alias && xlcfg_find(r->config, "altp2m");

    if (both)
        diag_warn(r->diag, alias->line, "altp2m is set: altp2mhvm is ignored");
    else if (alias)
        diag_warn(r->diag, alias->line, "altp2mhvm is an old name: write altp2m = \"%s\"",
                  domain_modes[old]);
    out->altp2m = domain_mode(r, domain_modes[alias && !both ? old : 0]);
    out->altp2m_count =
        (uint32_t)domain_number(r, "altp2m_count", DOMAIN_VIEWS_DEFAULT, 1, VIEW_MAX, "");
    out->altp2m_narrow = domain_number(r, "altp2m_narrow", 0, 0, 1, "") == 1;
}

/* Who this domain may control: `monitor` for everybody, or the names in `monitors`; and whether it
 * may make domains. */
static void domain_read_monitor(const struct domain_reader *r, struct domain *out)
{
    const struct xlcfg_setting *names = domain_setting(r, "monitors");

    out->monitor = domain_number(r, "monitor", 0, 0, 1, "") == 1;
    out->hardware = domain_number(r, "hardware", 0, 0, 1, "") == 1;
    out->control = domain_number(r, "control", out->hardware, 0, 1, "") == 1 || out->hardware;
    if (!names)
        return;
    for (size_t i = 0; i < names->value.count; i++) {
        const struct xlcfg_value *name = &names->value.items[i];

        if (name->type == XLCFG_LIST || !*name->string || strlen(name->string) > DOMAIN_NAME_MAX ||
            i >= DOMAIN_MONITORS_MAX) {
            diag_error(r->diag, name->line, "monitors must be a list of at most %d domain names",
                       DOMAIN_MONITORS_MAX);
            return;
        }
        memcpy(out->monitors + out->monitors_size, name->string, strlen(name->string) + 1);
        out->monitors_size += strlen(name->string) + 1;
    }
    if (names->value.type != XLCFG_LIST)
        diag_error(r->diag, names->line, "monitors must be a list: [\"NAME\", ...]");
}

/* "BUS:DEVICE.FUNCTION" in hexadecimal, as lspci shows it; "0000:" may stand before. */
static bool domain_pci(const char *text, uint16_t *function)
{
    unsigned bus, device, number;
    char more;

    text += strncmp(text, "0000:", 5) == 0 ? 5 : 0;
    if (strspn(text, "0123456789abcdefABCDEF:.") != strlen(text) ||
        sscanf(text, "%2x:%2x.%1x%c", &bus, &device, &number, &more) != 3 || device > 31 ||
        number > 7)
        return false;
    *function = (uint16_t)(bus << 8 | device << 3 | number);
    return true;
}

static void domain_read_hidden(const struct domain_reader *r, struct domain *out)
{
    const struct xlcfg_setting *s = domain_setting(r, "pci_hide");

    if (!s)
        return;
    if (s->value.type != XLCFG_LIST || s->value.count > PCI_HIDE_MAX || !out->hardware) {
        diag_error(r->diag, s->line,
                   "pci_hide must be a list of at most %u functions, of a domain with hardware = 1",
                   PCI_HIDE_MAX);
        return;
    }
    for (size_t i = 0; i < s->value.count; i++) {
        const struct xlcfg_value *v = &s->value.items[i];

        if (v->type == XLCFG_LIST || !domain_pci(v->string, &out->pci_hide[i]))
            diag_error(r->diag, v->line, "pci_hide: a function is \"BUS:DEVICE.FUNCTION\"");
        out->pci_hidden++;
    }
}

/* The sub-operations that a list names, as a set. */
static uint64_t domain_subops(const struct domain_reader *r, const char *key)
{
    const struct xlcfg_setting *setting = domain_setting(r, key);
    uint64_t set = 0;

    if (!setting)
        return 0;
    if (setting->value.type != XLCFG_LIST) {
        diag_error(r->diag, setting->line, "%s must be a list: [\"NAME\", ...]", key);
        return 0;
    }
    for (size_t i = 0; i < setting->value.count; i++) {
        const struct xlcfg_value *name = &setting->value.items[i];
        uint64_t bit = name->type != XLCFG_LIST ? policy_row_named(name->string) : 0;

        if (!bit)
            diag_error(r->diag, name->line,
                       "%s: %s is not a sub-operation; `altp2m info` and "
                       "docs/reference.md list them",
                       key, name->type != XLCFG_LIST ? name->string : "this");
        set |= bit;
    }
    return set;
}

/* What callers inside the guest may do, within what the mode says. */
static void domain_read_policy(const struct domain_reader *r, struct domain *out)
{
    static const char *const policies[] = {WORDS_ALTP2M_POLICY, NULL};
    static const char *const keys[] = {"altp2m_policy", "altp2m_allow", "altp2m_deny",
                                       "altp2m_guest_views", "altp2m_guest_tables"};
    bool audited, for_others = xlcfg_find(r->config, "control") != NULL; /* whom it makes */

    out->altp2m_trace = domain_number(r, "altp2m_trace", 0, 0, 1, "") == 1;
    out->altp2m_policy = domain_choice(r, keys[0], policies[POLICY_OPEN], policies);
    out->altp2m_allow = domain_subops(r, keys[1]);
    out->altp2m_deny = domain_subops(r, keys[2]);
    out->altp2m_guest_views = (uint32_t)domain_number(r, keys[3], 0, 1, VIEW_MAX - 1, "");
    out->altp2m_guest_tables =
        (uint32_t)domain_number(r, keys[4], 0, 1, UINT32_MAX, " (pages of 4 KiB)");
    audited = !strcmp(out->altp2m_policy, policies[POLICY_AUDITED]);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        unsigned line = domain_line(r, keys[i]);

        if (line && !for_others && strcmp(out->altp2m, "mixed") && strcmp(out->altp2m, "limited"))
            diag_warn(r->diag, line, "%s has no effect with altp2m = \"%s\"", keys[i], out->altp2m);
        else if (line && i >= 3 && !audited)
            diag_warn(r->diag, line, "%s has an effect only with altp2m_policy = \"audited\"",
                      keys[i]);
    }
}

/* What is to be done at an end of the domain, as far as Facet can do what xl would. */
static const char *domain_action(const struct domain_reader *r, const char *key,
                                 const char *fallback)
{
    static const struct {
        const char *name, *done, *why;
    } others[] = {
        {"rename-restart", "restart", "the ended domain is not kept"},
        {"coredump-destroy", "destroy", "no core dump is written"},
        {"coredump-restart", "restart", "no core dump is written"},
        {"soft-reset", "restart", "nothing of the ended domain is kept"},
    };
    const char *action = domain_choice(r, key, fallback, domain_actions);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(action, others[i].name))
            continue;
        diag_warn(r->diag, domain_line(r, key),
                  "%s = \"%s\" is not carried out: \"%s\" is done, %s", key, action, others[i].done,
                  others[i].why);
        return others[i].done;
    }
    return action;
}

static void domain_read_actions(const struct domain_reader *r, struct domain *out)
{
    unsigned soft = domain_line(r, "on_soft_reset");

    domain_choice(r, "on_soft_reset", "soft-reset", domain_actions);
    out->on_poweroff = domain_action(r, "on_poweroff", "destroy");
    out->on_crash = domain_action(r, "on_crash", "destroy");
    out->on_reboot = domain_action(r, "on_reboot", "restart");
    out->on_watchdog = domain_action(r, "on_watchdog", "destroy");
    if (soft)
        diag_warn(r->diag, soft,
                  "on_soft_reset is not carried out: a guest's soft reset is "
                  "refused, and it goes on");
}

static bool domain_reads(const char *key)
{
    for (size_t i = 0; i < sizeof(domain_keys) / sizeof(domain_keys[0]); i++)
        if (!strcmp(domain_keys[i], key))
            return true;
    return false;
}

/* Keys that Facet does not carry out, known to xl or to nobody. */
static void domain_warn_keys(const struct domain_reader *r)
{
    for (size_t i = 0; i < r->config->count; i++) {
        const struct xlcfg_setting *setting = &r->config->settings[i];
        const struct key *key = key_find(setting->key);

        if (domain_reads(setting->key))
            continue;
        if (!key)
            diag_warn(r->diag, setting->line, "unknown key %s: ignored", setting->key);
        else if (!setting->bad && key_asks(key, &setting->value))
            diag_warn(r->diag, setting->line, "%s is not carried out: %s", setting->key, key->why);
    }
}

void domain_from_config(const struct xlcfg *config, struct domain *out, struct diag *diag)
{
    const struct domain_reader r = {.config = config, .diag = diag};

    *out = (struct domain){0};
    domain_warn_keys(&r);
    domain_read_name(&r, out);
    domain_read_type(&r);
    domain_read_sizes(&r, out);
    domain_read_files(&r, out);
    domain_read_cmdline(&r, out);
    domain_read_altp2m(&r, out);
    domain_check_tables(&r, out);
    domain_read_policy(&r, out);
    domain_read_monitor(&r, out);
    domain_read_hidden(&r, out);
    domain_read_actions(&r, out);
}

void domain_free(struct domain *domain)
{
    free(domain->name);
    free(domain->kernel);
    free(domain->ramdisk);
    free(domain->cmdline);
    *domain = (struct domain){0};
}
