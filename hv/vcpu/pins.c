/* SPDX-License-Identifier: MIT */
#include "vcpu/pins.h"
#include <errno.h>
#include <facet/hvmop.h>

#define CR0_BITS                                                                                   \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |    \
     X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define EFER_BITS (EFER_SCE | EFER_LME | EFER_NXE)
#define TABLES                                                                                     \
    (FACET_ALTP2M_PIN_IDTR | FACET_ALTP2M_PIN_GDTR | FACET_ALTP2M_PIN_LDTR | FACET_ALTP2M_PIN_TR)

static const struct {
    uint32_t msr, pin;
} msrs[] = {
    {MSR_STAR, FACET_ALTP2M_PIN_STAR},
    {MSR_LSTAR, FACET_ALTP2M_PIN_LSTAR},
    {MSR_CSTAR, FACET_ALTP2M_PIN_CSTAR},
    {MSR_FMASK, FACET_ALTP2M_PIN_FMASK},
    {MSR_SYSENTER_CS, FACET_ALTP2M_PIN_SYSENTER_CS},
    {MSR_SYSENTER_ESP, FACET_ALTP2M_PIN_SYSENTER_ESP},
    {MSR_SYSENTER_EIP, FACET_ALTP2M_PIN_SYSENTER_EIP},
    {MSR_PAT, FACET_ALTP2M_PIN_PAT},
    {MSR_TSC_AUX, FACET_ALTP2M_PIN_TSC_AUX},
    {MSR_APIC_BASE, FACET_ALTP2M_PIN_APIC_BASE},
};

static const uint32_t tables[] = {
    [DESCRIPTOR_IDTR] = FACET_ALTP2M_PIN_IDTR,
    [DESCRIPTOR_GDTR] = FACET_ALTP2M_PIN_GDTR,
    [DESCRIPTOR_LDTR] = FACET_ALTP2M_PIN_LDTR,
    [DESCRIPTOR_TR] = FACET_ALTP2M_PIN_TR,
};

uint32_t pins_msr(unsigned i)
{
    return i < ARRAY_SIZE(msrs) ? msrs[i].msr : 0;
}

uint32_t pins_of_msr(uint32_t msr)
{
    uint32_t pin = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
        pin = msrs[i].msr == msr ? msrs[i].pin : pin;
    }
    return pin;
}

uint32_t pins_of_table(enum vcpu_descriptor which)
{
    return tables[which];
}

static uint32_t all_msrs(void)
{
    uint32_t all = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
        all |= msrs[i].pin;
    }
    return all;
}

static uint32_t offered(void)
{
    return (vendor_caps.descriptors ? TABLES : 0) |
           (vendor_caps.walks_write && !vendor_caps.mirror_slot ? 0 : FACET_ALTP2M_PIN_CR3) |
           (vendor_caps.xcr0_direct ? 0 : FACET_ALTP2M_PIN_XCR0) |
           (all_msrs() & (vendor_caps.tsc_aux ? ~0u : ~FACET_ALTP2M_PIN_TSC_AUX));
}

bool pins_any(const struct vcpu *v)
{
    return pins_name_any(&v->altp2m.pins);
}

uint8_t pins_tables(const struct vcpu *v)
{
    uint8_t set = 0;

    for (unsigned i = DESCRIPTOR_IDTR; i <= DESCRIPTOR_TR; i++) {
        set |= (uint8_t)(v->altp2m.pins.registers & tables[i] ? 1u << i : 0);
    }
    return set;
}

uint32_t pins_of_domain(const struct domain *d)
{
    uint32_t all = 0;

    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        all |= d->vcpus[i] ? d->vcpus[i]->altp2m.pins.registers : 0;
    }
    return all;
}

int pins_check(const struct pins *wanted)
{
    if ((wanted->cr0 & ~(uint64_t)CR0_BITS) || (wanted->cr4 & ~vcpu_cr4_allowed()) ||
        (wanted->efer & ~(uint64_t)EFER_BITS) ||
        (wanted->registers &
         ~(TABLES | FACET_ALTP2M_PIN_CR3 | FACET_ALTP2M_PIN_XCR0 | all_msrs()))) {
        return -EINVAL;
    }
    return wanted->registers & ~offered() ? -EOPNOTSUPP : 0;
}
