/* SPDX-License-Identifier: MIT */
/* Start of a test guest, its report, and its end. */
#include <stdio.h>
#include <string.h>
#include "cpu.h"
#include "hypercall.h"
#include "test.h"

static enum { PASS, SKIP, ERROR, FAIL } outcome;
static const char *const outcome_name[] = {"pass", "skip", "error", "fail"};
static unsigned totals[4];
static char reason[160];
static const char *current = "start";

const struct hvm_start_info *start_info;
const char *cmdline = "";
bool on_facet;
_Noreturn void guest_start(void);

void say(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    for (const char *p = line; *p; p++)
        outb(0xe9, (uint8_t)*p);
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

bool cmdline_get(const char *key, char *buf, size_t size)
{
    size_t n = strlen(key);

    for (const char *p = cmdline; p && *p; p = strchr(p, ' ')) {
        while (*p == ' ')
            p++;
        if (strncmp(p, key, n) == 0 && p[n] == '=') {
            size_t len = 0;
            for (p += n + 1; *p && *p != ' ' && len + 1 < size; p++)
                buf[len++] = *p;
            buf[len] = 0;
            return true;
        }
    }
    return false;
}

bool test_is_failing(void)
{
    return outcome == FAIL;
}

void test_failed(int line, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (outcome != FAIL)
        format(reason, sizeof(reason), " line %d: %s", line, text);
    else
        say("%s.%s: also line %d: %s\n", TEST_NAME, current, line, text);
    outcome = FAIL;
}

void test_skipped(const char *fmt, ...)
{
    va_list ap;

    if (outcome == FAIL)
        return;
    outcome = SKIP;
    reason[0] = ' ';
    va_start(ap, fmt);
    vsnprintf(reason + 1, sizeof(reason) - 1, fmt, ap);
    va_end(ap);
}

static void report(void)
{
    totals[outcome]++;
    say("TEST %s.%s: %s%s\n", TEST_NAME, current, outcome_name[outcome], reason);
}

void test_summary(void)
{
    say("END %s: %u passed, %u skipped, %u errors, %u failed\n", TEST_NAME, totals[PASS],
        totals[SKIP], totals[ERROR], totals[FAIL]);
}

static _Noreturn void end(void)
{
    test_summary();
    shut_down(SHUTDOWN_poweroff);
}

void test_broke(const char *fmt, ...)
{
    va_list ap;

    outcome = ERROR;
    reason[0] = ' ';
    va_start(ap, fmt);
    vsnprintf(reason + 1, sizeof(reason) - 1, fmt, ap);
    va_end(ap);
    report();
    end();
}

void guest_start(void)
{
    start_info = (const struct hvm_start_info *)(uint64_t)entry_state.ebx;
    if (start_info->cmdline_paddr)
        cmdline = (const char *)start_info->cmdline_paddr;
    trap_init();
    hypercall_init();
    for (const struct test_case *t = test_cases; t->run; t++) {
        current = t->name;
        outcome = PASS;
        reason[0] = 0;
        t->run();
        report();
    }
    end();
}
