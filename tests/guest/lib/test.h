/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a test guest is made of. Each file in tests/guest is one guest:
 *
 *     static void name(void) { expect(...); }
 *     TEST_CASES(CASE(name), ...)
 *
 * Each case prints one line "TEST guest.case: pass|skip|error|fail [text]": skip names what the
 * machine lacks, error means the test itself broke, fail that the hypervisor did. The last line is
 * "END guest: P passed, S skipped, E errors, F failed"; a guest without it did not finish. Then
 * the guest powers off.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>

struct test_case {
    const char *name;
    void (*run)(void);
};
#define CASE(fn)                                                                                   \
    {                                                                                              \
#fn, fn                                                                                    \
    }
#define TEST_CASES(...) const struct test_case test_cases[] = {__VA_ARGS__, {NULL, NULL}};
extern const struct test_case test_cases[];

/* The processor's registers at entry, as start.S recorded them. */
struct entry_state {
    uint32_t eax, ebx, esp, eflags, cr0, cr4;
    uint16_t cs, ds, es, ss, tr, pad;
    uint32_t efer;
};
extern const struct entry_state entry_state;
extern const struct hvm_start_info *start_info;
extern const char *cmdline;
/* True on Facet, false on another Xen-compatible hypervisor (the tests also pass on real Xen). */
extern bool on_facet;

/* Prints to port 0xE9. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The value of "key=value" on the command line, copied to buf; false if the key is absent. */
bool cmdline_get(const char *key, char *buf, size_t size);

void test_failed(int line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void test_skipped(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The test itself cannot go on: ends the guest after reporting the current case as an error. */
_Noreturn void test_broke(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the END line of the cases so far, for a guest that is about to end in another way. */
void test_summary(void);
/* Whether the current case has failed so far. */
bool test_is_failing(void);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define check(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_failed(__LINE__, __VA_ARGS__);                                                    \
    } while (0)

/* The value must be the one wanted; both are printed if not. */
#define expect(what, wanted)                                                                       \
    do {                                                                                           \
        long long got_ = (long long)(what), want_ = (long long)(wanted);                           \
        if (got_ != want_)                                                                         \
            test_failed(__LINE__, "%s is %lld (0x%llx), wanted %lld (0x%llx)", #what, got_, got_,  \
                        want_, want_);                                                             \
    } while (0)

/* Leaves the case as skipped: the machine or hypervisor lacks what it needs. */
#define skip(...)                                                                                  \
    do {                                                                                           \
        test_skipped(__VA_ARGS__);                                                                 \
        return;                                                                                    \
    } while (0)

/* Something the test needs and does not examine must hold. */
#define need(cond, ...)                                                                            \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_broke(__VA_ARGS__);                                                               \
    } while (0)
