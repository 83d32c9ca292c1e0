/* SPDX-License-Identifier: MIT */
/*
 * The guest's Linux, by what is in its memory: where it is (KASLR), its own page tables (KPTI), its
 * symbols (kallsyms), its types (BTF), and with them who runs. All of it is the guest's to change:
 * it can lie about itself, and lists and strings are followed for a bounded number of steps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "kallsyms.h"
#include "modules.h"
#include "watch.h"

#define PAGE         4096u
#define KERNEL_HALF  0xffff800000000000ULL
#define KERNEL_END   0xffffffffc0000000ULL
#define IMAGE_MAX    0x8000000u
#define BTF_MAX      0x4000000u
#define TASKS_MAX    0x100000u
#define PTI_USER     0x1000u /* in CR3: the tables of user space */
#define PERCPU_SMALL 0x1000000u
#define WAIT_SECONDS 15.0
#define WAIT_MS      50

size_t watch_kernel_read(void *watch, uint64_t address, void *to, size_t n)
{
    struct watch *w = watch;

    return guestmem_read(&w->memory, &w->kernel.paging, gva(address), to, n);
}

static bool read_u64(struct watch *w, uint64_t address, uint64_t *value)
{
    return watch_kernel_read(w, address, value, 8) == 8;
}

/* ---- where it is ---- */

static uint64_t kernel_gs(uint64_t gs, uint64_t shadow)
{
    return gs >= KERNEL_HALF ? gs : shadow >= KERNEL_HALF ? shadow : 0;
}

/* What a vCPU's state says. */
enum state {
    STATE_NONE,  /* the hypervisor does not give it */
    STATE_EARLY, /* no kernel yet */
    STATE_TAKEN,
};

/* By one vCPU's state; its per-CPU area is mapped by the kernel's tables alone. */
static enum state take_state(struct watch *w, uint32_t vcpu)
{
    struct watch_kernel *k = &w->kernel;
    struct hvm_hw_cpu cpu;
    uint64_t gs;
    gpa_t at;

    if (control_cpu(w->t, vcpu, &cpu))
        return STATE_NONE;
    gs = kernel_gs(cpu.gs_base, cpu.shadow_gs);
    if (cpu.msr_lstar < KERNEL_HALF || !gs)
        return STATE_EARLY;
    k->lstar = cpu.msr_lstar;
    k->paging = (struct guestmem_paging){cpu.cr0, cpu.cr3, cpu.cr4, cpu.msr_efer};
    if (!guestmem_walk(&w->memory, &k->paging, gva(gs), &at))
        k->paging.cr3 &= ~(uint64_t)PTI_USER;
    return guestmem_walk(&w->memory, &k->paging, gva(gs), &at) &&
                   guestmem_walk(&w->memory, &k->paging, gva(k->lstar), &at)
               ? STATE_TAKEN
               : STATE_EARLY;
}

/* Waits for a kernel that is only just starting. */
static bool find_tables(struct watch *w)
{
    double until = watch_seconds(w) + WAIT_SECONDS;
    enum state best;

    do {
        best = STATE_NONE;
        for (uint32_t i = 0; i < w->vcpus && best != STATE_TAKEN; i++) {
            enum state s = take_state(w, i);

            best = s > best ? s : best;
        }
        if (best == STATE_EARLY) {
            guestmem_drop(&w->memory);
            ring_wait(&w->ring, WAIT_MS);
        }
    } while (best == STATE_EARLY && watch_seconds(w) < until && !watch_stop_asked() &&
             !watch_ended(w));
    return best == STATE_TAKEN;
}

/* From now on the tables of init: they map the kernel as all do, and stay. */
static void use_own_tables(struct watch *w)
{
    struct watch_kernel *k = &w->kernel;
    struct guestmem_paging own = k->paging;
    uint64_t top;
    gpa_t at, check;

    if ((!symbols_find(&w->symbols, "init_top_pgt", &top) &&
         !symbols_find(&w->symbols, "swapper_pg_dir", &top)) ||
        !guestmem_walk(&w->memory, &k->paging, gva(top), &at))
        return;
    own.cr3 = at.v;
    if (guestmem_walk(&w->memory, &own, gva(k->lstar), &check))
        k->paging = own;
}

static enum command_status take_symbols(struct watch *w)
{
    struct watch_kernel *k = &w->kernel;
    const struct kernel_memory m = {w, watch_kernel_read};
    uint64_t end = KERNEL_END - k->lstar > IMAGE_MAX ? k->lstar + IMAGE_MAX : KERNEL_END;
    int rc;

    if (w->symbols.nr) {
        watch_find_slide(w, k->lstar);
        return COMMAND_OK;
    }
    rc = k->lstar < KERNEL_END
             ? kallsyms_load(&w->symbols, &m, k->lstar & ~(uint64_t)(PAGE - 1), end)
             : -ENOENT;
    if (rc)
        return command_refuse(w->s, "no table of symbols is in the guest's memory",
                              "is it Linux with CONFIG_KALLSYMS? Else give its System.map: "
                              "--symbols",
                              -rc);
    k->names = true;
    return COMMAND_OK;
}

/* ---- its types ---- */

static int take_btf(struct watch *w)
{
    struct watch_kernel *k = &w->kernel;
    uint64_t from, to;

    if (!symbols_find(&w->symbols, "__start_BTF", &from) ||
        !symbols_find(&w->symbols, "__stop_BTF", &to) || to <= from || to - from > BTF_MAX)
        return -ENOENT;
    k->btf_bytes = malloc(to - from);
    if (!k->btf_bytes)
        return -ENOMEM;
    if (watch_kernel_read(w, from, k->btf_bytes, to - from) != to - from)
        return -ENOENT;
    return btf_open(&k->btf, k->btf_bytes, to - from);
}

static bool per_cpu(const struct watch *w, const char *name, uint64_t *address)
{
    if (!symbols_find(&w->symbols, name, address))
        return false;
    if (*address - w->symbols.slide < PERCPU_SMALL) /* an offset, which nothing moves */
        *address -= w->symbols.slide;
    return true;
}

/* Where the current task is, and what of it is wanted. */
static bool take_task(struct watch *w)
{
    struct watch_kernel *k = &w->kernel;
    int64_t in = 0;

    if (per_cpu(w, "pcpu_hot", &k->current))
        in = btf_offset(&k->btf, "pcpu_hot", "current_task");
    else if (!per_cpu(w, "current_task", &k->current))
        return false;
    k->current_member = (uint64_t)in;
    k->task_type = btf_find(&k->btf, BTF_STRUCT, "task_struct");
    k->pid = btf_offset(&k->btf, "task_struct", "pid");
    k->tgid = btf_offset(&k->btf, "task_struct", "tgid");
    k->comm = btf_offset(&k->btf, "task_struct", "comm");
    k->tasks = btf_offset(&k->btf, "task_struct", "tasks");
    k->mm = btf_offset(&k->btf, "task_struct", "mm");
    k->pgd = btf_offset(&k->btf, "mm_struct", "pgd");
    return in >= 0 && k->pid >= 0 && k->tgid >= 0 && k->comm >= 0;
}

enum command_status watch_kernel_find(struct watch *w)
{
    struct watch_kernel *k = &w->kernel;
    enum command_status st;

    if (!k->wanted)
        return COMMAND_OK;
    if (!find_tables(w))
        return command_refuse(w->s, "no Linux kernel is found in the guest",
                              "it must run in long mode and have set up SYSCALL", ENOENT);
    st = take_symbols(w);
    if (st)
        return st;
    use_own_tables(w);
    if (!w->has_cr3) {
        w->cr3 = k->paging.cr3;
        w->has_cr3 = true;
    }
    if (take_btf(w) || !take_task(w))
        return command_refuse(w->s, "the guest's kernel does not tell of its types",
                              "it needs CONFIG_DEBUG_INFO_BTF, as Debian's has; without it: break "
                              "with --symbols and --show of registers",
                              ENOENT);
    if (k->names && modules_load(&w->symbols, &(struct kernel_memory){w, watch_kernel_read},
                                 &k->btf) == -ENOMEM)
        return command_refuse(w->s, "the symbols of the guest's modules need more memory", NULL,
                              ENOMEM);
    k->found = true;
    return COMMAND_OK;
}

void watch_kernel_free(struct watch *w)
{
    btf_close(&w->kernel.btf);
    free(w->kernel.btf_bytes);
    w->kernel.btf_bytes = NULL;
}

/* ---- who runs ---- */

static bool take_process(struct watch *w, uint64_t task, struct watch_process *who)
{
    const struct watch_kernel *k = &w->kernel;

    who->task = task;
    who->known =
        watch_kernel_read(w, task + (uint64_t)k->pid, &who->tid, 4) == 4 &&
        watch_kernel_read(w, task + (uint64_t)k->tgid, &who->pid, 4) == 4 &&
        watch_kernel_read(w, task + (uint64_t)k->comm, who->comm, WATCH_COMM) == WATCH_COMM;
    who->comm[WATCH_COMM] = 0;
    return who->known;
}

void watch_who(struct watch *w, const vm_event_request_t *r, struct watch_process *who)
{
    const struct vm_event_regs_x86 *x = &r->data.regs.x86;
    uint64_t gs = kernel_gs(x->gs_base, x->shadow_gs), task;

    memset(who, 0, sizeof(*who));
    if (w->kernel.found && gs &&
        read_u64(w, gs + w->kernel.current + w->kernel.current_member, &task))
        take_process(w, task, who);
}

/* The tables of the task, if it has the pid: threads of a process share them. */
static bool tables_of(struct watch *w, uint64_t task, uint64_t pid, uint64_t *cr3)
{
    const struct watch_kernel *k = &w->kernel;
    struct watch_process who;
    uint64_t mm, pgd;
    gpa_t at;

    if (!take_process(w, task, &who) || who.pid != pid ||
        !read_u64(w, task + (uint64_t)k->mm, &mm) || !mm ||
        !read_u64(w, mm + (uint64_t)k->pgd, &pgd) ||
        !guestmem_walk(&w->memory, &k->paging, gva(pgd), &at))
        return false;
    *cr3 = at.v;
    return true;
}

bool watch_process_tables(struct watch *w, uint64_t pid, uint64_t *cr3)
{
    const struct watch_kernel *k = &w->kernel;
    uint64_t first, task;

    if (k->tasks < 0 || k->mm < 0 || k->pgd < 0 || !symbols_find(&w->symbols, "init_task", &first))
        return false;
    task = first;
    for (unsigned int i = 0; i < TASKS_MAX; i++) {
        if (tables_of(w, task, pid, cr3))
            return true;
        if (!read_u64(w, task + (uint64_t)k->tasks, &task) ||
            (task -= (uint64_t)k->tasks) == first || watch_stop_asked())
            return false;
    }
    return false;
}
