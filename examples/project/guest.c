/* SPDX-License-Identifier: MIT */
#include "guest.h"

#define VECTOR_GP 13

static struct gate {
    unsigned short low, selector, type, middle;
    unsigned high, zero;
} idt[32];

extern char hypercall_page[];
unsigned long go_on; /* on_gp (start.S): where, instead of with what was refused */
static unsigned passed, failed;

void say(const char *text)
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

void test(const char *name, bool good, const char *wanted)
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

long hvm_op(void *context, unsigned op, void *arg)
{
    (void)context;
    return hypercall(34, op, arg);
}

altp2m_gfn_t gfn_of(const volatile void *at)
{
    return (altp2m_gfn_t){(unsigned long)at >> 12};
}

/* Xen's CPUID leaves tell which MSR takes the page that hypercalls go through. */
static void hypercalls_init(void)
{
    unsigned eax = 0x40000002, ebx, ecx = 0, edx;
    unsigned long at = (unsigned long)hypercall_page;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    __asm__ volatile("wrmsr" ::"c"(ebx), "a"((unsigned)at), "d"((unsigned)(at >> 32)) : "memory");
}

void vector_set(unsigned vector, const void *handler)
{
    unsigned long at = (unsigned long)handler;

    idt[vector] = (struct gate){.low = (unsigned short)at,
                                .selector = 8,
                                .type = 0x8e00,
                                .middle = (unsigned short)(at >> 16),
                                .high = (unsigned)(at >> 32)};
}

bool try_read(const volatile void *at, unsigned char *value)
{
    unsigned long done = 0;
    unsigned char seen = 0;

    __asm__ volatile("movq $1f, go_on\n\t"
                     "movb (%[at]), %[seen]\n\t"
                     "mov $1, %[done]\n\t"
                     "1:"
                     : [seen] "+r"(seen), [done] "+r"(done)
                     : [at] "r"(at)
                     : "memory");
    *value = seen;
    return done;
}

bool try_write(volatile void *at, unsigned char value)
{
    unsigned long done = 0;

    __asm__ volatile("movq $1f, go_on\n\t"
                     "movb %[value], (%[at])\n\t"
                     "mov $1, %[done]\n\t"
                     "1:"
                     : [done] "+r"(done)
                     : [at] "r"(at), [value] "r"(value)
                     : "memory");
    return done;
}

void guest_begin(void)
{
    struct __attribute__((packed)) {
        unsigned short limit;
        unsigned long base;
    } idtr = {sizeof(idt) - 1, (unsigned long)idt};

    hypercalls_init();
    vector_set(VECTOR_GP, on_gp);
    __asm__ volatile("lidt %0" ::"m"(idtr));
}

void guest_end(const char *name)
{
    struct {
        unsigned reason;
    } power_off = {0};

    say("END ");
    say(name);
    say(": ");
    say_number(passed);
    say(" passed, 0 skipped, 0 errors, ");
    say_number(failed);
    say(" failed\n");
    hypercall(29, 2, &power_off); /* SCHEDOP_shutdown */
}
