/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts: fixups for expected faults, handlers, a dump for the rest. */
#include "cpu.h"
#include "test.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, zero;
};
_Static_assert(sizeof(struct gate) == 16, "64-bit IDT gate, SDM volume 3, 6.14.1");

struct fixup {
    uint64_t at, go_on;
};
extern const struct fixup _ex_table[], _ex_table_end[];
extern const uint8_t trap_stubs[], user_return[];
uint64_t user_enter(uint64_t (*fn)(uint64_t), uint64_t arg, void *stack);
void trap_dispatch(struct regs *r);

volatile struct fault fault;
static struct gate idt[256];
static trap_handler *handlers[256];
static volatile uint64_t call_target;
static uint8_t user_stack[8192] __attribute__((aligned(16)));

static void gate_set(unsigned vector, uint64_t target, uint8_t type)
{
    idt[vector] = (struct gate){
        .offset_low = (uint16_t)target,
        .selector = 0x08,
        .type = type,
        .offset_mid = (uint16_t)(target >> 16),
        .offset_high = (uint32_t)(target >> 32),
    };
}

void trap_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" ::"m"(pointer));
}

void trap_init(void)
{
    for (unsigned v = 0; v < 256; v++)
        gate_set(v, (uint64_t)trap_stubs + v * 16, v == VEC_BP || v == VEC_OF ? 0xee : 0x8e);
    gate_set(0x80, (uint64_t)user_return, 0xee);
    trap_use_ist(VEC_DF, true);
    trap_load();
}

void trap_handle(unsigned vector, trap_handler *fn)
{
    handlers[vector] = fn;
}

void trap_use_ist(unsigned vector, bool on)
{
    idt[vector].ist = on;
}

static bool fix_up(struct regs *r)
{
    for (const struct fixup *f = _ex_table; f < _ex_table_end; f++) {
        if (f->at == r->rip) {
            r->rip = f->go_on;
            return true;
        }
    }
    if (call_target && r->rip == call_target) {
        uint64_t *sp = (uint64_t *)r->rsp;
        r->rip = *sp;
        r->rsp += 8;
        return true;
    }
    return false;
}

void trap_dispatch(struct regs *r)
{
    uint64_t cr2 = read_cr2();

    if (handlers[r->vector]) {
        handlers[r->vector](r);
        return;
    }
    fault.vector = (int)r->vector;
    fault.error = (uint32_t)r->error;
    fault.cr2 = cr2;
    fault.rip = r->rip;
    if (r->vector < 32 && fix_up(r))
        return;
    say("unexpected vector %lu error %lx rip %lx rsp %lx cr2 %lx rflags %lx\n", r->vector, r->error,
        r->rip, r->rsp, cr2, r->rflags);
    test_broke("unexpected vector %lu at %lx", r->vector, r->rip);
}

void call_fixup_at(const void *p)
{
    call_target = (uint64_t)p;
}

int try_call(const void *p)
{
    call_fixup_at(p);
    fault_clear();
    __asm__ volatile("call *%0" ::"r"(p)
                     : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
    call_fixup_at(NULL);
    return fault.vector;
}

uint64_t user_run(uint64_t (*fn)(uint64_t), uint64_t arg)
{
    return user_enter(fn, arg, user_stack + sizeof(user_stack) - 16);
}
