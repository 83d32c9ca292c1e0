/* SPDX-License-Identifier: MIT */
#include "vendor.h"
#include <errno.h>
#include <string.h>
#include "machine.h"
#include "mm/frame.h"
#include "vmx/vmx.h"
#include "x86/apic.h"

struct vcpu_exit whole_exit;
bool whole_entered;

static struct vcpu *running; /* whose fields are in the processor */

bool vmx_present(void)
{
    return true;
}

bool vmx_init(struct vendor_caps *caps)
{
    *caps = (struct vendor_caps){
        .format = ept_format(),
        .cr4_allowed = ~0ULL,
        .root_flags = ept_pointer(mfn(0)),
        .msr_map_pages = 1,
        .views = true,
        .vmfunc = true,
        .ve = true,
        .step = true,
        .slice = true,
        .descriptors = true,
        .tsc_aux = true,
    };
    return true;
}

int vmx_create(struct vcpu *v)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, ORDER_4K);

    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    v->vendor[0] = (uint64_t)frame_virt(m);
    memset(whole_of(v), 0xa5, sizeof(struct whole_vcpu));
    whole_of(v)->entered = false;
    return 0;
}
_Static_assert(sizeof(struct whole_vcpu) <= PAGE_SIZE, "one frame");

void vmx_destroy(struct vcpu *v)
{
    EXPECT(running != v, "a vCPU is destroyed while it is loaded");
    frame_put(frame_of(whole_of(v)));
    v->vendor[0] = 0;
}

void vmx_load(struct vcpu *v)
{
    EXPECT(!running, "a vCPU is loaded over another");
    running = v;
}

void vmx_unload(struct vcpu *v)
{
    EXPECT(running == v, "a vCPU is unloaded that was not loaded");
    running = NULL;
}

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    EXPECT(running == v, "field %d of a vCPU that is not loaded", f);
    switch (f) {
    case VCPU_CPL:
        return AR_DPL(*whole_field(v, vcpu_segment_field(VCPU_AR, SEG_SS)));
    case VCPU_CODE_64:
        return (*whole_field(v, VCPU_EFER) & EFER_LMA) &&
               (*whole_field(v, vcpu_segment_field(VCPU_AR, SEG_CS)) & AR_LONG);
    default:
        return *whole_field(v, f);
    }
}

void vmx_set(struct vcpu *v, enum vcpu_field f, uint64_t value)
{
    EXPECT(running == v, "field %d of a vCPU that is not loaded", f);
    EXPECT(f != VCPU_CODE_64 && f != VCPU_EXIT_LENGTH && f != VCPU_EXIT_DETAIL,
           "field %d cannot be set", f);
    *whole_field(v, f) = value;
}

void vmx_skip(struct vcpu *v, unsigned length)
{
    *whole_field(v, VCPU_RIP) += length ? length : *whole_field(v, VCPU_EXIT_LENGTH);
    *whole_field(v, VCPU_BLOCKING) &= ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS);
}

void vmx_windows(struct vcpu *v, bool interrupt, bool nmi)
{
    (void)v, (void)interrupt, (void)nmi;
}

void vmx_watch(struct vcpu *v, const struct vendor_watch *w)
{
    EXPECT(running == v && w, "watching a vCPU that is not loaded");
}

bool vmx_step(struct vcpu *v, enum vendor_step how)
{
    (void)v;
    return how != VENDOR_STEP_DELIVERY;
}

uint8_t *vmx_msr_bit(uint8_t *map, uint32_t msr, bool write, uint8_t *bit)
{
    (void)write;
    *bit = (uint8_t)(1u << msr % 8);
    return map + msr / 8 % PAGE_SIZE;
}

void whole_says(enum vcpu_exit_kind kind, unsigned length)
{
    whole_exit.kind = kind;
    *whole_field(running, VCPU_EXIT_LENGTH) = length;
}

static void follow(struct vcpu *v)
{
    const struct altp2m_vcpu *a = &v->altp2m;
    struct whole_vcpu *w = whole_of(v);

    w->root = a->root;
    w->vmfunc = a->vmfunc;
    w->list = a->pm->list_page;
    w->ve = !mfn_eq(a->ve_info, MFN_INVALID);
    w->ve_info = a->ve_info;
    w->ve_view = a->view;
    v->altp2m_changed = false;
}

/* The time is over, or nothing happens. */
static void idle(void)
{
    whole_says(VCPU_EXIT_WINDOW, 0);
    if (processor.tsc >= processor.deadline) {
        processor.deadline = ~0ULL;
        whole_exit.kind = VCPU_EXIT_INTERRUPT;
        whole_exit.vector = APIC_TIMER_VECTOR;
    }
}

void vmx_run(struct vcpu *v, struct vcpu_exit *e)
{
    struct whole_vcpu *w = whole_of(v);

    EXPECT(running == v && processor.cpu.current == v, "an entry of a vCPU that is not loaded");
    if (v->altp2m_changed) {
        follow(v);
    }
    EXPECT(mfn_eq(w->root, v->altp2m.root), "an entry on another view than it should be");
    EXPECT(!v->event.due || !v->altp2m.inside || v->event.type == EVENT_HARDWARE ||
               (v->event.type == EVENT_EXTERNAL && (*whole_field(v, VCPU_RFLAGS) & X86_EFLAGS_IF)),
           "an event of type %u comes while the agent runs", v->event.type);
    v->event.due = v->event.with_cr2 = false;
    memset(&whole_exit, 0, sizeof(whole_exit));
    whole_exit.kind = VCPU_EXIT_KINDS;
    whole_entered = true;
    machine_act(v);
    if (whole_exit.kind == VCPU_EXIT_KINDS) {
        idle();
    }
    if (!mfn_eq(w->root, v->altp2m.root)) { /* VMFUNC */
        v->altp2m.root = w->root;
        v->altp2m.view = view_of_root(v->altp2m.pm, w->root);
        EXPECT(!view_eq(v->altp2m.view, VIEW_NONE), "a view that is none");
    }
    *e = whole_exit;
}
