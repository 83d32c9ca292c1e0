/* SPDX-License-Identifier: MIT */
/* A vCPU's state as hv/vcpu/state.h names it, in the VMCB and in the processor. */
#include <facet/check.h>
#include "svm.h"
#include "x86/cpu.h"

#define EFER_SVME (1u << 12)

/* Where plain fields are, and which clean bit their change takes. */
static const struct svm_field {
    uint16_t offset, clean;
} fields[VCPU_FIELDS] = {
    [VCPU_RIP] = {offsetof(struct vmcb, rip), 0},
    [VCPU_RSP] = {offsetof(struct vmcb, rsp), 0},
    [VCPU_RFLAGS] = {offsetof(struct vmcb, rflags), 0},
    [VCPU_CR0] = {offsetof(struct vmcb, cr0), CLEAN_CR},
    [VCPU_CR2] = {offsetof(struct vmcb, cr2), CLEAN_CR2},
    [VCPU_CR3] = {offsetof(struct vmcb, cr3), CLEAN_CR},
    [VCPU_CR4] = {offsetof(struct vmcb, cr4), CLEAN_CR},
    [VCPU_DR6] = {offsetof(struct vmcb, dr6), CLEAN_DR},
    [VCPU_DR7] = {offsetof(struct vmcb, dr7), CLEAN_DR},
    [VCPU_DEBUGCTL] = {offsetof(struct vmcb, debugctl), 0},
    [VCPU_PAT] = {offsetof(struct vmcb, pat), CLEAN_NESTED},
    [VCPU_STAR] = {offsetof(struct vmcb, star), 0},
    [VCPU_LSTAR] = {offsetof(struct vmcb, lstar), 0},
    [VCPU_CSTAR] = {offsetof(struct vmcb, cstar), 0},
    [VCPU_FMASK] = {offsetof(struct vmcb, sfmask), 0},
    [VCPU_KERNEL_GS_BASE] = {offsetof(struct vmcb, kernel_gs_base), 0},
    [VCPU_SYSENTER_CS] = {offsetof(struct vmcb, sysenter_cs), 0},
    [VCPU_SYSENTER_ESP] = {offsetof(struct vmcb, sysenter_esp), 0},
    [VCPU_SYSENTER_EIP] = {offsetof(struct vmcb, sysenter_eip), 0},
    [VCPU_GDTR_BASE] = {offsetof(struct vmcb, gdtr.base), CLEAN_TABLES},
    [VCPU_IDTR_BASE] = {offsetof(struct vmcb, idtr.base), CLEAN_TABLES},
};

static const uint16_t segments[SEG_COUNT] = {
    [SEG_ES] = offsetof(struct vmcb, es),     [SEG_CS] = offsetof(struct vmcb, cs),
    [SEG_SS] = offsetof(struct vmcb, ss),     [SEG_DS] = offsetof(struct vmcb, ds),
    [SEG_FS] = offsetof(struct vmcb, fs),     [SEG_GS] = offsetof(struct vmcb, gs),
    [SEG_LDTR] = offsetof(struct vmcb, ldtr), [SEG_TR] = offsetof(struct vmcb, tr),
};

/* Each use names its field: little is left of these. */
extern inline uint64_t svm_get(const struct vcpu *v, enum vcpu_field f);
extern inline void svm_set(struct vcpu *v, enum vcpu_field f, uint64_t value);

static uint64_t *field_at(struct vmcb *b, enum vcpu_field f)
{
    return (uint64_t *)(void *)((uint8_t *)b + fields[f].offset);
}

static struct vmcb_segment *segment_at(struct vmcb *b, unsigned segment)
{
    return (struct vmcb_segment *)(void *)((uint8_t *)b + segments[segment]);
}

/*
 * Attributes are the descriptor's bits without the four of the limit between them (APM 2, 15.5.1).
 * A segment that is not present cannot be used. SS has the CPL beside it. A TSS is busy while TR
 * holds it: QEMU 7.2 says what it was before LTR.
 */
static uint32_t ar_of(const struct vmcb *b, const struct vmcb_segment *s)
{
    uint32_t a = s->attributes, ar = (a & 0xff) | (a & 0xf00) << 4;

    if (s == &b->ss) {
        ar = (ar & ~(3u << 5)) | (uint32_t)b->cpl << 5;
    }
    if (s == &b->tr) {
        ar |= AR_BUSY;
    }
    return a & AR_PRESENT ? ar : ar | AR_UNUSABLE;
}

static void set_ar(struct vmcb *b, struct vmcb_segment *s, uint32_t ar)
{
    if (s == &b->ss) {
        b->cpl = AR_DPL(ar);
    }
    s->attributes = ar & AR_UNUSABLE ? 0 : (uint16_t)((ar & 0xff) | (ar >> 4 & 0xf00));
}

static uint64_t get_segment(const struct vmcb *b, unsigned group, const struct vmcb_segment *s)
{
    switch (group) {
    case 0:
        return s->selector;
    case 1:
        return s->base;
    case 2:
        return s->limit;
    default:
        return ar_of(b, s);
    }
}

static uint64_t get_other(const struct vcpu *v, enum vcpu_field f)
{
    const struct svm_vcpu *x = svm_of(v);
    struct vmcb *b = x->vmcb;

    switch (f) {
    case VCPU_DR0 ... VCPU_DR3:
        return read_dr(f - VCPU_DR0);
    case VCPU_TSC_AUX:
        return rdmsr(MSR_TSC_AUX);
    case VCPU_GDTR_LIMIT:
        return b->gdtr.limit;
    case VCPU_IDTR_LIMIT:
        return b->idtr.limit;
    case VCPU_BLOCKING: /* one bit stands for STI's and MOV SS's */
        return (b->shadow & SHADOW_ACTIVE ? BLOCKING_STI : 0) | (x->nmi_blocked ? BLOCKING_NMI : 0);
    case VCPU_PENDING_TRAP:
        return x->pending;
    case VCPU_EXIT_LENGTH:
        return svm_length(v);
    case VCPU_EXIT_DETAIL:
    case VCPU_PDPTE0 ... VCPU_PDPTE3:
        return 0;
    default:
        CHECK(f >= VCPU_SELECTOR && f < VCPU_FIELDS);
        return get_segment(b, (f - VCPU_SELECTOR) / SEG_COUNT,
                           segment_at(b, (f - VCPU_SELECTOR) % SEG_COUNT));
    }
}

__attribute__((always_inline)) inline uint64_t svm_get(const struct vcpu *v, enum vcpu_field f)
{
    struct vmcb *b = svm_of(v)->vmcb;

    switch (f) {
    case VCPU_CPL:
        return b->cpl;
    case VCPU_CODE_64:
        return (b->efer & EFER_LMA) && (b->cs.attributes & AR_LONG >> 4);
    case VCPU_EFER:
        return b->efer & ~(uint64_t)EFER_SVME;
    default:
        return fields[f].offset ? *field_at(b, f) : get_other(v, f);
    }
}

static void set_segment(struct svm_vcpu *x, unsigned group, unsigned segment, uint64_t value)
{
    struct vmcb_segment *s = segment_at(x->vmcb, segment);

    switch (group) {
    case 0:
        s->selector = (uint16_t)value;
        break;
    case 1:
        s->base = value;
        break;
    case 2:
        s->limit = (uint32_t)value;
        break;
    default:
        set_ar(x->vmcb, s, (uint32_t)value);
        break;
    }
    svm_dirty(x, CLEAN_SEGMENTS);
}

static void set_blocking(struct svm_vcpu *x, uint64_t blocking)
{
    x->vmcb->shadow = blocking & (BLOCKING_STI | BLOCKING_MOVSS) ? SHADOW_ACTIVE : 0;
    x->nmi_blocked = blocking & BLOCKING_NMI;
    x->vmcb->misc1 = x->nmi_blocked ? x->vmcb->misc1 | MISC1_IRET : x->vmcb->misc1 & ~MISC1_IRET;
    svm_dirty(x, CLEAN_INTERCEPTS);
}

static void set_other(struct svm_vcpu *x, enum vcpu_field f, uint64_t value)
{
    switch (f) {
    case VCPU_EFER:
        x->vmcb->efer = value | EFER_SVME;
        /* QEMU 7.2 exits from such a state, without PAE, with the hypervisor's paging off. */
        x->loses_paging = (value & (EFER_LME | EFER_LMA)) == EFER_LME;
        svm_dirty(x, CLEAN_CR);
        break;
    case VCPU_DR0 ... VCPU_DR3:
        write_dr(f - VCPU_DR0, value);
        break;
    case VCPU_TSC_AUX:
        wrmsr(MSR_TSC_AUX, value);
        break;
    case VCPU_GDTR_LIMIT:
        x->vmcb->gdtr.limit = (uint32_t)value;
        svm_dirty(x, CLEAN_TABLES);
        break;
    case VCPU_IDTR_LIMIT:
        x->vmcb->idtr.limit = (uint32_t)value;
        svm_dirty(x, CLEAN_TABLES);
        break;
    case VCPU_BLOCKING:
        set_blocking(x, value);
        break;
    case VCPU_PENDING_TRAP:
        x->pending = (uint32_t)value;
        break;
    case VCPU_SLICE: /* there is no such timer: the machine's interrupts end a slice */
    case VCPU_PDPTE0 ... VCPU_PDPTE3: /* read at each walk */
        break;
    default:
        CHECK(f >= VCPU_SELECTOR && f < VCPU_FIELDS);
        set_segment(x, (f - VCPU_SELECTOR) / SEG_COUNT, (f - VCPU_SELECTOR) % SEG_COUNT, value);
        break;
    }
}

__attribute__((always_inline)) inline void svm_set(struct vcpu *v, enum vcpu_field f,
                                                   uint64_t value)
{
    struct svm_vcpu *x = svm_of(v);

    if (!fields[f].offset) {
        set_other(x, f, value);
        return;
    }
    *field_at(x->vmcb, f) = value;
    svm_dirty(x, fields[f].clean);
}
