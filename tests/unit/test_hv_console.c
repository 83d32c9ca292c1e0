/* SPDX-License-Identifier: MIT */
/* Guests' output on a UART, in pieces: nothing is lost, nobody's line is long in one go, and lines
 * of others come in between whole ones. */
#include "hv_test.h"
#include <facet/lock.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include "x86/cpu.h"
#include "x86/power.h"

static char printed[1 << 16];
static size_t nr_printed;
static uint8_t fifo_control; /* of COM2 */

void cpu_stop_others(void)
{
}
/* How the machine ends, for who waits for it. */
enum { OFF = 1, HALTED };
static sigjmp_buf *ending;

void power_off(void)
{
    if (ending) {
        siglongjmp(*ending, OFF);
    }
}
void power_reset(void)
{
}

static bool no_com1;
static uint8_t scratch;
static uint16_t cells[25][80];

static uint8_t fake_inb(uint16_t port)
{
    if (port == 0x3f8 + 7 && !no_com1) {
        return scratch;
    }
    if (no_com1 && port >= 0x3f8) {
        return 0; /* as on machines where nothing answers; ones on others */
    }
    return port == 0x3f8 + 5 ? 0x20 : 0xff;
}

static void fake_outb(uint16_t port, uint8_t value)
{
    if (port == 0x3f8 && value != '\r' && value != 1) {
        assert_true(nr_printed < sizeof(printed));
        printed[nr_printed++] = (char)value;
    }
    if (port == 0x3f8 + 7) {
        scratch = value;
    }
    if (port == 0x2f8 + 2) {
        fifo_control = value;
    }
}

#define inb             fake_inb
#define outb            fake_outb
#define check_failed    console_check_failed
#define lock_held_ranks console_lock_held_ranks
void console_check_failed(const char *file, int line, const char *condition);
uint32_t *console_lock_held_ranks(void);
#include "hv/lib/console.c"
#include "hv/lib/screen.c"
#undef lock_held_ranks
#undef check_failed

/* Without COM1 nobody waits for it, and what was said appears on a screen, of which the last lines
 * stay. */
static void on_a_screen(void **state)
{
    char line[81] = "";

    (void)state;
    no_com1 = true;
    nr_kept = 0;
    console_init();
    nr_printed = 0;
    say("first");
    console_screen((uint64_t)cells, 160, 80, 25);
    assert_int_equal(cells[0][8], 0x0700 | 'f');
    assert_int_equal(cells[1][0], 0x0720);
    for (unsigned i = 0; i < 30; i++) {
        say("line %u", i);
    }
    for (unsigned x = 0; x < 80; x++) {
        line[x] = (char)cells[23][x];
    }
    assert_int_equal(strncmp(line, "(facet) line 29   ", 18), 0);
    say("%0100d", 7);
    assert_int_equal(cells[23][0], 0x0730); /* goes on in the next row */
    assert_int_equal(nr_printed, 0);
    no_com1 = false;
    base = NULL;
    console_init();
}

/* A processor's halt is not for programs. */
static void halted(int number)
{
    (void)number;
    siglongjmp(*ending, HALTED);
}

static int ends_with(const char *words)
{
    struct sigaction old, new = {.sa_handler = halted};
    sigjmp_buf here;
    int how;

    assert_int_equal(sigaction(SIGSEGV, &new, &old), 0);
    ending = &here;
    how = sigsetjmp(here, 1);
    if (!how) {
        fatal("%s", words);
    }
    ending = NULL;
    assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
    return how;
}

/* Of a machine that is off nobody can read the screen; who listens on a serial port or a debug port
 * has the line, and may wait for the end. */
static void last_line(void **state)
{
    (void)state;
    assert_int_equal(ends_with("heard"), OFF);
    assert_non_null(strstr(printed, "(facet) fatal: heard\n"));
    debug_port = true;
    assert_int_equal(ends_with("debugged"), OFF);
    debug_port = false;
    no_com1 = true;
    console_init();
    assert_int_equal(ends_with("nobody sees it"), OFF);
    nr_kept = 0;
    console_screen((uint64_t)cells, 160, 80, 25);
    assert_int_equal(ends_with("read"), HALTED);
    assert_int_equal(cells[0][8], 0x0700 | 'f');
    no_com1 = false;
    base = NULL;
    console_init();
}

static void no_such_screen(void **state)
{
    (void)state;
    screen_init(0, 160, 80, 25);
    screen_init((uint64_t)cells, 160, 133, 25);
    screen_init((uint64_t)cells, 160, 80, 61);
    assert_false(screen_there());
}

#define MOST 32u /* characters of one look: a prefix and a piece, or 3 ms */

static int begin(void **state)
{
    (void)state;
    nr_printed = 0;
    memset(printed, 0, sizeof(printed));
    half_out = NULL;
    console_init();
    nr_printed = 0;
    return 0;
}

/* Has the domain say it all, as its vCPU would; every look is short. */
static void says(unsigned domid, struct console_line *l, const char *text, size_t n)
{
    while (n) {
        size_t before = nr_printed, took;

        took = console_guest_write(domid, l, text, n);
        assert_true(nr_printed - before <= MOST);
        text += took;
        n -= took;
        for (bool more = true; more;) {
            before = nr_printed;
            more = console_guest_more(domid, l);
            assert_true(nr_printed - before <= MOST);
        }
    }
}

static void in_pieces(void **state)
{
    static struct console_line l;
    static char text[3001];

    (void)state;
    memset(text, 'a', sizeof(text));
    memset(text + 1000, 'b', 1000);
    memset(text + 2000, 'c', 1000);
    text[3000] = '\n';
    says(7, &l, text, sizeof(text));
    assert_int_equal(nr_printed, 3 * (5 + 1000 + 1));
    assert_memory_equal(printed, "(d7) aaaa", 9);
    assert_memory_equal(printed + 1006, "(d7) bbbb", 9);
    assert_memory_equal(printed + 2012, "(d7) cccc", 9);
}

static void end_of_a_line_without_newline(void **state)
{
    static struct console_line l;

    (void)state;
    says(1, &l, "one\n\nlast words, that are long enough", 37);
    assert_string_equal(printed, "(d1) one\n(d1) \n");
    console_guest_end(&l);
    while (console_guest_more(1, &l)) {
    }
    assert_string_equal(printed, "(d1) one\n(d1) \n(d1) last words, that are long enough\n");
}

/* The second waits for the first, whose line is half out; the hypervisor does not, and neither is
 * anybody kept for ever. */
static void two_at_a_time(void **state)
{
    static struct console_line a, b;

    (void)state;
    assert_int_equal(console_guest_write(1, &a, "a line of more than one piece\nx", 31), 30);
    assert_int_equal(console_guest_write(2, &b, "other\n", 6), 6);
    assert_true(console_guest_more(1, &a));
    assert_true(console_guest_more(2, &b) && console_guest_waits(&b));
    while (console_guest_more(1, &a)) {
    }
    assert_false(console_guest_more(2, &b));
    assert_string_equal(printed, "(d1) a line of more than one piece\n(d2) other\n");

    begin(NULL);
    console_guest_write(1, &a, "a line of more than one piece\n", 30);
    console_guest_more(1, &a);
    console_guest_write(2, &b, "other\n", 6);
    for (unsigned i = 0; console_guest_more(2, &b); i++) {
        assert_true(i < 100);
    }
    while (console_guest_more(1, &a)) {
    }
    assert_string_equal(printed, "(d1) a line of more t\n(d2) other\n(d1) han one piece\n");
}

static void note(struct console_notes *n, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    console_note(n, format, ap);
    va_end(ap);
}

/* Prints the notes to their end, each look short. */
static void finish(struct console_notes *n)
{
    for (bool more = true; more;) {
        size_t before = nr_printed;

        more = console_notes_more(n);
        assert_true(nr_printed - before <= MOST);
    }
}

/* What a domain has the hypervisor say waits, and goes out in pieces: nothing is printed by whom it
 * is said. */
static void notes(void **state)
{
    static struct console_notes n;

    (void)state;
    note(&n, "d%u a: a line of more than one piece", 7u);
    note(&n, "%s", "");
    note(&n, "%s", "third");
    assert_int_equal(nr_printed, 0);
    assert_true(console_notes_any(&n));
    finish(&n);
    assert_false(console_notes_any(&n));
    assert_string_equal(printed,
                        "(facet) d7 a: a line of more than one piece\n(facet) \n(facet) third\n");
}

/* Guests' lines and notes do not break each other, but what is said at once breaks both. */
static void notes_beside_lines(void **state)
{
    static struct console_line a;
    static struct console_notes n;

    (void)state;
    console_guest_write(1, &a, "a line of more than one piece\n", 30);
    assert_true(console_guest_more(1, &a));
    note(&n, "%s", "some note that is long enough");
    assert_true(console_notes_wait(&n));
    assert_true(console_notes_more(&n));
    while (console_guest_more(1, &a)) {
    }
    assert_true(console_notes_more(&n));
    console_guest_write(1, &a, "next\n", 5);
    assert_true(console_guest_waits(&a));
    say("now");
    finish(&n);
    assert_false(console_guest_more(1, &a));
    assert_string_equal(
        printed, "(d1) a line of more than one piece\n(facet) some note that i\n(facet) now\n"
                 "(facet) s long enough\n(d1) next\n");
}

/* Who has more said than there is room for loses the rest, whose number is told; later lines come
 * again. */
static void notes_without_room(void **state)
{
    static struct console_notes n;
    static const char line[] = "a line of fifty characters without its newline ...";
    unsigned fit = sizeof(n.text) / sizeof(line), seen = 0;

    (void)state;
    for (unsigned i = 0; i < fit + 7; i++) {
        note(&n, "%s", line);
    }
    note(&n, "%s", "no room even for a short one that comes later: nothing is out of order");
    finish(&n);
    for (const char *p = printed; (p = strstr(p, line)); p++) {
        seen++;
    }
    assert_int_equal(seen, fit);
    assert_non_null(strstr(printed, "(facet) 8 more lines of this kind had no room\n"));
    note(&n, "%s", "again");
    finish(&n);
    assert_string_equal(printed + nr_printed - 14, "(facet) again\n");
}

/* With the debug port there is nothing to wait for. */
static void notes_at_once(void **state)
{
    static struct console_notes n;

    (void)state;
    debug_port = true;
    note(&n, "%s", "now");
    debug_port = false;
    assert_false(console_notes_any(&n));
}

/* What is typed faster than it is taken: an emulator waits while there is a character, but lets a
 * FIFO of 16 run over; a real line waits for nobody. */
static void typed_ahead(void **state)
{
    (void)state;
    fifo_control = 1;
    debug_port = true;
    console_raw_init();
    debug_port = false;
    assert_int_equal(fifo_control & 1, 0);
    console_raw_init();
    assert_int_equal(fifo_control & 1, 1);
}

/* What was printed is read from any place; what is gone is passed over. */
static void kept_text(void **state)
{
    char out[64];
    uint32_t at = console_kept(), start;

    (void)state;
    console_forget(kept_end);
    at = start = console_kept();
    assert_int_equal(console_read(&at, out, sizeof(out)), 0);
    say("one");
    assert_int_equal(console_read(&at, out, 5), 5);
    assert_memory_equal(out, "(face", 5);
    assert_int_equal(console_read(&at, out, sizeof(out)), 7);
    assert_memory_equal(out, "t) one\n", 7);
    assert_int_equal(at, start + 12);
    assert_int_equal(console_read(&at, out, sizeof(out)), 0);
    at = start + 13; /* not printed yet */
    assert_int_equal(console_read(&at, out, sizeof(out)), 12);
    console_forget(start + 8);
    at = start;
    assert_int_equal(console_read(&at, out, sizeof(out)), 4);
    assert_memory_equal(out, "one\n", 4);
    console_forget(start); /* it does not come back */
    assert_int_equal(console_kept(), start + 8);
    for (unsigned i = 0; i < CONSOLE_KEPT; i++) {
        keep('x');
    }
    at = start;
    assert_int_equal(console_read(&at, out, 1), 1);
    assert_int_equal(out[0], 'x');
    assert_int_equal(at, start + 12 + 1);
    kept_end = nr_kept = 2;
    at = UINT32_MAX; /* before the first one */
    assert_int_equal(console_read(&at, out, sizeof(out)), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(in_pieces, begin),
        cmocka_unit_test_setup(end_of_a_line_without_newline, begin),
        cmocka_unit_test_setup(two_at_a_time, begin),
        cmocka_unit_test_setup(notes, begin),
        cmocka_unit_test_setup(notes_beside_lines, begin),
        cmocka_unit_test_setup(notes_without_room, begin),
        cmocka_unit_test_setup(notes_at_once, begin),
        cmocka_unit_test_setup(typed_ahead, begin),
        cmocka_unit_test_setup(kept_text, begin),
        cmocka_unit_test_setup(no_such_screen, begin),
        cmocka_unit_test_setup(on_a_screen, begin),
        cmocka_unit_test_setup(last_line, begin),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
