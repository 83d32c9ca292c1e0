/* SPDX-License-Identifier: MIT */
#include "enter.h"
#include "guard.h"
#include "tables.h"

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>

#include "facet/hvmop.h"

#define EINTR       4
#define EPERM       1
#define EEXIST      17
#define EINVAL      22
#define EOPNOTSUPP  95
#define ARCH_HVM_OP 34 /* xen.h: __HYPERVISOR_hvm_op */

_Static_assert(__HYPERVISOR_hvm_op == ARCH_HVM_OP, "xen/xen.h");

AGENT_PRIVATE struct guard guard = {.ranges = 0};
AGENT_REPORT struct guard_report guard_report = {.events = 0};

/* What is allowed is counted only: it must not push out of the report what is not. */
static AGENT_TEXT void record(enum guard_kind kind, uint64_t rip, const struct ve_info *ve)
{
    struct guard_event *e;
    uint64_t number;

    __atomic_fetch_add(&guard_report.count[kind], 1, __ATOMIC_RELAXED);
    if (kind == GUARD_ALLOWED || kind == GUARD_TABLE)
        return;
    number = __atomic_add_fetch(&guard_report.events, 1, __ATOMIC_RELAXED);
    e = &guard_report.event[(number - 1) % GUARD_EVENTS];
    e->rip = rip;
    e->gla = ve ? ve->gla : 0;
    e->gpa = ve ? ve->gpa : 0;
    e->access = ve ? (uint32_t)ve->qualification & VE_ACCESS : 0;
    e->kind = kind;
    __atomic_store_n(&e->number, number, __ATOMIC_RELEASE);
}

/* What the two views allow on a frame; outside of all ranges: everything, and all but fetches. */
static AGENT_TEXT const struct guard_range *range_of(uint64_t gfn)
{
    for (uint64_t i = 0; i < guard.ranges; i++)
        if (gfn >= guard.range[i].first && gfn <= guard.range[i].last)
            return &guard.range[i];
    return NULL;
}

static AGENT_TEXT bool forbidden(const struct ve_info *ve)
{
    const struct guard_range *range = range_of(ve->gpa >> 12);

    return range && ve->qualification & VE_ACCESS & ~(uint64_t)range->kernel;
}

/* The EPTP index is not looked at: what each view allows tells in which one it happened. */
static AGENT_TEXT enum guard_verdict judge(const struct gate_frame *f, const struct ve_info *ve,
                                           struct gate_store *store)
{
    const struct guard_range *range = range_of(ve->gpa >> 12);
    uint64_t agent = range ? range->agent : ALTP2M_RW;

    if (forbidden(ve)) {
        if ((ve->qualification & VE_WRITE) &&
            !(ve->qualification & VE_ACCESS & ~(uint64_t)range->store) &&
            agent_allow(f, ve, store)) {
            record(GUARD_ALLOWED, f->rip, ve);
            return GUARD_STORE;
        }
        record(GUARD_DENIED, f->rip, ve);
        return GUARD_REFUSE;
    }
    if (!(ve->qualification & VE_ACCESS & ~agent))
        return GUARD_GO_ON;
    record(GUARD_STRAY, f->rip, ve);
    return GUARD_REFUSE;
}

/* Entered: each vCPU has a stack of its own. */
static AGENT_TEXT uint64_t own_slot(void)
{
    return ((uint64_t)__builtin_frame_address(0) - (uint64_t)gate_slots) / sizeof(gate_slots[0]) %
           GUARD_VCPUS;
}

AGENT_TEXT uint64_t guard_cr3(void)
{
    uint64_t cr3;

    if (guard.entered)
        return gate_slots[own_slot()].caller;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

/*
 * This vCPU's page. Nothing that code in the kernel can write tells vCPUs apart, CPUID does: where
 * there are several, that is the one VM exit on this way.
 */
static AGENT_TEXT volatile struct ve_info *own_info(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;

    if (guard.vcpus == 1)
        return guard.vcpu[0].info;
    if (guard.entered)
        return guard.vcpu[own_slot()].info;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    for (uint64_t i = 0; i < guard.vcpus; i++)
        if (guard.vcpu[i].apic_id == ebx >> 24)
            return guard.vcpu[i].info;
    return NULL;
}

/*
 * What this vCPU's page tells, once: the next violation is a #VE again, also one of the agent's
 * own. False: it tells nothing.
 */
static AGENT_TEXT bool take_violation(struct ve_info *ve)
{
    volatile struct ve_info *info = own_info();

    if (!info || !ve_pending(info))
        return false;
    ve->exit_reason = info->exit_reason;
    ve->qualification = info->qualification;
    ve->gla = info->gla;
    ve->gpa = info->gpa;
    ve_rearm(info);
    return true;
}

AGENT_TEXT int guard_exception(const struct gate_frame *f, struct gate_store *store)
{
    struct ve_info ve;

    if (take_violation(&ve))
        return judge(f, &ve, store);
    record(GUARD_SPURIOUS, f->rip, NULL);
    return GUARD_REFUSE;
}

static AGENT_TEXT struct gate_slot *slot_of(uint64_t cookie)
{
    for (unsigned int i = 0; i < GATE_SLOTS && cookie; i++)
        if (gate_slots[i].cookie == cookie)
            return &gate_slots[i];
    return NULL;
}

static AGENT_TEXT bool on_stack(uint64_t at)
{
    return at - (uint64_t)gate_slots < sizeof(gate_slots);
}

/* Of a run that is over without having come to its end. */
static AGENT_TEXT void give_back(struct gate_slot *s)
{
    s->cookie = 0;
    __atomic_fetch_or(&gate_free, 1u << (s - gate_slots), __ATOMIC_RELEASE);
}

/* The run that was interrupted, or the one that it had interrupted itself. */
static AGENT_TEXT struct gate_slot *interrupted_run(uint64_t cookie)
{
    struct gate_slot *s = slot_of(cookie);

    while (s && s->run == GATE_RUN_NESTED) {
        uint64_t outer = s->outer;

        give_back(s);
        s = slot_of(outer);
    }
    return s;
}

/*
 * An exception or an NMI came in, whose handler is not executable here, or the store view did not
 * have what the agent had agreed to. On the agent's stack (no IST) there is nobody who could take
 * an exception. Elsewhere its handler goes on in the kernel's view, and returns to where the run
 * ends: a call has no result, a violation is tried again. The run is known by its cookie and by
 * nothing else.
 */
AGENT_TEXT int guard_interrupted(uint64_t rsp, uint64_t cookie, struct gate_end *end)
{
    struct gate_slot *s;
    struct ve_info ve;

    end->to = end->caller = 0;
    if (!take_violation(&ve)) {
        record(GUARD_SPURIOUS, 0, NULL);
        return GUARD_NOT_THE_RUN;
    }
    s = interrupted_run(cookie);
    if (!s) {
        record(forbidden(&ve) ? GUARD_DENIED : GUARD_STRAY, ve.gla, &ve);
        return GUARD_NOT_THE_RUN;
    }
    end->caller = s->caller;
    end->to = (uint64_t)(s->run == GATE_RUN_CALL ? gate_leave : gate_refuse);
    give_back(s);
    if (s->run == GATE_RUN_VIOLATION && !(ve.qualification & VE_FETCH)) {
        record(GUARD_DENIED, (uint64_t)gate_store, &ve);
        return GUARD_DIRECT;
    }
    record(GUARD_INTERRUPTED, ve.gla, &ve);
    if (on_stack(rsp))
        return GUARD_DIRECT;
    if (s->run == GATE_RUN_VIOLATION)
        end->to = (uint64_t)gate_again;
    return GUARD_HANDLER;
}

AGENT_TEXT bool guard_rearm(void)
{
    volatile struct ve_info *info = own_info();
    bool was = info && info->busy;

    if (was)
        ve_rearm(info);
    return was;
}

static AGENT_TEXT void wipe(uint8_t *from, const uint8_t *to)
{
    while (from < to)
        *(volatile uint8_t *)from++ = 0;
}

/* What other runs have left on their stacks, and this one below where it is now. */
static AGENT_TEXT void wipe_stacks(void)
{
    uint8_t *here = __builtin_frame_address(0);

    for (unsigned int i = 0; i < GATE_SLOTS; i++) {
        struct gate_slot *s = &gate_slots[i];
        uint32_t bit = 1u << i;

        if (here > s->stack && here < s->stack + GATE_STACK) {
            wipe(s->stack, here - 128);
        } else if (__atomic_fetch_and(&gate_free, ~bit, __ATOMIC_ACQUIRE) & bit) {
            wipe(s->stack, s->stack + GATE_STACK);
            __atomic_fetch_or(&gate_free, bit, __ATOMIC_RELEASE);
        }
    }
}

AGENT_TEXT long guard_unseal(void)
{
    volatile struct xen_hvm_altp2m_op op;
    volatile uint64_t *words = (volatile uint64_t *)&op;
    long rc = ARCH_HVM_OP;

    wipe_stacks();
    if (!guard.sealed)
        return 0;
    for (unsigned int i = 0; i < sizeof(op) / sizeof(*words); i++)
        words[i] = 0;
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = FACET_ALTP2M_seal;
    op.domain = DOMID_SELF;
    words[2] = FACET_ALTP2M_UNSEAL | (uint64_t)FACET_ALTP2M_UNSEAL << 16;
    __asm__ volatile("vmcall" : "+a"(rc) : "D"((uint64_t)HVMOP_altp2m), "S"(words) : "memory");
    if (!rc)
        guard.sealed = 0;
    return rc;
}

/* ---- entered by the hypervisor ---- */

AGENT_PRIVATE struct enter_private enter_private __attribute__((aligned(4096))) = {.taken = 0};

/* A store that was agreed to and waits for its bytes, of each vCPU. */
static AGENT_PRIVATE struct waiting {
    struct gate_frame frame;
    struct ve_info ve;
    uint64_t bytes; /* 0: none */
    uint64_t table; /* whether it is a table's, of which only `ve` counts */
} waiting[GUARD_VCPUS] = {{.bytes = 0}};

/* To the frame that the processor told, and to no address: nobody can have exchanged it. */
static AGENT_ENTER void write_frame(uint64_t gpa, uint64_t low, uint64_t high, uint64_t bytes)
{
    volatile uint8_t *to = (volatile uint8_t *)(guard.memory + gpa);

    if (bytes == 8 && !(gpa & 7)) {
        *(volatile uint64_t *)to = low;
        return;
    }
    if (bytes == 4 && !(gpa & 3)) {
        *(volatile uint32_t *)to = (uint32_t)low;
        return;
    }
    for (uint64_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)((i < 8 ? low : high) >> i % 8 * 8);
}

static AGENT_ENTER uint64_t most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#define FRAME_OF(entry) ((entry)&0x000ffffffffff000ULL)
#define MAPPED          (1ULL << 39) /* of memory, from guard.memory on */
#define ENTRY_PRESENT   1u
#define ENTRY_LARGE     0x80u

/* By the tables of who was interrupted, who may have written there what he likes. */
static AGENT_ENTER bool walk(uint64_t at, uint64_t *gpa)
{
    uint64_t e = guard_cr3();
    unsigned int shift = 48;

    do {
        shift -= 9;
        if (FRAME_OF(e) >= MAPPED)
            return false;
        e = ((volatile uint64_t *)(guard.memory + FRAME_OF(e)))[at >> shift & 511];
    } while ((e & ENTRY_PRESENT) && shift > 12 && (shift > 30 || !(e & ENTRY_LARGE)));
    *gpa = (FRAME_OF(e) & ~((1ULL << shift) - 1)) | (at & ((1ULL << shift) - 1));
    return e & ENTRY_PRESENT;
}

/* A frame that the processor did not tell has to be one that may be written for others. */
static AGENT_ENTER bool storable(uint64_t at, uint64_t *gpa)
{
    const struct guard_range *range = walk(at, gpa) ? range_of(*gpa >> 12) : NULL;

    return range && (range->store & ALTP2M_W);
}

/*
 * Where `bytes` at store->to are: in the frame that the processor told, and where they lie over a
 * page's border, of which it tells one side, in the other page's.
 */
static AGENT_ENTER bool find_frames(const struct ve_info *ve, const struct gate_store *store,
                                    uint64_t bytes, uint64_t gpa[2])
{
    uint64_t room = 4096 - store->to % 4096, off = ve->gla - store->to;

    gpa[0] = gpa[1] = ve->gpa;
    if (off == 0)
        return bytes <= room || storable(store->to + room, &gpa[1]);
    return off == room && off < bytes && storable(store->to, &gpa[0]);
}

__attribute__((weak)) AGENT_ENTER bool agent_may_write(uint64_t gpa, const uint64_t value[2],
                                                       uint64_t bytes)
{
    (void)gpa, (void)value, (void)bytes;
    return true;
}

/* The embedder is asked about what lies in each frame. */
static AGENT_ENTER bool may_write(const uint64_t gpa[2], uint64_t low, uint64_t high,
                                  uint64_t bytes)
{
    uint64_t room = 4096 - gpa[0] % 4096, first = most(room, bytes);
    unsigned __int128 rest = ((unsigned __int128)high << 64 | low) >> (first % 16 * 8);
    const uint64_t all[2] = {low, high}, behind[2] = {(uint64_t)rest, (uint64_t)(rest >> 64)};

    return agent_may_write(gpa[0], all, first) &&
           (bytes == first || agent_may_write(gpa[1], behind, bytes - first));
}

static AGENT_ENTER void write_frames(const uint64_t gpa[2], uint64_t low, uint64_t high,
                                     uint64_t bytes)
{
    uint64_t room = 4096 - gpa[0] % 4096;

    if (bytes <= room) {
        write_frame(gpa[0], low, high, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i++)
        write_frame(i < room ? gpa[0] + i : gpa[1] + i - room, (i < 8 ? low : high) >> i % 8 * 8, 0,
                    1);
}

/* A few bytes are written at once; of a longer REP MOVSB what lies in the frame, and then it asks
 * again. */
static AGENT_ENTER uint64_t part_of(const struct gate_store *store)
{
    uint64_t room = 4096 - store->to % 4096;

    return store->bytes <= GATE_SUPPLY ? store->bytes : most(room, GATE_SUPPLY);
}

static AGENT_ENTER int begin_store(const struct gate_frame *f, const struct ve_info *ve,
                                   const struct gate_store *store, struct gate_outcome *out)
{
    struct waiting *w = &waiting[own_slot()];
    uint64_t gpa[2];

    if (!store->bytes || !find_frames(ve, store, part_of(store), gpa))
        return GUARD_REFUSE;
    if (!store->from) {
        if (store->bytes > 8 || !may_write(gpa, store->value, 0, store->bytes)) {
            record(GUARD_DENIED, f->rip, ve);
            return GUARD_REFUSE;
        }
        write_frames(gpa, store->value, 0, store->bytes);
        out->rip = store->rip;
        return GUARD_STORE;
    }
    w->frame = *f;
    w->ve = *ve;
    w->bytes = part_of(store);
    out->rsi = store->from;
    out->rcx = w->bytes;
    return GUARD_SUPPLY;
}

/* Page tables: GUARD_REFUSE is told. */
static AGENT_ENTER int about_tables(const struct gate_frame *f, struct ve_info *ve)
{
    int verdict = GUARD_REFUSE;

    if (ve->exit_reason == VE_REASON_CR) {
        ve->qualification = 0; /* no access */
        verdict = tables_load(ve->gla) ? GUARD_REFUSE : GUARD_GO_ON;
    } else if ((ve->qualification & VE_LINEAR_VALID) && !(ve->qualification & VE_FINAL)) {
        tables_walked(ve->gpa);
        verdict = GUARD_GO_ON;
    } else if (!(f->cs & 3)) {
        verdict = tables_begin(ve->gpa, guard_cr3());
        waiting[own_slot()].ve = *ve;
        waiting[own_slot()].frame.rip = f->rip;
        waiting[own_slot()].table = verdict == GUARD_VALUE;
    }
    if (verdict == GUARD_REFUSE)
        record(GUARD_DENIED, f->rip, ve);
    return verdict;
}

AGENT_ENTER int guard_valued(uint64_t value, uint64_t kind, struct gate_outcome *out)
{
    struct waiting *w = &waiting[own_slot()];
    int verdict = GUARD_REFUSE;

    *out = (struct gate_outcome){0};
    if (w->table)
        verdict = tables_write(w->ve.gpa, value, kind, &out->rdi);
    w->table = 0;
    if (verdict == GUARD_REFUSE)
        record(GUARD_DENIED, w->frame.rip, &w->ve);
    else if (verdict == GUARD_STORE)
        record(GUARD_TABLE, w->frame.rip, &w->ve);
    return verdict;
}

AGENT_ENTER int guard_entered(const struct gate_frame *f, struct gate_outcome *out)
{
    struct gate_store store = {0};
    struct ve_info ve;
    int verdict;

    *out = (struct gate_outcome){0};
    waiting[own_slot()].bytes = waiting[own_slot()].table = 0;
    if (!take_violation(&ve)) {
        record(GUARD_SPURIOUS, f->rip, NULL);
        return GUARD_REFUSE;
    }
    if (ve.exit_reason == VE_REASON_CR ||
        ((ve.qualification & VE_WRITE) && tables_know(ve.gpa >> 12)))
        return about_tables(f, &ve);
    verdict = judge(f, &ve, &store);
    return verdict == GUARD_STORE ? begin_store(f, &ve, &store, out) : verdict;
}

AGENT_ENTER int guard_supplied(uint64_t low, uint64_t high, struct gate_outcome *out)
{
    struct waiting *w = &waiting[own_slot()];
    uint64_t bytes = w->bytes;
    struct gate_store store = {0};
    uint64_t gpa[2];

    *out = (struct gate_outcome){0};
    w->bytes = 0;
    if (!bytes || !agent_allow(&w->frame, &w->ve, &store) || !store.from ||
        !find_frames(&w->ve, &store, bytes, gpa)) {
        record(GUARD_SPURIOUS, 0, NULL);
        return GUARD_REFUSE;
    }
    if (!may_write(gpa, low, high, bytes)) {
        record(GUARD_DENIED, w->frame.rip, &w->ve);
        return GUARD_REFUSE;
    }
    write_frames(gpa, low, high, bytes);
    out->moved = 1;
    out->rdi = store.to + bytes;
    out->rsi = store.from + bytes;
    out->rcx = store.bytes - bytes;
    out->rip = out->rcx ? w->frame.rip : store.rip;
    return GUARD_STORE;
}

AGENT_ENTER long guard_trapped(void)
{
    struct ve_info ve;
    bool violation = take_violation(&ve);

    record(GUARD_INTERRUPTED, violation ? ve.gla : 0, violation ? &ve : NULL);
    return gate_slots[own_slot()].run == GATE_RUN_CALL ? -EINTR : GUARD_REFUSE;
}

/* ---- registers ---- */

#define SAME(r) _Static_assert((uint32_t)GUARD_##r == FACET_ALTP2M_PIN_##r, "facet/hvmop.h")
SAME(IDTR);
SAME(GDTR);
SAME(LDTR);
SAME(TR);
SAME(XCR0);
SAME(CR3);
SAME(STAR);
SAME(LSTAR);
SAME(CSTAR);
SAME(FMASK);
SAME(SYSENTER_CS);
SAME(SYSENTER_ESP);
SAME(SYSENTER_EIP);
SAME(PAT);
SAME(TSC_AUX);
SAME(APIC_BASE);

#define PIN_WORDS 10u /* of struct xen_hvm_altp2m_op: two, and the argument's from there on */

/* A call that names this on one vCPU; `refused` is what it tells. */
static AGENT_ENTER long pin(uint64_t id, const struct guard_pins *named, uint32_t *refused)
{
    volatile struct xen_hvm_altp2m_op op;
    volatile uint64_t *words = (volatile uint64_t *)&op;
    long rc = ARCH_HVM_OP;

    for (unsigned int i = 0; i < PIN_WORDS; i++)
        words[i] = 0;
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = FACET_ALTP2M_pin;
    op.domain = DOMID_SELF;
    words[2] = (uint32_t)id | 1ULL << 32;
    words[3] = named->cr0;
    words[4] = named->cr4;
    words[5] = named->efer;
    words[6] = named->registers;
    __asm__ volatile("vmcall" : "+a"(rc) : "D"((uint64_t)HVMOP_altp2m), "S"(words) : "memory");
    *refused = (uint32_t)(words[6] >> 32);
    return rc;
}
_Static_assert(sizeof(struct xen_hvm_altp2m_op) == PIN_WORDS * 8, "xen/hvm/hvm_op.h");

/* One register at a time, so that one that cannot be had is no matter. */
static AGENT_ENTER long pin_vcpu(uint64_t id)
{
    const struct guard_pins *p = &guard.pins, bits = {p->cr0, p->cr4, p->efer, 0};
    uint32_t refused;
    long rc = pin(id, &bits, &refused);

    for (uint32_t bit = 1; bit && (!rc || rc == -EEXIST || rc == -EOPNOTSUPP); bit <<= 1) {
        const struct guard_pins one = {0, 0, 0, p->registers & bit};

        if (one.registers)
            rc = pin(id, &one, &refused);
    }
    return rc == -EEXIST || rc == -EOPNOTSUPP ? 0 : rc;
}

/* Those that nobody named are not up, and with pins none starts. */
static AGENT_ENTER long pin_others(void)
{
    long rc = 0;

    for (uint64_t id = 0; id < GUARD_VCPUS && !rc; id++)
        rc = pin_vcpu(id);
    return rc == -EINVAL ? 0 : rc; /* there is none of that number */
}

static AGENT_ENTER long pin_all(void)
{
    const struct guard_pins none = {0, 0, 0, 0};
    uint32_t refused;
    long rc = pin(guard.vcpu[0].id, &none, &refused);

    for (uint64_t i = 0; i < guard.vcpus && !rc; i++)
        rc = pin_vcpu(guard.vcpu[i].id);
    return rc ? rc : pin_others();
}

static AGENT_ENTER long count_refusals(void)
{
    const struct guard_pins none = {0, 0, 0, 0};
    uint32_t refused;
    long all = 0;

    for (uint64_t i = 0; i < guard.vcpus; i++)
        all += pin(guard.vcpu[i].id, &none, &refused) ? 0 : refused;
    return all;
}

AGENT_TEXT long guard_pin(void)
{
    return guard.entered ? pin_all() : -EOPNOTSUPP;
}

AGENT_TEXT long guard_refusals(void)
{
    return guard.entered ? count_refusals() : 0;
}

static AGENT_ENTER long watch(void)
{
    long rc = guard_tables.on ? tables_load(guard_tables.master << 12) : -EOPNOTSUPP;

    return rc ? rc : tables_load(guard_cr3());
}

AGENT_TEXT long guard_watch(void)
{
    return guard.entered ? watch() : -EOPNOTSUPP;
}
