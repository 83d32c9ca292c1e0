/* SPDX-License-Identifier: MIT */
/*
 * The core with several processors: three domains, one of which runs on three of them, and the
 * conformance suite of core/platform.h on it (examples/platform). `embed-smp race SEED`: the
 * processors' guests all make calls at once (race.c). Ends with status 0 if all holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "examples/platform/conformance.h"
#include "machine.h"
#include "race.h"

struct physmap smp_domain;
struct altp2m_vcpu smp_callers_vcpu;

static struct physmap monitors, strangers;
static struct altp2m_vcpu monitors_vcpu, strangers_vcpu;

static const struct altp2m_caller self = {.self = &smp_domain, .vcpu = &smp_callers_vcpu};
static const struct altp2m_caller monitor = {.self = &monitors, .vcpu = &monitors_vcpu};
static const struct altp2m_caller stranger = {.self = &strangers, .vcpu = &strangers_vcpu};

/* ---- the rest of the seam ---- */

static _Thread_local uint32_t ranks;

uint32_t *lock_held_ranks(void)
{
    return &ranks;
}

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, condition);
    abort();
}

/* All callers find their arguments in the guest's memory, without paging: one piece of code is
 * enough for the example. */
static uint8_t *caller_byte(gva_t a)
{
    struct mapping m;

    if (!hostmap_lookup(&smp_domain, gpa_to_gfn(gpa(a.v)), &m) || m.type != MAP_RAM) {
        return NULL;
    }
    return (uint8_t *)platform_map(m.mfn) + a.v % PAGE_SIZE;
}

int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *from = caller_byte(gva(src.v + i));

        if (!from) {
            return -XEN_EFAULT;
        }
        ((uint8_t *)dst)[i] = *from;
    }
    return 0;
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        uint8_t *to = caller_byte(gva(dst.v + i));

        if (!to) {
            return -XEN_EFAULT;
        }
        *to = ((const uint8_t *)src)[i];
    }
    return 0;
}

int platform_entry_set(struct altp2m_vcpu *v, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *pages)
{
    (void)v, (void)agent, (void)e, (void)pages;
    return -95; /* EOPNOTSUPP: guests have no agents here */
}

int platform_pins_prepare(struct altp2m_vcpu *v, const struct pins *wanted)
{
    (void)v, (void)wanted;
    return -95; /* nor registers that they cannot write */
}

void platform_pins_update(struct altp2m_vcpu *v)
{
    (void)v;
}

gfn_t platform_top_table(struct altp2m_vcpu *v)
{
    (void)v;
    return GFN_INVALID;
}

/* Each seventh time: so that long calls come back in pieces. */
bool platform_preempt_pending(void)
{
    static _Thread_local unsigned asked;

    return ++asked % 7 == 0;
}

struct physmap *platform_domain_get(uint16_t domid)
{
    return domid == 1 ? &smp_domain : domid == 2 ? &monitors : domid == 3 ? &strangers : NULL;
}

void platform_domain_put(struct physmap *pm)
{
    (void)pm; /* no domain ends before the program does */
}

bool platform_may_control(const struct altp2m_caller *c, const struct physmap *target)
{
    return c->self == &monitors && target != &monitors;
}

void platform_trace(const struct altp2m_caller *c, const char *text)
{
    (void)c;
    puts(text);
}

bool platform_has_altp2m(void)
{
    return true;
}

bool platform_has_ve(void)
{
    return true;
}

/* ---- domains ---- */

static void need(int rc, const char *what)
{
    if (rc) {
        fprintf(stderr, "%s: %d\n", what, rc);
        exit(1);
    }
}

static void create(struct physmap *pm, uint16_t domid, uint64_t first, unsigned frames)
{
    const struct physmap_config config = {
        .domid = domid,
        .address_bits = 36,
        .max_views = 8,
        .altp2m_mode = XEN_ALTP2M_mixed,
        .host_reserve = 8,
        .format = &smp_format,
    };

    need(physmap_init(pm, &config, mfn(first), frames), "physmap_init");
}

static void give_memory(void)
{
    for (unsigned i = 0; i < RAM_FRAMES; i++) {
        mfn_t m = mfn(RAM_MFN + i);

        smp_frame_take(m);
        memset(platform_map(m), 'A' + i % 26, PAGE_SIZE);
        need(hostmap_map(&smp_domain, gfn(i), m, ORDER_4K, MAP_RAM, ACCESS_RWX), "hostmap_map");
    }
}

static void say(const char *line)
{
    puts(line);
}

static void wait_a_while(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static unsigned conforms(void)
{
    const struct conformance machine = {
        .domain = &smp_domain,
        .other = &monitors,
        .self = &self,
        .monitor = &monitor,
        .stranger = &stranger,
        .call = smp_call,
        .absent_domid = 9,
        .ram = {3},
        .more_ram = {5},
        .hole = {RAM_FRAMES + 100},
        .not_ram = {OTHER_MFN + 1},
        .pool = {FIRST_MFN},
        .pool_frames = TABLE_FRAMES,
        .buffer = {BUFFER_GFN * PAGE_SIZE},
        .nr = PROCESSORS,
        .access = smp_access,
        .vmfunc = smp_vmfunc,
        .progress = smp_progress,
        .wait = wait_a_while,
        .references = smp_references,
        .say = say,
    };
    unsigned failed;

    smp_start(NULL);
    failed = conformance_run(&machine);
    smp_stop();
    return failed;
}

int main(int argc, char **argv)
{
    unsigned wrong;

    create(&smp_domain, 1, FIRST_MFN, TABLE_FRAMES);
    create(&monitors, 2, OTHER_MFN, OTHER_FRAMES);
    create(&strangers, 3, OTHER_MFN + OTHER_FRAMES, OTHER_FRAMES);
    give_memory();
    physmap_add_vcpu(&monitors, &monitors_vcpu, 0);
    physmap_add_vcpu(&strangers, &strangers_vcpu, 0);
    wrong = argc > 1 && strcmp(argv[1], "race") == 0
                ? race_run(argc > 2 ? strtoul(argv[2], NULL, 0) : 1)
                : conforms();
    physmap_destroy(&smp_domain);
    return wrong != 0;
}
