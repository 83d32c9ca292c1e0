/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to hv/svm/. */
#include "core/format.h"
#include "needs.h"
#include "vcpu.h"
#include "vcpu/vendor.h"
#include "vmcb.h"

/* What SVM keeps per vCPU, in v->vendor. */
struct svm_vcpu {
    struct vmcb *vmcb;
    uint32_t exceptions; /* intercepted but when a double fault is delivered */
    union {              /* most entries look at none of it */
        struct {
            uint32_t pending; /* TRAP_*: a #DB that is due before the next instruction */
            bool mirrored;    /* as v->mirror, by svm_watch() */
        };
        uint64_t special;
    };
    bool loses_paging; /* see enter() */
    struct vmcb *host; /* svm_host(), and ... */
    struct tags *tags; /* asid.c: ... of the processor on which v is loaded */
    uint8_t length;    /* of the instruction that exited, where it has to be found out */
    uint8_t advanced;  /* bytes by which RIP was moved for a software interrupt that is delivered */
    uint8_t injected_type;   /* of that: enum event_type */
    bool gp_injected;        /* by the last entry */
    bool delivering;         /* the next entry delivers an event and does nothing else */
    bool nmi_blocked;        /* since one was delivered, until its IRET has run */
    uint64_t flushes, stale; /* asid.c: what was noted of svm_flushes; when its addresses changed */
    uint64_t dr[4], tsc_aux; /* while v is not loaded */
    uint8_t slots[2][32];    /* asid.c: of tables used lately, by the low bits of their frames */
};
static inline struct svm_vcpu *svm_of(const struct vcpu *v)
{
    return (struct svm_vcpu *)(uintptr_t)v->vendor;
}

extern struct svm_features svm_features;
extern uint64_t svm_host_cr0;
extern uint8_t *svm_io_map; /* of all vCPUs: every port exits */
/* The hypervisor's FS, GS, TR, LDTR and MSRs on this processor, for VMLOAD. */
#define svm_host() ((struct vmcb *)this_cpu()->vendor)
/* A page for nested tables that are in use for one entry, on this processor. */
#define svm_spare_root() ((uint64_t *)(void *)((char *)this_cpu()->vendor + PAGE_SIZE))

/* entry.S: runs the guest until #VMEXIT. `regs` but RAX, which is in the VMCB. */
void svm_enter(struct vcpu_regs *regs, struct vmcb *guest, struct vmcb *host);

/* exit.c: what the VMCB tells of the exit. */
void svm_tell(struct vcpu *v, struct vcpu_exit *e);
void svm_tell_pending(struct svm_vcpu *x,
                      struct vcpu_exit *e); /* x->pending, in place of running */
void svm_tell_violation(struct vcpu_exit *e, const struct vmcb *b,
                        bool delivering);  /* of the nested tables */
unsigned svm_length(const struct vcpu *v); /* of the instruction that exited; 0: not known */

/*
 * An interrupt that waited can come in now. The window would tell so at the next entry, but not on
 * Bochs 2.7, which looks for it when a guest changes IF: such an exit is one for all to see.
 */
static inline bool svm_can_be_interrupted(const struct vmcb *b)
{
    return (b->vintr & VINTR_IRQ) && (b->rflags & X86_EFLAGS_IF);
}

/* vmfunc.c: whether the exit was VMFUNC, or the call that stands for it, and is done, but that the
 * tables are others (asid_change()). STOPS: not to be gone on from at once; TRAPS: with x->pending.
 */
enum vmfunc_done { VMFUNC_NOT, VMFUNC_DONE, VMFUNC_STOPS, VMFUNC_TRAPS };
enum vmfunc_done vmfunc_done(struct vcpu *v, struct svm_vcpu *x);
/* With several processors: the same without the big lock (hv/exit/own.c), tables and all. False:
 * with it. */
bool vmfunc_own(struct vcpu *v, struct svm_vcpu *x);

/* These parts of the VMCB changed since the last VMRUN. */
static inline void svm_dirty(struct svm_vcpu *x, uint32_t clean)
{
    x->vmcb->clean &= ~clean;
}

/* asid.c: tags of translations, one for each vCPU and table that were used lately. */
void asid_init(uint32_t number);
void asid_load(struct vcpu *v); /* on this processor */
extern uint64_t svm_flushes;    /* moves when a tag changes hands, or has to be flushed */
void asid_follow(struct vcpu *v);
/* Without the big lock: v goes on with these tables, if it has a tag for them with nothing to be
 * forgotten. */
bool asid_own(struct vcpu *v, mfn_t root);
/* Before VMRUN: has the VMCB name v's tables and their tag, and flush what has to be.
 * asid_change(): for short, where the guest has changed v's tables and nobody else anything. */
void asid_change(struct vcpu *v);
static inline void asid_use(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);

    x->vmcb->tlb_control = TLB_KEEP;
    if (v->altp2m_changed || x->flushes != svm_flushes) {
        asid_follow(v);
    }
}
