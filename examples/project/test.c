/* SPDX-License-Identifier: MIT */
/*
 * A guest that tests altp2m and says so in the lines of facet-tests(5): yours begins here. It uses
 * libfacet-agent, Xen's hypercalls and a port for its words, and nothing else.
 */
#include <altp2m.h>

extern char hypercall_page[];
static volatile char page[2][4096] __attribute__((aligned(4096)));
static unsigned passed, failed;

static void say(const char *text)
{
    for (; *text; text++) {
        __asm__ volatile("outb %0, $0xe9" ::"a"(*text));
    }
}

static void say_number(unsigned n)
{
    char digit[2] = {(char)('0' + n % 10), 0};

    if (n >= 10) {
        say_number(n / 10);
    }
    say(digit);
}

static void test(const char *name, bool good, const char *wanted)
{
    say("TEST ");
    say(name);
    say(good ? ": pass" : ": fail wanted ");
    say(good ? "\n" : wanted);
    say(good ? "" : "\n");
    passed += good;
    failed += !good;
}

static long hypercall(unsigned number, unsigned long a, void *b)
{
    long result;

    __asm__ volatile("call *%[entry]"
                     : "=a"(result), "+D"(a), "+S"(b)
                     : [entry] "r"(hypercall_page + number * 32)
                     : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

static long hvm_op(void *context, unsigned op, void *arg)
{
    (void)context;
    return hypercall(34, op, arg);
}

/* Xen's CPUID leaves tell which MSR takes the page that hypercalls go through. */
static void hypercalls_init(void)
{
    unsigned eax = 0x40000002, ebx, ecx = 0, edx;
    unsigned long at = (unsigned long)hypercall_page;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    __asm__ volatile("wrmsr" ::"c"(ebx), "a"((unsigned)at), "d"((unsigned)(at >> 32)) : "memory");
}

static altp2m_gfn_t gfn_of(const volatile void *at)
{
    return (altp2m_gfn_t){(unsigned long)at >> 12};
}

void main(void)
{
    const struct altp2m xen = {.hvm_op = hvm_op};
    altp2m_view_t view;
    struct {
        unsigned reason;
    } power_off = {0};

    hypercalls_init();
    page[0][0] = 'a';
    page[1][0] = 'b';
    test("views.on", altp2m_set_state(&xen, true) == 0, "altp2m on");
    test("views.create", altp2m_create(&xen, ALTP2M_RWX, &view) == 0, "a view");
    test("views.remap", altp2m_change_gfn(&xen, view, gfn_of(page[0]), gfn_of(page[1])) == 0,
         "another page there");
    altp2m_switch(&xen, view);
    test("views.seen_there", page[0][0] == 'b', "the other page's content");
    altp2m_switch(&xen, ALTP2M_VIEW_0);
    test("views.seen_here", page[0][0] == 'a', "the page's own content");
    say("END views: ");
    say_number(passed);
    say(" passed, 0 skipped, 0 errors, ");
    say_number(failed);
    say(" failed\n");
    hypercall(29, 2, &power_off); /* SCHEDOP_shutdown */
}
