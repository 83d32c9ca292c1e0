/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "calls.h"
#include "core/physmap_private.h"
#include "core/policy.h"
#include "core/subop.h"
#include "gate.h"
#include "grammar.h"
#include "guest/guest.h"
#include "linear.h"
#include "property.h"
#include "random_private.h"
#include "vendor.h"

#define VIEWS 8u
#define LISTS (ARGS + 3 * PAGE_SIZE)
#define OUT   (ARGS + 4 * PAGE_SIZE)

static struct random_options options;
static const uint8_t *next;
static size_t left;
static uint64_t told;
static uint32_t ring_port, answered;
static unsigned failed; /* calls of which nothing came, one after the other */
static uint64_t focus;  /* a page that much happens to, for some steps */
static uint64_t last;   /* the address of the last copy */

/* FACET_WHOLE_TRACE: each step, on standard error. */
__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...)
{
    va_list args;

    if (getenv("FACET_WHOLE_TRACE")) {
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
    }
}

static uint8_t byte(void)
{
    return left > 0 ? (left--, *next++) : 0;
}

static uint64_t take(unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0) {
        v = v << 8 | byte();
    }
    return v;
}

static void tell(const void *p, size_t n)
{
    for (const uint8_t *b = p; n > 0; n--, b++) {
        told = (told ^ *b) * 0x100000001b3ULL;
    }
}

/* Pages to play with, mostly; those that nobody may read or write first. */
static uint64_t some_gfn(void)
{
    unsigned pick = byte();

    return pick < 64                                      ? focus
           : pick < 192                                   ? PLAY + pick % PAGES
           : pick < 208                                   ? GUEST_RAM + pick % 12
           : pick < 216 || (pick < 224 && !options.gated) ? FAR + pick % 8
           : pick < 224                                   ? GUEST_AGENT + pick % AGENT_PAGES
           : pick < 228                                   ? GUEST_TABLES + pick % 6
           : pick < 232                                   ? GUEST_ARGS + pick % 8
           : pick < 250                                   ? GUEST_HOLE
                                                          : ~0ULL >> (pick - 250) * 8;
}

static uint64_t some_address(void)
{
    unsigned pick = byte();
    uint64_t offset = pick < 224 ? pick * 8 : PAGE_SIZE - (pick - 224);

    return GPA(some_gfn()) + offset;
}

static struct vcpu *some_vcpu(void)
{
    return machine_vcpu(1, byte() % GUEST_VCPUS);
}

static void begin(void)
{
    ring_port = random_begin(&options);
    answered = failed = 0;
    focus = PLAY;
    last = 0;
    gate_begin();
}

/* ---- what the guest does; each returns whether it was a call, and sets its result ---- */

static long result;
static bool partial;

static struct xen_hvm_altp2m_op some_op(void)
{
    static const struct grammar grammar = {.take = take,
                                           .gfn = some_gfn,
                                           .views = VIEWS,
                                           .most = 64,
                                           .gfns = LISTS,
                                           .accesses = LISTS + 1024,
                                           .buffer = OUT,
                                           .jitter = 1,
                                           .wild = true};
    const struct subop *row = &subop_table[byte() % subop_count];
    union altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.xen.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.xen.cmd = row->number;
    grammar_fill(&grammar, row, &op);
    return op.xen;
}

static bool guest_altp2m(struct vcpu *v)
{
    struct xen_hvm_altp2m_op op = some_op();

    op.domain = DOMID_SELF;
    partial = op.cmd >= 0x8000 || op.cmd == HVMOP_altp2m_set_mem_access_multi;
    trace(" cmd %x %lx %lx %lx", op.cmd, ((uint64_t *)&op)[2], ((uint64_t *)&op)[3],
          ((uint64_t *)&op)[4]);
    result = machine_altp2m(v, &op);
    if (op.cmd == FACET_ALTP2M_enter && result == 0) {
        gate_registered((const struct facet_altp2m_enter *)&op.u);
    }
    tell(&op, sizeof(op));
    return true;
}

/* One page mostly; or an extent, which is done as a whole or refused. */
static long some_extent(struct vcpu *v, unsigned op, uint64_t g)
{
    unsigned pick = byte(), order = pick % 2 ? pick / 2 % 6 : 0;
    long done;

    g &= pick < 192 ? ~0ULL << order : ~0ULL;
    done = call_extent(v, DOMID_SELF, op, g, order);
    return done == 1 ? 0 : done == 0 ? -ENOENT : done;
}

static bool guest_memory(struct vcpu *v)
{
    unsigned what = byte() % 8;
    uint64_t g = some_gfn(), to = some_gfn();

    trace(" %u %lx %lx", what, g, to);
    switch (what) {
    case 0:
    case 1:
        result = some_extent(v, XENMEM_decrease_reservation, g);
        break;
    case 2:
    case 3:
        result = some_extent(v, XENMEM_populate_physmap, g);
        break;
    case 4:
        result = call_add_to_physmap(v, XENMAPSPACE_shared_info, 0, g);
        break;
    case 5:
        result = call_add_to_physmap(v, XENMAPSPACE_grant_table, byte() % 4, g);
        break;
    default:
        result = call_add_to_physmap(v, XENMAPSPACE_gmfn, g, to);
        break;
    }
    return true;
}

#define REFS 4u

/* The guest writes what it likes to the entries that it uses. */
static void write_entry(const struct domain *d, unsigned ref)
{
    grant_entry_v1_t e = {.flags = (uint16_t)(GTF_permit_access | (byte() % 4 ? 0 : GTF_readonly)),
                          .domid = (domid_t)(1 + byte() % 2),
                          .frame = (uint32_t)some_gfn()};

    if (d->guest.grant_frames > 0) {
        machine_poke(machine_frame(d->guest.grant_frame[0].v) + ref * sizeof(e), &e, sizeof(e));
    }
}

static bool guest_grants(struct vcpu *v)
{
    unsigned what = byte() % 6, ref = byte() % REFS;
    uint64_t g = some_gfn();
    uint32_t handle;

    trace(" %u ref %u %lx", what, ref, g);
    switch (what) {
    case 0:
    case 1:
        write_entry(v->domain, ref);
        return false;
    case 2:
        result = call_grant_map(v, 1 + byte() % 2, ref, byte() % 2, g, &handle);
        break;
    case 3:
        result = call_grant_unmap(v, g, byte() % 8);
        break;
    default:
        result = call_grant_copy(v, 1, ref, what == 5, g);
        break;
    }
    return true;
}

/* Pages far from each other, each with tables of its own; or back again. */
static bool guest_spreads(struct vcpu *v)
{
    unsigned n = byte() % 48, first = byte();
    bool back = byte() % 2;

    trace(" %u from %u", n, first);
    for (unsigned i = first; machine_domain(1) && i < first + n; i++) {
        uint64_t near = PLAY + 64 + i % 256, far = FAR * (1 + i % 256);

        result = call_add_to_physmap(v, XENMAPSPACE_gmfn, back ? far : near, back ? near : far);
    }
    partial = true;
    return true;
}

static bool guest_notifies(struct vcpu *v)
{
    struct xen_hvm_altp2m_op off = {.version = HVMOP_ALTP2M_INTERFACE_VERSION,
                                    .cmd = HVMOP_altp2m_vcpu_disable_notify,
                                    .domain = DOMID_SELF};
    unsigned whose = byte() % GUEST_VCPUS;

    off.u.disable_notify.vcpu_id = whose;
    result = byte() % 3 ? call_enable_notify(v, whose, some_gfn()) : machine_altp2m(v, &off);
    return true;
}

static bool guest_area(struct vcpu *v)
{
    unsigned what = byte() % 4, whose = byte() % GUEST_VCPUS;
    uint64_t at = some_address();

    trace(" %u whose %u at %lx", what, whose, at);
    result = what == 0 ? call_register_info(v, whose, at >> PAGE_SHIFT, (unsigned)(at & 0xff8))
                       : call_register_area(v, whose, what < 3, at);
    return true;
}

static bool guest_msr(struct vcpu *v)
{
    uint64_t g = some_gfn();

    trace(" %lx", g);
    result = machine_wrmsr(v, 0x40000000, GPA(g));
    return false;
}

static bool guest_copy(struct vcpu *v)
{
    uint64_t at = byte() % 4 || !last ? some_address() : last;

    last = at;
    trace(" at %lx", at);
    partial = true; /* a copy that fails half-way */
    switch (byte() % 5) {
    case 0:
        result = machine_hypercall(v, __HYPERVISOR_console_io, CONSOLEIO_write, 16, at, 0);
        break;
    case 1:
        result = machine_hypercall(v, __HYPERVISOR_xen_version, XENVER_extraversion, at, 0, 0);
        break;
    case 2:
        result = machine_hypercall(v, __HYPERVISOR_memory_op, XENMEM_memory_map, at, 0, 0);
        break;
    case 3:
        result = machine_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, at, 0);
        break;
    default:
        result = machine_hypercall(v, __HYPERVISOR_hvm_op, HVMOP_altp2m, at, 0, 0);
        break;
    }
    return true;
}

/* An entry of the guest's own tables leads to a page that may be hidden, or back. */
static bool guest_tables(struct vcpu *v)
{
    static const uint64_t at[] = {0, 8, PAGE_SIZE + 8, 2 * PAGE_SIZE + 8,
                                  3 * PAGE_SIZE + 8 * (PLAY + 12)};
    uint64_t where = at[byte() % ARRAY_SIZE(at)],
             e = GPA(options.blind && byte() % 2 ? PLAY + byte() % 2 : some_gfn()) | 7;

    if (where == 0) {
        bool ok = machine_mov_cr(
            v, 3, byte() % 2 ? GPA(some_gfn()) : GPA(GUEST_TABLES + (v->id == 2 ? 4 : 0)));

        result = ok;
        return false;
    }
    result = machine_access(v, GPA(GUEST_TABLES) + where, RIGHT_R | RIGHT_W, &e, sizeof(e));
    if (byte() % 2) {
        result = machine_hypercall(v, __HYPERVISOR_xen_version, XENVER_extraversion,
                                   (1ULL << 39) + some_address(), 0, 0);
    }
    return false;
}

static bool guest_event(struct vcpu *v)
{
    unsigned what = byte() % 6;

    switch (what) {
    case 0:
        result = call_evtchn_bind_ipi(v, byte() % GUEST_VCPUS);
        break;
    case 1:
        result = machine_hypercall(v, __HYPERVISOR_vm_assist, byte() % 2,
                                   VMASST_TYPE_runstate_update_flag, 0, 0);
        break;
    default:
        result = call_evtchn_send(v, 1 + byte() % 6);
        break;
    }
    return true;
}

static bool guest_schedule(struct vcpu *v)
{
    switch (byte() % 4) {
    case 0:
        result = machine_hypercall(v, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0);
        break;
    case 1:
        machine_wait((uint64_t)byte() * 100000);
        machine_halt(v);
        for (unsigned i = 0; i < GUEST_VCPUS && machine_vcpu(1, i); i++) {
            sched_wake(machine_vcpu(1, i));
        }
        break;
    default:
        machine_switch(byte() % 4 ? v : NULL);
        break;
    }
    return false;
}

/* By a view's word, not for want of a page. */
static bool denied(struct vcpu *v, uint64_t at, unsigned rights)
{
    struct machine_entry e = machine_walk(v->altp2m.root.v, at >> PAGE_SHIFT);
    struct mapping m;

    return (rights & ~e.rights) &&
           view_lookup(v->altp2m.pm, v->altp2m.view, gfn(at >> PAGE_SHIFT), &m) &&
           m.type == MAP_RAM && m.access < ACCESS_RX2RW;
}

/* Also who only hears that a restriction was lifted. */
static bool is_told(struct vcpu *v, uint64_t at, unsigned rights)
{
    struct mapping m;

    return denied(v, at, rights) ||
           ((rights & ~machine_walk(v->altp2m.root.v, at >> PAGE_SHIFT).rights) &&
            view_lookup(v->altp2m.pm, v->altp2m.view, gfn(at >> PAGE_SHIFT), &m) &&
            m.type == MAP_RAM && m.access == ACCESS_N2RWX);
}

/* Where nobody listens an access that is denied may end the domain: not too often. */
static bool is_over_soon(struct vcpu *v, uint64_t at, unsigned rights)
{
    return !options.listener && denied(v, at, rights) && (options.blind || byte() % 8 > 0);
}

static bool guest_runs(struct vcpu *v)
{
    uint64_t at = some_address() & ~7ULL, word = 0x1122334455667788ULL;
    unsigned rights = (const uint8_t[]){RIGHT_R, RIGHT_R | RIGHT_W, RIGHT_X}[byte() % 3];

    if (is_over_soon(v, at, rights)) {
        return false;
    }
    result = machine_access(v, at, rights, &word, sizeof(word));
    if (rights != RIGHT_X) {
        tell(&word, sizeof(word));
    }
    return false;
}

static bool guest_vmfunc(struct vcpu *v)
{
    machine_vmfunc(v, byte() % VIEWS);
    return false;
}

/* Nobody is told of the same page twice, or not at all. */
static void check_told(const struct vcpu *v, uint32_t from, bool tells)
{
    const struct monitor_domain *d = &v->domain->guest.monitor;

    EXPECT(!tells || d->req_prod != from, "a denied access was carried out and told nobody");
    for (uint32_t i = from; i != d->req_prod; i++) {
        for (uint32_t j = from; j != i; j++) {
            const vm_event_request_t *a = (const void *)(d->ring + 64 + (i % 8) * sizeof(*a)),
                                     *b = (const void *)(d->ring + 64 + (j % 8) * sizeof(*b));

            EXPECT(a->u.mem_access.gfn != b->u.mem_access.gfn, "gfn %lx was told of twice",
                   a->u.mem_access.gfn);
        }
    }
}

static void carry_out(struct vcpu *v, unsigned how, uint64_t at)
{
    static const struct {
        enum machine_instruction i;
        bool from;
    } all[] = {{CODE_MOVSQ, false}, {CODE_PUSH, false}, {CODE_POP, true}, {CODE_MOVSB, false}};
    const uint64_t hole = GPA(GUEST_HOLE);

    if (how < 2) {
        machine_string_io(v, how == 0, how == 0 ? 0x80 : 0xe9, 1u << byte() % 3, 1 + byte() % 4,
                          at);
    } else {
        machine_instruction(v, all[how - 2].i, all[how - 2].from ? at : hole,
                            all[how - 2].from ? hole : at, hole);
    }
}

/* Where it plainly leads, and the code and the hole as well. */
static bool leads(struct vcpu *v, uint64_t at, uint64_t *gpa)
{
    uint64_t code, hole;
    struct mapping m;

    return v->id < 2 && !view_lookup(v->altp2m.pm, v->altp2m.view, gfn(GUEST_HOLE), &m) &&
           linear_leads(v, at, gpa) && linear_leads(v, GPA(GUEST_CODE), &code) &&
           linear_leads(v, GPA(GUEST_HOLE), &hole) && code == GPA(GUEST_CODE) &&
           hole == GPA(GUEST_HOLE) && (machine_walk(v->altp2m.root.v, GUEST_CODE).rights & RIGHT_X);
}

static bool guest_carries_out(struct vcpu *v)
{
    uint64_t at = some_address() & ~7ULL, a = at;
    unsigned how = byte() % 6, rights = how == 1 || how == 4 ? RIGHT_R : RIGHT_R | RIGHT_W;
    struct monitor_domain *d = &v->domain->guest.monitor;
    unsigned room = d->ring ? 8 - (d->req_prod - d->rsp_cons) : 0;
    uint32_t from = d->req_prod;
    bool plain = leads(v, at, &a);

    if (is_over_soon(v, a, rights) || !machine_switch(v)) {
        return false;
    }
    plain = plain && v->paused == 0 && room > 0 && !property.let_through && is_told(v, a, rights);
    trace(" %u at %lx", how, at);
    carry_out(v, how, at);
    if (machine_domain(1)) {
        check_told(v, from, plain && whole_entered);
    }
    return false;
}

static bool guest_switches_task(struct vcpu *v)
{
    if (v->id == 2) {
        uint64_t gdt = some_address() & ~7ULL, tss = some_address() & ~7ULL,
                 next = some_address() & ~7ULL;

        if ((byte() & 3) && machine_page(v->domain, gdt >> PAGE_SHIFT) &&
            machine_page(v->domain, next >> PAGE_SHIFT) && (gdt & ~PAGE_MASK) <= PAGE_SIZE - 40 &&
            (next & ~PAGE_MASK) <= PAGE_SIZE - 104) {
            machine_lay_task(v->domain, gdt, tss, next);
        }
        machine_task_switch(v, gdt, tss);
    }
    return false;
}

static bool guest_multi(struct vcpu *v)
{
    for (unsigned i = 0; i < 8 && machine_page(v->domain, LISTS >> PAGE_SHIFT); i++) {
        uint64_t g = some_gfn();

        machine_poke_gpa(v->domain, LISTS + 8 * i, &g, sizeof(g));
        g = byte() % 12;
        machine_poke_gpa(v->domain, LISTS + 1024 + i, &g, 1);
    }
    return guest_altp2m(v);
}

/* ---- what it does where there is a gate, and what the agent behind it does ---- */

static bool entering;

static bool guest_enters(struct vcpu *v)
{
    unsigned how = byte();

    if (v->id == 2) { /* has no 64-bit code */
        result = machine_hypercall(v, __HYPERVISOR_hvm_op, FACET_ALTP2M_enter, 0, 0, 0);
        return true;
    }
    trace(" %x", how);
    entering = true;
    result = gate_enter(v, how < 32 ? how : how < 128 ? 0 : how % 128 + how / 240 * 128);
    return result != 0;
}

/* Nor by a call of several calls. */
static bool guest_enters_by_list(struct vcpu *v)
{
    uint64_t list[2][8] = {{__HYPERVISOR_hvm_op, 0, FACET_ALTP2M_enter},
                           {__HYPERVISOR_hvm_op, 0, HVMOP_altp2m, ARGS}};

    if (!machine_page(v->domain, LISTS >> PAGE_SHIFT)) {
        return false;
    }
    machine_poke_gpa(v->domain, LISTS, list, sizeof(list));
    result = machine_hypercall(v, __HYPERVISOR_multicall, LISTS, 2, 0, 0);
    partial = true;
    return true;
}

/* Of a vCPU, by itself or by another: down, up, INIT and SIPI, NMI and other interrupts. */
static bool guest_sends(struct vcpu *v)
{
    static const uint32_t commands[] = {0x4500, 0x600 | 9, 0x400, 0x4030, 0x40e0};
    unsigned what = byte() % 8, whose = byte() % GUEST_VCPUS;
    struct vcpu *w = machine_vcpu(1, whose);

    trace(" %u to %u", what, whose);
    if (what < 3) {
        result = machine_hypercall(v, __HYPERVISOR_vcpu_op,
                                   (const unsigned[]){VCPUOP_down, VCPUOP_up, VCPUOP_up}[what],
                                   whose, 0, 0);
        return true;
    }
    machine_wrmsr(v, 0x1b, 0xfee00c00); /* its APIC's registers are MSRs */
    result = machine_wrmsr(v, 0x830, (uint64_t)(2 * whose) << 32 | commands[what - 3]);
    if (machine_domain(1) && !w->altp2m.inside && !(*whole_field(w, VCPU_CR0) & X86_CR0_PG)) {
        machine_restart(w); /* its trampoline, which nobody looks at */
    }
    return false;
}

static bool agent_acts(struct vcpu *v)
{
    unsigned what = byte() % 8, how = byte();

    trace(" %u", what);
    if (what < 4) {
        entering = v->altp2m.inside;
        gate_leave(v, how);
    } else if (what < 6) {
        gate_agent_runs(v, how);
    } else {
        guest_schedule(v);
    }
    return false;
}

static const struct {
    bool (*run)(struct vcpu *v);
    const char *name;
} gate_steps[] = {
    {guest_enters, "enters"}, {guest_enters, "enters"},
    {guest_enters, "enters"}, {guest_enters_by_list, "enters_by_list"},
    {guest_sends, "sends"},   {guest_sends, "sends"},
};

static const struct {
    bool (*run)(struct vcpu *v);
    const char *name;
} guest_steps[] = {
    {guest_altp2m, "altp2m"},
    {guest_altp2m, "altp2m"},
    {guest_altp2m, "altp2m"},
    {guest_altp2m, "altp2m"},
    {guest_altp2m, "altp2m"},
    {guest_memory, "memory"},
    {guest_memory, "memory"},
    {guest_grants, "grants"},
    {guest_spreads, "spreads"},
    {guest_notifies, "notifies"},
    {guest_area, "area"},
    {guest_area, "area"},
    {guest_msr, "msr"},
    {guest_copy, "copy"},
    {guest_copy, "copy"},
    {guest_tables, "tables"},
    {guest_event, "event"},
    {guest_event, "event"},
    {guest_schedule, "schedule"},
    {guest_schedule, "schedule"},
    {guest_runs, "runs"},
    {guest_runs, "runs"},
    {guest_vmfunc, "vmfunc"},
    {guest_carries_out, "carries_out"},
    {guest_carries_out, "carries_out"},
    {guest_switches_task, "switches_task"},
    {guest_multi, "multi"},
};

/* ---- what the monitor does ---- */

/* Of the requests that wait the oldest is answered. */
static void monitor_answers(struct vcpu *m)
{
    static const uint32_t flags[] = {0,
                                     0,
                                     VM_EVENT_FLAG_EMULATE,
                                     VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_EMULATE_NOWRITE,
                                     VM_EVENT_FLAG_DENY,
                                     VM_EVENT_FLAG_TOGGLE_SINGLESTEP,
                                     0xffffffff};
    struct monitor_domain *d = &machine_domain(1)->guest.monitor;
    uint32_t how = flags[byte() % ARRAY_SIZE(flags)];
    vm_event_request_t r;

    if (!d->ring || answered == d->req_prod) {
        return;
    }
    memcpy(&r, d->ring + 64 + (answered % 8) * sizeof(r), sizeof(r));
    if (r.reason == VM_EVENT_REASON_MEM_ACCESS && byte() % 2) {
        call_access_op(m, r.u.mem_access.gfn, ACCESS_RWX);
    }
    r.flags = (r.flags & VM_EVENT_FLAG_VCPU_PAUSED) |
              (how & ~VM_EVENT_FLAG_ALTERNATE_P2M & ~VM_EVENT_FLAG_SET_REGISTERS);
    machine_poke(d->ring + 64 + (answered % 8) * sizeof(r), &r, sizeof(r));
    answered++;
    machine_poke(d->ring + 8, &answered, sizeof(answered));
    call_evtchn_send(m, ring_port);
}

/* The guest's, or what of the guest's it holds in its own. */
static void monitor_changes_memory(struct vcpu *m)
{
    unsigned what = byte() % 8;
    uint64_t g = some_gfn();
    uint32_t handle;

    if (what == 6) { /* as who was granted it */
        call_grant_map(m, 1, byte() % REFS, byte() % 2, FAR + byte() % 16, &handle);
    } else if (what == 7) {
        call_grant_unmap(m, FAR + byte() % 16, byte() % 16);
    } else if (what < 2) {
        call_reservation(m, 1, what ? XENMEM_populate_physmap : XENMEM_decrease_reservation, g);
    } else if (what < 5) {
        call_foreign(m, g, FAR + byte() % 16);
    } else {
        call_reservation(m, DOMID_SELF, XENMEM_decrease_reservation, FAR + byte() % 16);
    }
}

static void monitor_acts(void)
{
    struct vcpu *m = machine_vcpu(2, 0);
    unsigned what = byte() % 8;

    if (options.blind || !m) {
        return;
    }
    if (what < 4 && options.listener) {
        monitor_answers(m);
    } else if (what < 7) {
        struct xen_hvm_altp2m_op op = some_op();

        op.domain = 1;
        trace("monitor cmd %x %lx %lx %lx", op.cmd, ((uint64_t *)&op)[2], ((uint64_t *)&op)[3],
              ((uint64_t *)&op)[4]);
        result = machine_altp2m(m, &op);
        if (op.cmd == FACET_ALTP2M_enter && result == 0) {
            gate_registered((const struct facet_altp2m_enter *)&op.u);
        }
        trace(": %ld\n", result);
    } else {
        monitor_changes_memory(m);
    }
    machine_switch(NULL);
    property_accept();
    gate_after(NULL, false);
}

/* ---- the run ---- */

/* What a monitor allows for one instruction is there until that one was executed, whichever it is.
 */
static bool somebody_is_let_through(void)
{
    bool any = false;

    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        const struct vcpu *v = machine_vcpu(1, i);

        any = any || (v && (v->altp2m.lifted || v->guest.monitor.orders.emulate));
    }
    return any;
}

/* What runs on the agent's view is the agent, but for whom a monitor put there where there is
 * a gate. */
static bool is_agent(const struct vcpu *v)
{
    const struct physmap *pm = v->altp2m.pm;

    return options.sealed && (v->altp2m.inside || (pm->sealed && !pm->gated &&
                                                   view_eq(v->altp2m.view, pm->agent_view)));
}

struct act {
    bool (*run)(struct vcpu *v);
    const char *name;
};

static struct act some_act(const struct vcpu *v, unsigned what)
{
    unsigned i = what % ARRAY_SIZE(guest_steps), j = what % ARRAY_SIZE(gate_steps);

    if (is_agent(v)) { /* it does nothing here but leave or be taken off */
        return v->altp2m.inside ? (struct act){agent_acts, "agent"}
               : byte() % 2     ? (struct act){guest_vmfunc, "agent"}
                                : (struct act){guest_schedule, "agent"};
    }
    return options.gated && what / ARRAY_SIZE(gate_steps) % 3 == 0
               ? (struct act){gate_steps[j].run, gate_steps[j].name}
               : (struct act){guest_steps[i].run, guest_steps[i].name};
}

static void guest_acts(unsigned what)
{
    struct vcpu *v = some_vcpu();
    struct act act;
    bool call;

    if (!v) {
        return;
    }
    property.let_through = somebody_is_let_through();
    if (v->state == VCPU_OFFLINE) { /* brought up again, so that not all of them end there */
        machine_restart(v);
        sched_online(v);
    }
    if (!machine_switch(v)) {
        return;
    }
    result = 0;
    partial = entering = false;
    act = some_act(v, what);
    machine_doing = act.name;
    trace("v%u view %d %s", v->id, (int16_t)v->altp2m.view.v, machine_doing);
    property.acting = (int)v->id;
    property_before();
    gate_before();
    call = act.run(v);
    trace(": %ld\n", result);
    property_after(call, result, partial);
    gate_after(v, entering);
    if (options.gated && machine_domain(1)) {
        gate_tidy(v);
    }
    tell(&result, sizeof(result));
    failed = !call || result == -EFAULT ? failed + call : 0;
}

uint64_t random_run(struct random_options o, const uint8_t *data, size_t size)
{
    options = o;
    next = data;
    left = size;
    told = 0xcbf29ce484222325ULL;
    begin();
    while (left > 0) {
        unsigned what = byte();

        if (!machine_domain(1) || failed > 8) { /* it ended itself, or can do nothing more */
            begin();
        }
        if (what % 16 == 0) {
            focus = PLAY + byte() % PAGES;
        }
        if (what >= 220) {
            monitor_acts();
        } else {
            guest_acts(what);
        }
    }
    if (!options.blind && !options.scarce && !options.open) {
        property_monitor_can();
    }
    return told;
}
