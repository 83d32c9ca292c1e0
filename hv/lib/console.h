/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hypervisor's console: whole lines, each with its source in front.
 * Formats are klibc's vsnprintf's: no floating point. The hypervisor's lines are cut at 240 characters, guests' broken at 1000.
 */
#include <stdarg.h>
#include <stddef.h>

struct console_line {
    size_t length;
    char text[1000];
};

void console_init(void);
/* One line "(facet) TEXT". */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Adds guest output to its line; prints "(dN) LINE" at a newline or when the line is full. */
void console_guest_write(unsigned domid, struct console_line *line, const char *text, size_t n);
/* Prints what is left of an unfinished line. */
void console_guest_flush(unsigned domid, struct console_line *line);

/* COM2 as the raw console of domain 1, with --interactive. getc returns -1 if nothing waits. */
void console_raw_init(void);
void console_raw_putc(char c);
int console_raw_getc(void);

/* For a fault in the hypervisor: whoever holds the console lock is not coming back. */
void console_break_lock(void);
/* "(facet) fatal: TEXT", then powers the machine off or halts. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Powers the machine off if it knows how (Bochs, QEMU), else halts. */
_Noreturn void machine_off(void);
