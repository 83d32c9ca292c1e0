/* SPDX-License-Identifier: MIT */
/*
 * Runs before a Linux kernel, as the PVH entry of its ELF (tools/runner/chain.py puts it there): if
 * the command line has "facet.view", altp2m is turned on and vCPU 0 put on a fresh view before the
 * kernel's first instruction. A first mark (marks.h) comes in any case. 32-bit, flat, paging off;
 * linked at 1 MiB, below every kernel.
 *
 * Prints "BENCH boot.start TSC" and, with a view, "BENCH boot.activate TICKS"; "BENCH boot.refused
 * ERRNO" if a call failed, and then the kernel runs without a view.
 */
#include <stdbool.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include "marks.h"

_Static_assert(sizeof(struct xen_hvm_altp2m_op) == 80, "xen/hvm/hvm_op.h");

void chain_main(const struct hvm_start_info *info);

/* The entry is at offset 0, and at 4 the kernel's own, which chain.py writes. */
__asm__(".section .text.start, \"ax\"\n"
        "    jmp 1f\n"
        "    .balign 4\n"
        "chain_next: .long 0\n"
        "1:  mov $chain_stack_end, %esp\n"
        "    cld\n"
        "    push %ebx\n"
        "    push %ebx\n"
        "    call chain_main\n"
        "    pop %ebx\n"
        "    pop %ebx\n"
        "    jmp *chain_next\n"
        ".section .data\n"
        "    .balign 16\n"
        "    .skip 4096\n"
        "chain_stack_end:\n"
        ".text\n");

static uint64_t rdtsc(void)
{
    uint64_t v;

    __asm__ volatile("rdtsc" : "=A"(v));
    return v;
}

static void put(char c)
{
    __asm__ volatile("outb %0, %1" ::"a"(c), "N"(SAY_PORT));
}

static void mark(void)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "N"(MARK_PORT) : "memory");
}

static void say(const char *text, uint64_t number)
{
    while (*text)
        put(*text++);
    put('0');
    put('x');
    for (int shift = 60; shift >= 0; shift -= 4)
        put("0123456789abcdef"[number >> shift & 15]);
    put('\n');
}

static long altp2m(struct xen_hvm_altp2m_op *op, uint32_t cmd)
{
    long rc;

    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->cmd = cmd;
    op->domain = DOMID_SELF;
    __asm__ volatile("vmcall"
                     : "=a"(rc)
                     : "a"(__HYPERVISOR_hvm_op), "b"(HVMOP_altp2m), "c"(op)
                     : "memory");
    return rc;
}

static long activate(void)
{
    struct xen_hvm_altp2m_op op = {.u.domain_state.state = 1};
    long rc = altp2m(&op, HVMOP_altp2m_set_domain_state);

    if (rc)
        return rc;
    op.u.view.view = 0xffff;
    op.u.view.hvmmem_default_access = XENMEM_access_rwx;
    rc = altp2m(&op, HVMOP_altp2m_create_p2m);
    return rc ? rc : altp2m(&op, HVMOP_altp2m_switch_p2m);
}

static bool wanted(const char *cmdline)
{
    static const char key[] = "facet.view";

    for (; *cmdline; cmdline++) {
        unsigned n = 0;
        while (key[n] && cmdline[n] == key[n])
            n++;
        if (!key[n])
            return true;
    }
    return false;
}

void chain_main(const struct hvm_start_info *info)
{
    uint64_t start = rdtsc();

    if (wanted((const char *)(uintptr_t)info->cmdline_paddr)) {
        long rc = activate();
        uint64_t took = rdtsc() - start;

        if (rc)
            say("BENCH boot.refused ", (uint64_t)-rc);
        say("BENCH boot.activate ", took);
    }
    mark();
    say("BENCH boot.start ", rdtsc());
}
