/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The seam to the processor's virtualization: Intel's VMX (hv/vmx/) or AMD's SVM (hv/svm/). A
 * vendor knows how to start a processor, run a vCPU and say why it stopped. It decides nothing,
 * calls neither guest nor monitor, and keeps what it needs in v->vendor.
 *
 * All functions that take a vCPU but load(), create() and destroy() want it loaded on this
 * processor; while create() runs no vCPU is.
 */
#include <facet/types.h>
#include "core/format.h"
#include "vcpu/exit.h"
#include "vcpu/state.h"

struct code;
struct vcpu;

/* What this machine has; filled in by init() and true ever after. */
struct vendor_caps {
    const struct table_format *format; /* of nested page tables */
    uint64_t cr4_allowed; /* bits of CR4 that a guest may set, as far as the vendor cares */
    uint64_t root_flags;  /* stand beside a root's address in the page of roots that VMFUNC reads */
    unsigned msr_map_pages; /* size of a map of MSRs */
    bool views;             /* altp2m can be had */
    bool vmfunc;            /* VMFUNC switches views without an exit */
    bool ve;                /* violations can be #VE without an exit */
    bool reflects;          /* #VE is made of exits (hv/exit/reflect.c), and VMFUNC by the vendor */
    bool walks_write;       /* page walks count as writes; a violation of one tells a read */
    bool xcr0_direct;       /* a guest's XSETBV may take effect without an exit */
    bool step;              /* step() works: tested at boot */
    bool breakpoints; /* INT3 exits where #BP is watched; if not, INT n is, too: tested at boot */
    bool slice;       /* VCPU_SLICE has an effect */
    bool descriptors; /* descriptor-table accesses can be watched */
    bool tsc_aux;     /* RDTSCP and TSC_AUX for guests */
    bool pat_direct;  /* a guest's PAT is kept for it, and in effect */
    /* Where page walks count as writes: the entry of a root behind which mirrors of page tables may
     * lie (vcpu/mirror.h), the last that the processor has an address for; 0: none can be had. */
    unsigned mirror_slot;
    uint32_t violation;   /* where there are mirrors: `reason` of VCPU_EXIT_VIOLATION */
    uint8_t hypercall[3]; /* the instruction: VMCALL or VMMCALL */
    char summary[64];     /* for people: "EPT, VMFUNC, #VE" */
};

#define CR3_KNOWN 4u

/* Exits that somebody asked for beside those that are always there. */
struct vendor_watch {
    uint32_t exceptions; /* a bit for each vector */
    uint64_t cr0, cr4;   /* bits whose changes exit */
    bool cr3;
    bool cr3_unknown; /* loads of CR3 but of the last values of cr3_known; these may exit, too */
    unsigned cr3_count;
    uint64_t cr3_known[CR3_KNOWN];
    bool mirror;         /* #PF, INVLPG, INVPCID and accesses to CR3: v->mirror */
    bool descriptors;    /* accesses to descriptor tables */
    uint8_t table_loads; /* loads of these (1 << enum vcpu_descriptor); others may exit, too */
    uint8_t *msr_map;    /* vcpu_msr_map_new(), or NULL for the usual one */
};

enum vendor_step {
    VENDOR_STEP_NONE,
    VENDOR_STEP_INSTRUCTION, /* one, then VCPU_EXIT_STEPPED; only with caps.step */
    VENDOR_STEP_DELIVERY     /* the event's delivery and no instruction, where that can be had */
};

struct vendor {
    const char *name;
    bool (*present)(void); /* CPUID says that this processor has it */
    /* Turns it on, or fatal() with what is missing. On a further processor `caps` is NULL; false:
     * it lacks what the first has. */
    bool (*init)(struct vendor_caps *caps);
    int (*create)(struct vcpu *v);   /* -ENOMEM. v->vendor is zero; registers undefined */
    void (*destroy)(struct vcpu *v); /* not loaded anywhere */
    void (*load)(struct vcpu *v);    /* no other vCPU is loaded */
    void (*unload)(struct vcpu *v);
    /*
     * Delivers v->event if it is due, runs the guest until it exits, and says why. Before, what
     * v->altp2m says is brought into effect if v->altp2m_changed, which is then false; after,
     * v->altp2m.view and root are what the guest made of them (VMFUNC). v->event is due again if
     * the exit broke its delivery off.
     */
    void (*run)(struct vcpu *v, struct vcpu_exit *e);
    uint64_t (*get)(const struct vcpu *v, enum vcpu_field f);
    void (*set)(struct vcpu *v, enum vcpu_field f, uint64_t value);
    /* RIP moves behind the instruction, of the length that the exit told if 0, as if it had run. */
    void (*skip)(struct vcpu *v, unsigned length);
    void (*windows)(struct vcpu *v, bool interrupt, bool nmi); /* exits when one can be taken */
    void (*watch)(struct vcpu *v, const struct vendor_watch *w);
    bool (*step)(struct vcpu *v, enum vendor_step how); /* false: it cannot */
    /* Where a map of MSRs says whether reads, or writes, of this one exit: its byte, and in *bit
     * which bit. NULL: they always do. */
    uint8_t *(*msr_bit)(uint8_t *map, uint32_t msr, bool write, uint8_t *bit);
    /* Forgets v's translations of linear addresses; without v (NULL) those through these nested
     * tables, MFN_INVALID: through all. */
    void (*flush)(struct vcpu *v, mfn_t root);
};

/* Asked by a vendor: up to n bytes of code at v's RIP, as the processor fetches it; how many there
 * are. */
size_t vcpu_code(struct vcpu *v, uint8_t *to, size_t n);
/* All n of them where they are, until v runs; NULL: they have to be copied, or there are fewer. */
const uint8_t *vcpu_code_in_place(struct vcpu *v, size_t n);

/* The same, where they are known already; never walks the guest's tables. */
const uint8_t *vcpu_code_known(struct vcpu *v, size_t n);
/* hv/vcpu/instruction.c: what the processor does not tell of the instruction there that exited. */
void vcpu_code_begin(struct vcpu *v, struct code *c); /* fetched, and its prefixes read */
unsigned vcpu_code_length(struct vcpu *v);            /* 0: not known */
void vcpu_code_cr(struct vcpu *v, struct vcpu_exit *e);
void vcpu_code_string(struct vcpu *v, struct vcpu_exit *e);
struct event vcpu_code_int(struct vcpu *v); /* what INT n, INT3 or INTO there is */
bool vcpu_code_is_dr(struct vcpu *v);       /* MOV from or to a debug register */
bool vcpu_code_is_cr3_load(struct vcpu *v); /* MOV to CR3 */
/* hv/vcpu/vmfunc.c: whether VMFUNC is there, and the tables of a view that it would enter, for who
 * has no processor that does. */
#define VMFUNC_SWITCH 0u /* the leaf, in EAX */
#define VMFUNC_LENGTH 3u
bool vcpu_code_is_vmfunc(struct vcpu *v);
bool vcpu_code_known_vmfunc(struct vcpu *v); /* and is known already */
bool vcpu_view_root(const struct vcpu *v, uint64_t index, mfn_t *root);
void vcpu_enter_view(struct vcpu *v, uint64_t index, mfn_t root); /* they are v's */
/* Right after a violation: true: where a processor that has #VE would have raised it without an
 * exit the information page is filled in, and the vendor delivers it at once, as a fault with RF
 * (hv/exit/reflect.c). */
bool vcpu_reflect(struct vcpu *v, const struct vcpu_exit *e);
/*
 * hv/vcpu/mirror.c: with v->mirror, before an entry. False: the processor walks v's own page tables
 * in this one. *stale: what it knows of v's linear addresses it is to forget first. Where the
 * mirror is, in a copy of these nested tables' root that leads there, too; good for this entry.
 */
struct mirror_place {
    const uint64_t *root;
    uint64_t cr3;
};
bool vcpu_mirror_before(struct vcpu *v, bool *stale);
struct mirror_place vcpu_mirror_place(const struct vcpu *v, const uint64_t *root);
/* With several processors, right after an exit (hv/exit/own.c): true: it concerned v alone and is
 * done but for the instruction to be skipped; v may run on without a word to others. */
bool vcpu_exit_own(struct vcpu *v, enum vcpu_exit_kind kind);
#define OWN_EXITS 64u /* in a row; then others get a look at the vCPU */

/* The map of MSRs of all vCPUs that nobody watches: hv/vcpu/msr_map.c makes it before the first
 * vCPU. */
extern uint8_t *vendor_msr_usual;

/*
 * The tables are here, and not beside their functions, so that a call through them is a call of the
 * function, and can be inlined. An operation is named nowhere else.
 */
#define VENDOR_OPERATIONS(p)                                                                       \
    bool p##_present(void);                                                                        \
    bool p##_init(struct vendor_caps *caps);                                                       \
    int p##_create(struct vcpu *v);                                                                \
    void p##_destroy(struct vcpu *v);                                                              \
    void p##_load(struct vcpu *v);                                                                 \
    void p##_unload(struct vcpu *v);                                                               \
    void p##_run(struct vcpu *v, struct vcpu_exit *e);                                             \
    uint64_t p##_get(const struct vcpu *v, enum vcpu_field f);                                     \
    void p##_set(struct vcpu *v, enum vcpu_field f, uint64_t value);                               \
    void p##_skip(struct vcpu *v, unsigned length);                                                \
    void p##_windows(struct vcpu *v, bool interrupt, bool nmi);                                    \
    void p##_watch(struct vcpu *v, const struct vendor_watch *w);                                  \
    bool p##_step(struct vcpu *v, enum vendor_step how);                                           \
    uint8_t *p##_msr_bit(uint8_t *map, uint32_t msr, bool write, uint8_t *bit);                    \
    void p##_flush(struct vcpu *v, mfn_t root);
#define VENDOR_TABLE(p, called)                                                                    \
    {                                                                                              \
        .name = (called), .present = p##_present, .init = p##_init, .create = p##_create,          \
        .destroy = p##_destroy, .load = p##_load, .unload = p##_unload, .run = p##_run,            \
        .get = p##_get, .set = p##_set, .skip = p##_skip, .windows = p##_windows,                  \
        .watch = p##_watch, .step = p##_step, .msr_bit = p##_msr_bit, .flush = p##_flush           \
    }

VENDOR_OPERATIONS(vmx)
static const struct vendor vmx_vendor = VENDOR_TABLE(vmx, "VMX");

extern struct vendor_caps vendor_caps;
extern const char *vendor_name;
/* Finds out which of them this processor has, or fatal(); then turns it on, or fatal(). */
void vendor_choose(void);
void vendor_init(void);
bool vendor_start(void); /* on a further processor; false: it is not like the first */

/* Of two vendors, a test of one byte chooses. FACET_SVM: hv/svm/ has all of it (hv/hv.mk). */
#ifdef FACET_SVM
VENDOR_OPERATIONS(svm)
static const struct vendor svm_vendor = VENDOR_TABLE(svm, "SVM");
extern bool vendor_is_svm;
#define VENDOR(operation, ...)                                                                     \
    (__builtin_expect(vendor_is_svm, 0) ? svm_vendor.operation(__VA_ARGS__)                        \
                                        : vmx_vendor.operation(__VA_ARGS__))
/* The same for a function that takes the table, to be inlined: one test for all that it does. */
#define VENDOR_ONCE(function, ...)                                                                 \
    (__builtin_expect(vendor_is_svm, 0) ? function(&svm_vendor, __VA_ARGS__)                       \
                                        : function(&vmx_vendor, __VA_ARGS__))
#else
#define VENDOR(operation, ...)     vmx_vendor.operation(__VA_ARGS__)
#define VENDOR_ONCE(function, ...) function(&vmx_vendor, __VA_ARGS__)
#endif
