/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The whole hypervisor, but for boot code and instructions of the processor, as a program on the
 * host: core/, hv/guest, hv/exit, hv/vcpu and hv/mm as they are, over a vendor of its own
 * (vendor.c) and nested translations that are modelled here. Memory is a range of the host's
 * addresses where frames are at their own machine addresses, so everything that the hypervisor
 * keeps in frames is real. Two domains: 1, whom the test attacks with, and 2, a monitor with
 * control over it.
 *
 * A guest has no code: the test says what the processor does next in the guest, and which exit that
 * causes. It may be called with a vCPU that cannot run now, and then nothing happens.
 *
 * All state can be kept and put back, so that a run starts from a machine that was built once.
 */
#include <facet/types.h>
#include <setjmp.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "vcpu.h"

#define MACHINE_BASE   0x4000000UL
#define MACHINE_FRAMES 1536u
#define MACHINE_FIRST  (MACHINE_BASE >> PAGE_SHIFT)
#define GUEST_VCPUS    3u

/* Where things are in both guests; linear addresses are physical ones. RAM is 512 pages in 1, 256
 * in 2. */
#define GUEST_RAM    512u
#define GUEST_TABLES 16u /* PML4, PDPT, PD, a table of 4 KiB pages; then the PDPTEs of vCPU 2 */
#define GUEST_CODE   24u /* instructions that are carried out, each at its own place */
#define GUEST_STACK  25u
#define GUEST_TASK   26u        /* GDT, and two TSSs */
#define GUEST_ARGS   32u        /* eight pages */
#define GUEST_PLAY   64u        /* what is attacked and played with, from here on */
#define GUEST_HOLE   0xd0000ULL /* nothing is ever here */
#define ARGS         ((uint64_t)GUEST_ARGS << PAGE_SHIFT)

struct machine_options {
    unsigned policy; /* enum altp2m_policy */
    unsigned tables; /* pages of table memory beyond the reserve */
    unsigned guest_views, guest_tables;
    const char *allow; /* a further sub-op, or NULL */
};

/* A failure: longjmp to `machine_trap` if set, else abort. */
extern jmp_buf *machine_trap;
extern char machine_message[512];
extern const char *machine_doing; /* for the message: the step */
_Noreturn void machine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            machine_fail(__VA_ARGS__);                                                             \
        }                                                                                          \
    } while (0)

/* A machine with both domains, their vCPUs online in long mode (the guest's last one: PAE paging).
 */
void machine_start(const struct machine_options *o);
/* v has the registers with which it began. */
void machine_restart(struct vcpu *v);
/* All that the hypervisor and the machine have in mind; then back to it. */
void machine_keep(void);
void machine_restore(void);

struct domain *machine_domain(unsigned id); /* NULL: it ended */
static inline struct vcpu *machine_vcpu(unsigned domid, unsigned id)
{
    struct domain *d = machine_domain(domid);

    return d ? d->vcpus[id] : NULL;
}

/* ---- running ---- */

/* Puts v on the processor; NULL: whoever is there leaves it. False: v cannot run. */
bool machine_switch(struct vcpu *v);
/* One entry and exit of v, in which machine_act runs. False: v cannot run, or the hypervisor did
 * not let it. */
bool machine_run(struct vcpu *v);
extern void (*machine_act)(struct vcpu *v);
/* The same, and whether the guest was entered. */
bool machine_enter(struct vcpu *v, void (*act)(struct vcpu *v));
/* Time passes. */
void machine_wait(uint64_t ns);

/* The exception that waits for v, or -1; and forgets it. */
int machine_fault(struct vcpu *v);

/* Each lets v do one thing. Results as the guest sees them. */
#define MACHINE_NOT_RUN (-4096L)
long machine_hypercall(struct vcpu *v, unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
long machine_altp2m(struct vcpu *v, void *op80);
bool machine_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value); /* false: #GP */
bool machine_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool machine_mov_cr(struct vcpu *v, unsigned cr, uint64_t value);
/* An access of the guest's own. False: it caused an exit, or a #VE. */
bool machine_access(struct vcpu *v, uint64_t gpa, unsigned rights, void *buffer, size_t n);
/* INS (`in`) or OUTS at a linear address. */
void machine_string_io(struct vcpu *v, bool in, uint16_t port, unsigned size, unsigned count,
                       uint64_t at);
/* An instruction of machine_code[] whose operand in RDI is `to`, in RSI `from`; `hole`: which of
 * both exits. */
enum machine_instruction {
    CODE_MOVSB,
    CODE_MOVSQ,
    CODE_STORE,
    CODE_LOAD,
    CODE_ADD,
    CODE_PUSH,
    CODE_POP,
    CODE_XCHG,
    CODE_NR
};
void machine_instruction(struct vcpu *v, enum machine_instruction i, uint64_t from, uint64_t to,
                         uint64_t hole);
void machine_task_switch(struct vcpu *v, uint64_t gdt, uint64_t tss);
/* A GDT, and the state of the task that its entry 0x20 names; what is left of `tss` is saved there.
 */
#define MACHINE_TASK_EIP 0x1234u
void machine_lay_task(struct domain *d, uint64_t gdt, uint64_t tss, uint64_t next);
void machine_vmfunc(struct vcpu *v, unsigned index);
void machine_halt(struct vcpu *v);

/* ---- memory ---- */

static inline uint8_t *machine_frame(uint64_t mfn)
{
    return (uint8_t *)(mfn << PAGE_SHIFT);
}
/* What the nested tables below `root` say of a gfn, by the processor's rules alone. */
struct machine_entry {
    bool present, suppress_ve;
    unsigned rights;
    uint64_t mfn;
};
struct machine_entry machine_walk(uint64_t root, uint64_t gfn);
/* The page that the domain's host map shows at a gfn, whatever its access; NULL if none. */
uint8_t *machine_page(struct domain *d, uint64_t gfn);
/* Writes of the test's own, which no check blames on the hypervisor. */
void machine_poke(void *to, const void *from, size_t n);
void machine_poke_gpa(struct domain *d, uint64_t gpa, const void *from, size_t n);
/* Called for those and for each write of the processor in the guest. */
extern void (*machine_wrote)(void *at, size_t n);
/* No cached translation gives more than the tables, no lock is held. */
void machine_settled(void);

/* What the console was told since the last look; `size` at most. */
size_t machine_console(char *out, size_t size);

/* For the sources of hv/ here. */
bool machine_invalidate(const void *descriptor);
