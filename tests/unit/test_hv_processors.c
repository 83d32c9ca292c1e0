/* SPDX-License-Identifier: MIT */
/*
 * Processors: what the firmware's table says of them, which pages below their stacks are absent,
 * and that one which does not come, is unlike the first or has another clock is left out, with a
 * line, while those after it are still taken. A thread is the new processor.
 */
#include "hv_test.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define ap_main   ap_main_bare /* its instructions are not for here */
#define this_cpu  host_this_cpu
#define write_cr3 host_write_cr3
#define read_cr3  host_read_cr3
#include "hv/x86/cpu.h"
#include "hv/x86/processors.h"
#undef this_cpu
#define this_cpu() processors_get(0)
static uint64_t no_register(void)
{
    return 0;
}
#define rdmsr(m) ((void)(m), no_register())
#undef read_cr3
#define read_cr3() no_register()
static void no_write(uint32_t msr, uint64_t v)
{
    (void)msr, (void)v;
}
#define wrmsr no_write
/* It stands while a processor has yet to do what it will do: no wait is too short for a thread. */
static uint64_t clock_read(void);
#define rdtsc               clock_read
#define memcpy(to, from, n) ((void)(to), (void)(from), (void)(n)) /* below 1 MiB */
#include "hv/boot/ap.c"
#undef memcpy
#include "hv/x86/acpi.c"
#include "hv/x86/madt.c"
#include "hv/x86/processors.c"

/* ---- the table ---- */

static unsigned entry(uint8_t *at, uint8_t type, uint8_t length, uint32_t id, uint32_t flags)
{
    memset(at, 0, length);
    at[0] = type;
    at[1] = length;
    if (type == TYPE_APIC) {
        at[3] = (uint8_t)id;
        memcpy(at + 4, &flags, 4);
    } else if (type == TYPE_X2APIC) {
        memcpy(at + 4, &id, 4);
        memcpy(at + 8, &flags, 4);
    }
    return length;
}

static void test_table(void **state)
{
    uint8_t t[256] = {0};
    uint32_t ids[8], n = MADT_ENTRIES;

    (void)state;
    n += entry(t + n, TYPE_APIC, 8, 0, 1);
    n += entry(t + n, 1, 12, 0, 0);        /* an I/O APIC */
    n += entry(t + n, TYPE_APIC, 8, 3, 2); /* could be switched on later: is not there */
    n += entry(t + n, TYPE_APIC, 8, 5, 3);
    n += entry(t + n, TYPE_X2APIC, 16, 0x12345, 1);
    assert_int_equal(madt_read(t, n, ids, 8), 3);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 5);
    assert_int_equal(ids[2], 0x12345);
    assert_int_equal(madt_read(t, n, ids, 2), 2);
    assert_int_equal(madt_read(t, n - 1, ids, 8), 2); /* the last is cut off */
    t[MADT_ENTRIES + 1] = 0;                          /* would never end */
    assert_int_equal(madt_read(t, n, ids, 8), 0);
}

/* Bytes of any kind, in a block that ends where they do: nothing beyond is read. */
static void test_any_table(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 20000; seed++) {
        uint32_t ids[4], n;
        uint8_t *t;

        random_seed(seed);
        n = (uint32_t)random_below(200);
        t = malloc(n + 1);
        for (uint32_t i = 0; i < n; i++) {
            t[i] = (uint8_t)(random_below(3) ? random_below(20) : random_u64());
        }
        t = realloc(t, n ? n : 1);
        assert_in_range(madt_read(t, n, ids, 4), 0, 4);
        free(t);
    }
}

/* What a boot loader tells of the root pointer is taken if it is one. */
static void test_root(void **state)
{
    uint8_t r[36] = "RSD PTR ";

    (void)state;
    acpi_given(r, 0);
    assert_false(looked);
    r[8]++; /* its checksum */
    acpi_given(r, 36);
    assert_false(looked);
    r[8] = 0;
    for (unsigned i = 0; i < 8; i++) {
        r[8] = (uint8_t)(r[8] - r[i]);
    }
    acpi_given(r, 19);
    assert_false(looked);
    r[35] = 9;
    acpi_given(r, 20);
    assert_true(looked);
    assert_memory_equal(rsdp(), r, 20);
    assert_int_equal(rsdp()[35], 0);
    acpi_given(r, 36);
    assert_int_equal(rsdp()[35], 9);
    looked = false;
}

/* ---- stacks ---- */

static void *memory;
static unsigned nr_asked;

void *early_alloc(uint64_t bytes)
{
    nr_asked++;
    free(memory);
    memory = aligned_alloc(PAGE_SIZE, bytes);
    memset(memory, 0, bytes);
    return memory;
}

static void check_stack(uint64_t top, uint64_t bytes)
{
    for (uint64_t a = top - bytes; a < top; a += PAGE_SIZE) {
        assert_false(processors_guard(a));
        assert_true(processors_guard_within(a, a + PAGE_SIZE));
    }
    assert_true(processors_guard(top - bytes - PAGE_SIZE));
}

static void test_guards(void **state)
{
    static const uint32_t ids[] = {0, 2, 4};

    (void)state;
    assert_false(processors_guard(0));
    assert_false(processors_guard_within(0, ~0ULL));
    processors_place(ids, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct cpu *c = processors_get(i);

        assert_int_equal(c->apic_id, ids[i]);
        check_stack(c->stack, STACK);
        for (unsigned n = CPU_IST_DF; n < CPU_ISTS; n++) {
            check_stack(c->tss.ist[n - 1], SMALL_STACK);
        }
        for (uint64_t a = (uint64_t)c & PAGE_MASK; a < (uint64_t)(c + 1); a += PAGE_SIZE) {
            assert_false(processors_guard(a));
        }
    }
    assert_false(processors_guard((uint64_t)memory - PAGE_SIZE));
    assert_false(processors_guard((uint64_t)(parts + 3)));
}

/* ---- starting them ---- */

char ap_start16[1], ap_start16_end[1];
struct cpu *ap_cpu;
uint64_t ap_cr3;

enum manner { COMES, SECOND_TRY, NEVER, UNLIKE, OTHER_CLOCK, SILENT };
static enum manner manners[4];
static unsigned tries[4];
static bool stopped[4];
static char said[1000];

uint64_t time_tsc_khz(void)
{
    return 1;
}
void say(const char *format, ...)
{
    size_t n = strlen(said);
    va_list ap;

    va_start(ap, format);
    n += (size_t)vsnprintf(said + n, sizeof(said) - n - 1, format, ap);
    va_end(ap);
    strcpy(said + n, "\n");
}
void desc_init(struct cpu *c)
{
    (void)c;
}
void fpu_init(void)
{
}
void apic_start(void)
{
}
void mce_start(void)
{
}
void nmi_clock_reach_all(void)
{
}
uint32_t apic_id(void)
{
    return 0;
}
bool vendor_start(void)
{
    return true;
}
void apic_send(uint32_t to, uint8_t vector)
{
    (void)to, (void)vector;
}
void smp_place(struct cpu *const *cpus, unsigned nr)
{
    (void)cpus;
    (void)nr;
}

void smp_begin(void)
{
}
void smp_acquire(void)
{
}
void boot_work(void)
{
    abort();
}
void apic_send_init(uint32_t to)
{
    (void)to;
}

static uint64_t now;
static unsigned starting; /* which one */

static uint64_t clock_read(void)
{
    const struct meeting *m = &meetings[starting];
    const struct meeting *until = manners[starting] == SILENT ? NULL : m;

    while (until && __atomic_load_n(&m->here, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&m->answered, __ATOMIC_ACQUIRE) != m->asked) {
        __builtin_ia32_pause();
    }
    return __atomic_add_fetch(&now, 1, __ATOMIC_RELAXED);
}

/* answer() does this with the clock of its own processor. */
static void *processor(void *arg)
{
    struct cpu *c = arg;
    struct meeting *m = &meetings[c->id];

    m->unlike = manners[c->id] == UNLIKE;
    __atomic_store_n(&m->here, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&m->stays, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&m->leaves, __ATOMIC_ACQUIRE)) {
        if (manners[c->id] == OTHER_CLOCK && m->asked != m->answered) {
            m->tsc = now - 1000000000;
            __atomic_store_n(&m->answered, m->asked, __ATOMIC_RELEASE);
        } else if (manners[c->id] != SILENT && m->asked != m->answered) {
            m->tsc = __atomic_add_fetch(&now, 1, __ATOMIC_RELAXED);
            __atomic_store_n(&m->answered, m->asked, __ATOMIC_RELEASE);
        }
    }
    __atomic_store_n(&stopped[c->id], true, __ATOMIC_RELEASE);
    return NULL;
}

void apic_send_start(uint32_t to, uint8_t page)
{
    unsigned n = to / 2;
    pthread_t thread;

    assert_int_equal(page, 9);
    tries[n]++;
    starting = n;
    if (manners[n] == NEVER || (manners[n] == SECOND_TRY && tries[n] == 1) || !ap_cpu) {
        return;
    }
    assert_int_equal(pthread_create(&thread, NULL, processor,
                                    __atomic_exchange_n(&ap_cpu, NULL, __ATOMIC_SEQ_CST)),
                     0);
    pthread_detach(thread);
    while (!__atomic_load_n(&meetings[n].here, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
}

static void check_start(enum manner first, enum manner second, unsigned run, const char *lines)
{
    static const uint32_t ids[] = {0, 2, 4};

    memset(meetings, 0, sizeof(meetings));
    memset(tries, 0, sizeof(tries));
    memset(stopped, 0, sizeof(stopped));
    said[0] = '\0';
    manners[1] = first;
    manners[2] = second;
    processors_place(ids, 3);
    run -= ap_start_all(3);
    assert_string_equal(said, lines);
    assert_int_equal(run, 0);
    for (unsigned i = 1; i < 3; i++) {
        while (manners[i] != NEVER && !__atomic_load_n(&stopped[i], __ATOMIC_ACQUIRE)) {
            __builtin_ia32_pause();
        }
    }
}

/* Of the first MiB the firmware may have kept any page. */
static void test_start_page(void **state)
{
    (void)state;
    said[0] = '\0';
    assert_int_equal(ap_start_all(3), 1);
    assert_string_equal(said, "there is no memory below 1 MiB to start processors in\n");
    ram_add(0, 0x8800, 1);
    ram_add(0x8800, 0x9000, 4);
    ram_add(0x9000, 0xa0000, 1);
    assert_true(place_start());
    assert_int_equal(started_at, 0x9000);
}

static void test_start(void **state)
{
    (void)state;
    check_start(COMES, COMES, 3, "");
    check_start(SECOND_TRY, COMES, 3, "");
    check_start(NEVER, COMES, 2, "processor 1 (APIC 2) does not start: it is left out\n");
    check_start(UNLIKE, COMES, 2, "processor 1 (APIC 2) is not like the first: it is left out\n");
    check_start(COMES, OTHER_CLOCK, 2,
                "processor 2 (APIC 4) has another time stamp counter: it is left out\n");
    check_start(SILENT, COMES, 2,
                "processor 1 (APIC 2) has another time stamp counter: it is left out\n");
}

static void test_clock(void **state)
{
    (void)state;
    assert_true(ap_tsc_agrees(5000, 5000, 5000));
    assert_true(ap_tsc_agrees(5000, 5500, 6000));
    assert_true(ap_tsc_agrees(5000, 5000 - TSC_SLACK, 6000));
    assert_false(ap_tsc_agrees(5000, 5000 - TSC_SLACK - 1, 6000));
    assert_false(ap_tsc_agrees(5000, 6001 + TSC_SLACK, 6000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("processors", test_table),  CASE("processors", test_any_table),
        CASE("processors", test_guards), CASE("processors", test_clock),
        CASE("processors", test_root),   CASE("processors", test_start_page),
        CASE("processors", test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
