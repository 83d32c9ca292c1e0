/* SPDX-License-Identifier: MIT */
#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "calls.h"
#include "core/hostmap.h"
#include "core/platform.h"
#include "core/policy.h"
#include "exit/emulate.h"
#include "exit/exit.h"
#include "guest/guest.h"
#include "guest_side.h"
#include "host.h"
#include "mm/frame.h"
#include "promise.h"
#include "threads.h"
#include "vcpu/mirror.h"
#include "vcpu/pins.h"
#include "vcpu/sched.h"
#include "x86/apic.h"
#include "x86/smp.h"

#define POOL   512u /* frames */
#define MEMORY 0x4000000UL

struct promise promise;
struct vendor_caps vendor_caps = {.views = true, .vmfunc = true, .ve = true};
struct machine_counts machine_counts[PROCESSORS_MAX];

static struct processor {
    struct cpu cpu;
    bool pending;      /* an interrupt came */
    uint64_t tsc, now; /* of its own */
} processors[PROCESSORS_MAX];
static struct machine_options options;
static struct domain domain;
static struct vcpu vcpus[VCPUS];
static bool ended;

static struct processor *own(void)
{
    return (struct processor *)(void *)this_cpu();
}

unsigned machine_here(void)
{
    return (unsigned)(own() - processors);
}

struct machine_counts *machine_count(void)
{
    return &machine_counts[machine_here()];
}

/* ---- failing ---- */

/* The process is one run's (test_smp.c). */
void machine_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("# seed %lu: ", (unsigned long)options.seed);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
    _exit(1);
}

void check_failed(const char *file, int line, const char *condition)
{
    machine_fail("%s:%d: CHECK(%s)", file, line, condition);
}

/* ---- the processor ---- */

uint64_t rdtsc(void)
{
    return own()->tsc++;
}

void machine_pause(void)
{
    threads_yield();
}

void machine_meet(void)
{
    threads_meet();
}

static void interrupt(uint32_t to)
{
    machine_count()->kicks++;
    __atomic_store_n(&processors[to].pending, true, __ATOMIC_RELAXED);
    machine_pause();
}

void apic_send(uint32_t to, uint8_t vector)
{
    (void)vector;
    interrupt(to);
}

/* smp.c counts ticks, which threads do not have in common with each other: nothing that is late. */
void apic_send_nmi(uint32_t to)
{
    (void)to;
}

bool machine_interrupted(void)
{
    return __atomic_exchange_n(&own()->pending, false, __ATOMIC_RELAXED);
}

void cpu_wait(void)
{
    while (!machine_interrupted()) {
        machine_pause();
    }
}

uint32_t *lock_held_ranks(void)
{
    return &this_cpu()->lock_ranks;
}

/* ---- what hv/ asks for, and what is not here ---- */

/* A slice is over after a few looks. */
uint64_t time_now(void)
{
    return own()->now += 1000000;
}
uint64_t time_tsc_khz(void)
{
    return 1ULL << 40;
}
void timer_run(void)
{
}
void timer_slice(uint64_t deadline)
{
    (void)deadline;
}
bool timer_due(void)
{
    return false;
}
void cpu_look_nmi(void)
{
}
void host_interrupts(void)
{
}
mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    (void)owner, (void)order;
    return MFN_INVALID;
}
bool frame_get(mfn_t m, uint16_t owner)
{
    (void)m, (void)owner;
    return true;
}
void frame_put(mfn_t m)
{
    (void)m;
}
size_t fpu_area_size(void)
{
    return 0;
}
uint64_t fpu_supported_xcr0(void)
{
    return 0;
}
void fpu_save(void *area)
{
    (void)area;
}
void fpu_load(const void *area)
{
    (void)area;
}
void vcpu_mirror_stop(struct vcpu *v)
{
    CHECK(!v->mirror);
}

void emulate_pause(struct vcpu *v)
{
    (void)v;
}
void guest_vcpu_running(struct vcpu *v)
{
    (void)v;
}
void guest_vcpu_stopped(struct vcpu *v)
{
    (void)v;
}
bool guest_console_more(struct domain *d)
{
    (void)d;
    return false;
}
bool guest_console_waits(const struct domain *d)
{
    (void)d;
    return false;
}
void domain_say(struct domain *d, const char *format, ...)
{
    (void)d, (void)format;
}
void domain_pin(struct domain *d)
{
    (void)d;
}
struct domain *domain_get(unsigned id)
{
    return id == domain.id ? &domain : NULL;
}
void domain_put(struct domain *d)
{
    (void)d;
}
bool domain_may_control(const struct domain *by, const struct domain *target)
{
    (void)by, (void)target;
    return false;
}
bool domains_wait_for_reaping(void)
{
    return false;
}
bool domains_reap(void)
{
    return false;
}
int agent_register(struct vcpu *v, view_t at, const struct facet_altp2m_enter *e,
                   struct entry_pages *pages)
{
    (void)v, (void)at, (void)e, (void)pages;
    return -1;
}

int pins_check(const struct pins *wanted)
{
    (void)wanted;
    return -1;
}
int msr_exits_take(struct domain *d)
{
    (void)d;
    return -1;
}
void msr_exits_update_pins(struct domain *d)
{
    (void)d;
}

/* Arguments of calls lie in the caller's own buffer. */
int hand_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    memcpy(dst, guest_side(v)->argument + src.v, n);
    return 0;
}
int hand_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    memcpy(guest_side(v)->argument + dst.v, src, n);
    return 0;
}

/* ---- running ---- */

bool domains_all_ended(void)
{
    return ended;
}

/* The last one tells all processors. */
static void vcpu_ends(struct vcpu *v)
{
    calls_end();
    sched_offline(v);
    guest_side(v)->ended = true;
    ended = true;
    for (unsigned i = 0; i < options.vcpus; i++) {
        ended = ended && guest_side(&vcpus[i])->ended;
    }
    for (unsigned i = 0; ended && i < smp_nr; i++) {
        smp_kick(smp_cpus[i]);
    }
}

void exit_once(struct vcpu *v)
{
    struct guest_side *g = guest_side(v);
    struct vcpu_exit e = {.kind = VCPU_EXIT_WINDOW};

    if (v->altp2m.lifted) {
        machine_fail("vCPU %u is lifted", v->id);
    }
    VENDOR(run, v, &e);
    machine_count()->entries++;
    if (machine_count()->entries % 8 == 0) {
        machine_pause(); /* others meet who has the lock */
    }
    if (e.kind != VCPU_EXIT_HYPERCALL) {
        return;
    }
    if (!sched_may_run(v)) {
        machine_fail("vCPU %u makes a call, and was paused", v->id);
    }
    if (vcpu_get(v, VCPU_RIP) != g->came_out_at) {
        machine_fail("vCPU %u: a call is made with registers of another's", v->id);
    }
    threads_gets_on();
    if (g->calls++ < options.calls) {
        calls_make(v);
    } else {
        vcpu_ends(v);
    }
}

static void processor(void *cpu)
{
    (void)cpu;
    smp_acquire();
    sched_run();
    smp_release();
}

static void stuck(void)
{
    machine_fail("nobody gets on");
}

static void build_domain(void)
{
    struct physmap_config c = {
        .domid = 1,
        .address_bits = 40,
        .max_views = VIEWS,
        .altp2m_mode = XEN_ALTP2M_mixed,
        .host_reserve = 8,
        .altp2m_policy = POLICY_OPEN,
        .format = guest_side_format(),
    };

    domain.id = 1;
    domain.nr_vcpus = options.vcpus;
    if (physmap_init(&domain.physmap, &c, mfn(MEMORY >> PAGE_SHIFT), POOL) != 0 ||
        hostmap_map(&domain.physmap, gfn(0), mfn(GUEST_RAM), ORDER_2M, MAP_RAM, ACCESS_RWX) != 0 ||
        hostmap_map(&domain.physmap, gfn(REGION), mfn(GUEST_RAM + REGION), ORDER_2M, MAP_RAM,
                    ACCESS_RWX) != 0) {
        machine_fail("no domain");
    }
    for (unsigned i = 0; i < options.vcpus; i++) {
        domain.vcpus[i] = &vcpus[i];
        vcpus[i].domain = &domain;
        vcpus[i].id = i;
        vcpus[i].state = VCPU_OFFLINE;
        vcpus[i].altp2m_changed = true;
        vmx_create(&vcpus[i]);
        physmap_add_vcpu(&domain.physmap, &vcpus[i].altp2m, i);
        guest_side(&vcpus[i])->seed = options.seed * 77 + i + 1;
    }
}

static void add(struct machine_counts *sum)
{
    const unsigned long *from;
    unsigned long *to = (unsigned long *)sum;

    for (unsigned i = 0; i < options.processors; i++) {
        from = (const unsigned long *)&machine_counts[i];
        for (unsigned j = 0; j < sizeof(*sum) / sizeof(*to); j++) {
            to[j] += from[j];
        }
    }
}

void machine_run(const struct machine_options *o, struct machine_counts *counts)
{
    struct cpu *cpus[PROCESSORS_MAX];

    options = *o;
    if (mmap((void *)MEMORY, POOL * PAGE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)MEMORY) {
        machine_fail("no memory");
    }
    for (unsigned i = 0; i < o->processors; i++) {
        struct cpu *c = cpus[i] = &processors[i].cpu;

        c->self = c;
        c->id = c->apic_id = i;
    }
    threads_own = cpus[0];
    build_domain();
    smp_place(cpus, o->processors);
    smp_begin();
    calls_begin(vcpus, o->vcpus, o->calm);
    for (unsigned i = 0; i < o->vcpus; i++) {
        sched_online(&vcpus[i]);
    }
    smp_release();
    threads_run(&(struct threads){
        .owns = (void *const *)cpus,
        .nr = o->processors,
        .seed = o->seed,
        .run = processor,
        .stuck = stuck,
    });
    add(counts);
}
