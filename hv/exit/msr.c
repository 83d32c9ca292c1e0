/* SPDX-License-Identifier: MIT */
/*
 * MSRs. Those that the processor keeps for the guest are its own, without an exit, unless a monitor
 * watches their writes; for the others hv/guest/msr.c is asked.
 */
#include "domain.h"
#include "exit/exit.h"
#include "exit/pinned.h"
#include "monitor.h"

enum msr_kind { KIND_ANY, KIND_CANONICAL, KIND_LOW_HALF, KIND_PAT };

/* What the guest reaches without an exit. */
static const struct msr_direct {
    uint32_t msr;
    uint8_t field; /* enum vcpu_field */
    uint8_t kind;  /* enum msr_kind: which values it takes (SDM 4) */
} direct[] = {
    {MSR_SYSENTER_CS, VCPU_SYSENTER_CS, KIND_ANY},
    {MSR_SYSENTER_ESP, VCPU_SYSENTER_ESP, KIND_CANONICAL},
    {MSR_SYSENTER_EIP, VCPU_SYSENTER_EIP, KIND_CANONICAL},
    {MSR_PAT, VCPU_PAT, KIND_PAT},
    {MSR_FS_BASE, VCPU_BASE + SEG_FS, KIND_CANONICAL},
    {MSR_GS_BASE, VCPU_BASE + SEG_GS, KIND_CANONICAL},
    {MSR_KERNEL_GS_BASE, VCPU_KERNEL_GS_BASE, KIND_CANONICAL},
    {MSR_STAR, VCPU_STAR, KIND_ANY},
    {MSR_LSTAR, VCPU_LSTAR, KIND_CANONICAL},
    {MSR_CSTAR, VCPU_CSTAR, KIND_CANONICAL},
    {MSR_FMASK, VCPU_FMASK, KIND_LOW_HALF},
};

static const struct msr_direct *find_direct(uint32_t msr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(direct); i++) {
        if (direct[i].msr == msr) {
            return &direct[i];
        }
    }
    return NULL;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* Eight memory types: SDM 3, table 11-10. */
static bool pat_valid(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++, value >>= 8) {
        uint8_t type = (uint8_t)value;

        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

static bool direct_valid(const struct msr_direct *d, uint64_t value)
{
    return d->kind == KIND_CANONICAL  ? canonical(value)
           : d->kind == KIND_LOW_HALF ? value >> 32 == 0
           : d->kind == KIND_PAT      ? pat_valid(value)
                                      : true;
}

static bool read_value(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct msr_direct *d = find_direct(msr);

    if (d) {
        *value = vcpu_get(v, (enum vcpu_field)d->field);
        return true;
    }
    if (msr == MSR_EFER) {
        *value = vcpu_get(v, VCPU_EFER);
        return true;
    }
    if (msr == MSR_TSC_AUX && vendor_caps.tsc_aux) {
        *value = vcpu_get(v, VCPU_TSC_AUX);
        return true;
    }
    return guest_rdmsr(v, msr, value);
}

/* What is not pinned is not read for that. */
static bool may_change(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t old = 0;

    return !pinned_msr(v, msr) ||
           (read_value(v, msr, &old) && pinned_allows_msr(v, msr, old, value));
}

static bool write_value(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct msr_direct *d = find_direct(msr);

    if (!may_change(v, msr, value)) {
        return false;
    }
    if (d) {
        if (!direct_valid(d, value)) {
            return false;
        }
        vcpu_set(v, (enum vcpu_field)d->field, value);
        return true;
    }
    if (msr == MSR_EFER) {
        return control_set_efer(v, value);
    }
    if (msr == MSR_TSC_AUX) {
        if (!vendor_caps.tsc_aux || value >> 32) {
            return false;
        }
        vcpu_set(v, VCPU_TSC_AUX, value);
        return true;
    }
    return guest_wrmsr(v, msr, value);
}

void msr_read_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t value = 0;

    (void)e;
    if (!read_value(v, (uint32_t)v->regs.rcx, &value)) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    v->regs.rax = (uint32_t)value;
    v->regs.rdx = value >> 32;
    exit_skip(v, 0);
}

/* As on Xen, what cannot be read is refused here already. */
static bool watched(struct vcpu *v, uint32_t msr, uint64_t value, enum monitor_result *told)
{
    uint64_t old = 0;

    *told = MONITOR_UNWANTED;
    if (!monitor_wants_msr(v, msr)) {
        return true;
    }
    if (!read_value(v, msr, &old)) {
        return false;
    }
    *told = monitor_msr_write(v, msr, value, old);
    return true;
}

void msr_write_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t value = (v->regs.rdx << 32) | (uint32_t)v->regs.rax;
    uint32_t msr = (uint32_t)v->regs.rcx;
    enum monitor_result told;
    bool ok = watched(v, msr, value, &told);

    (void)e;
    if (ok && told == MONITOR_FULL) {
        return; /* the instruction runs again */
    }
    if (ok && told != MONITOR_HELD) {
        ok = write_value(v, msr, value);
    }
    if (ok) {
        exit_skip(v, 0);
    } else {
        vcpu_inject_error(v, EXC_GP, 0);
    }
}

void msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (!write_value(v, msr, value)) {
        vcpu_inject_error(v, EXC_GP, 0);
    }
}
