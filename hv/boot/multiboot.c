/* SPDX-License-Identifier: MIT */
#include "multiboot.h"
#include <string.h>
#include "lib/console.h"

#define LOW_LIMIT 0x100000000ULL /* all that a boot loader tells of itself is below */

/* ---- both versions ---- */

static void add_range(struct boot_info *out, uint64_t start, uint64_t length, uint32_t type)
{
    bool fits = start < PAGE_MASK && length <= PAGE_MASK - start;
    uint64_t end = fits ? start + length : PAGE_MASK;

    if (start >= end) { /* nothing, or all behind the last page that can be */
        return;
    }
    if (out->nr_ranges == BOOT_RANGES_MAX) {
        fatal("the memory map has more than %u entries", BOOT_RANGES_MAX);
    }
    out->ranges[out->nr_ranges++] = (struct boot_range){start, end, type};
}

static void add_module(struct boot_info *out, uint32_t start, uint32_t end)
{
    if (out->nr_modules == BOOT_MODULES_MAX) {
        fatal("too many boot modules: at most %u are supported", BOOT_MODULES_MAX);
    }
    if (end < start) {
        fatal("boot module %u ends before it begins", out->nr_modules);
    }
    out->modules[out->nr_modules++] =
        (struct boot_module){.start = (const void *)(uint64_t)start, .size = end - start};
}

/* The text has at most n bytes, its end included. */
static void set_cmdline(struct boot_info *out, const char *text, uint64_t n)
{
    unsigned i = 0;

    for (; i < n && text[i]; i++) {
        if (i == BOOT_CMDLINE_MAX - 1) {
            fatal("the command line has more than %u characters", BOOT_CMDLINE_MAX - 1);
        }
        out->cmdline[i] = text[i];
    }
    if (i == n) {
        fatal("the boot loader's command line has no end");
    }
    out->cmdline[i] = '\0';
}

#define SCREEN_EGA_TEXT 2u
#define SCREEN_MOST     1000u /* columns, rows */

static void set_screen(struct boot_info *out, const struct boot_screen *s, unsigned type)
{
    if (type == SCREEN_EGA_TEXT && s->at && s->at < LOW_LIMIT && s->columns && s->rows &&
        s->columns <= SCREEN_MOST && s->rows <= SCREEN_MOST && s->pitch >= 2 * s->columns &&
        s->pitch <= PAGE_SIZE && s->at + (uint64_t)s->pitch * s->rows <= LOW_LIMIT) {
        out->screen = *s;
    }
}

/* ---- Multiboot specification 0.6.96, section 3.3; the members Facet reads ---- */

#define MULTIBOOT_LOADED  0x2badb002u
#define MULTIBOOT_CMDLINE (1u << 2)
#define MULTIBOOT_MODS    (1u << 3)
#define MULTIBOOT_MMAP    (1u << 6)
#define MULTIBOOT_SCREEN  (1u << 12)
struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives[2], config_table, loader_name, apm_table, vbe[4];
    uint64_t screen;
    uint32_t screen_pitch, screen_width, screen_height;
    uint8_t screen_bits, screen_type;
} __attribute__((packed));
struct multiboot_module {
    uint32_t start, end, string, reserved;
} __attribute__((packed));
struct multiboot_range {
    uint32_t size; /* of what follows */
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct multiboot_range) == 24, "Multiboot 0.6.96, 3.3");
_Static_assert(offsetof(struct multiboot_info, mmap_addr) == 48, "Multiboot 0.6.96, 3.3");
_Static_assert(offsetof(struct multiboot_info, screen) == 88, "Multiboot 0.6.96, 3.3");
_Static_assert(offsetof(struct multiboot_info, screen_type) == 109, "Multiboot 0.6.96, 3.3");

static void read_map(const struct multiboot_info *info, struct boot_info *out)
{
    uint64_t at = info->mmap_addr, end = at + info->mmap_length;
    const uint32_t least = sizeof(struct multiboot_range) - sizeof(uint32_t);

    if (end > LOW_LIMIT) {
        fatal("the memory map lies beyond 4 GiB");
    }
    while (at < end) {
        const struct multiboot_range *m = (const void *)at;

        if (end - at < sizeof(*m) || m->size < least || m->size > end - at - sizeof(m->size)) {
            fatal("an entry of the memory map is cut short");
        }
        add_range(out, m->base, m->length, m->type);
        at += m->size + sizeof(m->size);
    }
}

static void read_modules(const struct multiboot_info *info, struct boot_info *out)
{
    uint64_t at = info->mods_addr;

    for (uint32_t i = 0; i < info->mods_count; i++, at += sizeof(struct multiboot_module)) {
        const struct multiboot_module *m = (const void *)at;

        if (at + sizeof(*m) > LOW_LIMIT) {
            fatal("the list of boot modules lies beyond 4 GiB");
        }
        add_module(out, m->start, m->end);
    }
}

static void multiboot1_read(const struct multiboot_info *info, struct boot_info *out)
{
    if (info->flags & MULTIBOOT_CMDLINE) {
        set_cmdline(out, (const char *)(uint64_t)info->cmdline, LOW_LIMIT - info->cmdline);
    }
    if (info->flags & MULTIBOOT_MMAP) {
        read_map(info, out);
    }
    if (info->flags & MULTIBOOT_MODS) {
        read_modules(info, out);
    }
    if (info->flags & MULTIBOOT_SCREEN) {
        const struct boot_screen s = {info->screen, info->screen_pitch, info->screen_width,
                                      info->screen_height};

        set_screen(out, &s, info->screen_type);
    }
}

/* ---- Multiboot2 specification 2.0, section 3.4 and following ---- */

#define MULTIBOOT2_LOADED 0x36d76289u
#define TAG_ALIGN         8u
enum {
    TAG_END = 0,
    TAG_CMDLINE = 1,
    TAG_MODULE = 3,
    TAG_MAP = 6,
    TAG_SCREEN = 8,
    TAG_RSDP_OLD = 14,
    TAG_RSDP_NEW = 15,
};
struct multiboot2_info {
    uint32_t size, reserved;
};
struct tag {
    uint32_t type, size; /* of all of it, without what aligns the next */
};
struct tag_module {
    struct tag tag;
    uint32_t start, end; /* then its string */
};
struct tag_map {
    struct tag tag;
    uint32_t entry_size, entry_version;
};
struct tag_map_entry {
    uint64_t base, length;
    uint32_t type, reserved;
};
struct tag_screen {
    struct tag tag;
    uint64_t at;
    uint32_t pitch, width, height;
    uint8_t bits, type;
} __attribute__((packed));
_Static_assert(sizeof(struct multiboot2_info) == 8, "Multiboot2 2.0, 3.4");
_Static_assert(sizeof(struct tag) == 8, "Multiboot2 2.0, 3.4");
_Static_assert(sizeof(struct tag_module) == 16, "Multiboot2 2.0, 3.6.6");
_Static_assert(sizeof(struct tag_map) == 16, "Multiboot2 2.0, 3.6.8");
_Static_assert(sizeof(struct tag_map_entry) == 24, "Multiboot2 2.0, 3.6.8");
_Static_assert(offsetof(struct tag_screen, type) == 29, "Multiboot2 2.0, 3.6.12");

static void take_map(const struct tag_map *t, struct boot_info *out)
{
    const uint8_t *at = (const uint8_t *)(t + 1);

    if (t->entry_size < sizeof(struct tag_map_entry) || t->entry_size % TAG_ALIGN) {
        fatal("entries of the memory map have %u bytes", t->entry_size);
    }
    for (uint32_t left = t->tag.size - (uint32_t)sizeof(*t); left >= t->entry_size;
         left -= t->entry_size, at += t->entry_size) {
        const struct tag_map_entry *m = (const void *)at;

        add_range(out, m->base, m->length, m->type);
    }
}

/* The new one has all that the old one has. */
static void take_rsdp(const struct tag *t, struct boot_info *out)
{
    unsigned n = t->size - (unsigned)sizeof(*t);

    n = n < BOOT_RSDP_MAX ? n : BOOT_RSDP_MAX;
    if (t->type == TAG_RSDP_NEW || !out->rsdp_size) {
        memcpy(out->rsdp, t + 1, n);
        out->rsdp_size = n;
    }
}

static void take_screen(const struct tag_screen *t, struct boot_info *out)
{
    const struct boot_screen s = {t->at, t->pitch, t->width, t->height};

    set_screen(out, &s, t->type);
}

static uint32_t least_size(uint32_t type)
{
    switch (type) {
    case TAG_MODULE:
        return sizeof(struct tag_module);
    case TAG_MAP:
        return sizeof(struct tag_map);
    case TAG_SCREEN:
        return sizeof(struct tag_screen);
    default:
        return sizeof(struct tag);
    }
}

static void take_tag(const struct tag *t, struct boot_info *out)
{
    const struct tag_module *module = (const void *)t;

    switch (t->type) {
    case TAG_CMDLINE:
        set_cmdline(out, (const char *)(t + 1), t->size - sizeof(*t));
        break;
    case TAG_MODULE:
        add_module(out, module->start, module->end);
        break;
    case TAG_MAP:
        take_map((const void *)t, out);
        break;
    case TAG_SCREEN:
        take_screen((const void *)t, out);
        break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW:
        take_rsdp(t, out);
        break;
    default:
        break;
    }
}

void multiboot2_read(const uint8_t *info, uint64_t most, struct boot_info *out)
{
    const uint32_t size = most < sizeof(struct multiboot2_info)
                              ? 0
                              : ((const struct multiboot2_info *)(const void *)info)->size;
    uint64_t at = sizeof(struct multiboot2_info);

    if (size < at || size > most) {
        fatal("the boot loader's information has %u bytes", size);
    }
    for (;;) {
        const struct tag *t = (const void *)(info + at);

        if (at > size || size - at < sizeof(*t)) {
            fatal("the boot loader's information has no end tag");
        }
        if (t->type == TAG_END) {
            return;
        }
        if (t->size > size - at || t->size < least_size(t->type)) {
            fatal("the boot loader's tag %u has %u bytes", t->type, t->size);
        }
        take_tag(t, out);
        at += (t->size + (uint64_t)TAG_ALIGN - 1) & ~(uint64_t)(TAG_ALIGN - 1);
    }
}

void multiboot_read(uint32_t magic, uint32_t at, struct boot_info *out)
{
    memset(out, 0, sizeof(*out));
    if (magic == MULTIBOOT_LOADED) {
        multiboot1_read((const void *)(uint64_t)at, out);
    } else if (magic == MULTIBOOT2_LOADED && at % TAG_ALIGN == 0) {
        multiboot2_read((const void *)(uint64_t)at, LOW_LIMIT - at, out);
    } else {
        fatal("not started by a Multiboot boot loader");
    }
    if (!out->nr_ranges) {
        fatal("the boot loader gave no memory map");
    }
}
