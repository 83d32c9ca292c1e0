/* SPDX-License-Identifier: MIT */
/*
 * How much more four vCPUs do than one in the same time, each with a processor of its own:
 * computation, exits that concern one vCPU alone, VMFUNC, and calls on views, one for each vCPU.
 * Then what calls cost that take something from all, while the others are in the guest.
 * Prints a line for each kind and number of vCPUs; `processors` on the command line is
 * how many there are. With four, what needs nothing of other vCPUs is held to 3.8 times the work
 * of one.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VCPUS  4u
#define ROUNDS 200u

static uint16_t views[VCPUS];
static volatile uint64_t *pages;
static volatile unsigned asked, working, ready, done;
static void (*volatile task)(unsigned vcpu);
static volatile bool go;
static volatile uint64_t ended[VCPUS];
static bool up, vmfunc_up;

static void stay(unsigned vcpu);

static void compute(unsigned vcpu)
{
    for (unsigned i = 0; i < 64; i++)
        pages[vcpu * 512] = pages[vcpu * 512] * 6364136223846793005 + 1;
}

static void call(unsigned vcpu)
{
    (void)vcpu;
    xen_version(XENVER_version, NULL);
}

static void ask(unsigned vcpu)
{
    uint32_t r[4];

    (void)vcpu;
    cpuid(1, 0, r);
}

static void vmfunc(unsigned vcpu)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xd4" ::"a"(0), "c"((uint64_t)views[vcpu]) : "memory");
    __asm__ volatile(".byte 0x0f, 0x01, 0xd4" ::"a"(0), "c"(0UL) : "memory");
}

static void get_access(unsigned vcpu)
{
    uint16_t access;

    altp2m_get_access(views[vcpu], gfn_of(&pages[vcpu * 512]), &access);
}

static void set_access(unsigned vcpu)
{
    static uint8_t turns[VCPUS * 64];
    uint16_t access = turns[vcpu * 64]++ & 1 ? ACCESS_RWX : ACCESS_R;

    altp2m_set_access(views[vcpu], gfn_of(&pages[vcpu * 512]), access);
}

static const struct kind {
    const char *name;
    void (*round)(unsigned vcpu);
    bool alone; /* it needs nothing of others */
} kinds[] = {
    {"compute", compute, true},
    {"cpuid", ask, true},
    {"xen_version", call, true},
    {"vmfunc", vmfunc, true},
    {"get_mem_access", get_access, false},
    {"set_mem_access", set_access, false},
};

static void work(unsigned vcpu)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (!go)
        pause();
    for (unsigned i = 0; i < (task == stay ? 1 : ROUNDS); i++)
        task(vcpu);
    ended[vcpu] = rdtsc();
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static void run(unsigned vcpu)
{
    for (unsigned last = 0;;) {
        while (asked == last)
            pause();
        last = asked;
        if (vcpu < working)
            work(vcpu);
    }
}

/* Until the last of n vCPUs has done its work; one that is not asked waits with PAUSE. */
static uint64_t measure(void (*round)(unsigned), unsigned n)
{
    uint64_t start, last = 0;

    task = round;
    working = n;
    ready = done = 0;
    go = false;
    __atomic_fetch_add(&asked, 1, __ATOMIC_SEQ_CST);
    while (ready < n - 1)
        pause();
    start = rdtsc();
    go = true;
    work(0);
    while (done < n)
        pause();
    for (unsigned i = 0; i < n; i++)
        last = ended[i] > last ? ended[i] : last;
    return last - start;
}

static void start(void)
{
    pages = page_alloc(VCPUS, 1);
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    vmfunc_up = true;
    for (unsigned i = 0; i < VCPUS; i++) {
        expect(altp2m_create(ACCESS_RWX, &views[i]), 0);
        vmfunc_up = vmfunc_up && altp2m_enable_notify(i, gfn_of(page_alloc(1, 1))) == 0;
    }
    up = !test_is_failing();
}

static void all_kinds(unsigned n, bool held)
{
    static uint64_t one[ARRAY_SIZE(kinds)];

    for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
        uint64_t took;

        if (kinds[k].round == vmfunc && !vmfunc_up)
            continue;
        measure(kinds[k].round, n); /* caches of every kind */
        took = measure(kinds[k].round, n);
        one[k] = n == 1 ? took : one[k];
        say("SCALE %s %u %lu %lu\n", kinds[k].name, n, took / ROUNDS, n * one[k] * 100 / took);
        check(!held || !kinds[k].alone || n * one[k] * 100 >= 380 * took,
              "%s: four do %lu hundredths of the work of one", kinds[k].name,
              n * one[k] * 100 / took);
    }
}

/* ---- what a call costs while others are in the guest ---- */

static volatile bool enough;

/* Stays in the guest. With interrupts on: Bochs 2.7 keeps even those from a processor's hypervisor
 * that come while the guest has them off. */
static void stay(unsigned vcpu)
{
    (void)vcpu;
    interrupts_on();
    while (!enough)
        ;
    interrupts_off();
}

static void switch_views(void)
{
    altp2m_switch(views[0]);
    altp2m_switch(0);
}

static void create_and_destroy(void)
{
    uint16_t view;

    if (altp2m_create(ACCESS_RWX, &view) == 0)
        altp2m_destroy(view);
}

static void restrict_page(void)
{
    altp2m_set_access(views[0], gfn_of(pages), ACCESS_R);
}

static void nothing(void)
{
}

static void lift(void)
{
    altp2m_set_access(views[0], gfn_of(pages), ACCESS_RWX);
}

static void reserve(unsigned what)
{
    static uint8_t page[PAGE] __attribute__((aligned(4096)));
    xen_pfn_t gfn = gfn_of(page);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &gfn);
    expect(memory_op(what, &r), 1);
}

static void give_and_take(void)
{
    reserve(XENMEM_decrease_reservation);
    reserve(XENMEM_populate_physmap);
}

static const struct {
    const char *name;
    void (*before)(void), (*call)(void);
} calls[] = {
    {"set_mem_access", lift, restrict_page},
    {"switch_p2m, there and back", nothing, switch_views},
    {"create_p2m and destroy_p2m", nothing, create_and_destroy},
    {"a page given back and taken", nothing, give_and_take},
};

static void all_calls(unsigned n)
{
    task = stay;
    working = n;
    ready = done = 0;
    go = true;
    enough = false;
    __atomic_fetch_add(&asked, n > 1, __ATOMIC_SEQ_CST);
    while (ready < n - 1)
        pause();
    for (unsigned c = 0; c < ARRAY_SIZE(calls); c++) {
        uint64_t best = ~0ULL;

        for (unsigned i = 0; i < 9; i++) {
            calls[c].before();
            uint64_t before = rdtsc();
            calls[c].call();
            uint64_t took = rdtsc() - before;
            best = took < best ? took : best;
        }
        say("KICKS %u others: %s %lu\n", n - 1, calls[c].name, best);
    }
    enough = true;
    while (done < n - 1)
        pause();
}

/* As many vCPUs as processors. Those that are not wanted yet are not up: nothing has to be said to
 * them. */
static void scales(void)
{
    char text[8] = "4";
    unsigned processors = 0;

    if (!up)
        skip("views");
    cmdline_get("processors", text, sizeof(text));
    for (const char *c = text; *c; c++)
        processors = processors * 10 + (unsigned)(*c - '0');
    for (unsigned n = 1; n <= VCPUS && n <= processors; n++) {
        if (n > 1 && smp_start(n - 1, run) != 0)
            break;
        all_kinds(n, n == VCPUS);
        all_calls(n);
    }
}

TEST_CASES(CASE(start), CASE(scales))
