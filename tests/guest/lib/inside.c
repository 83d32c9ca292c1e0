/* SPDX-License-Identifier: MIT */
#include "inside.h"
#include <string.h>
#include "altp2m.h"
#include "cpu.h"
#include "page.h"
#include "test.h"

#define PAGES __attribute__((aligned(4096)))
#define AGENT __attribute__((section(".text.inside"), noinline, used))

#define TABLES 4u /* GiB mapped */

struct inside inside;
uint64_t inside_pml4[512] PAGES, inside_data[512] PAGES;
static uint64_t pdpt[512] PAGES, pd[TABLES][512] PAGES, gdt[512] PAGES;
static struct {
    uint16_t low, selector, type, middle;
    uint32_t high, zero;
} idt[256] PAGES;
uint8_t inside_stacks[INSIDE_VCPUS][4096] PAGES;

/* Nothing else may be on this page. */
extern uint8_t inside_code_end[], inside_entered[], inside_trapped[];
__asm__(".pushsection .text.inside, \"ax\", @progbits\n"
        ".balign 4096\n"
        ".globl inside_code\n"
        "inside_code:\n"
        "inside_entered:\n"
        "    mov %rdx, %rdi\n"
        "    mov %r10, %rsi\n"
        "    mov %r8, %rdx\n"
        "    call inside_main\n"
        "    mov %rax, %rdx\n"
        "1:  mov $34, %eax\n"
        "    mov $0x800e, %edi\n"
        "    vmcall\n"
        "    ud2\n"
        "inside_trapped:\n"
        "    mov $-14, %rdx\n"
        "    jmp 1b\n"
        ".popsection\n"
        ".pushsection .text.inside_end, \"ax\", @progbits\n"
        ".balign 4096\n"
        "inside_code_end:\n"
        ".popsection\n"
        ".pushsection .text, \"ax\", @progbits\n"
        ".globl inside_call\n"
        "inside_call:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rdx, %r8\n"
        "    mov %rsi, %r10\n"
        "    mov %rdi, %rdx\n"
        "    mov $34, %eax\n"
        "    mov $0x800e, %edi\n"
        "    vmcall\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        ".popsection\n");

uint64_t inside_main(uint64_t op, uint64_t a, uint64_t b);

static AGENT uint64_t reg(uint64_t which)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } table;
    uint32_t low = 0, high = 0;
    uint64_t v = 0;

    if (which == REG_CR0)
        __asm__("mov %%cr0, %0" : "=r"(v));
    else if (which == REG_CR3)
        __asm__("mov %%cr3, %0" : "=r"(v));
    else if (which == REG_CR4)
        __asm__("mov %%cr4, %0" : "=r"(v));
    else if (which == REG_RFLAGS)
        __asm__("pushf; pop %0" : "=r"(v));
    else if (which == REG_RSP)
        v = (uint64_t)__builtin_frame_address(0);
    else if (which == REG_DR7)
        __asm__("mov %%dr7, %0" : "=r"(v));
    else if (which == REG_EFER) {
        __asm__("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_EFER));
        v = (uint64_t)high << 32 | low;
    } else {
        if (which == REG_IDT)
            __asm__("sidt %0" : "=m"(table));
        else
            __asm__("sgdt %0" : "=m"(table));
        v = table.base;
    }
    return v;
}

static AGENT void raise(uint64_t which)
{
    if (which == FAULT_UD)
        __asm__ volatile("ud2");
    else if (which == FAULT_PF)
        *(volatile uint64_t *)(TABLES << 30ULL) = 1;
    else if (which == FAULT_DE)
        __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "rax", "rcx", "rdx");
    else
        __asm__ volatile("call *%0" ::"r"(inside_prepare) : "memory");
}

static AGENT uint64_t interrupt_itself(uint64_t vector, uint64_t word)
{
    uint32_t id, high;

    __asm__("rdmsr" : "=a"(id), "=d"(high) : "c"(0x802));
    __asm__ volatile("wrmsr" ::"a"(0x4400), "d"(id), "c"(0x830) : "memory");
    __asm__ volatile("wrmsr" ::"a"(0x4000 | (uint32_t)vector), "d"(id), "c"(0x830) : "memory");
    return inside_data[word];
}

/* An exit in each round: Bochs 2.7 lets no interrupt end a slice of SVM's while IF is off. */
static AGENT void look_up(void)
{
    uint32_t eax, ebx, ecx, edx;

    __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "0"(0), "2"(0));
}

static AGENT void tell(uint64_t at, uint64_t b)
{
    *(volatile uint32_t *)at = (uint32_t)b;
    while (*(volatile uint32_t *)(at + (b >> 32)) != (uint32_t)b)
        look_up();
}

static AGENT uint64_t wait(uint64_t there, uint64_t go)
{
    volatile uint64_t *data = inside_data;

    data[there] = 1;
    while (!data[go])
        look_up();
    data[there] = 2;
    return 0;
}

AGENT uint64_t inside_main(uint64_t op, uint64_t a, uint64_t b)
{
    uint64_t rc = 34;

    if (op == INSIDE_PEEK)
        return inside_data[a % 512];
    if (op == INSIDE_POKE)
        return inside_data[a % 512] = b;
    if (op == INSIDE_REG)
        return reg(a);
    if (op == INSIDE_FAULT)
        raise(a);
    if (op == INSIDE_NMI)
        return interrupt_itself(a, b % 512);
    if (op == INSIDE_WAIT)
        return wait(a % 512, b % 512);
    if (op == INSIDE_HVM) {
        __asm__ volatile("vmcall"
                         : "+a"(rc)
                         : "D"(HVMOP_altp2m), "S"(&inside_data[a % 512])
                         : "memory");
        return rc;
    }
    if (op == INSIDE_VMFUNC)
        __asm__ volatile(".byte 0x0f, 0x01, 0xd4" ::"a"(0), "c"(a) : "memory");
    if (op == INSIDE_TELL)
        tell(a, b);
    if (op == INSIDE_TOUCH)
        *(volatile uint64_t *)a = b;
    return a + 1;
}

static void make_tables(void)
{
    inside_pml4[0] = (uint64_t)pdpt | PTE_P | PTE_W;
    for (uint64_t i = 0; i < TABLES * 512; i++) {
        pdpt[i / 512] = (uint64_t)pd[i / 512] | PTE_P | PTE_W;
        pd[i / 512][i % 512] = i << 21 | PTE_P | PTE_W | PTE_PS;
    }
    gdt[1] = 0x00af9b000000ffff; /* 64-bit code */
    gdt[2] = 0x00cf93000000ffff;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t to = (uint64_t)inside_trapped;

        idt[i].low = (uint16_t)to;
        idt[i].selector = 8;
        idt[i].type = 0x8e00;
        idt[i].middle = (uint16_t)(to >> 16);
        idt[i].high = (uint32_t)(to >> 32);
    }
}

static long hide(const void *p, size_t size, uint16_t access)
{
    long rc = 0;

    for (uint64_t g = gfn_of(p); g < gfn_of(p) + size / PAGE && rc == 0; g++)
        rc = altp2m_set_access(inside.kernel, g, access);
    return rc;
}

long inside_prepare(void)
{
    long rc = altp2m_set_state(1);

    make_tables();
    rc = rc ? rc : altp2m_create(ACCESS_RW, &inside.agent);
    rc = rc ? rc : altp2m_create(ACCESS_RWX, &inside.kernel);
    rc = rc ? rc : altp2m_create(ACCESS_RWX, &inside.other);
    rc = rc ? rc : altp2m_set_access(inside.agent, gfn_of(inside_code), ACCESS_RX);
    rc = rc ? rc : hide(inside_code, PAGE, ACCESS_R);
    rc = rc ? rc : hide(inside_pml4, sizeof(inside_pml4), ACCESS_N);
    rc = rc ? rc : hide(inside_data, sizeof(inside_data), ACCESS_N);
    rc = rc ? rc : hide(pdpt, sizeof(pdpt), ACCESS_N);
    rc = rc ? rc : hide(pd, sizeof(pd), ACCESS_N);
    rc = rc ? rc : hide(gdt, sizeof(gdt), ACCESS_N);
    rc = rc ? rc : hide(idt, sizeof(idt), ACCESS_N);
    return rc ? rc : hide(inside_stacks, sizeof(inside_stacks), ACCESS_N);
}

struct facet_altp2m_enter inside_entry(unsigned vcpu)
{
    return (struct facet_altp2m_enter){
        .view = inside.agent,
        .vcpu = vcpu,
        .rip = (uint64_t)inside_entered,
        .rsp = (uint64_t)inside_stacks[vcpu] + sizeof(inside_stacks[0]),
        .cr3 = (uint64_t)inside_pml4,
        .gdt = (uint64_t)gdt,
        .idt = (uint64_t)idt,
        .gdt_limit = 23,
        .idt_limit = sizeof(idt) - 1,
    };
}

long inside_register(const struct facet_altp2m_enter *e)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_enter);

    memcpy(&op.u, e, sizeof(*e));
    return altp2m_call(&op);
}

long inside_seal(void)
{
    return altp2m_stub_seal(&altp2m_self, inside.agent, inside.kernel);
}

long inside_altp2m(altp2m_op *op)
{
    uint64_t words[sizeof(*op) / 8];
    long rc;

    memcpy(words, op, sizeof(*op));
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        inside_call(INSIDE_POKE, INSIDE_OP_WORDS + i, words[i]);
    rc = inside_call(INSIDE_HVM, INSIDE_OP_WORDS, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        words[i] = (uint64_t)inside_call(INSIDE_PEEK, INSIDE_OP_WORDS + i, 0);
    memcpy(op, words, sizeof(*op));
    return rc;
}

long inside_unseal(void)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_seal);

    memset(&op.u, 0xff, 4);
    return inside_altp2m(&op);
}
