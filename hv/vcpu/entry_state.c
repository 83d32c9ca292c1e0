/* SPDX-License-Identifier: MIT */
/*
 * Guest state is checked before it is taken from anybody: an entry that fails for it would end the
 * domain. Unrestricted guests only, as everywhere here, so that a segment's RPL does not matter
 * (SDM 3, 26.3.1.2).
 */
#include "vcpu/entry_state.h"

#define RFLAGS_RESERVED 0xffffffffffc08028ULL
#define VM86_AR         0xf3u

#define AR_RESERVED  0xfffe0f00u
#define DATA_RW      3u /* read, write, accessed */
#define DATA_RW_DOWN 7u
#define TSS16_BUSY   3u
#define LDT          2u
#define SELECTOR_LDT 4u

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* The processor may stand behind the last canonical address, and faults there. */
bool entry_rip_valid(uint64_t rip, bool long_mode_code)
{
    uint64_t high = rip >> (long_mode_code ? 48 : 32);

    return high == 0 || (long_mode_code && high == 0xffff);
}

bool entry_rflags_valid(uint64_t rflags, uint64_t cr0, uint64_t efer)
{
    return !(rflags & RFLAGS_RESERVED) && (rflags & X86_EFLAGS_FIXED) &&
           (!(rflags & X86_EFLAGS_VM) || (!(efer & EFER_LMA) && (cr0 & X86_CR0_PE)));
}

/* What holds for all of them that can be used: the limit's form, and that they are there. */
static bool descriptor_valid(const struct segment *s)
{
    return (s->ar & AR_PRESENT) && !(s->ar & AR_RESERVED) &&
           (!(s->ar & AR_G) || (s->limit & 0xfff) == 0xfff) &&
           ((s->ar & AR_G) || !(s->limit >> 20));
}

static bool code_valid(const struct entry_state *s)
{
    const struct segment *cs = &s->segment[SEG_CS];
    unsigned type = AR_TYPE(cs->ar), dpl = AR_DPL(cs->ar), cpl = AR_DPL(s->segment[SEG_SS].ar);

    if ((cs->ar & AR_UNUSABLE) || !(cs->ar & AR_S) || !descriptor_valid(cs) || cs->base >> 32 ||
        ((s->efer & EFER_LMA) && (cs->ar & AR_LONG) && (cs->ar & AR_DB))) {
        return false;
    }
    return type == DATA_RW            ? dpl == 0
           : type == 9 || type == 11  ? dpl == cpl
           : type == 13 || type == 15 ? dpl <= cpl
                                      : false;
}

static bool stack_valid(const struct entry_state *s)
{
    const struct segment *ss = &s->segment[SEG_SS];
    unsigned type = AR_TYPE(ss->ar);
    bool kernel = !(s->cr0 & X86_CR0_PE) || AR_TYPE(s->segment[SEG_CS].ar) == DATA_RW;

    if (kernel && AR_DPL(ss->ar) != 0) {
        return false;
    }
    return (ss->ar & AR_UNUSABLE) || ((type == DATA_RW || type == DATA_RW_DOWN) &&
                                      (ss->ar & AR_S) && descriptor_valid(ss) && !(ss->base >> 32));
}

static bool data_valid(const struct segment *s)
{
    return (s->ar & AR_UNUSABLE) ||
           ((s->ar & AR_S) && (s->ar & AR_ACCESSED) && descriptor_valid(s) &&
            (!(s->ar & AR_CODE) || (s->ar & AR_WRITABLE)));
}

static bool vm86_valid(const struct entry_state *s)
{
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        const struct segment *g = &s->segment[i];

        if (g->base != (uint64_t)g->selector << 4 || g->limit != 0xffff || g->ar != VM86_AR) {
            return false;
        }
    }
    return true;
}

static bool segments_valid(const struct entry_state *s)
{
    static const unsigned low[] = {SEG_ES, SEG_DS};

    if (s->rflags & X86_EFLAGS_VM) {
        return vm86_valid(s);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(low); i++) {
        if (!(s->segment[low[i]].ar & AR_UNUSABLE) && s->segment[low[i]].base >> 32) {
            return false;
        }
    }
    return code_valid(s) && stack_valid(s) && data_valid(&s->segment[SEG_ES]) &&
           data_valid(&s->segment[SEG_DS]) && data_valid(&s->segment[SEG_FS]) &&
           data_valid(&s->segment[SEG_GS]);
}

static bool system_valid(const struct entry_state *s)
{
    const struct segment *tr = &s->segment[SEG_TR], *ldt = &s->segment[SEG_LDTR];
    unsigned type = AR_TYPE(tr->ar);

    if ((tr->selector & SELECTOR_LDT) || (tr->ar & (AR_UNUSABLE | AR_S)) || !descriptor_valid(tr) ||
        !canonical(tr->base) ||
        (type != AR_TSS32_BUSY && ((s->efer & EFER_LMA) || type != TSS16_BUSY))) {
        return false;
    }
    return (ldt->ar & AR_UNUSABLE) ||
           (!(ldt->selector & SELECTOR_LDT) && !(ldt->ar & AR_S) && AR_TYPE(ldt->ar) == LDT &&
            descriptor_valid(ldt) && canonical(ldt->base));
}

/* SDM 3, 26.3.1.1, and 2.5 for what MOV to CR0 would refuse. */
static bool control_valid(const struct entry_state *s)
{
    bool paging = s->cr0 & X86_CR0_PG, lma = s->efer & EFER_LMA;

    if (s->cr0 >> 32 || (paging && !(s->cr0 & X86_CR0_PE)) ||
        ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD)) || (s->cr4 & ~vcpu_cr4_allowed()) ||
        (s->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))) {
        return false;
    }
    return lma == (paging && (s->efer & EFER_LME)) &&
           (lma ? s->cr4 & X86_CR4_PAE : !(s->cr4 & X86_CR4_PCIDE));
}

bool entry_state_valid(const struct entry_state *s)
{
    const struct segment *g = s->segment;
    bool long_mode_code = (s->efer & EFER_LMA) && (g[SEG_CS].ar & AR_LONG);

    return control_valid(s) && entry_rip_valid(s->rip, long_mode_code) &&
           entry_rflags_valid(s->rflags, s->cr0, s->efer) && segments_valid(s) && system_valid(s) &&
           canonical(g[SEG_FS].base) && canonical(g[SEG_GS].base);
}

bool vcpu_start_valid(const struct vcpu_start *s)
{
    struct entry_state e = {
        .cr0 = s->cr0, .cr4 = s->cr4, .efer = s->efer, .rip = s->rip, .rflags = s->rflags};
    const struct segment *from[SEG_COUNT] = {
        [SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss, [SEG_DS] = &s->ds,
        [SEG_FS] = &s->ds, [SEG_GS] = &s->ds, [SEG_TR] = &s->tr};

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        e.segment[i] = from[i] ? *from[i] : (struct segment){.ar = AR_UNUSABLE};
        e.segment[i].ar = e.segment[i].ar ? e.segment[i].ar : AR_UNUSABLE;
    }
    return entry_state_valid(&e);
}
