/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <x86intrin.h>

static struct {
    unsigned int steps, current, ok, failed;
    char why[256];
} state;

uint64_t report_tsc(void)
{
    return __rdtsc();
}

void report_begin(unsigned int steps)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    state.steps = steps;
    printf("demo: begin steps=%u tsc=%" PRIu64 "\n", steps, report_tsc());
}

void report_step(const char *title)
{
    state.current++;
    state.why[0] = '\0';
    printf("demo: step %u: %s\n", state.current, title);
}

void report_note(const char *format, ...)
{
    va_list args;

    printf("demo:   ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

bool report_fail(const char *format, ...)
{
    va_list args;

    if (state.why[0])
        return false;
    va_start(args, format);
    vsnprintf(state.why, sizeof(state.why), format, args);
    va_end(args);
    if (!state.why[0])
        snprintf(state.why, sizeof(state.why), "no reason given");
    return false;
}

bool report_end_step(const char *result)
{
    if (state.why[0]) {
        state.failed++;
        printf("demo: step %u FAILED: %s\n", state.current, state.why);
        return false;
    }
    state.ok++;
    printf("demo: step %u ok: %s\n", state.current, result);
    return true;
}

int report_end(void)
{
    printf("demo: end ok=%u failed=%u tsc=%" PRIu64 "\n", state.ok, state.failed, report_tsc());
    return state.ok == state.steps ? 0 : 1;
}
