/* SPDX-License-Identifier: MIT */
/* What a guest does, one thing for each entry. */
#include "machine_private.h"
#include <string.h>
#include "core/physmap_private.h"
#include "guest/guest.h"
#include "vendor.h"

static struct {
    uint64_t number, a, b, c, d;
    __typeof__(whole_exit.io) io;
    void *buffer;
    size_t n;
    bool again, done;
} todo;

static void at_code(struct vcpu *v, unsigned i)
{
    *whole_field(v, VCPU_RIP) = CODE_AT(i);
    *whole_field(v, VCPU_RFLAGS) = X86_EFLAGS_FIXED;
}

static void do_hypercall(struct vcpu *v)
{
    struct vcpu_regs *r = &v->regs;

    whole_says(VCPU_EXIT_HYPERCALL, 3);
    if (todo.again) {
        return;
    }
    at_code(v, CODE_NR);
    r->rax = todo.number;
    if (*whole_field(v, VCPU_EFER) & EFER_LMA) {
        r->rdi = todo.a;
        r->rsi = todo.b;
        r->rdx = todo.c;
        r->r10 = todo.d;
    } else {
        r->rbx = todo.a;
        r->rcx = todo.b;
        r->rdx = todo.c;
        r->rsi = todo.d;
    }
}

long machine_hypercall(struct vcpu *v, unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint16_t domid;

    if (!v) {
        return MACHINE_NOT_RUN;
    }
    domid = v->domain->id;
    todo.number = nr;
    todo.a = a;
    todo.b = b;
    todo.c = c;
    todo.d = d;
    todo.again = false;
    for (unsigned i = 0; i < 100000; i++) {
        if (!machine_enter(v, do_hypercall)) {
            return MACHINE_NOT_RUN;
        }
        machine_settled();
        if (!machine_domain(domid)) {
            return MACHINE_NOT_RUN;
        }
        if (*whole_field(v, VCPU_RIP) != CODE_AT(CODE_NR)) {
            return *whole_field(v, VCPU_EFER) & EFER_LMA ? (long)v->regs.rax
                                                         : (long)(int32_t)v->regs.rax;
        }
        todo.again = true;
    }
    machine_fail("hypercall %u never ends", nr);
}

long machine_altp2m(struct vcpu *v, void *op)
{
    uint8_t *args = v ? machine_page(v->domain, GUEST_ARGS) : NULL;
    long rc;

    if (!args) {
        return MACHINE_NOT_RUN;
    }
    machine_poke(args, op, 80);
    rc = machine_hypercall(v, __HYPERVISOR_hvm_op, HVMOP_altp2m, ARGS, 0, 0);
    args = rc == MACHINE_NOT_RUN ? NULL : machine_page(v->domain, GUEST_ARGS);
    if (args) {
        memcpy(op, args, 80);
    }
    return rc;
}

static void do_wrmsr(struct vcpu *v)
{
    at_code(v, CODE_NR);
    v->regs.rcx = todo.number;
    v->regs.rax = (uint32_t)todo.a;
    v->regs.rdx = todo.a >> 32;
    whole_says(VCPU_EXIT_WRMSR, 2);
}

bool machine_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    todo.number = msr;
    todo.a = value;
    return machine_enter(v, do_wrmsr) && machine_fault(v) < 0;
}

static void do_rdmsr(struct vcpu *v)
{
    at_code(v, CODE_NR);
    v->regs.rcx = todo.number;
    whole_says(VCPU_EXIT_RDMSR, 2);
}

bool machine_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    todo.number = msr;
    if (!machine_enter(v, do_rdmsr) || machine_fault(v) >= 0) {
        return false;
    }
    *value = v->regs.rdx << 32 | (uint32_t)v->regs.rax;
    return true;
}

static void do_mov_cr(struct vcpu *v)
{
    at_code(v, CODE_NR);
    v->regs.rax = todo.a;
    whole_exit.cr.cr = (uint8_t)todo.number;
    whole_says(VCPU_EXIT_CR, 3); /* MOV to it, from RAX */
}

bool machine_mov_cr(struct vcpu *v, unsigned cr, uint64_t value)
{
    todo.number = cr;
    todo.a = value;
    return machine_enter(v, do_mov_cr) && machine_fault(v) < 0;
}

/* The information area of #VE: SDM 3, table 25-1. Whether the hypervisor may have it written there
 * is for property.c to say, before. */
static bool virtualize(const struct vcpu *v, uint64_t qualification, uint64_t a)
{
    const struct whole_vcpu *w = whole_of(v);
    uint8_t *area, info[34];

    if (!w->ve) {
        return false;
    }
    area = machine_frame(w->ve_info.v);
    if (*(uint32_t *)(void *)(area + 4) != 0) {
        return false;
    }
    memset(info, 0, sizeof(info));
    *(uint32_t *)(void *)info = 48; /* EPT violation */
    *(uint32_t *)(void *)(info + 4) = 0xffffffff;
    memcpy(info + 8, &qualification, 8);
    memcpy(info + 16, &a, 8);
    memcpy(info + 24, &a, 8);
    memcpy(info + 32, &w->ve_view.v, 2);
    machine_poke(area, info, sizeof(info));
    return true;
}

static void violate(uint64_t a, unsigned access)
{
    whole_exit.violation.gpa = gpa(a);
    whole_exit.violation.gla = a;
    whole_exit.violation.gla_valid = true;
    whole_exit.violation.rights = (uint8_t)access;
    whole_says(VCPU_EXIT_VIOLATION, 0);
}

static void do_access(struct vcpu *v)
{
    uint64_t root = whole_of(v)->root.v, g = todo.a >> PAGE_SHIFT;
    unsigned access = (unsigned)todo.number;
    struct machine_entry e = machine_translate(root, g);

    (void)v;
    at_code(v, CODE_NR);
    if (access & ~e.rights) { /* forgets what it has cached, and looks again: SDM 3, 28.3.3.1 */
        e = machine_walk(root, g);
    }
    if (!(access & ~e.rights)) {
        uint8_t *at = machine_frame(e.mfn) + (todo.a & ~PAGE_MASK);

        EXPECT(e.mfn - MACHINE_FIRST < MACHINE_FRAMES, "gfn %lx shows frame %lx", g, e.mfn);
        if (access & RIGHT_W) {
            machine_poke(at, todo.buffer, todo.n);
        } else {
            memcpy(todo.buffer, at, todo.n);
        }
        todo.done = true;
    } else if (e.suppress_ve || !virtualize(v, access | e.rights << 3, todo.a)) {
        violate(todo.a, access & RIGHT_W ? RIGHT_R | RIGHT_W : access);
    }
}

bool machine_access(struct vcpu *v, uint64_t gpa, unsigned rights, void *buffer, size_t n)
{
    todo.number = rights;
    todo.a = gpa;
    todo.buffer = buffer;
    todo.n = n;
    todo.done = false;
    return machine_enter(v, do_access) && todo.done;
}

static void do_string_io(struct vcpu *v)
{
    at_code(v, CODE_NR);
    v->regs.rdi = v->regs.rsi = todo.c;
    v->regs.rcx = todo.b;
    whole_exit.io = todo.io;
    whole_says(VCPU_EXIT_IO, 2);
}

void machine_string_io(struct vcpu *v, bool in, uint16_t port, unsigned size, unsigned count,
                       uint64_t at)
{
    memset(&todo.io, 0, sizeof(todo.io));
    todo.io.port = port;
    todo.io.size = (uint8_t)size;
    todo.io.in = in;
    todo.io.string = true;
    todo.io.rep = count > 1;
    todo.io.segment = in ? SEG_ES : SEG_DS;
    todo.io.address_size = 8;
    todo.b = count;
    todo.c = at;
    machine_enter(v, do_string_io);
}

static const struct {
    uint8_t length, bytes[4];
    bool hole_is_written;
} code[CODE_NR] = {
    [CODE_MOVSB] = {1, {0xa4}, false},         [CODE_MOVSQ] = {2, {0x48, 0xa5}, false},
    [CODE_STORE] = {3, {0x48, 0x89, 7}, true}, [CODE_LOAD] = {3, {0x48, 0x8b, 6}, false},
    [CODE_ADD] = {3, {0x48, 1, 7}, true},      [CODE_PUSH] = {2, {0xff, 0x36}, false},
    [CODE_POP] = {2, {0x8f, 7}, true},         [CODE_XCHG] = {3, {0x48, 0x87, 7}, true},
};

static void do_instruction(struct vcpu *v)
{
    at_code(v, (unsigned)todo.number);
    v->regs.rsi = todo.a;
    v->regs.rdi = todo.b;
    *whole_field(v, VCPU_RSP) = todo.number == CODE_PUSH ? todo.b + 8 : todo.a;
    violate(todo.c, code[todo.number].hole_is_written ? RIGHT_R | RIGHT_W : RIGHT_R);
}

void machine_instruction(struct vcpu *v, enum machine_instruction i, uint64_t from, uint64_t to,
                         uint64_t hole)
{
    todo.number = i;
    todo.a = from;
    todo.b = to;
    todo.c = hole;
    machine_enter(v, do_instruction);
}

static void do_task_switch(struct vcpu *v)
{
    at_code(v, CODE_NR);
    *whole_field(v, VCPU_GDTR_BASE) = todo.a;
    *whole_field(v, VCPU_GDTR_LIMIT) = 0xff;
    *whole_field(v, vcpu_segment_field(VCPU_BASE, SEG_TR)) = todo.b;
    *whole_field(v, vcpu_segment_field(VCPU_LIMIT, SEG_TR)) = 0x67;
    *whole_field(v, vcpu_segment_field(VCPU_SELECTOR, SEG_TR)) = 0x18;
    whole_exit.task.selector = 0x20;
    whole_exit.task.source = TASK_JMP;
    whole_says(VCPU_EXIT_TASK, 5);
}

static uint64_t descriptor(uint64_t base, uint32_t limit, uint64_t ar)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | ar << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
}

void machine_lay_task(struct domain *d, uint64_t gdt, uint64_t tss, uint64_t next)
{
    const uint64_t table[] = {0, descriptor(0, 0xfffff, 0xc09b), descriptor(0, 0xfffff, 0xc093),
                              descriptor(tss, 0x67, 0x8b), descriptor(next, 0x67, 0x89)};
    /* Of 26 words: CR3, EIP, EFLAGS; ESP; ES, CS, SS, DS. */
    const uint32_t state[26] = {[7] = (GUEST_TABLES + 4) << PAGE_SHIFT,
                                [8] = MACHINE_TASK_EIP,
                                [9] = 2,
                                [14] = (GUEST_STACK + 1) << PAGE_SHIFT,
                                [18] = 16,
                                8,
                                16,
                                16};

    machine_poke_gpa(d, gdt, table, sizeof(table));
    machine_poke_gpa(d, next, state, sizeof(state));
}

void machine_task_switch(struct vcpu *v, uint64_t gdt, uint64_t tss)
{
    todo.a = gdt;
    todo.b = tss;
    machine_enter(v, do_task_switch);
}

static void do_vmfunc(struct vcpu *v)
{
    struct whole_vcpu *w = whole_of(v);
    uint64_t eptp;

    at_code(v, CODE_NR);
    if (!w->vmfunc) {
        return;
    }
    memcpy(&eptp, machine_frame(w->list.v) + 8 * (todo.number & 511), sizeof(eptp));
    if (eptp != ~0ULL && (eptp & 0xfff) == 0x1e) {
        w->root = mfn(eptp >> PAGE_SHIFT);
        w->ve_view = view((uint16_t)todo.number);
    }
}

void machine_vmfunc(struct vcpu *v, unsigned index)
{
    todo.number = index;
    machine_enter(v, do_vmfunc);
}

static void do_halt(struct vcpu *v)
{
    (void)v;
    at_code(v, CODE_NR);
    *whole_field(v, VCPU_RFLAGS) = X86_EFLAGS_FIXED | X86_EFLAGS_IF;
    whole_says(VCPU_EXIT_HALT, 1);
}

void machine_halt(struct vcpu *v)
{
    machine_enter(v, do_halt);
}

void machine_lay_code(struct domain *d)
{
    for (unsigned i = 0; i < CODE_NR; i++) {
        machine_poke_gpa(d, CODE_AT(i), code[i].bytes, sizeof(code[i].bytes));
    }
}
