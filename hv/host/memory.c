/* SPDX-License-Identifier: MIT */
/* The hardware domain's memory: RAM where the machine has it, and what devices have of the rest. */
#include "host_private.h"
#include <stdio.h>
#include <string.h>
#include "mm/frame.h"
#include "mm/ram.h"
#include "x86/acpi.h"

#define PIECES       16u
#define LOW_END      (1ULL << 20) /* below, what the firmware leaves is nobody's */
#define HIGH         (4ULL << 30)
#define MESSAGES     0xfee00000ULL /* the local APIC, and what devices write to interrupt */
#define MESSAGES_END 0xfef00000ULL
#define HPET_ADDRESS 44u /* in its table */

struct piece {
    uint64_t first, end; /* frames */
};
static struct piece pieces[PIECES];
static unsigned nr_pieces;
static uint64_t nr_kept, wanted;
static char lacks[96] = "the device tree has no such domain";
static struct boot_module *modules;
static unsigned nr_modules;
static uint64_t hpet;

const char *host_lacks(void)
{
    return lacks;
}

bool host_ram(unsigned n, uint64_t *start, uint64_t *end)
{
    if (n >= nr_pieces || lacks[0]) {
        return false;
    }
    *start = pieces[n].first << PAGE_SHIFT;
    *end = pieces[n].end << PAGE_SHIFT;
    return true;
}

/* Behind all RAM: its last pages. */
uint64_t host_acpi_gfn(void)
{
    return pieces[nr_pieces - 1].end - GUEST_SPECIAL_PAGES - 1;
}

/* ---- reserving ---- */

/* The boot module that a frame belongs to, or NULL. */
static const struct boot_module *module_at(uint64_t frame)
{
    for (unsigned i = 0; i < nr_modules; i++) {
        uint64_t start = (uint64_t)modules[i].start;

        if (modules[i].size && frame >= start >> PAGE_SHIFT &&
            frame <= (start + modules[i].size - 1) >> PAGE_SHIFT) {
            return &modules[i];
        }
    }
    return NULL;
}

static bool add_piece(uint64_t first, uint64_t end)
{
    if (nr_pieces > 0 && pieces[nr_pieces - 1].end == first) {
        pieces[nr_pieces - 1].end = end;
    } else if (nr_pieces < PIECES) {
        pieces[nr_pieces++] = (struct piece){first, end};
    } else {
        return false;
    }
    nr_kept += end - first;
    return true;
}

/* Takes what it can of [at, end), up to the next frame that it cannot have; where to go on. */
static uint64_t keep_some(uint64_t at, uint64_t end)
{
    bool low = at < LOW_END >> PAGE_SHIFT, taken = low || module_at(at);
    uint64_t left = wanted - nr_kept, limit = taken ? low ? LOW_END >> PAGE_SHIFT : at + 1 : end;
    uint64_t stop;

    limit = limit < end ? limit : end;
    limit = limit - at < left ? limit : at + left;
    stop = frame_keep(at, limit, taken);
    if (stop > at && !add_piece(at, stop)) {
        wanted = nr_kept; /* no more of that */
    }
    return stop > at ? stop : at + 1;
}

static void keep_range(const struct ram_range *r)
{
    uint64_t at = (r->start + PAGE_SIZE - 1) >> PAGE_SHIFT, end = r->end >> PAGE_SHIFT;

    for (at = at ? at : 1; at < end && nr_kept < wanted;) {
        at = keep_some(at, end);
    }
}

static bool is_kept(uint64_t frame)
{
    for (unsigned i = 0; i < nr_pieces; i++) {
        if (frame >= pieces[i].first && frame < pieces[i].end) {
            return true;
        }
    }
    return false;
}

/* False: there is no room for it anywhere else. */
static bool move_module(struct boot_module *m)
{
    uint64_t start = (uint64_t)m->start, pages = (m->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
    mfn_t to;
    bool in = false;

    for (uint64_t i = 0; i < pages; i++) {
        in |= is_kept((start >> PAGE_SHIFT) + i);
    }
    if (!in) {
        return true;
    }
    to = frame_alloc_run(FRAME_OWNER_HV, pages);
    if (mfn_eq(to, MFN_INVALID)) {
        return false;
    }
    memcpy(frame_virt(to), m->start, m->size);
    m->start = frame_virt(to);
    return true;
}

static void reserve(uint64_t memory_kib)
{
    uint64_t kib = memory_kib;

    lacks[0] = '\0';
    wanted = kib >> 2;
    for (unsigned i = 0; ram_get(i); i++) {
        if (ram_get(i)->type == RAM_USABLE) {
            keep_range(ram_get(i));
        }
    }

    if (nr_kept < kib >> 2) {
        snprintf(lacks, sizeof(lacks),
                 "the machine has %llu KiB of memory for it, it needs %llu KiB",
                 (unsigned long long)nr_kept << 2, (unsigned long long)kib);
    }
    for (unsigned i = 0; i < nr_modules && !lacks[0]; i++) {
        if (!move_module(&modules[i])) {
            snprintf(lacks, sizeof(lacks), "there is no room for the boot modules beside it");
        }
    }
}

void host_prepare(struct boot_module *m, unsigned nr)
{
    struct domain_config c;
    struct dtree t;

    if (nr == 0 || dtree_open(&t, m[0].start, m[0].size)) {
        return; /* it is told of later */
    }
    modules = m;
    nr_modules = nr;
    for (int node = dtree_first(&t); node >= 0; node = dtree_next(&t, node)) {
        if (!dtree_domain(&t, node, nr, DOMAIN_MAX, DOMAIN_VCPUS, &c) && c.hardware) {
            for (unsigned i = 0; i < c.pci_hidden; i++) {
                hide_function(c.pci_hide[i]);
            }
            reserve(c.memory_kib);
            return;
        }
    }
}

/* ---- what it is told of memory ---- */

struct list {
    struct hvm_memmap_table_entry *entry;
    unsigned nr, most;
};

static void list(struct list *l, uint64_t start, uint64_t end, uint32_t type)
{
    if (start < end && l->nr < l->most) {
        l->entry[l->nr++] = (struct hvm_memmap_table_entry){start, end - start, type, 0};
    }
}

/* Usable memory of the machine: what it has, and what it has not. */
static void list_usable(struct list *l, const struct ram_range *r)
{
    uint64_t at = r->start, acpi = host_acpi_gfn() << PAGE_SHIFT, start, end;

    for (unsigned i = 0; host_ram(i, &start, &end); i++) {
        if (start < r->start || end > r->end) {
            continue;
        }
        list(l, at, start, XEN_HVM_MEMMAP_TYPE_RESERVED);
        at = end;
        end = i == nr_pieces - 1 ? acpi : end;
        list(l, start, end, XEN_HVM_MEMMAP_TYPE_RAM);
        if (end == acpi) {
            list(l, acpi, acpi + PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_ACPI);
            list(l, acpi + PAGE_SIZE, at, XEN_HVM_MEMMAP_TYPE_RESERVED);
        }
    }
    list(l, at, r->end, XEN_HVM_MEMMAP_TYPE_RESERVED);
}

unsigned host_memory_map(struct hvm_memmap_table_entry *out, unsigned most)
{
    struct list l = {out, 0, most};

    for (unsigned i = 0; ram_get(i); i++) {
        const struct ram_range *r = ram_get(i);

        if (r->type == RAM_USABLE) {
            list_usable(&l, r);
        } else {
            list(&l, r->start, r->end, r->type);
        }
    }
    return l.nr;
}
_Static_assert(RAM_RESERVED == XEN_HVM_MEMMAP_TYPE_RESERVED &&
                   RAM_ACPI == XEN_HVM_MEMMAP_TYPE_ACPI && RAM_NVS == XEN_HVM_MEMMAP_TYPE_NVS &&
                   RAM_BAD == XEN_HVM_MEMMAP_TYPE_UNUSABLE,
               "arch-x86/hvm/start_info.h");

/* ---- what devices have ---- */

void host_begin(struct domain *d)
{
    uint32_t size;
    const uint8_t *t = acpi_find("HPET", &size);

    hpet = t && size >= HPET_ADDRESS + 8 ? acpi_number(t + HPET_ADDRESS, 8) : 0;
    host_domain = d;
    host_power_init();
    host_ports_init();
    host_ioapic_begin();
    config_begin();
    msi_begin();
    pci_each(msi_add);
    iommu_begin();
}

static bool overlaps(uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
    return start < to && end > from;
}

/* No memory, which somebody else or nobody has, and nothing that the hypervisor keeps. */
bool host_is_device(uint64_t start, uint64_t end)
{
    return end <= HIGH && !ram_any_usable(start, end) &&
           !overlaps(start, end, MESSAGES, MESSAGES_END) &&
           !(hpet && overlaps(start, end, hpet, hpet + PAGE_SIZE)) &&
           !host_ioapic_page(start, end) && !config_page(start, end) && !iommu_page(start, end) &&
           !hide_page(start, end);
}

/* Whether all of it is the hardware domain's to touch. Of the first page, the firmware's data may
 * be read. */
static bool is_device(uint64_t start, uint64_t end)
{
    return end <= PAGE_SIZE ||
           (host_is_device(start, end) && !msi_page(start, end) && !host_power_page(start, end));
}

/* A large page where nothing stands in it, else a small one. */
bool host_map(struct domain *d, gpa_t a)
{
    uint64_t g = a.v >> PAGE_SHIFT, nr = 1ULL << ORDER_2M, block = g & ~(nr - 1);
    bool large = is_device(block << PAGE_SHIFT, (block + nr) << PAGE_SHIFT) &&
                 hostmap_next(&d->physmap, block) >= block + nr;
    int error = -1;

    if (d != host_domain || !is_device(g << PAGE_SHIFT, (g + 1) << PAGE_SHIFT)) {
        return false;
    }
    if (large) {
        error = hostmap_map(&d->physmap, gfn(block), mfn(block), ORDER_2M, MAP_MMIO, ACCESS_RWX);
    }
    if (error) {
        error = hostmap_map(&d->physmap, gfn(g), mfn(g), ORDER_4K, MAP_MMIO, ACCESS_RWX);
    }
    return error == 0;
}

/* Leaf by leaf, which needs no table: a large one is a device's as a whole. */
void host_unmap(uint64_t start, uint64_t end)
{
    struct physmap *pm = &host_domain->physmap;
    struct mapping m;

    for (uint64_t g = start >> PAGE_SHIFT; g << PAGE_SHIFT < end; g++) {
        if (hostmap_lookup(pm, gfn(g), &m) && m.type == MAP_MMIO) {
            CHECK(hostmap_unmap(pm, gfn(g & ~((1ULL << m.order) - 1)), m.order) == 0);
        }
    }
}
