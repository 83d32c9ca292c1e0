/* SPDX-License-Identifier: MIT */
/*
 * A small guest for the tests of the hand: RAM in pages that are scattered over its physical
 * addresses, a view, a monitor, and what the hand asks of the rest of the hypervisor. A test
 * file includes it in place of the hand's sources, which are in here.
 */
#ifndef FACET_TESTS_HAND_GUEST_H
#define FACET_TESTS_HAND_GUEST_H

#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "guest/xen_abi.h"
#include "x86/cpu.h"

static struct cpu test_cpu;
#define this_cpu()    (&test_cpu)
#define cpu_loaded(v) (test_cpu.loaded == (v))
#include "hv/vcpu/hand.c"
#include "hv/vcpu/hand_page.c"
#include "hv/vcpu/hand_reach.c"
#include "hv/vcpu/hand_walk.c"

/* Where the guest has RAM. The odd ones are what indices 0 to 3 and 511 make of large pages. */
static const uint64_t ram_gfns[] = {
    0,        1,        2,     3,       4,        5,         6,
    7,        8,        9,     10,      11,       12,        13,
    14,       15,       511,   512,     513,      514,       515,
    1024,     1025,     1535,  0x3ffff, 0x40000,  0x40001,   0xfffff,
    0x100000, 0x100001, 0x200, 0x201,   0x100200, 0xff00000, 0xffffffffffULL,
};
#define PAGES   ARRAY_SIZE(ram_gfns)
#define NO_PAGE 0x777u /* a gfn without RAM */

enum mode { MODE_OFF, MODE_32, MODE_32_PSE, MODE_PAE, MODE_LONG, MODES };

static struct guest_state {
    enum mode mode;
    uint64_t cr3, rip;
    bool wp, smep, smap, pge, ac, nxe, gib_pages;
    unsigned cpl, bits; /* of a physical address */
} cpu;

static uint8_t (*ram_pages)[PAGE_SIZE]; /* one for each of ram_gfns */
static struct domain domain;
static struct vcpu vcpu = {.domain = &domain};
static bool listener; /* a monitor listens */
static bool moved;    /* gfn 5 shows the frame of gfn 6 */

/* ---- what the hand asks for ---- */

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    assert_ptr_equal(test_cpu.loaded, v);
    switch (f) {
    case VCPU_RIP:
        return cpu.rip;
    case VCPU_CODE_64:
        return cpu.mode == MODE_LONG;
    case VCPU_CPL:
        return cpu.cpl;
    case VCPU_CR0:
        return X86_CR0_PE | (cpu.mode == MODE_OFF ? 0 : X86_CR0_PG) | (cpu.wp ? X86_CR0_WP : 0);
    case VCPU_CR3:
        return cpu.cr3;
    case VCPU_CR4:
        return (cpu.mode == MODE_32_PSE ? X86_CR4_PSE : 0) |
               (cpu.mode >= MODE_PAE ? X86_CR4_PAE : 0) | (cpu.smap ? X86_CR4_SMAP : 0) |
               (cpu.smep ? X86_CR4_SMEP : 0) | (cpu.pge ? X86_CR4_PGE : 0);
    case VCPU_EFER:
        return (cpu.mode == MODE_LONG ? EFER_LMA : 0) | (cpu.nxe ? EFER_NXE : 0);
    case VCPU_RFLAGS:
        return cpu.ac ? X86_EFLAGS_AC : 0;
    default:
        fail_msg("field %d", f);
        return 0;
    }
}

unsigned cpuid_physical_bits(void)
{
    return cpu.bits;
}

bool cpuid_gib_pages(void)
{
    return cpu.gib_pages;
}

static uint8_t *page_in(uint8_t (*pages)[PAGE_SIZE], uint64_t g)
{
    for (unsigned i = 0; i < PAGES; i++) {
        if (ram_gfns[i] == g) {
            return pages[i];
        }
    }
    return NULL;
}

/* What the vCPU's view says of each gfn, where it is not everything, and what the core makes
 * of a violation. */
static struct {
    access_t access[16];
    bool remapped;  /* gfn 5 shows the frame of gfn 6 */
    uint16_t fixed; /* 1 << gfn: another domain's frame, given to be read */
    enum fault_result answer;
    unsigned faults;
    uint64_t fault_gfn;
    unsigned fault_rights;
} view_says;

static void view_gives_all(void)
{
    memset(&view_says, 0, sizeof(view_says));
    memset(view_says.access, XENMEM_access_rwx, sizeof(view_says.access));
}

bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out)
{
    bool host = view_eq(v, VIEW_NONE) && !view_eq(vcpu.altp2m.view, VIEW_NONE);
    uint64_t at = moved && g.v == 5 ? 6 : !host && g.v == 5 && view_says.remapped ? 6 : g.v;
    uint8_t *page = page_in(ram_pages, at);

    assert_ptr_equal(pm, &domain.physmap);
    assert_true(host || v.v == vcpu.altp2m.view.v);
    *out =
        (struct mapping){.mfn = frame_of(page),
                         .type = MAP_RAM,
                         .access = !host && g.v < 16 ? view_says.access[g.v] : XENMEM_access_rwx};
    if (g.v < 16 && view_says.fixed >> g.v & 1) {
        out->type = MAP_FOREIGN;
        out->access = XENMEM_access_r;
    }
    return page != NULL;
}

bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out)
{
    return view_lookup(pm, VIEW_NONE, g, out);
}

enum fault_result altp2m_fault(struct altp2m_vcpu *v, const struct fault *f, bool listens)
{
    assert_ptr_equal(v, &vcpu.altp2m);
    assert_int_equal(listens, listener);
    if (!page_in(ram_pages, f->gfn.v)) {
        return FAULT_UNMAPPED;
    }
    view_says.faults++;
    view_says.fault_gfn = f->gfn.v;
    view_says.fault_rights = f->rights;
    if (view_says.answer == FAULT_RETRY || view_says.answer == FAULT_CONVERTED) {
        view_says.access[f->gfn.v] = XENMEM_access_rwx; /* more is no loss */
    }
    return view_says.answer;
}

bool monitor_listens(const struct domain *d)
{
    assert_ptr_equal(d, &domain);
    return listener;
}

static int hand_guest_set_up(void **state)
{
    (void)state;
    ram_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    test_cpu.loaded = &vcpu;
    view_gives_all();
    return ram_pages ? 0 : -1;
}

static int hand_guest_tear_down(void **state)
{
    (void)state;
    free(ram_pages);
    return 0;
}

#endif
