/* SPDX-License-Identifier: MIT */
/*
 * Every exception a guest can raise on itself arrives with the right vector, error code, RIP and
 * CR2 (SDM volume 3, chapter 6), whether the hypervisor intercepts it or not.
 */
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define VA 0x0000600000000000ULL

static void divide(void)
{
    fault_clear();
    __asm__ volatile(TRY("divl %%ecx")::"a"(1), "d"(0), "c"(0) : "memory");
    expect(fault.vector, VEC_DE);
}

static void undefined(void)
{
    fault_clear();
    __asm__ volatile(TRY("ud2")::: "memory");
    expect(fault.vector, VEC_UD);
    fault_clear();
    __asm__ volatile(TRY(".byte 0xf0, 0x90")::: "memory"); /* lock nop */
    expect(fault.vector, VEC_UD);
}

static void general_protection(void)
{
    uint64_t v;

    expect(try_read64((void *)0x8000000000000000, &v), VEC_GP);
    expect(fault.error, 0);
    fault_clear();
    __asm__ volatile(TRY("mov %w0, %%es")::"r"(0xf8) : "memory");
    expect(fault.vector, VEC_GP);
    expect(fault.error, 0xf8);
}

static uint64_t user_int(uint64_t vector)
{
    (void)vector;
    fault_clear();
    __asm__ volatile(TRY("int $0x21")::: "memory");
    return (uint64_t)fault.vector;
}

static uint64_t user_int_twice(uint64_t vector)
{
    return user_int(vector) == VEC_GP ? user_int(vector) : 0;
}

/* A gate that CPL 3 may not use: #GP with the vector in the error code; and again, with nothing in
 * between that exits. */
static void forbidden_gate(void)
{
    expect(user_run(user_int, 0x21), VEC_GP);
    expect(fault.error, 0x21 << 3 | 2);
    expect(user_run(user_int_twice, 0x21), VEC_GP);
    expect(fault.error, 0x21 << 3 | 2);
}

/* The 16 bytes of a vector's gate. */
static uint64_t *gate(unsigned vector)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr;

    __asm__("sidt %0" : "=m"(idtr));
    return (uint64_t *)(idtr.base + 16 * vector);
}

/* A software interrupt through a gate that is not present is a fault of its instruction. */
#define NOT_PRESENT(which, instruction)                                                            \
    do {                                                                                           \
        gate(which)[0] &= ~(1ULL << 47);                                                           \
        fault_clear();                                                                             \
        __asm__ volatile(TRY(instruction)::: "memory");                                            \
        gate(which)[0] |= 1ULL << 47;                                                              \
        expect(fault.vector, VEC_NP);                                                              \
    } while (0)

static void gate_not_present(void)
{
    NOT_PRESENT(0x21, "int $0x21");
    expect(fault.error, 0x21 << 3 | 2);
    NOT_PRESENT(VEC_BP, "int3");
    expect(fault.error, 3 << 3 | 2);
}

static void icebp_not_present(void)
{
    NOT_PRESENT(VEC_DB, ".byte 0xf1");
    expect(fault.error, 1 << 3 | 3);
}

static void stack_fault(void)
{
    fault_clear();
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "movabs $0x8000000000000000, %%rbp\n\t" TRY("mov (%%rbp), %%rax")::
                         : "rax", "rbx", "rbp", "memory");
    expect(fault.vector, VEC_SS);
    expect(fault.error, 0);
}

static void page_faults(void)
{
    uint64_t *p = page_alloc(1, 1), v, efer;

    expect(try_read64((void *)VA, &v), VEC_PF);
    expect(fault.error, 0);
    expect(fault.cr2, VA);
    expect(try_write64((void *)(VA + 0x123), 0), VEC_PF);
    expect(fault.error, 2);
    expect(fault.cr2, VA + 0x123);
    page_map(VA, (uint64_t)p, PTE_P);
    expect(try_write64((void *)(VA + 8), 0), VEC_PF);
    expect(fault.error, 3);
    page_map(VA, (uint64_t)p | 1ULL << 51, PTE_P);
    expect(try_read64((void *)(VA + 16), &v), VEC_PF);
    expect(fault.error, 9);
    expect(try_rdmsr(MSR_EFER, &efer), VEC_NONE);
    expect(try_wrmsr(MSR_EFER, efer | 1ULL << 11), VEC_NONE);
    page_map(VA, (uint64_t)p | 1ULL << 63, PTE_P);
    expect(try_call((void *)VA), VEC_PF);
    expect(fault.error, 0x11);
    expect(fault.cr2, VA);
    expect(try_wrmsr(MSR_EFER, efer), VEC_NONE);
    page_map(VA, 0, 0);
}

static uint64_t user_read(uint64_t at)
{
    uint64_t v;

    return (uint64_t)try_read64((void *)at, &v);
}

static uint64_t user_write(uint64_t at)
{
    return (uint64_t)try_write64((void *)at, 1);
}

static void page_faults_from_user(void)
{
    uint64_t *p = page_alloc(1, 1);

    page_map(VA, (uint64_t)p, PTE_P | PTE_W);
    expect(user_run(user_read, VA), VEC_PF);
    expect(fault.error, 5);
    expect(user_run(user_write, VA + 8), VEC_PF);
    expect(fault.error, 7);
    expect(fault.cr2, VA + 8);
    page_map(VA, (uint64_t)p, PTE_RWX);
    expect(user_run(user_write, VA + 8), (uint64_t)VEC_NONE);
    page_map(VA, 0, 0);
    expect(user_run(user_read, VA), VEC_PF);
    expect(fault.error, 4);
}

/* ---- reserved bits ---- */

/* A read or a write at the address, by the processor and by OUTSB or INSB, which is carried out. */
static int64_t accessed(bool write, bool carried, uint64_t at)
{
    fault_clear();
    if (carried && write)
        __asm__ volatile(TRY("insb") : "+D"(at) : "d"(0x84) : "memory");
    else if (carried)
        __asm__ volatile(TRY("outsb") : "+S"(at) : "d"(0x84) : "memory");
    else if (write)
        __asm__ volatile(TRY("movb $0, (%0)")::"r"(at) : "memory");
    else
        __asm__ volatile(TRY("movb (%0), %%al")::"r"(at) : "memory", "rax");
    return fault.vector == VEC_NONE ? -1 : (int64_t)fault.error;
}

static unsigned reserved_seen;

static void same(uint64_t *entry, uint64_t bits, unsigned level)
{
    uint64_t before = *entry;

    *entry |= bits;
    tlb_flush((void *)VA);
    for (unsigned write = 0; write < 2; write++) {
        int64_t own = accessed(write, false, VA), carried = accessed(write, true, VA);

        check(own == carried, "level %u, bits %lx, %s: error %ld, carried out %ld", level, bits,
              write ? "write" : "read", own, carried);
        check(own == -1 || own == (write ? 11 : 9), "level %u, bits %lx: error %ld", level, bits,
              own);
        reserved_seen += own >= 0;
    }
    *entry = before;
    tlb_flush((void *)VA);
}

static uint64_t *entries[4];

static void each_bit(void)
{
    uint32_t r[4];

    cpuid(0x80000008, 0, r);
    for (unsigned level = 0; level < 4; level++) {
        for (unsigned bit = r[0] & 0xff; bit < 64; bit++)
            same(entries[level], 1ULL << bit, level);
        same(entries[level], 1ULL << 51 | 1ULL << 63, level);
    }
    same(entries[0], PTE_PS, 0);
}

/* What lies between the address and the attributes of a large page. */
static void large_pages(unsigned level, unsigned shift, uint64_t to)
{
    uint64_t before = *entries[level];

    *entries[level] = to | PTE_RWX | PTE_PS;
    same(entries[level], 0, level);
    for (unsigned bit = 12; bit < shift; bit++)
        same(entries[level], 1ULL << bit, level);
    *entries[level] = before;
    tlb_flush((void *)VA);
}

/*
 * Reserved bits (SDM volume 3, 4.4 to 4.5): the hypervisor walks page tables itself for what it
 * carries out, and finds what the processor does.
 */
static void reserved_bits(void)
{
    uint64_t *p = page_alloc(512, 512), efer;
    extern uint64_t pml4[512];
    uint64_t *table = pml4;

    page_map(VA, (uint64_t)p, PTE_RWX);
    for (unsigned level = 0; level < 4; level++) {
        entries[level] = &table[VA >> (39 - 9 * level) & 511];
        table = (uint64_t *)(*entries[level] & 0xffffffffff000UL);
    }
    expect(try_rdmsr(MSR_EFER, &efer), VEC_NONE);
    expect(try_wrmsr(MSR_EFER, efer & ~(1ULL << 11)), VEC_NONE);
    reserved_seen = 0;
    each_bit();
    check(reserved_seen > 4 * 2 * 2, "only %u faults", reserved_seen);
    expect(try_wrmsr(MSR_EFER, efer | 1ULL << 11), VEC_NONE);
    each_bit();
    large_pages(2, 21, (uint64_t)p);
    large_pages(1, 30, 0);
    expect(try_wrmsr(MSR_EFER, efer), VEC_NONE);
    page_map(VA, 0, 0);
}

static volatile unsigned breakpoints;
static volatile uint64_t trapped_rip, dr6_seen;

static void count(struct regs *r)
{
    breakpoints++;
    trapped_rip = r->rip;
    dr6_seen = read_dr6();
    try_write_dr6(0xffff0ff0);
}

static void breakpoint(void)
{
    uint64_t behind;

    breakpoints = 0;
    trap_handle(VEC_BP, count);
    __asm__ volatile("int3\n1: lea 1b(%%rip), %0" : "=r"(behind)::"memory");
    expect(breakpoints, 1);
    expect(trapped_rip, behind);
    __asm__ volatile(".byte 0xcd, 0x03\n1: lea 1b(%%rip), %0" : "=r"(behind)::"memory");
    expect(breakpoints, 2);
    expect(trapped_rip, behind);
    trap_handle(VEC_BP, NULL);
}

static void icebp(void)
{
    uint64_t behind;

    breakpoints = 0;
    trap_handle(VEC_DB, count);
    __asm__ volatile(".byte 0xf1\n1: lea 1b(%%rip), %0" : "=r"(behind)::"memory");
    expect(breakpoints, 1);
    expect(trapped_rip, behind);
    trap_handle(VEC_DB, NULL);
}

static void watchpoint(void)
{
    static volatile uint64_t watched;

    breakpoints = 0;
    trap_handle(VEC_DB, count);
    expect(try_write_dr0((uint64_t)&watched), VEC_NONE);
    expect(try_write_dr7(0x400 | 3 | 1ULL << 16 | 2ULL << 18), VEC_NONE);
    watched = 1;
    expect(breakpoints, 1);
    expect(dr6_seen & 0xf, 1);
    check(watched == 1, "the write was lost");
    try_write_dr7(0x400);
    trap_handle(VEC_DB, NULL);
}

/* ---- breakpoints on what is carried out ---- */

static volatile unsigned traps;
static volatile uint64_t trap_dr6, trap_rcx;

static void count_trap(struct regs *r)
{
    if (traps++ == 0)
        trap_rcx = r->rcx;
    trap_dr6 |= read_dr6();
    try_write_dr6(0xffff0ff0);
}

enum { BY_RAM, BY_PORT, BY_HOLE, WAYS };

/* Four bytes read or written: by the processor, by INS or OUTS, or in a hole. */
static unsigned touch(unsigned way, bool write, uint8_t *p)
{
    traps = 0;
    trap_dr6 = 0;
    if (way == BY_PORT && write)
        __asm__ volatile("insl" : "+D"(p) : "d"(0x84) : "memory");
    else if (way == BY_PORT)
        __asm__ volatile("outsl" : "+S"(p) : "d"(0x84) : "memory");
    else if (write)
        __asm__ volatile("movl $0, (%0)" : "+r"(p)::"memory");
    else
        __asm__ volatile("movl (%0), %%eax" : "+r"(p)::"memory", "rax");
    __asm__ volatile("nop");
    return traps;
}

static void same_traps(uint8_t *const *at, unsigned rw, unsigned length, int offset, bool write)
{
    unsigned got[WAYS];
    uint64_t dr6[WAYS];

    for (unsigned way = 0; way < WAYS; way++) {
        try_write_dr2((uint64_t)at[way]);
        try_write_dr7(0x400 | 1 << 4 | (uint64_t)(length << 2 | rw) << 24);
        got[way] = touch(way, write, at[way] + offset);
        dr6[way] = trap_dr6;
        try_write_dr7(0x400);
    }
    for (unsigned way = 1; way < WAYS; way++)
        check(got[way] == got[0] && dr6[way] == dr6[0],
              "rw %u, length %u, offset %d, %s: %u traps, DR6 %lx, wanted %u, %lx; way %u", rw,
              length, offset, write ? "write" : "read", got[way], dr6[way], got[0], dr6[0], way);
}

/* A string of ten with a breakpoint in its midst, or a trap behind each: where is it first? */
static uint64_t string_traps(bool port, uint8_t *p, uint64_t flags)
{
    uint64_t rcx = 10;

    traps = 0;
    trap_dr6 = 0;
    if (port)
        __asm__ volatile("push %3; popf; rep insb; pushf; andl $~0x100, (%%rsp); popf; nop"
                         : "+D"(p), "+c"(rcx)
                         : "d"(0x84), "r"(flags)
                         : "memory", "cc");
    else
        __asm__ volatile("push %2; popf; rep stosb; pushf; andl $~0x100, (%%rsp); popf; nop"
                         : "+D"(p), "+c"(rcx)
                         : "r"(flags)
                         : "memory", "cc", "rax");
    return trap_rcx;
}

/*
 * Data breakpoints (SDM volume 3, 17.2.4): what the hypervisor carries out meets them as what the
 * processor does. Also the trap flag, within a string.
 */
static void breakpoints_carried_out(void)
{
    static uint8_t ram[64] __attribute__((aligned(64)));
    uint8_t *hole;
    uint64_t rcx;

    __asm__("" : "=r"(hole) : "0"(0xd0000000UL));
    trap_handle(VEC_DB, count_trap);
    uint8_t *const at[WAYS] = {ram + 16, ram + 16, hole + 16};
    for (unsigned length = 0; length < 4; length++) {
        for (int offset = -8; offset <= 8; offset++) {
            for (unsigned rw = 1; rw <= 3; rw += 2) {
                same_traps(at, rw, length, offset, true);
                same_traps(at, rw, length, offset, false);
            }
        }
    }
    try_write_dr2((uint64_t)ram + 20);
    try_write_dr7(0x400 | 1 << 4 | 1ULL << 24);
    rcx = string_traps(false, ram + 16, 2);
    expect(traps, 1);
    expect(string_traps(true, ram + 16, 2), rcx);
    expect(traps, 1);
    try_write_dr7(0x400);
    rcx = string_traps(false, ram, 0x102);
    unsigned wanted = traps;
    expect(string_traps(true, ram, 0x102), rcx);
    expect(traps, wanted);
    trap_handle(VEC_DB, NULL);
}

static void device_not_available(void)
{
    uint64_t v = read_cr0();

    try_write_cr0(v | CR0_TS);
    fault_clear();
    __asm__ volatile(TRY("fninit")::: "memory");
    expect(fault.vector, VEC_NM);
    try_write_cr0(v);
    fault_clear();
    __asm__ volatile(TRY("fninit")::: "memory");
    expect(fault.vector, VEC_NONE);
}

static uint64_t user_unaligned(uint64_t at)
{
    uint64_t v;

    fault_clear();
    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf\n\t" TRY(
                         "mov (%1), %0") "pushf; andl $~0x40000, (%%rsp); popf"
                     : "=&r"(v)
                     : "r"(at)
                     : "memory");
    return (uint64_t)fault.vector;
}

static void alignment(void)
{
    static uint8_t bytes[16] __attribute__((aligned(8)));

    try_write_cr0(read_cr0() | 1ULL << 18);
    expect(user_run(user_unaligned, (uint64_t)bytes + 1), VEC_AC);
    expect(user_run(user_unaligned, (uint64_t)bytes), (uint64_t)VEC_NONE);
    try_write_cr0(read_cr0() & ~(1ULL << 18));
}

/* ---- the resume flag ---- */

static volatile uint64_t frame_flags, go_on;
static volatile int frame_vector;

static void note_frame(struct regs *r)
{
    frame_vector = (int)r->vector;
    frame_flags = r->rflags;
    r->rip = go_on;
}

#define FAULT(insns)  "lea 1f(%%rip), %%r9; mov %%r9, %[on]\n\t" insns "\n1:"
#define FAULT_OUT     [on] "=m"(go_on)
#define FAULT_CLOBBER "r9", "memory", "cc"
#define RFLAGS_RF     (1ULL << 16)

static void resumes(const char *what, int vector)
{
    check(frame_vector == vector && (frame_flags & RFLAGS_RF), "%s: vector %d, flags %lx", what,
          frame_vector, frame_flags);
    frame_vector = VEC_NONE;
    frame_flags = 0;
}

/* A fault's frame has RF set, whoever raises it (SDM volume 3, 17.3.1.1). */
static void resume_flag(void)
{
    static const int vectors[] = {VEC_UD, VEC_GP, VEC_PF};

    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        trap_handle((unsigned)vectors[i], note_frame);
    __asm__ volatile(FAULT("ud2") : FAULT_OUT::FAULT_CLOBBER);
    resumes("ud2", VEC_UD);
    __asm__ volatile(FAULT("vmptrst (%%rdi)") : FAULT_OUT : "D"(&go_on) : FAULT_CLOBBER);
    resumes("vmptrst", VEC_UD);
    __asm__ volatile(FAULT(".byte 0x0f, 0x01, 0xd4") : FAULT_OUT : "a"(0x1000) : FAULT_CLOBBER);
    resumes("vmfunc", VEC_UD);
    __asm__ volatile(FAULT("monitor") : FAULT_OUT : "a"(&go_on), "c"(0), "d"(0) : FAULT_CLOBBER);
    resumes("monitor", VEC_UD);
    __asm__ volatile(FAULT("rdmsr") : FAULT_OUT : "c"(0x4711) : "rax", "rdx", FAULT_CLOBBER);
    resumes("rdmsr", VEC_GP);
    __asm__ volatile(FAULT("wrmsr") : FAULT_OUT : "c"(MSR_EFER), "a"(2), "d"(0) : FAULT_CLOBBER);
    resumes("wrmsr", VEC_GP);
    __asm__ volatile(FAULT("mov %%rax, %%cr4") : FAULT_OUT : "a"(1ULL << 40) : FAULT_CLOBBER);
    resumes("mov to cr4", VEC_GP);
    __asm__ volatile(FAULT("xsetbv") : FAULT_OUT : "a"(0), "c"(0), "d"(0) : FAULT_CLOBBER);
    check(frame_vector == VEC_UD || frame_vector == VEC_GP, "xsetbv: vector %d", frame_vector);
    resumes("xsetbv", frame_vector);
    __asm__ volatile(FAULT("rdpmc") : FAULT_OUT : "c"(0x4711) : "rax", "rdx", FAULT_CLOBBER);
    resumes("rdpmc", VEC_GP);
    __asm__ volatile(FAULT("outsb") : FAULT_OUT : "S"(VA), "d"(0xe9) : FAULT_CLOBBER);
    resumes("outs from nowhere", VEC_PF);
    __asm__ volatile(FAULT("movsb") : FAULT_OUT : "S"(0xd0000000), "D"(VA) : FAULT_CLOBBER);
    resumes("movs from a hole to nowhere", VEC_PF);
    __asm__ volatile(FAULT("cmpsb") : FAULT_OUT : "S"(0xd0000000), "D"(&go_on) : FAULT_CLOBBER);
    resumes("cmps with a hole", VEC_GP);
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        trap_handle((unsigned)vectors[i], NULL);
}

static volatile unsigned doubles;
static uint64_t saved_rsp;

static void recover(struct regs *r)
{
    extern uint8_t after_double[];

    doubles++;
    r->rip = (uint64_t)after_double;
    r->rsp = saved_rsp;
}

/* A page fault whose own frame cannot be pushed is a double fault. */
static void double_fault(void)
{
    trap_handle(VEC_DF, recover);
    doubles = 0;
    __asm__ volatile("push %%rbp; mov %%rsp, %0\n\t"
                     "mov %1, %%rsp\n\t"
                     "push %%rax\n\t"
                     ".global after_double\nafter_double: pop %%rbp"
                     : "=m"(saved_rsp)
                     : "r"(VA + 0x10000)
                     : "memory", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                       "r12", "r13", "r14", "r15");
    expect(doubles, 1);
    expect(read_cr2(), VA + 0x10000 - 8);
    trap_handle(VEC_DF, NULL);
}

TEST_CASES(CASE(divide), CASE(undefined), CASE(general_protection), CASE(forbidden_gate),
           CASE(gate_not_present), CASE(icebp_not_present), CASE(stack_fault), CASE(page_faults),
           CASE(page_faults_from_user), CASE(reserved_bits), CASE(breakpoint), CASE(icebp),
           CASE(watchpoint), CASE(breakpoints_carried_out), CASE(device_not_available),
           CASE(alignment), CASE(resume_flag), CASE(double_fault))
