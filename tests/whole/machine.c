/* SPDX-License-Identifier: MIT */
#include "machine.h"
#include <elf.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "core/physmap_private.h"
#include "guest/guest.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "vendor.h"
#include "vmx/vmx.h"
#include "x86/apic.h"
#include "x86/processors.h"
#include "x86/timer.h"
#include "x86/trap.h"

#define GHZ 1000000ULL /* kHz: one tick is a nanosecond */

struct processor processor;
jmp_buf *machine_trap;
char machine_message[512];
const char *machine_doing;
void (*machine_act)(struct vcpu *v);
void (*machine_wrote)(void *at, size_t n);

static char console[4096];
static size_t console_length;

void machine_fail(const char *format, ...)
{
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(machine_message, sizeof(machine_message), format, args);
    va_end(args);
    n = strlen(machine_message);
    if (machine_doing) {
        n += (size_t)snprintf(machine_message + n, sizeof(machine_message) - n, " [in %s]",
                              machine_doing);
    }
    if (console_length > 0 && n < sizeof(machine_message)) {
        size_t tail = console_length < 200 ? console_length : 200;

        snprintf(machine_message + n, sizeof(machine_message) - n, " [console: %.*s]", (int)tail,
                 console + console_length - tail);
    }
    if (machine_trap) {
        longjmp(*machine_trap, 1);
    }
    fprintf(stderr, "FAILED: %s\n", machine_message);
    abort();
}

/* ---- the processor ---- */

bool rdmsr_safe(uint32_t msr, uint64_t *v)
{
    (void)msr;
    *v = 0;
    return true;
}

bool xsetbv_safe(uint64_t v)
{
    (void)v;
    return true;
}

void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)sub;
    memset(r, 0, 4 * sizeof(*r));
    if (leaf == 0x80000008) {
        r[0] = 0x3028; /* 40 bits of physical addresses, 48 linear */
    }
}

uint8_t inb(uint16_t port)
{
    if (port == 0x61) { /* the PIT has counted 20 ms */
        processor.tsc += 20 * GHZ;
        return 0x20;
    }
    return port == 0xe9 ? 0xe9 : 0xff;
}

void outb(uint16_t port, uint8_t v)
{
    if (port == 0xe9) {
        if (console_length == sizeof(console)) {
            memmove(console, console + sizeof(console) / 2, sizeof(console) / 2);
            console_length = sizeof(console) / 2;
        }
        console[console_length++] = (char)v;
    }
}

size_t machine_console(char *out, size_t size)
{
    size_t n = console_length < size ? console_length : size;

    memcpy(out, console, n);
    console_length = 0;
    return n;
}

void mce_fatal(void)
{
    abort();
}

void cpu_look_nmi(void)
{
}

struct cpu *processors_get(unsigned n)
{
    (void)n;
    abort();
}

void cpu_stop_others(void)
{
}

/* There is one processor: nobody to send these to. */
void apic_send(uint32_t to, uint8_t vector)
{
    (void)to, (void)vector;
    abort();
}

void apic_send_nmi(uint32_t to)
{
    (void)to;
    abort();
}

void apic_eoi(void)
{
}

void apic_timer_set(uint64_t tsc)
{
    processor.deadline = tsc;
}

void apic_calibrate_start(void)
{
}

void apic_calibrate_end(uint64_t tsc_per_ms, uint64_t elapsed_us)
{
    (void)tsc_per_ms, (void)elapsed_us;
}

uint64_t fpu_supported_xcr0(void)
{
    return 7;
}

size_t fpu_area_size(void)
{
    return 832;
}

void fpu_area_reset(void *area)
{
    memset(area, 0, 832);
}

void fpu_save(void *area)
{
    (void)area;
}

void fpu_load(const void *area)
{
    (void)area;
}

static const struct vmx_caps caps = {.ept_1g = true, .ept_exec_only = true, .invept_single = true};

/* What is left over of hv/vmx/ept.c. */
const struct vmx_caps *vmx_caps(void)
{
    return &caps;
}

uint16_t vmx_vpid(const struct vcpu *v)
{
    (void)v;
    return 0;
}

/* ---- nested translations: Intel SDM volume 3, 28.3 ---- */

#define TLB_SIZE 256u

static struct {
    uint64_t root, gfn;
    struct machine_entry e;
} tlb[TLB_SIZE];

struct machine_entry machine_walk(uint64_t root, uint64_t g)
{
    struct machine_entry r = {.rights = 7, .suppress_ve = true};
    uint64_t table = root;

    for (unsigned level = 4;; level--) {
        uint64_t e, address;

        EXPECT(table - MACHINE_FIRST < MACHINE_FRAMES, "gfn %lx: a table at frame %lx", g, table);
        EXPECT(frame_owner(mfn(table)) == FRAME_OWNER_HV,
               "gfn %lx: frame %lx of %x is walked as a table", g, table, frame_owner(mfn(table)));
        e = ((const uint64_t *)machine_frame(table))[g >> 9 * (level - 1) & 511];
        address = (e & 0x000ffffffffff000ULL) >> PAGE_SHIFT;
        r.suppress_ve = e >> 63;
        r.rights &= e & 7;
        if (!(e & 7)) {
            r.rights = 0;
            return r;
        }
        EXPECT((e & 3) != 2, "gfn %lx: entry %lx is misconfigured", g, e);
        if (level == 1 || (e & 0x80)) {
            r.present = r.rights != 0;
            r.mfn = address + (g & ((1ULL << 9 * (level - 1)) - 1));
            return r;
        }
        table = address;
    }
}

static struct machine_entry translate(uint64_t root, uint64_t g)
{
    unsigned slot = (unsigned)((root * 31 + g) * 0x9e3779b97f4a7c15ULL >> 40) % TLB_SIZE;

    if (tlb[slot].root != root || tlb[slot].gfn != g) {
        struct machine_entry e = machine_walk(root, g);

        if (!e.present) {
            return e;
        }
        tlb[slot].root = root;
        tlb[slot].gfn = g;
        tlb[slot].e = e;
    }
    return tlb[slot].e;
}

/* Of both instructions the first word tells: nothing, an EPT pointer, or a small number of linear
 * translations. */
bool machine_invalidate(const void *descriptor)
{
    uint64_t eptp;

    memcpy(&eptp, descriptor, sizeof(eptp));
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        if (eptp == 0 || tlb[i].root == eptp >> PAGE_SHIFT) {
            tlb[i].root = 0;
        }
    }
    return false;
}

void machine_settled(void)
{
    EXPECT(processor.cpu.lock_ranks == 0, "a lock is still held");
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        struct machine_entry now, old = tlb[i].e;

        if (!tlb[i].root) {
            continue;
        }
        now = machine_walk(tlb[i].root, tlb[i].gfn);
        EXPECT(now.present && now.mfn == old.mfn && !(old.rights & ~now.rights) &&
                   now.suppress_ve == old.suppress_ve,
               "gfn %lx: a processor can still use frame %lx with %u, and is due %lx with %u",
               tlb[i].gfn, old.mfn, old.rights, now.mfn, now.rights);
    }
}

/* ---- entries ---- */

bool machine_enter(struct vcpu *v, void (*act)(struct vcpu *v))
{
    if (!v) {
        return false;
    }
    machine_act = act;
    whole_entered = false;
    machine_run(v);
    return whole_entered;
}

void machine_wait(uint64_t ns)
{
    processor.tsc += ns;
}

struct domain *machine_domain(unsigned id)
{
    struct domain *d = domain_get(id);

    if (d) {
        domain_put(d);
    }
    return d;
}

int machine_fault(struct vcpu *v)
{
    bool due = v->event.due;

    v->event.due = false;
    return due ? v->event.vector : -1;
}

/* ---- what a guest does ---- */

#define CODE_AT(i) (((uint64_t)GUEST_CODE << PAGE_SHIFT) + 32 * (i))

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
    struct machine_entry e = translate(root, g);

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

/* ---- memory ---- */

uint8_t *machine_page(struct domain *d, uint64_t g)
{
    struct mapping m;

    return hostmap_lookup(&d->physmap, gfn(g), &m) && m.type == MAP_RAM ? machine_frame(m.mfn.v)
                                                                        : NULL;
}

void machine_poke(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    if (machine_wrote) {
        machine_wrote(to, n);
    }
}

void machine_poke_gpa(struct domain *d, uint64_t a, const void *from, size_t n)
{
    uint8_t *page = machine_page(d, a >> PAGE_SHIFT);

    EXPECT(page && (a & ~PAGE_MASK) + n <= PAGE_SIZE, "nothing at %lx", a);
    machine_poke(page + (a & ~PAGE_MASK), from, n);
}

/* ---- all state ---- */

extern uint8_t __start_hv_data[], __stop_hv_data[], __start_hv_bss[], __stop_hv_bss[];
static uint8_t frames[(MACHINE_FIRST + MACHINE_FRAMES) * 16];
static const struct region {
    uint8_t *at, *end;
} regions[] = {
    {__start_hv_data, __stop_hv_data},
    {__start_hv_bss, __stop_hv_bss},
    {(uint8_t *)&processor, (uint8_t *)(&processor + 1)},
    {(uint8_t *)tlb, (uint8_t *)(tlb + TLB_SIZE)},
    {frames + MACHINE_FIRST * 8, frames + sizeof(frames)},
    {(uint8_t *)MACHINE_BASE, (uint8_t *)MACHINE_BASE + MACHINE_FRAMES *PAGE_SIZE},
};
static uint8_t *kept[ARRAY_SIZE(regions)], *fresh[ARRAY_SIZE(regions)];

/* Sections of instrumented objects have red zones that memcpy() would stumble over. */
__attribute__((no_sanitize("address"), noinline)) static void
copy_words(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        *(volatile uint64_t *)(void *)(to + i) =
            *(const volatile uint64_t *)(const void *)(from + i);
    }
}

static void copy_region(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n == MACHINE_FRAMES * PAGE_SIZE) { /* memory, which has none */
        memcpy(to, from, n);
    } else {
        copy_words(to, from, (n + 7) & ~7UL);
    }
}

static void save(uint8_t *to[])
{
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        size_t n = (size_t)(regions[i].end - regions[i].at);

        if (!to[i]) {
            to[i] = malloc(n + 8);
        }
        copy_region(to[i], regions[i].at, n);
    }
}

static void load(uint8_t *from[])
{
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        copy_region(regions[i].at, from[i], (size_t)(regions[i].end - regions[i].at));
    }
    console_length = 0;
}

void machine_keep(void)
{
    save(kept);
}

void machine_restore(void)
{
    load(kept);
}

/* ---- beginning ---- */

#define KERNEL_AT 0x1000000UL /* unused: there is no code */

static const void *kernel_image(uint64_t *size)
{
    static struct {
        Elf64_Ehdr e;
        Elf64_Phdr p[2];
        Elf32_Nhdr n;
        char name[4];
        uint32_t entry;
    } k = {
        .e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
              .e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_version = EV_CURRENT,
              .e_ehsize = sizeof(Elf64_Ehdr),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phoff = sizeof(Elf64_Ehdr),
              .e_phnum = 2},
        .p = {{.p_type = PT_LOAD, .p_paddr = PAGE_SIZE, .p_memsz = PAGE_SIZE},
              {.p_type = PT_NOTE, .p_filesz = sizeof(Elf32_Nhdr) + 8}},
        .n = {4, 4, 18},
        .name = "Xen",
        .entry = PAGE_SIZE,
    };

    k.p[1].p_offset = (uint64_t)((char *)&k.n - (char *)&k);
    *size = sizeof(k);
    return &k;
}

static void describe(void *t, unsigned id, const struct machine_options *o)
{
    char node[16];

    snprintf(node, sizeof(node), "domain@%u", id);
    fdt_begin_node(t, node);
    fdt_property_u32(t, "reg", id);
    fdt_property_string(t, "name", id == 1 ? "guest" : "monitor");
    fdt_property_u32(t, "kernel-module", 1);
    fdt_property_string(t, "cmdline", "");
    fdt_property_u64(t, "memory-kib", (id == 1 ? GUEST_RAM : GUEST_RAM / 2) * 4);
    fdt_property_u64(t, "table-memory-kib", id == 1 ? o->tables * 4 : 64);
    fdt_property_u32(t, "vcpus", id == 1 ? GUEST_VCPUS : 1);
    fdt_property_string(t, "altp2m", id == 1 ? "mixed" : "disabled");
    fdt_property_u32(t, "altp2m-count", id == 1 ? 8 : 0);
    if (id == 1) {
        fdt_property_string(t, "altp2m-policy", o->policy == POLICY_AUDITED ? "audited" : "open");
        fdt_property_u32(t, "altp2m-guest-views", o->guest_views);
        fdt_property_u32(t, "altp2m-guest-tables", o->guest_tables);
        if (o->allow) {
            fdt_property_string(t, "altp2m-allow", o->allow);
        }
    } else {
        fdt_property(t, "monitor", NULL, 0);
    }
    fdt_property_string(t, "on-poweroff", "destroy");
    fdt_property_string(t, "on-reboot", "destroy");
    fdt_property_string(t, "on-crash", "destroy");
    fdt_property_string(t, "on-watchdog", "destroy");
    fdt_end_node(t);
}

static void create_domains(const struct machine_options *o)
{
    static uint8_t tree[4096];
    static struct boot_module modules[2];

    fdt_create(tree, sizeof(tree));
    fdt_finish_reservemap(tree);
    fdt_begin_node(tree, "");
    fdt_property_string(tree, "compatible", "facet,boot");
    fdt_begin_node(tree, "domains");
    describe(tree, 1, o);
    describe(tree, 2, o);
    fdt_end_node(tree);
    fdt_end_node(tree);
    EXPECT(fdt_finish(tree) == 0, "no device tree");
    modules[0] = (struct boot_module){tree, sizeof(tree)};
    modules[1].start = kernel_image(&modules[1].size);
    domains_create(modules, 2);
    EXPECT(machine_domain(1) && machine_domain(2), "domains could not be built");
}

static void fill_memory(struct domain *d)
{
    const uint64_t at = (uint64_t)GUEST_TABLES << PAGE_SHIFT, all = 7, large = 0x80;
    uint64_t t[6][512] = {{0}};

    t[0][0] = (at + PAGE_SIZE) | all;
    t[1][0] = (at + 2 * PAGE_SIZE) | all;
    t[2][0] = (at + 3 * PAGE_SIZE) | all;
    for (uint64_t i = 0; i < 512; i++) {
        t[1][i] = i > 0 && i < 8 ? i << 30 | large | all : t[1][i];
        t[2][i] = i > 0 ? i << 21 | large | all : t[2][i];
        t[3][i] = i << PAGE_SHIFT | all;
        t[5][i] = 3ULL << 30 | i << 21 | large | all;
    }
    t[4][0] = (at + 2 * PAGE_SIZE) | 1; /* PDPTEs */
    t[4][3] = (at + 5 * PAGE_SIZE) | 1;
    for (unsigned i = 0; i < 6; i++) {
        machine_poke_gpa(d, at + i * PAGE_SIZE, t[i], PAGE_SIZE);
    }
    for (unsigned i = 0; i < CODE_NR; i++) {
        machine_poke_gpa(d, CODE_AT(i), code[i].bytes, sizeof(code[i].bytes));
    }
}

void machine_restart(struct vcpu *v)
{
    bool long_mode = v->id < 2;
    struct vcpu_start s = {
        .rip = CODE_AT(CODE_NR),
        .rsp = (GUEST_STACK + 1) << PAGE_SHIFT,
        .cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_WP,
        .cr3 = (long_mode ? GUEST_TABLES : GUEST_TABLES + 4) << PAGE_SHIFT,
        .cr4 = X86_CR4_PAE,
        .efer = long_mode ? EFER_LME | EFER_LMA : 0,
        .cs = {8, 0, 0xffffffff, long_mode ? 0xa09b : 0xc09b},
        .ds = {16, 0, 0xffffffff, 0xc093},
        .es = {16, 0, 0xffffffff, 0xc093},
        .ss = {16, 0, 0xffffffff, 0xc093},
        .tr = {24, (uint64_t)(GUEST_TASK << PAGE_SHIFT) + 0x100, 0x67, 0x8b},
    };

    vcpu_reset(v, &s);
}

void machine_start(const struct machine_options *o)
{
    void *memory = (void *)MACHINE_BASE;

    if (!fresh[0]) {
        EXPECT(mmap(memory, MACHINE_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == memory,
               "no memory at %p", memory);
        save(fresh);
    }
    load(fresh);
    memset(memory, 0xa5, MACHINE_FRAMES * PAGE_SIZE);
    machine_wrote = NULL;
    processor.cpu.self = &processor.cpu;
    console_init();
    EXPECT(frame_table_size(MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE) <= sizeof(frames),
           "struct frame grew");
    frame_init(frames, MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE);
    frame_add_range(MACHINE_BASE, MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE);
    time_init();
    ept_init(&caps);
    vendor_choose();
    vendor_init();
    create_domains(o);
    for (unsigned id = 1; id <= 2; id++) {
        struct domain *d = machine_domain(id);

        fill_memory(d);
        for (unsigned i = 0; i < d->nr_vcpus; i++) {
            machine_restart(d->vcpus[i]);
            d->vcpus[i]->guest.initialised = true;
            sched_online(d->vcpus[i]);
        }
    }
    console_length = 0;
}
