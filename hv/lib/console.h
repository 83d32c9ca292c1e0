/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hypervisor's console: whole lines, each with its source in front. Formats are klibc's
 * vsnprintf's: no floating point. The hypervisor's lines are cut at 240 characters, guests' broken
 * at 1000.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console_line {
    size_t length;
    size_t out;     /* of a whole line: characters printed */
    bool whole;     /* it is being printed: nothing is added before it is out */
    unsigned looks; /* in which others found it half out */
    char text[1000];
};

/* What the hypervisor has to say about a domain, or because of one: whole lines, without their
 * source. */
struct console_notes {
    unsigned length, out;
    unsigned looks; /* as above */
    unsigned lost;  /* lines for which there was no room; told when the others are out */
    char text[1000];
};

/* On the debug port of an emulator; else on COM1; else on a screen, once there is one. */
void console_init(void);
/* At boot: the machine has a screen of text. What was printed before appears on it. */
void console_screen(uint64_t at, uint32_t pitch, uint32_t columns, uint32_t rows);
/* One line "(facet) TEXT". */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * Guest output. A character on a UART takes 87 us, so a line is printed in pieces of bounded time;
 * the domain waits for them.
 *
 * Adds to the line, which is printed as "(dN) LINE" at a newline or when it is full. Returns how
 * many characters it took, up to the end of a line; console_guest_more() then prints a piece at
 * each call until it answers false.
 */
size_t console_guest_write(unsigned domid, struct console_line *line, const char *text, size_t n);
bool console_guest_more(unsigned domid, struct console_line *line);
/* Whether more of this line has to wait for one that is half out. */
bool console_guest_waits(const struct console_line *line);
/* An unfinished line is whole as it is: to be printed by console_guest_more(). */
void console_guest_end(struct console_line *line);

/*
 * Lines "(facet) TEXT" that a domain can cause at any rate: on a UART they wait in the notes, and
 * go out in pieces as guest output does; else they are printed at once.
 */
void console_note(struct console_notes *n, const char *format, va_list ap);
bool console_notes_more(struct console_notes *n);
bool console_notes_wait(const struct console_notes *n);
static inline bool console_notes_any(const struct console_notes *n)
{
    return n->length > 0;
}

/*
 * What was printed last is kept. Positions count characters from the first one ever printed, modulo
 * 2^32. console_kept(): that of the oldest there is. console_read() reads from `*at` on, or from
 * the oldest where that is gone or nothing is there yet; returns how many, and leaves `*at` behind
 * them. What is before `until` is forgotten.
 */
#define CONSOLE_KEPT 16384u
uint32_t console_kept(void);
size_t console_read(uint32_t *at, char *out, size_t n);
void console_forget(uint32_t until);

/* COM2 as the raw console of the first domain, with --interactive. getc returns -1 if nothing
 * waits.
 */
void console_raw_init(void);
void console_raw_putc(char c);
bool console_raw_waits(void);
int console_raw_getc(void);

/* For a fault in the hypervisor: whoever holds the console lock is not coming back. */
void console_break_lock(void);
/* "(facet) fatal: TEXT", then powers the machine off, or halts where the text is on a screen. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Powers the machine off, by what its firmware tells or as Bochs and QEMU want it; else halts. */
_Noreturn void machine_off(void);
/* Starts it again; one with a debug port, whose end somebody waits for, is powered off. */
_Noreturn void machine_reset(void);
