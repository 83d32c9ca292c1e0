/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the demo prints. People read it and demo.py checks it, so every line starts "demo: ":
 *
 *   demo: begin steps=N tsc=T      demo: step I: TITLE     demo:   TEXT
 *   demo: step I ok: RESULT        demo: step I FAILED: WHY
 *   demo: end ok=N failed=N tsc=T
 */
#include <stdbool.h>
#include <stdint.h>

uint64_t report_tsc(void);
void report_begin(unsigned int steps);
void report_step(const char *title);
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The first failure of a step is the one reported; always returns false. */
bool report_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the step: ok with this result unless report_fail was called in it. True if it was ok. */
bool report_end_step(const char *result);
/* 0 if every one of the steps announced by report_begin was ok, else 1. */
int report_end(void);
