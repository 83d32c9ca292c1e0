/* SPDX-License-Identifier: MIT */
#include "console.h"
#include <facet/lock.h>
#include <string.h>
#include "screen.h"
#include "x86/cpu.h"
#include "x86/power.h"

/* klibc's vsnprintf; its headers are not used, so that musl's and klibc's types do not meet. */
int vsnprintf(char *buffer, size_t n, const char *format, va_list ap);

#define PORT_DEBUG     0xe9
#define PORT_COM1      0x3f8
#define PORT_COM2      0x2f8
#define PORT_BOCHS     0x8900 /* takes a word that turns it off */
#define PORT_QEMU      0x604  /* its PM1 control, as SeaBIOS places it */
#define QEMU_OFF       0x2000
#define PORT_PIT_MODE  0x43
#define PORT_KEYBOARD  0x64
#define PORT_RESET     0xcf9
#define KEYBOARD_RESET 0xfe
#define RESET_ALL      0x06
#define SCRATCH        7
#define LSR            5
#define LSR_DATA       0x01
#define LSR_CAN_SEND   0x20
#define LSR_ALL_SENT   0x40
#define LINE_MAX_TEXT  240
#define HYPERVISOR     "(facet) "
#define PIECE          16u /* characters: 1.4 ms */
/* Whose domain does not run meanwhile loses its right to an unbroken line. */
#define LOOKS_MOST 64u

static struct lock console_lock = LOCK_INIT(LOCK_RANK_CONSOLE);
static bool debug_port, com1; /* whether there are */
static unsigned *half_out;    /* the looks of what has a line half out; under the lock */
/* What was printed last; where the next character goes, counted from the first one ever. */
static char kept[CONSOLE_KEPT];
static uint32_t kept_end, nr_kept;

static void uart_init(uint16_t port, bool fifo)
{
    outb(port + 1, 0x00); /* no interrupts */
    outb(port + 3, 0x80); /* divisor latch */
    outb(port + 0, 0x01); /* 115200 */
    outb(port + 1, 0x00);
    outb(port + 3, 0x03);               /* 8N1 */
    outb(port + 2, fifo ? 0x07 : 0x00); /* FIFOs on and cleared, or off */
    outb(port + 4, 0x03);               /* DTR, RTS */
}

/* Waits, but not for ever: a machine without the port reads all ones and goes on. */
static void uart_wait(uint16_t port, uint8_t for_what)
{
    for (unsigned spin = 0; spin < 1000000 && !(inb(port + LSR) & for_what); spin++) {
        __builtin_ia32_pause();
    }
}

static void uart_putc(uint16_t port, char c)
{
    uart_wait(port, LSR_CAN_SEND);
    outb(port, (uint8_t)c);
}

/* By its register that does nothing but keep a byte. */
static bool uart_there(uint16_t port)
{
    for (unsigned byte = 0x5a; byte <= 0xa5; byte += 0xa5 - 0x5a) {
        outb(port + SCRATCH, (uint8_t)byte);
        if (inb(port + SCRATCH) != byte) {
            return false;
        }
    }
    return true;
}

void console_init(void)
{
    debug_port = inb(PORT_DEBUG) == PORT_DEBUG;
    com1 = !debug_port && uart_there(PORT_COM1);
    if (com1) {
        uart_init(PORT_COM1, true);
    }
}

static void keep(char c)
{
    kept[kept_end++ % CONSOLE_KEPT] = c;
    nr_kept += nr_kept < CONSOLE_KEPT;
}

static void put_com1(char c)
{
    if (c == '\n') {
        uart_putc(PORT_COM1, '\r');
    }
    uart_putc(PORT_COM1, c);
}

static void put(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        keep(text[i]);
        if (debug_port) {
            outb(PORT_DEBUG, (uint8_t)text[i]);
        } else if (com1) {
            put_com1(text[i]);
        } else if (screen_there()) {
            screen_putc(text[i]);
        }
    }
}

void console_screen(uint64_t at, uint32_t pitch, uint32_t columns, uint32_t rows)
{
    if (debug_port || com1) {
        return;
    }
    screen_init(at, pitch, columns, rows);
    for (uint32_t i = kept_end - nr_kept; screen_there() && i != kept_end; i++) {
        screen_putc(kept[i % CONSOLE_KEPT]);
    }
}

/* The rest of a line that is half out follows as a line of its own. */
static void break_half_out(void)
{
    if (half_out) {
        put("\n", 1);
        *half_out = 0;
        half_out = NULL;
    }
}

static void put_line(const char *source, const char *text, size_t n)
{
    lock_acquire(&console_lock);
    break_half_out();
    put(source, strlen(source));
    put(text, n);
    put("\n", 1);
    lock_release(&console_lock);
}

void console_break_lock(void)
{
    lock_init(&console_lock, LOCK_RANK_CONSOLE);
    this_cpu()->lock_ranks = 0;
}

static size_t format_text(char *out, size_t size, const char *format, va_list ap)
{
    int n = vsnprintf(out, size, format, ap);

    if (n < 0) {
        return 0;
    }
    return (size_t)n < size ? (size_t)n : size - 1;
}

void say(const char *format, ...)
{
    char text[LINE_MAX_TEXT];
    va_list ap;

    va_start(ap, format);
    size_t n = format_text(text, sizeof(text), format, ap);
    va_end(ap);
    put_line(HYPERVISOR, text, n);
}

uint32_t console_kept(void)
{
    uint32_t from;

    lock_acquire(&console_lock);
    from = kept_end - nr_kept;
    lock_release(&console_lock);
    return from;
}

size_t console_read(uint32_t *at, char *out, size_t n)
{
    size_t done = 0;

    lock_acquire(&console_lock);
    if (kept_end - *at > nr_kept) {
        *at = kept_end - nr_kept;
    }
    for (; done < n && *at != kept_end; done++) {
        out[done] = kept[(*at)++ % CONSOLE_KEPT];
    }
    lock_release(&console_lock);
    return done;
}

void console_forget(uint32_t until)
{
    lock_acquire(&console_lock);
    if (kept_end - until < nr_kept) {
        nr_kept = kept_end - until;
    }
    lock_release(&console_lock);
}

/* "(d12) " without a formatter: guest output can be long. */
static void guest_source(char out[16], unsigned domid)
{
    char digits[8];
    unsigned n = 0, at = 0;

    do {
        digits[n++] = (char)('0' + domid % 10);
        domid /= 10;
    } while (domid && n < sizeof(digits));
    out[at++] = '(';
    out[at++] = 'd';
    while (n) {
        out[at++] = digits[--n];
    }
    out[at++] = ')';
    out[at++] = ' ';
    out[at] = '\0';
}

static bool waits(const unsigned *looks)
{
    return half_out && half_out != looks && *half_out < LOOKS_MOST;
}

bool console_guest_waits(const struct console_line *line)
{
    return waits(&line->looks);
}

bool console_notes_wait(const struct console_notes *n)
{
    return waits(&n->looks);
}

/* Prints up to a piece of a whole line; caller holds the lock. */
static void put_piece(unsigned domid, struct console_line *line)
{
    size_t n = line->length - line->out, most = debug_port ? n : PIECE;
    char source[16];

    if (half_out != &line->looks) {
        break_half_out();
        guest_source(source, domid);
        put(source, strlen(source));
        half_out = &line->looks;
    }
    n = n < most ? n : most;
    put(line->text + line->out, n);
    line->out += n;
    line->looks = 0;
    if (line->out == line->length) {
        put("\n", 1);
        line->length = line->out = 0;
        line->whole = false;
        half_out = NULL;
    }
}

bool console_guest_more(unsigned domid, struct console_line *line)
{
    if (line->whole) {
        lock_acquire(&console_lock);
        if (waits(&line->looks)) {
            ++*half_out;
        } else {
            put_piece(domid, line);
        }
        lock_release(&console_lock);
    }
    return line->whole;
}

void console_guest_end(struct console_line *line)
{
    line->whole |= line->length > 0;
}

/* False: the line is full, and c belongs on the next one. */
static bool add(struct console_line *line, char c)
{
    if (c == '\n') {
        line->whole = true;
    } else if (c != '\r' && c != '\0') {
        if (line->length == sizeof(line->text)) {
            line->whole = true;
            return false;
        }
        /* No escape sequences: a guest must not draw on the operator's terminal. */
        line->text[line->length++] = (unsigned char)c >= 0x20 || c == '\t' ? c : '?';
    }
    return true;
}

size_t console_guest_write(unsigned domid, struct console_line *line, const char *text, size_t n)
{
    size_t i = 0;

    if (line->whole) {
        console_guest_more(domid, line);
        return 0;
    }
    while (i < n && !line->whole) {
        i += add(line, text[i]);
    }
    if (debug_port) {
        console_guest_more(domid, line);
    }
    return i;
}

/* ---- the hypervisor's lines about a domain ---- */

/* Caller holds the lock. */
static void add_note(struct console_notes *n, const char *text, size_t length)
{
    if (n->lost || length + 1 > sizeof(n->text) - n->length) {
        n->lost++;
        return;
    }
    memcpy(n->text + n->length, text, length);
    n->length += (unsigned)length;
    n->text[n->length++] = '\n';
}

void console_note(struct console_notes *n, const char *format, va_list ap)
{
    char text[LINE_MAX_TEXT];
    size_t length = format_text(text, sizeof(text), format, ap);

    if (debug_port) {
        put_line(HYPERVISOR, text, length);
        return;
    }
    lock_acquire(&console_lock);
    add_note(n, text, length);
    lock_release(&console_lock);
}

static void add_lost(struct console_notes *n, const char *format, ...)
{
    char text[LINE_MAX_TEXT];
    va_list ap;

    va_start(ap, format);
    size_t length = format_text(text, sizeof(text), format, ap);
    va_end(ap);
    n->lost = 0;
    add_note(n, text, length);
}

/* Prints up to a piece of the first line; caller holds the lock. */
static void put_notes_piece(struct console_notes *n)
{
    const char *from = n->text + n->out;
    size_t left = n->length - n->out, most = left < PIECE ? left : PIECE;
    const char *end = memchr(from, '\n', most);

    if (half_out != &n->looks) {
        break_half_out();
        put(HYPERVISOR, strlen(HYPERVISOR));
    }
    most = end ? (size_t)(end + 1 - from) : most;
    put(from, most);
    n->out += (unsigned)most;
    n->looks = 0;
    half_out = end ? NULL : &n->looks;
    if (n->out == n->length) {
        n->out = n->length = 0;
        if (n->lost) {
            add_lost(n, "%u more lines of this kind had no room", n->lost);
        }
    }
}

bool console_notes_more(struct console_notes *n)
{
    lock_acquire(&console_lock);
    if (n->length && waits(&n->looks)) {
        ++*half_out;
    } else if (n->length) {
        put_notes_piece(n);
    }
    lock_release(&console_lock);
    return n->length > 0;
}

void console_raw_init(void)
{
    /* An emulator keeps what is typed until there is room: without a FIFO, which Bochs lets run
     * over. */
    uart_init(PORT_COM2, !debug_port);
}

void console_raw_putc(char c)
{
    uart_putc(PORT_COM2, c);
}

bool console_raw_waits(void)
{
    uint8_t status = inb(PORT_COM2 + LSR);

    /* 0xff: there is no such port. */
    return status != 0xff && (status & LSR_DATA);
}

int console_raw_getc(void)
{
    return console_raw_waits() ? inb(PORT_COM2) : -1;
}

static void last_words(void)
{
    if (com1) {
        uart_wait(PORT_COM1, LSR_ALL_SENT);
    }
}

static _Noreturn void halt(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* Ports of emulators', which are anything on a machine. */
static void bochs_off(void)
{
    static const char word[] = "Shutdown";

    for (size_t i = 0; i < sizeof(word) - 1; i++) {
        outb(PORT_BOCHS, (uint8_t)word[i]);
    }
}

void machine_off(void)
{
    last_words();
    if (debug_port) {
        bochs_off();
    }
    /* The PIT keeps the count of its channel 0: the runner learns when the machine ended. */
    outb(PORT_PIT_MODE, 0);
    power_off();
    bochs_off();
    outw(PORT_QEMU, QEMU_OFF);
    halt();
}

void machine_reset(void)
{
    if (debug_port) {
        machine_off();
    }
    last_words();
    power_reset();
    outb(PORT_KEYBOARD, KEYBOARD_RESET);
    outb(PORT_RESET, RESET_ALL);
    halt();
}

void fatal(const char *format, ...)
{
    char text[LINE_MAX_TEXT] = "fatal: ";
    size_t start = strlen(text);
    va_list ap;

    va_start(ap, format);
    size_t n = start + format_text(text + start, sizeof(text) - start, format, ap);
    va_end(ap);
    /* The lock may be held by whoever failed. */
    cpu_stop_others();
    put(HYPERVISOR, strlen(HYPERVISOR));
    put(text, n);
    put("\n", 1);
    if (screen_there()) {
        halt(); /* the line is there, and nowhere else, as long as the machine is on */
    }
    machine_off();
}

void check_failed(const char *file, int line, const char *condition)
{
    fatal("%s:%d: broken invariant: %s", file, line, condition);
}

uint32_t *lock_held_ranks(void)
{
    return &this_cpu()->lock_ranks;
}
