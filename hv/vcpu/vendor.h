/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The seam to the processor's virtualization: Intel's VMX (hv/vmx/) or AMD's SVM (hv/svm/). A
 * vendor knows how to start a processor, run a vCPU and say why it stopped. It decides nothing,
 * calls neither guest nor monitor, and keeps what it needs in v->vendor.
 *
 * All functions that take a vCPU but load(), create() and destroy() want it loaded on this
 * processor.
 */
#include <facet/types.h>
#include "core/format.h"
#include "vcpu/exit.h"
#include "vcpu/state.h"

struct vcpu;

/* What this machine has; filled in by init() and true ever after. */
struct vendor_caps {
    const struct table_format *format; /* of nested page tables */
    uint64_t cr0_fixed,
        cr4_allowed;     /* bits of CR4 that a guest may set, as far as the vendor cares */
    uint64_t root_flags; /* stand beside a root's address in the page of roots that VMFUNC reads */
    unsigned msr_map_pages; /* size of a map of MSRs */
    bool views;             /* altp2m can be had */
    bool vmfunc;            /* VMFUNC switches views without an exit */
    bool ve;                /* violations can be #VE without an exit */
    bool step;              /* step() works: tested at boot */
    bool slice;             /* VCPU_SLICE has an effect */
    bool descriptors;       /* descriptor-table accesses can be watched */
    bool tsc_aux;           /* RDTSCP and TSC_AUX for guests */
    char summary[64];       /* for people: "EPT, VMFUNC, #VE" */
};

/* Exits that somebody asked for beside those that are always there. */
struct vendor_watch {
    uint32_t exceptions; /* a bit for each vector */
    uint64_t cr0, cr4;   /* bits whose changes exit */
    bool cr3;
    bool descriptors;
    uint8_t *msr_map; /* made by msr_map(), or NULL for the usual one */
};

enum vendor_step {
    VENDOR_STEP_NONE,
    VENDOR_STEP_INSTRUCTION, /* one, then VCPU_EXIT_STEPPED; only with caps.step */
    VENDOR_STEP_DELIVERY     /* the event's delivery and no instruction, where that can be had */
};

struct vendor {
    const char *name;
    bool (*present)(void);                  /* CPUID says that this processor has it */
    void (*init)(struct vendor_caps *caps); /* turns it on, or fatal() with what is missing */
    int (*create)(struct vcpu *v);          /* -ENOMEM. The registers are undefined */
    void (*destroy)(struct vcpu *v);        /* not loaded anywhere */
    void (*load)(struct vcpu *v);           /* no other vCPU is loaded */
    void (*unload)(struct vcpu *v);
    /*
     * Delivers v->event if it is due, runs the guest until it exits, and says why. v->altp2m.view
     * and root are what the guest made of them by then (VMFUNC).
     */
    void (*run)(struct vcpu *v, struct vcpu_exit *e);
    uint64_t (*get)(const struct vcpu *v, enum vcpu_field f);
    void (*set)(struct vcpu *v, enum vcpu_field f, uint64_t value);
    /* RIP moves behind the instruction, of the length that the exit told if 0, as if it had run. */
    void (*skip)(struct vcpu *v, unsigned length);
    void (*windows)(struct vcpu *v, bool interrupt, bool nmi); /* exits when one can be taken */
    void (*watch)(struct vcpu *v, const struct vendor_watch *w);
    bool (*step)(struct vcpu *v, enum vendor_step how); /* false: it cannot */
    /* A map of MSRs whose writes exit: one more, or not; MSR_MAP_NEW: as usual. */
    void (*msr_map)(uint8_t *map, uint32_t msr, bool on);
    /* Translations through these tables, MFN_INVALID: through all; or v's linear ones (v may be
     * NULL). */
    void (*flush)(struct vcpu *v, mfn_t root);
};

#define MSR_MAP_NEW 0xffffffffu

extern const struct vendor vmx_vendor, svm_vendor;
extern bool vendor_is_svm;
extern struct vendor_caps vendor_caps;

/*
 * One of two, and the linker sees both: a test of one byte, and a call that can be inlined. An
 * operation of the table is named nowhere else.
 */
#define VENDOR(operation, ...)                                                                     \
    (__builtin_expect(vendor_is_svm, 0) ? svm_vendor.operation(__VA_ARGS__)                        \
                                        : vmx_vendor.operation(__VA_ARGS__))
