/* SPDX-License-Identifier: MIT */
/*
 * facet_agent: an agent inside of Linux, on Facet or Xen in altp2m mode `mixed`.
 *
 * From /sys/kernel/facet_agent/protect = 1 on, the kernel runs in a view where its text, read-only
 * data (with the system call table) and IDT cannot be written and the agent's key cannot be read.
 * Who tries gets a general protection fault: an oops, or SIGSEGV. The kernel's own patching of its
 * text goes on. What happened is counted there and told in the kernel's log. Where the domain's
 * policy is `audited`, altp2m is sealed, and only who knows the code that was written before can
 * lower it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jump_label.h>
#include <linux/kdebug.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include <asm/desc.h>
#include <asm/trapnr.h>
#include <asm/vdso.h>
#include <xen/xen.h>
#include <xen/xen-ops.h>
#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>

#include "alias.h"
#include "keeper.h"
#include "shield.h"
#include "symbols.h"
#include "user_map.h"
#include "watch.h"

#define REPORT_EVERY HZ
#define TRIES        9

static bool watch = true;
module_param(watch, bool, 0444);
MODULE_PARM_DESC(watch,
                 "also keep the kernel's page tables as they are where it matters (default)");

static unsigned int patching = KEEPER_PATCH_LISTED; /* while it does not protect: from then on */

static bool protect = true;
module_param(protect, bool, 0444);
MODULE_PARM_DESC(protect, "protect the kernel at once (default), not only when /sys asks for it");

static symbols_lookup_fn *lookup;
static gate_desc *idt;
static struct gate_struct idt_before;
static struct shield shield;
static bool raised;
static DEFINE_MUTEX(lock); /* shield, raised */
static DEFINE_SPINLOCK(report_lock);
static u64 reported, allowed, refused;
static u64 message[2];
static u64 code;
static atomic_t lost = ATOMIC_INIT(0);
static u32 apic_ids[GUARD_VCPUS], vcpu_ids[GUARD_VCPUS];

/* The library's hooks. */

static long agent_hvm_op(void *context, unsigned int op, void *arg)
{
    return HYPERVISOR_hvm_op((int)op, arg);
}

static altp2m_gfn_t agent_gfn_of(void *context, const void *at)
{
    return (altp2m_gfn_t){alias_pfn(at)};
}

static void *agent_page_alloc(void *context)
{
    return (void *)get_zeroed_page(GFP_KERNEL);
}

static void agent_page_free(void *context, void *page)
{
    free_page((unsigned long)page);
}

static int agent_code_write(void *context, void *at, const void *from, size_t size)
{
    return alias_write(at, from, size);
}

static int agent_vector_set(void *context, const void *entry)
{
    gate_desc gate = idt_before;

    if (entry) {
        pack_gate(&gate, GATE_INTERRUPT, (unsigned long)entry, 0, 0, __KERNEL_CS);
    }
    return alias_write(&idt[VE_VECTOR], &gate, sizeof(gate));
}

static void agent_vcpu(void *context, unsigned int n, uint32_t *id, uint32_t *apic_id)
{
    *id = vcpu_ids[n];
    *apic_id = apic_ids[n];
}

static const struct shield_hooks hooks = {
    .xen = {.hvm_op = agent_hvm_op},
    .gfn_of = agent_gfn_of,
    .page_alloc = agent_page_alloc,
    .page_free = agent_page_free,
    .code_write = agent_code_write,
    .vector_set = agent_vector_set,
    .vcpu = agent_vcpu,
    /* What Linux sets once, when a vCPU comes up. Its own that change are left: TS by nobody, but
     * CR4.PGE, TSD and PCE, the LDT, and the bases of FS and GS. */
    .pins = {.cr0 = X86_CR0_PE | X86_CR0_EM | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG,
             .cr4 = X86_CR4_PAE, /* and pinned_cr4() */
             .efer = EFER_SCE | EFER_LME | EFER_NX,
             .registers = GUARD_IDTR | GUARD_GDTR | GUARD_TR | GUARD_XCR0 | GUARD_STAR |
                          GUARD_LSTAR | GUARD_CSTAR | GUARD_FMASK | GUARD_SYSENTER_CS |
                          GUARD_SYSENTER_ESP | GUARD_SYSENTER_EIP | GUARD_PAT},
};

/* The report: told in the log, from where that is possible. */

static const char *const kind_names[GUARD_KINDS] = {
    [GUARD_DENIED] = "denied",     [GUARD_ALLOWED] = "allowed",         [GUARD_STRAY] = "stray",
    [GUARD_SPURIOUS] = "spurious", [GUARD_INTERRUPTED] = "interrupted", [GUARD_TABLE] = "tables",
};

/* Where the kernel itself has a page of its image, whatever mapping it was reached by. */
static const void *kernel_name(u64 gpa, u64 gla)
{
    u64 start = __pa(lookup("_text"));

    if (gpa < start || gpa >= __pa(lookup("_end")))
        return (const void *)gla;
    return (const void *)(lookup("_text") + (gpa - start));
}

static void report_event(const struct guard_event *e)
{
    const char *what = !e->access             ? "load of page tables, CR3"
                       : e->access & VE_WRITE ? "write of"
                       : e->access & VE_FETCH ? "fetch of"
                                              : "read of";

    if (e->kind == GUARD_STRAY)
        pr_alert("denied: VMFUNC into the agent's view from %pS\n", (void *)e->rip);
    else
        pr_alert("%s: %s %pS (gpa %llx) by %pS\n", kind_names[e->kind], what,
                 kernel_name(e->gpa, e->gla), e->gpa, (void *)e->rip);
}

static void report_events(void)
{
    unsigned long flags;

    spin_lock_irqsave(&report_lock, flags);
    if (guard_report.events - reported > GUARD_EVENTS) {
        pr_alert("%llu events not told\n", guard_report.events - reported - GUARD_EVENTS);
        reported = guard_report.events - GUARD_EVENTS;
    }
    for (; reported < guard_report.events; reported++) {
        const struct guard_event *e = &guard_report.event[reported % GUARD_EVENTS];

        if (smp_load_acquire(&e->number) != reported + 1)
            break; /* another vCPU is writing it */
        report_event(e);
    }
    if (allowed != guard_report.count[GUARD_ALLOWED]) {
        pr_info("allowed: %llu writes of the kernel to its own text\n",
                guard_report.count[GUARD_ALLOWED] - allowed);
        allowed = guard_report.count[GUARD_ALLOWED];
    }
    spin_unlock_irqrestore(&report_lock, flags);
}

static void report_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(reporter, report_work);

static void rearm_one(void *unused)
{
    if (gate_call(KEEPER_REARM, 0, 0, 0) == 1)
        atomic_inc(&lost);
}

/* A #VE that did not come to the gate left its vCPU's page busy: say so, and go on. Of registers
 * the hypervisor counts. */
static void rearm(void)
{
    int before = atomic_read(&lost);
    u64 writes = refused;

    mutex_lock(&lock);
    if (raised) {
        on_each_cpu(rearm_one, NULL, 1);
        writes = (u64)gate_call(KEEPER_REFUSED, 0, 0, 0);
    }
    if (writes > refused)
        pr_alert("denied: %llu writes of registers that are to stay as they are\n",
                 writes - refused);
    refused = writes;
    mutex_unlock(&lock);
    if (atomic_read(&lost) != before)
        pr_alert("denied: a #VE was taken by a handler that is not the agent's\n");
}

static void report_work(struct work_struct *work)
{
    rearm();
    report_events();
    schedule_delayed_work(&reporter, REPORT_EVERY);
}

/* Before the oops of the one who was refused, tell why. */
static int report_die(struct notifier_block *block, unsigned long event, void *data)
{
    if (event == DIE_GPF)
        report_events();
    return NOTIFY_DONE;
}

static struct notifier_block die_block = {.notifier_call = report_die};

/* What to protect, found by name. */

static u64 symbol_gfn(const char *name, long offset)
{
    unsigned long at = lookup(name);

    return at ? (__pa(at) + offset) >> PAGE_SHIFT : 0;
}

static int find_range(const char *name, struct keeper_range *r)
{
    int (*size_of)(unsigned long, unsigned long *, unsigned long *) =
        (void *)lookup("kallsyms_lookup_size_offset");
    unsigned long at = lookup(name), size, offset;

    if (!at || !size_of || !size_of(at, &size, &offset))
        return -ENOENT;
    r->first = at;
    r->last = at + size - 1;
    return 0;
}

/* memcpy() begins with a jump to the variant that the processor is best at, which has its name. */
static const char *const copies[KEEPER_COPIES] = {"memcpy", "memcpy_erms", "memcpy_orig"};

static int find_copy(const char *name, struct keeper_copy *c)
{
    int rc = find_range(name, &c->at);

    if (!rc)
        memcpy(c->code, (const void *)c->at.first,
               min_t(u64, c->at.last + 1 - c->at.first, sizeof(c->code)));
    return rc;
}

/* The list of jump labels, and which of its sites have five bytes: text that is whole yet. */
static int find_sites(struct keeper_patching *p)
{
    unsigned long first = lookup("__start___jump_table"), last = lookup("__stop___jump_table");
    unsigned int i, nr = (last - first) / sizeof(struct jump_entry);

    p->text = (unsigned long)lookup("_text") & PAGE_MASK;
    p->sites = first;
    p->sites_gpa = first ? __pa(first) : 0;
    p->nr_sites = 0;
    if (!first || first < lookup("__start_rodata") || last > lookup("__end_rodata"))
        return p->allowed == KEEPER_PATCH_LISTED ? -EOPNOTSUPP : 0;
    memset(p->wide, 0, sizeof(p->wide));
    for (i = 0; i < nr && i < KEEPER_SITES; i++) {
        unsigned long code = jump_entry_code((struct jump_entry *)first + i);
        u8 byte = code >= lookup("_text") && code < lookup("_etext") ? *(const u8 *)code : 0;

        if (byte == 0x0f || byte == 0xe9)
            p->wide[i / 64] |= 1ULL << i % 64;
    }
    p->nr_sites = i;
    return 0;
}

static int find_patching(void)
{
    struct keeper_patching *p = &keeper_patching;
    struct mm_struct **mm = (struct mm_struct **)lookup("poking_mm");
    unsigned int i;

    p->text_first = symbol_gfn("_text", 0);
    p->text_last = symbol_gfn("_etext", -1);
    if (!mm || !*mm || find_copy(copies[0], &p->copy[0]) ||
        find_range("__text_poke", &p->caller[0]))
        return -ENOENT;
    /* What the kernel at hand may not have: variants, and a helper that the compiler inlines. */
    for (i = 1; i < KEEPER_COPIES; i++)
        if (find_copy(copies[i], &p->copy[i]))
            p->copy[i] = p->copy[0];
    if (find_range("text_poke_memcpy", &p->caller[1]))
        p->caller[1] = p->caller[0];
    p->tables = __pa((*mm)->pgd);
    p->allowed = patching;
    return find_sites(p);
}

static struct shield_range range_of(u64 first, u64 last, enum altp2m_access access)
{
    return (struct shield_range){{first}, {last}, access, false};
}

static void find_vcpu(void *n)
{
    vcpu_ids[*(unsigned int *)n] = xen_vcpu_nr(smp_processor_id());
    apic_ids[*(unsigned int *)n] = cpuid_ebx(1) >> 24;
}

/* All must be up: one that comes up later would have no #VE, and its patching would be refused. */
static unsigned int find_vcpus(void)
{
    unsigned int n = 0;
    int cpu;

    for_each_online_cpu (cpu) {
        smp_call_function_single(cpu, find_vcpu, &n, 1);
        n++;
    }
    return n;
}

/* User space executes these, which lie in the read-only data: their first frame beyond `from`. */
static bool next_vdso(u64 from, struct shield_range *r)
{
    static const char *const images[] = {"vdso_image_64", "vdso_image_32", "vdso_image_x32"};
    bool found = false;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(images); i++) {
        const struct vdso_image *image = (const struct vdso_image *)lookup(images[i]);
        u64 first = image ? __pa(image->data) >> PAGE_SHIFT : 0;

        if (first >= from && (!found || first < r->first.v)) {
            *r = range_of(first, first + ((image->size - 1) >> PAGE_SHIFT), ALTP2M_RX);
            found = true;
        }
    }
    return found;
}

#define RODATA_MOST 7 /* three images, and what lies around them */

/* The read-only data; how many ranges that are. */
static unsigned int find_rodata(struct shield_range *what)
{
    u64 from = symbol_gfn("__start_rodata", 0), last = symbol_gfn("__end_rodata", -1);
    struct shield_range vdso;
    unsigned int n = 0;

    while (from && next_vdso(from, &vdso) && vdso.last.v <= last) {
        if (vdso.first.v > from)
            what[n++] = range_of(from, vdso.first.v - 1, ALTP2M_R);
        what[n++] = vdso;
        from = vdso.last.v + 1;
    }
    if (from && from <= last)
        what[n++] = range_of(from, last, ALTP2M_R);
    return n;
}

/* With page-table isolation, what user space has to have of the gate. */
static int map_gate(bool on)
{
    const char *at;
    int rc = 0;

    if (!boot_cpu_has(X86_FEATURE_PTI))
        return 0;
    for (at = gate_page; at < gate_page_end && !rc; at += PAGE_SIZE)
        on ? (rc = user_map(lookup, at)) : user_unmap(lookup, at);
    if (!rc)
        on ? (rc = user_map(lookup, &gate_deny)) : user_unmap(lookup, &gate_deny);
    return rc;
}

/* What the processor has not nobody can set. */
static u64 pinned_cr4(void)
{
    return (boot_cpu_has(X86_FEATURE_SMEP) ? X86_CR4_SMEP : 0) |
           (boot_cpu_has(X86_FEATURE_SMAP) ? X86_CR4_SMAP : 0) |
           (boot_cpu_has(X86_FEATURE_UMIP) ? X86_CR4_UMIP : 0) |
           (boot_cpu_has(X86_FEATURE_FSGSBASE) ? X86_CR4_FSGSBASE : 0);
}

/* The agent pins registers where the hypervisor does that for it. */
static void pin(void)
{
    long rc = gate_call(KEEPER_PIN, 0, 0, 0);

    if (rc)
        pr_alert("registers are not pinned: %ld\n", rc);
}

static void watch_one(void *refused)
{
    if (gate_call(KEEPER_WATCH, 0, 0, 0))
        atomic_inc(refused);
}

/* What each vCPU has loaded by now; the rest the hypervisor asks about. */
static void watch_all(void)
{
    atomic_t refused = ATOMIC_INIT(0);

    on_each_cpu(watch_one, &refused, 1);
    if (atomic_read(&refused))
        pr_alert("%d vCPUs have page tables that are not the kernel's\n", atomic_read(&refused));
}

static int raise(void)
{
    struct shield_hooks all = hooks;
    const unsigned long *end = (const unsigned long *)lookup("max_pfn");
    struct shield_range ram, what[2 + RODATA_MOST];
    unsigned int i, n;
    u64 pages = 0;
    int rc = find_patching();

    if (rc || !end)
        return rc ? rc : -ENOENT;
    ram = range_of(0, *end - 1, ALTP2M_RW);
    what[0] = range_of(keeper_patching.text_first, keeper_patching.text_last, ALTP2M_RX);
    what[0].may_store = true;
    what[1] = range_of(alias_pfn(idt), alias_pfn(idt), ALTP2M_R);
    n = 2 + find_rodata(&what[2]);
    if (n == 2)
        return -ENOENT;
    for (i = 0; i < n; i++)
        pages += what[i].last.v - what[i].first.v + 1;
    get_random_bytes(&keeper_key, sizeof(keeper_key));
    keeper_code = code;
    code = 0;
    all.pins.cr4 |= pinned_cr4();
    all.by_enter =
        boot_cpu_has(X86_FEATURE_PTI); /* the gate of VMFUNCs cannot do with its tables */
    cpus_read_lock();
    all.vcpus = find_vcpus();
    rc = map_gate(true);
    all.tables = watch ? watch_tables(lookup) : NULL;
    rc = rc ? rc
            : shield_raise(&shield, &all, &ram, 1, what, n,
                           (const void *)gate_offset(&idt[X86_TRAP_GP]));
    cpus_read_unlock();
    if (rc) {
        if (rc == -EOPNOTSUPP && all.by_enter)
            pr_err("page-table isolation is on, and VMFUNC the only way in: boot with pti=off\n");
        map_gate(false);
        return rc;
    }
    pin();
    if (all.tables && shield.entered)
        watch_all();
    __module_get(THIS_MODULE); /* to leave, lower it first: that can be refused */
    pr_info("the kernel is on view %u, the agent on view %u; %llu pages protected on %u vCPUs%s\n",
            shield.kernel.v, shield.agent.v, pages, all.vcpus, shield.sealed ? ", sealed" : "");
    return 0;
}

static int lower(u64 by)
{
    int rc = (int)gate_call(KEEPER_LOWER, by, 0, 0);

    if (!rc)
        rc = shield_lower(&shield);
    report_events();
    if (rc) {
        pr_alert("not lowered: %d\n", rc);
        return rc;
    }
    map_gate(false);
    module_put(THIS_MODULE);
    pr_info("no longer protected\n");
    return 0;
}

static int set_protect(bool on, u64 by)
{
    int rc = 0;

    mutex_lock(&lock);
    if (on != raised)
        rc = on ? raise() : lower(by);
    if (!rc)
        raised = on;
    mutex_unlock(&lock);
    return rc;
}

/* /sys/kernel/facet_agent */

static long sign(void)
{
    if (raised)
        return gate_call(KEEPER_SIGN, message[0], message[1], 0);
    return agent_service(KEEPER_SIGN, message[0], message[1], 0);
}

static ssize_t protect_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    return sysfs_emit(buf, "%d\n", raised);
}

static ssize_t protect_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
                             size_t count)
{
    u64 on, by = 0;
    int rc = sscanf(buf, "%llx %llx", &on, &by) > 0 && on <= 1 ? 0 : -EINVAL;

    rc = rc ? rc : set_protect(on, by);
    return rc ? rc : count;
}

static ssize_t code_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
                          size_t count)
{
    int rc = raised ? -EBUSY : kstrtou64(buf, 16, &code);

    return rc ? rc : count;
}

static ssize_t lost_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    rearm();
    return sysfs_emit(buf, "%d\n", atomic_read(&lost));
}

static ssize_t refused_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    rearm();
    return sysfs_emit(buf, "%llu\n", refused);
}

static ssize_t patching_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    long now = raised ? gate_call(KEEPER_PATCHING, ~0ULL, 0, 0) : patching;

    return sysfs_emit(buf, "%ld\n", now);
}

/* It only gets less while the agent protects. */
static ssize_t patching_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
                              size_t count)
{
    unsigned int to;
    long rc = kstrtouint(buf, 0, &to);

    if (rc || to > KEEPER_PATCH_ANY)
        return rc ? rc : -EINVAL;
    if (raised)
        rc = gate_call(KEEPER_PATCHING, to, 0, 0);
    else
        patching = to;
    return rc < 0 ? rc : count;
}

static ssize_t sign_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    report_events();
    return sysfs_emit(buf, "%016lx\n", (unsigned long)sign());
}

static ssize_t sign_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
                          size_t count)
{
    u64 a, b;

    if (sscanf(buf, "%llx %llx", &a, &b) != 2)
        return -EINVAL;
    message[0] = a;
    message[1] = b;
    return count;
}

/* The fewest ticks of several tries. */
static ssize_t ticks_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    u64 best = ~0ULL;
    unsigned long flags;
    int i;

    for (i = 0; i < TRIES; i++) {
        u64 empty, start, end;

        local_irq_save(flags);
        empty = rdtsc();
        start = rdtsc();
        sign();
        end = rdtsc();
        local_irq_restore(flags);
        best = min(best, end - start - (start - empty));
    }
    return sysfs_emit(buf, "%llu\n", best);
}

static ssize_t count_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
    int kind;

    report_events();
    for (kind = 1; kind < GUARD_KINDS; kind++)
        if (!strcmp(attr->attr.name, kind_names[kind]))
            return sysfs_emit(buf, "%llu\n", guard_report.count[kind]);
    return -EINVAL;
}

static struct kobj_attribute attributes[] = {
    __ATTR(protect, 0600, protect_show, protect_store),
    __ATTR(code, 0200, NULL, code_store),
    __ATTR(lost, 0400, lost_show, NULL),
    __ATTR(refused, 0400, refused_show, NULL),
    __ATTR(patching, 0600, patching_show, patching_store),
    __ATTR(sign, 0600, sign_show, sign_store),
    __ATTR(ticks, 0400, ticks_show, NULL),
    __ATTR(denied, 0400, count_show, NULL),
    __ATTR(allowed, 0400, count_show, NULL),
    __ATTR(stray, 0400, count_show, NULL),
    __ATTR(spurious, 0400, count_show, NULL),
    __ATTR(interrupted, 0400, count_show, NULL),
    __ATTR(tables, 0400, count_show, NULL),
};
static const struct attribute *attribute_list[ARRAY_SIZE(attributes) + 1];
static struct kobject *directory;

static int make_directory(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(attributes); i++) {
        sysfs_attr_init(&attributes[i].attr);
        attribute_list[i] = &attributes[i].attr;
    }
    directory = kobject_create_and_add(KBUILD_MODNAME, kernel_kobj);
    if (!directory)
        return -ENOMEM;
    return sysfs_create_files(directory, attribute_list);
}

static void stop(void)
{
    cancel_delayed_work_sync(&reporter);
    unregister_die_notifier(&die_block);
    kobject_put(directory);
}

static int __init agent_init(void)
{
    int rc;

    if (num_online_cpus() > GUARD_VCPUS || num_online_cpus() != num_present_cpus()) {
        pr_err("needs all vCPUs up, and at most %u\n", GUARD_VCPUS);
        return -EOPNOTSUPP;
    }
    if (!xen_hvm_domain())
        return -EOPNOTSUPP;
    lookup = symbols_open();
    idt = lookup ? (gate_desc *)lookup("idt_table") : NULL;
    if (!idt)
        return -ENOENT;
    idt_before = idt[VE_VECTOR];
    get_random_bytes(&keeper_key, sizeof(keeper_key));
    rc = make_directory();
    rc = rc ? rc : register_die_notifier(&die_block);
    if (rc) {
        kobject_put(directory);
        return rc;
    }
    schedule_delayed_work(&reporter, REPORT_EVERY);
    rc = protect ? set_protect(true, 0) : 0;
    if (rc)
        stop();
    return rc;
}

static void __exit agent_exit(void)
{
    stop();
}

module_init(agent_init);
module_exit(agent_exit);
MODULE_DESCRIPTION("An agent that protects this kernel with altp2m");
MODULE_LICENSE("Dual MIT/GPL");
