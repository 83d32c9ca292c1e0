/* SPDX-License-Identifier: MIT */
/*
 * What docs/agent-inside.md says the gate of two VMFUNCs does not protect from: an attacker with
 * the kernel's page tables, interrupt table and stack pointer. Each attack ends the seal or
 * destroys the key there (gate=vmfunc), and is refused where the agent has one way in. The agent is
 * the example's, sealed.
 */
#include <string.h>

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "vault.h"

#define CODE     0xc0deUL
#define EFER_NXE (1ULL << 11)

static const struct siphash_key key = {0x3333333333333333, 0x4444444444444444};
static uint64_t table[512] __attribute__((aligned(4096))) = {7};
static uint8_t trampoline[4096] __attribute__((aligned(4096)));
static struct shield shield;

/* Goes to `to` on the stack `rsp` (0: this one) with eax 0 and ecx; 1 if that ends in an exception.
 */
static uint64_t escape_rsp __attribute__((used));
long go(const void *to, uint64_t ecx, uint64_t rsp);
extern const char go_refused[];
__asm__("go:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "mov %rsp, escape_rsp(%rip)\n\t"
        "mov %rdi, %r11\n\tmov %rsi, %rcx\n\ttest %rdx, %rdx\n\tcmovnz %rdx, %rsp\n\t"
        "jnz 1f\n\tlea go_over(%rip), %rax\n\tpush %rax\n"
        "1:\txor %eax, %eax\n\tjmp *%r11\n"
        "go_over:\n\txor %eax, %eax\n\tjmp 2f\n"
        "go_refused:\n\tmov $1, %eax\n"
        "2:\tmov escape_rsp(%rip), %rsp\n\t"
        "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tcld\n\tret");

static void on_fault(struct regs *r)
{
    (void)r;
    __asm__ volatile("jmp go_refused");
}

static long run(const void *to, uint64_t ecx, uint64_t rsp)
{
    long refused;

    trap_handle(VEC_GP, on_fault);
    trap_handle(VEC_UD, on_fault);
    trap_handle(VEC_DF, on_fault);
    refused = go(to, ecx, rsp);
    trap_handle(VEC_GP, NULL);
    trap_handle(VEC_UD, NULL);
    trap_handle(VEC_DF, NULL);
    return refused;
}

static void raise(void)
{
    struct shield_hooks hooks = guest_hooks;
    struct shield_range ram[4], protect[] = {{{gfn_of(table)}, {gfn_of(table)}, ALTP2M_R, false}};
    char how[8];

    hooks.by_vmfunc = cmdline_get("gate", how, sizeof(how));
    hooks.pins = (struct guard_pins){
        .cr0 = CR0_WP,
        .cr4 = CR4_PAE,
        .efer = EFER_NXE,
        .registers = GUARD_IDTR | GUARD_GDTR | GUARD_TR | GUARD_LSTAR | GUARD_SYSENTER_EIP,
    };
    vault_key = key;
    vault_code = CODE;
    expect(shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 1, guest_deny), 0);
    expect(shield.sealed, 1);
    expect(shield.entered, !hooks.by_vmfunc);
}

/* Whether the attacker has the agent's calls now: a page that was read-only is his. */
static bool unsealed(void)
{
    return altp2m_set_access(&guest_hooks.xen, shield.kernel, (altp2m_gfn_t){gfn_of(table)},
                             ALTP2M_RWX) == 0;
}

/* Where it holds everything is as before; where it does not the agent comes up again for the next.
 */
static void judge(bool succeeded, bool possible, const char *what)
{
    check(succeeded == (possible && !shield.entered), "%s: %s", what,
          succeeded ? "worked" : "did not work");
    if (!succeeded) {
        expect(unsealed(), 0);
        expect(try_write64(&table[0], 9), VEC_GP);
        expect(gate_call(VAULT_SIGN, 5, 6, 0), (long)siphash(&key, 5, 6));
        return;
    }
    if (shield.sealed && !unsealed())
        expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(altp2m_switch(&guest_hooks.xen, ALTP2M_VIEW_0), 0);
    expect(altp2m_set_state(&guest_hooks.xen, false), 0);
    guest_hooks.vector_set(NULL, NULL);
    raise();
}

/*
 * The entry of the page that he runs on names the agent's text by now, and the old translation is
 * still in use: behind VMFUNC lies guard_unseal(). On AMD VMFUNC is an exit, and what stands there
 * is looked up in the tables as they are by then.
 */
static void page_tables(void)
{
    uint64_t off = (uint64_t)guard_unseal % PAGE, at = (uint64_t)guard_unseal & -PAGE, *pte;

    if (off < 3)
        skip("room before guard_unseal()");
    memset(trampoline, 0xc3, sizeof(trampoline));
    memcpy(&trampoline[off - 3], "\x0f\x01\xd4", 3);
    page_map(at, (uint64_t)trampoline, PTE_RWX);
    pte = page_entry(at);
    expect(run((const void *)at, 0, 0), 0);
    *pte = at | PTE_RWX;
    expect(run((const void *)(at + off - 3), shield.agent.v, 0), 1);
    tlb_flush((const void *)at);
    judge(unsealed(), !cpu_is_amd(), "page tables");
}

/* The same for the one way in: where the kernel has the agent's code is another page. */
static void page_tables_of_the_agent(void)
{
    if (!shield.entered)
        return; /* there it is the attack above */
    page_map((uint64_t)agent_enter, (uint64_t)trampoline, PTE_RWX);
    page_map((uint64_t)agent_text, (uint64_t)trampoline, PTE_RWX);
    page_map((uint64_t)gate_slots, (uint64_t)trampoline, PTE_RWX);
    expect(gate_call(VAULT_SIGN, 5, 6, 0), (long)siphash(&key, 5, 6));
    page_map((uint64_t)agent_enter, (uint64_t)agent_enter, PTE_RWX);
    page_map((uint64_t)agent_text, (uint64_t)agent_text, PTE_RWX);
    page_map((uint64_t)gate_slots, (uint64_t)gate_slots, PTE_RWX);
    judge(false, true, "the agent's pages elsewhere");
}

static const uint8_t vmfunc[] = {0x0f, 0x01, 0xd4, 0xc3};

/* A handler for #VE that lies in the agent's text: the next instruction behind VMFUNC calls it. */
static void interrupt_table(void)
{
    static struct idt_gate {
        uint16_t low, selector;
        uint8_t ist, type;
        uint16_t middle;
        uint32_t high, zero;
    } idt[256];
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } own = {sizeof(idt) - 1, (uint64_t)idt}, theirs;
    uint64_t to = (uint64_t)guard_unseal;
    long sum = 0;

    __asm__ volatile("sidt %0" : "=m"(theirs));
    memcpy(idt, (const void *)theirs.base, sizeof(idt));
    idt[VE_VECTOR].low = (uint16_t)to;
    idt[VE_VECTOR].middle = (uint16_t)(to >> 16);
    idt[VE_VECTOR].high = (uint32_t)(to >> 32);
    __asm__ volatile("lidt %0" ::"m"(own));
    if (shield.entered)
        sum = gate_call(VAULT_SIGN, 5, 6, 0);
    expect(run(vmfunc, shield.agent.v, 0), 1);
    __asm__ volatile("lidt %0" ::"m"(theirs));
    expect(sum, shield.entered ? (long)siphash(&key, 5, 6) : 0);
    judge(unsealed(), true, "an interrupt table");
}

/*
 * Where system calls go, what keeps the kernel from being written and executed, and the tables by
 * which a violation comes to the agent: of the old gate nothing keeps them.
 */
static void registers(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idt, gdt;
    static uint64_t own_gdt[16];
    uint64_t lstar, efer, cr0 = read_cr0();
    long before = shield.entered ? gate_call(VAULT_REFUSED, 0, 0, 0) : 0;
    int want = shield.entered ? VEC_GP : VEC_NONE;

    expect(gate_call(VAULT_PIN, 0, 0, 0), shield.entered ? 0 : -XEN_EOPNOTSUPP);
    expect(gate_call(VAULT_PIN, 0, 0, 0), shield.entered ? 0 : -XEN_EOPNOTSUPP); /* once more */
    __asm__ volatile("sidt %0; sgdt %1" : "=m"(idt), "=m"(gdt));
    expect(try_rdmsr(0xc0000082, &lstar), VEC_NONE);
    expect(try_rdmsr(MSR_EFER, &efer), VEC_NONE);
    expect(try_wrmsr(0xc0000082, (uint64_t)trampoline), want);
    expect(try_wrmsr(0x176, (uint64_t)trampoline), want);
    expect(try_write_cr0(cr0 & ~CR0_WP), want);
    expect(try_wrmsr(MSR_EFER, efer ^ EFER_NXE), want);
    fault_clear();
    __asm__ volatile(TRY("lidt %0")::"m"(idt) : "memory");
    expect(fault.vector, want);
    memcpy(own_gdt, (const void *)gdt.base, gdt.limit + 1u);
    gdt.base = (uint64_t)own_gdt;
    fault_clear();
    __asm__ volatile(TRY("lgdt %0")::"m"(gdt) : "memory");
    expect(fault.vector, want);
    if (shield.entered) {
        expect(gate_call(VAULT_REFUSED, 0, 0, 0) - before, 6);
    } else {
        expect(try_write_cr0(cr0), VEC_NONE);
        expect(try_wrmsr(MSR_EFER, efer), VEC_NONE);
        expect(try_wrmsr(0xc0000082, lstar), VEC_NONE);
    }
    expect(try_write64(&table[0], 9), VEC_GP);
    expect(gate_call(VAULT_SIGN, 5, 6, 0), (long)siphash(&key, 5, 6));
}

/* A stray VMFUNC with the stack pointer into the key: the frame of the #VE goes there. */
static void stack_pointer(void)
{
    uint64_t at = ((uint64_t)&vault_key + sizeof(vault_key) + 15) & -16UL;
    long sum = 34;

    if (shield.entered) { /* nobody's frame goes anywhere: the call is no exception */
        __asm__ volatile("mov %%rsp, %%r12\n\tmov %[at], %%rsp\n\tvmcall\n\tmov %%r12, %%rsp"
                         : "+a"(sum)
                         : [at] "r"(at), "D"(0x800eUL), "d"(0UL)
                         : "rbx", "rcx", "rsi", "r8", "r9", "r10", "r11", "r12", "memory", "cc");
        judge(gate_call(VAULT_SIGN, 5, 6, 0) != (long)siphash(&key, 5, 6), true, "a stack pointer");
        return;
    }
    expect(run(vmfunc, shield.agent.v, at), 1);
    check(gate_call(VAULT_SIGN, 5, 6, 0) != (long)siphash(&key, 5, 6), "the key is whole");
} /* and the agent is beyond repair */

TEST_CASES(CASE(raise), CASE(page_tables), CASE(page_tables_of_the_agent), CASE(interrupt_table),
           CASE(registers), CASE(stack_pointer))
