/* SPDX-License-Identifier: MIT */
/*
 * The two parsers of the domain builder, fed what files may hold: good input is read right; input
 * that is cut short, has a byte changed anywhere, or lies about itself is refused or read without
 * touching anything outside (the files are copied to blocks of exactly their size, so that the
 * address sanitizer sees every overrun).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <elf.h>
#include <libfdt.h>
#include "core/policy.h"
#include "hv/guest/dtree.h"
#include "hv/guest/elf_image.h"

#define ENTRY 0x100040u

/* A little kernel: a note and two segments, the second with memory beyond its file part. */
struct kernel64 {
    Elf64_Ehdr e;
    Elf64_Phdr p[3];
    struct {
        Elf64_Nhdr n;
        char name[4];
        uint32_t entry;
    } note;
    uint8_t text[128];
    uint8_t data[64];
};

struct kernel32 {
    Elf32_Ehdr e;
    Elf32_Phdr p[2];
    struct {
        Elf32_Nhdr n;
        char name[4];
        uint32_t entry;
    } note;
    uint8_t text[128];
};

static struct kernel64 kernel64(void)
{
    struct kernel64 k = {
        .e = {.e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_phoff = offsetof(struct kernel64, p),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phnum = 3},
        .p = {{.p_type = PT_NOTE,
               .p_offset = offsetof(struct kernel64, note),
               .p_filesz = sizeof(k.note),
               .p_memsz = sizeof(k.note)},
              {.p_type = PT_LOAD,
               .p_offset = offsetof(struct kernel64, text),
               .p_paddr = 0x100000,
               .p_filesz = sizeof(k.text),
               .p_memsz = sizeof(k.text)},
              {.p_type = PT_LOAD,
               .p_offset = offsetof(struct kernel64, data),
               .p_paddr = 0x200000,
               .p_filesz = sizeof(k.data),
               .p_memsz = 0x3000}},
        .note = {{.n_namesz = 4, .n_descsz = 4, .n_type = 18}, "Xen", ENTRY},
    };
    memcpy(k.e.e_ident, ELFMAG, SELFMAG);
    k.e.e_ident[EI_CLASS] = ELFCLASS64;
    k.e.e_ident[EI_DATA] = ELFDATA2LSB;
    k.e.e_ident[EI_VERSION] = EV_CURRENT;
    return k;
}

static struct kernel32 kernel32(void)
{
    struct kernel32 k = {
        .e = {.e_type = ET_EXEC,
              .e_machine = EM_386,
              .e_phoff = offsetof(struct kernel32, p),
              .e_phentsize = sizeof(Elf32_Phdr),
              .e_phnum = 2},
        .p = {{.p_type = PT_NOTE,
               .p_offset = offsetof(struct kernel32, note),
               .p_filesz = sizeof(k.note),
               .p_memsz = sizeof(k.note)},
              {.p_type = PT_LOAD,
               .p_offset = offsetof(struct kernel32, text),
               .p_paddr = 0x100000,
               .p_filesz = sizeof(k.text),
               .p_memsz = sizeof(k.text)}},
        .note = {{.n_namesz = 4, .n_descsz = 4, .n_type = 18}, "Xen", ENTRY},
    };
    memcpy(k.e.e_ident, ELFMAG, SELFMAG);
    k.e.e_ident[EI_CLASS] = ELFCLASS32;
    k.e.e_ident[EI_DATA] = ELFDATA2LSB;
    k.e.e_ident[EI_VERSION] = EV_CURRENT;
    return k;
}

/* Parses a copy of exactly `size` bytes and reads all that the result points to. */
static const char *parse(const void *file, size_t size, struct elf_image *e)
{
    uint8_t *copy = malloc(size ? size : 1);
    const char *error;
    unsigned sum = 0;

    assert_non_null(copy);
    memcpy(copy, file, size);
    error = elf_image_parse(e, copy, size);
    for (unsigned i = 0; !error && i < e->nr; i++) {
        for (uint64_t b = 0; b < e->segment[i].file_size; b++) {
            sum += e->segment[i].data[b];
        }
        assert_true(e->segment[i].file_size <= e->segment[i].memory_size);
        assert_true(e->segment[i].gpa >= e->low);
        assert_true(e->segment[i].gpa + e->segment[i].memory_size <= e->high);
    }
    free(copy);
    (void)sum;
    return error;
}

static void good_kernels(void **state)
{
    struct kernel64 k = kernel64();
    struct kernel32 k32 = kernel32();
    struct elf_image e;

    (void)state;
    assert_null(parse(&k, sizeof(k), &e));
    assert_int_equal(e.entry, ENTRY);
    assert_int_equal(e.nr, 2);
    assert_int_equal(e.low, 0x100000);
    assert_int_equal(e.high, 0x203000);
    assert_int_equal(e.segment[1].file_size, 64);
    assert_null(parse(&k32, sizeof(k32), &e));
    assert_int_equal(e.entry, ENTRY);
    assert_int_equal(e.high, 0x100080);
}

static void truncated_kernel(void **state)
{
    struct kernel64 k = kernel64();
    struct kernel32 k32 = kernel32();
    struct elf_image e;

    (void)state;
    for (size_t n = 0; n < offsetof(struct kernel64, data) + sizeof(k.data); n++) {
        assert_non_null(parse(&k, n, &e));
    }
    for (size_t n = 0; n < offsetof(struct kernel32, text) + sizeof(k32.text); n++) {
        assert_non_null(parse(&k32, n, &e));
    }
}

static void changed_kernel(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct elf_image e;

    (void)state;
    for (size_t at = 0; at < offsetof(struct kernel64, text); at++) {
        for (unsigned v = 0; v < sizeof(values); v++) {
            struct kernel64 k = kernel64();

            ((uint8_t *)&k)[at] = values[v];
            parse(&k, sizeof(k), &e);
        }
    }
}

/* Each lie alone, with the refusal that it should get. */
static void lying_kernel(void **state)
{
    struct elf_image e;
    struct kernel64 k;

    (void)state;
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        const char *error;                                                                         \
        k = kernel64();                                                                            \
        change;                                                                                    \
        error = parse(&k, sizeof(k), &e);                                                          \
        assert_non_null(error);                                                                    \
        assert_non_null(strstr(error, word));                                                      \
    } while (0)
    REFUSED(k.e.e_ident[0] = 'M', "not an ELF");
    REFUSED(k.e.e_machine = EM_AARCH64, "another processor than x86");
    REFUSED(k.e.e_ident[EI_DATA] = ELFDATA2MSB, "little-endian");
    REFUSED(k.e.e_ident[EI_VERSION] = 2, "little-endian");
    REFUSED(k.e.e_type = ET_REL, "not an executable");
    REFUSED(k.note.n.n_descsz = 5, "not a PVH kernel");
    REFUSED(k.e.e_phnum = 0, "program headers");
    REFUSED(k.e.e_phoff = ~0ULL, "program headers");
    REFUSED(k.e.e_phnum = 0xffff, "program headers");
    REFUSED(k.p[0].p_type = PT_NULL, "not a PVH kernel");
    REFUSED(k.note.n.n_type = 1, "not a PVH kernel");
    REFUSED(k.note.name[0] = 'Y', "not a PVH kernel");
    REFUSED(k.note.n.n_namesz = ~0u, "not a PVH kernel");
    REFUSED(k.note.n.n_descsz = ~0u, "not a PVH kernel");
    REFUSED(k.p[0].p_offset = ~0ULL, "beyond the end");
    REFUSED(k.note.entry = 0x300000, "entry point");
    REFUSED(k.p[1].p_offset = ~0ULL, "beyond the end");
    REFUSED(k.p[1].p_filesz = ~0ULL, "beyond the end");
    REFUSED(k.p[1].p_filesz = 129, "larger in the file");
    REFUSED(k.p[2].p_filesz = 200, "beyond the end");
    REFUSED(k.p[1].p_paddr = 1ULL << 32, "below 4 GiB");
    REFUSED(k.p[2].p_memsz = ~0ULL, "below 4 GiB");
    REFUSED(k.p[2].p_memsz = 0xffffffff, "below 4 GiB");
    REFUSED(k.p[2].p_paddr = 0x10007f, "overlap");
    REFUSED(k.p[1].p_type = k.p[2].p_type = PT_NULL, "nothing to load");
#undef REFUSED
}

/* ---- device tree ---- */

#define TREE_SIZE 4096

/* What a test changes in the tree; NULL: the property is left out. */
struct tree {
    uint32_t reg, kernel, vcpus, views;
    uint64_t memory;
    const char *name, *altp2m, *cmdline, *action, *policy, *deny, *trace, *narrowed;
    uint32_t guest_views;
    bool narrow; /* memory-kib as one cell */
};

static const struct tree good = {.reg = 1,
                                 .kernel = 1,
                                 .vcpus = 1,
                                 .views = 10,
                                 .memory = 16384,
                                 .name = "one",
                                 .altp2m = "mixed",
                                 .cmdline = "a b",
                                 .action = "destroy"};

static void put_string(void *fdt, const char *name, const char *s)
{
    if (s) {
        assert_int_equal(fdt_property_string(fdt, name, s), 0);
    }
}

static size_t make_tree(void *fdt, const struct tree *t)
{
    assert_int_equal(fdt_create(fdt, TREE_SIZE), 0);
    assert_int_equal(fdt_finish_reservemap(fdt), 0);
    fdt_begin_node(fdt, "");
    put_string(fdt, "compatible", "facet,boot");
    fdt_begin_node(fdt, "domains");
    fdt_begin_node(fdt, "domain@1");
    fdt_property_u32(fdt, "reg", t->reg);
    put_string(fdt, "name", t->name);
    fdt_property_u32(fdt, "kernel-module", t->kernel);
    put_string(fdt, "cmdline", t->cmdline);
    if (t->narrow) {
        fdt_property_u32(fdt, "memory-kib", (uint32_t)t->memory);
    } else {
        fdt_property_u64(fdt, "memory-kib", t->memory);
    }
    fdt_property_u32(fdt, "vcpus", t->vcpus);
    put_string(fdt, "altp2m", t->altp2m);
    fdt_property_u32(fdt, "altp2m-count", t->views);
    put_string(fdt, "altp2m-policy", t->policy);
    put_string(fdt, "altp2m-deny", t->deny);
    put_string(fdt, "altp2m-trace", t->trace);
    put_string(fdt, "altp2m-narrow", t->narrowed);
    if (t->guest_views) {
        fdt_property_u32(fdt, "altp2m-guest-views", t->guest_views);
    }
    put_string(fdt, "on-poweroff", t->action);
    put_string(fdt, "on-crash", t->action);
    put_string(fdt, "on-reboot", t->action);
    put_string(fdt, "on-watchdog", t->action);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
    assert_int_equal(fdt_finish(fdt), 0);
    return fdt_totalsize(fdt);
}

/* Reads every domain of a copy of exactly `size` bytes; the first error, if any. */
static const char *read_tree(const void *fdt, size_t size, struct domain_config *c)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct dtree t;
    const char *error;

    assert_non_null(copy);
    memcpy(copy, fdt, size);
    error = dtree_open(&t, copy, size);
    if (!error) {
        for (int n = dtree_first(&t); n >= 0; n = dtree_next(&t, n)) {
            const char *bad = dtree_domain(&t, n, 2, 64, 8, c);

            assert_true(c->domid <= 64);
            assert_non_null(memchr(c->name, 0, sizeof(c->name)));
            assert_true(strlen(c->cmdline) <= DOMAIN_CMDLINE_MAX);
            error = error ? error : bad;
        }
    }
    c->cmdline = NULL;
    free(copy);
    return error;
}

static void good_tree(void **state)
{
    uint8_t fdt[TREE_SIZE];
    struct domain_config c;
    size_t n = make_tree(fdt, &good);

    (void)state;
    assert_null(read_tree(fdt, n, &c));
    assert_int_equal(c.domid, 1);
    assert_string_equal(c.name, "one");
    assert_int_equal(c.kernel, 1);
    assert_int_equal(c.ramdisk, -1);
    assert_int_equal(c.memory_kib, 16384);
    assert_int_equal(c.altp2m_mode, 1);
    assert_int_equal(c.table_kib, 1024 + 16384 / 128);
    assert_int_equal(c.on_crash, ACTION_DESTROY);
}

static void policy(void **state)
{
    uint8_t fdt[TREE_SIZE];
    struct domain_config c;
    struct tree t = good;

    (void)state;
    assert_null(read_tree(fdt, make_tree(fdt, &t), &c));
    assert_int_equal(c.altp2m_policy, POLICY_OPEN);
    assert_int_equal(c.altp2m_deny, 0);
    t.policy = "audited";
    t.deny = "switch_p2m";
    t.guest_views = 7;
    assert_null(read_tree(fdt, make_tree(fdt, &t), &c));
    assert_int_equal(c.altp2m_policy, POLICY_AUDITED);
    assert_int_equal(c.altp2m_deny, policy_bit(6));
    assert_int_equal(c.altp2m_allow, 0);
    assert_int_equal(c.altp2m_guest_views, 7);
    assert_false(c.altp2m_trace || c.altp2m_narrow);
    t.trace = t.narrowed = "";
    assert_null(read_tree(fdt, make_tree(fdt, &t), &c));
    assert_true(c.altp2m_trace && c.altp2m_narrow);
}

static void bad_values(void **state)
{
    uint8_t fdt[TREE_SIZE];
    struct domain_config c;
    static char long_name[80], long_line[3000];

    (void)state;
    memset(long_name, 'n', sizeof(long_name) - 1);
    memset(long_line, 'l', sizeof(long_line) - 1);
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        struct tree t = good;                                                                      \
        const char *error;                                                                         \
        change;                                                                                    \
        error = read_tree(fdt, make_tree(fdt, &t), &c);                                            \
        assert_non_null(error);                                                                    \
        assert_non_null(strstr(error, word));                                                      \
    } while (0)
    REFUSED(t.reg = 0, "reg");
    REFUSED(t.reg = 65, "reg");
    REFUSED(t.name = NULL, "name");
    REFUSED(t.name = "", "name");
    REFUSED(t.name = "a\nb", "unprintable");
    REFUSED(t.name = long_name, "name");
    REFUSED(t.kernel = 0, "kernel-module");
    REFUSED(t.kernel = 2, "kernel-module");
    REFUSED(t.cmdline = NULL, "cmdline");
    REFUSED(t.cmdline = long_line, "cmdline");
    REFUSED(t.memory = 0, "memory-kib");
    REFUSED(t.memory = 16385, "memory-kib");
    REFUSED(t.memory = ~0ULL, "memory-kib");
    REFUSED(t.narrow = true, "memory-kib");
    REFUSED(t.vcpus = 0, "vcpus");
    REFUSED(t.vcpus = 9, "vcpus");
    REFUSED(t.altp2m = "sometimes", "altp2m");
    REFUSED(t.altp2m = NULL, "altp2m");
    REFUSED(t.views = 513, "altp2m-count");
    REFUSED(t.policy = "closed", "altp2m-policy");
    REFUSED(t.deny = "create", "altp2m-deny");
    REFUSED(t.deny = "", "altp2m-deny");
    REFUSED(t.guest_views = 513, "altp2m-guest-views");
    REFUSED(t.action = "explode", "action");
    REFUSED(t.action = NULL, "action");
#undef REFUSED
}

static void truncated_tree(void **state)
{
    uint8_t fdt[TREE_SIZE];
    struct domain_config c;
    size_t n = make_tree(fdt, &good);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_non_null(read_tree(fdt, i, &c));
    }
}

static void changed_tree(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff};
    uint8_t fdt[TREE_SIZE];
    struct domain_config c;
    size_t n = make_tree(fdt, &good);

    (void)state;
    for (size_t at = 0; at < n; at++) {
        for (unsigned v = 0; v < sizeof(values); v++) {
            uint8_t old = fdt[at];

            fdt[at] = values[v];
            read_tree(fdt, n, &c);
            fdt[at] = old;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_kernels),   cmocka_unit_test(truncated_kernel),
        cmocka_unit_test(changed_kernel), cmocka_unit_test(lying_kernel),
        cmocka_unit_test(good_tree),      cmocka_unit_test(policy),
        cmocka_unit_test(bad_values),     cmocka_unit_test(truncated_tree),
        cmocka_unit_test(changed_tree),
    };

    return cmocka_run_group_tests_name("guest loader", tests, NULL, NULL);
}
