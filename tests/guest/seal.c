/* SPDX-License-Identifier: MIT */
/*
 * A guest seals itself (policy `audited`): from then on altp2m is what runs on the agent's view.
 * What the kernel could do before, it must not be able to do after, by calls, by VMFUNC, by
 * violations that are no #VE, by moving memory, or from a vCPU that comes up later. With how=stack
 * it ends in a violation that no exception can be delivered for.
 */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define HOLE ((uint64_t *)0xd0000000UL)

/* Into the agent's view, one hvm_op, and back; its page is the only one that can
 * be executed there. */
long agent_hvm_op(unsigned op, void *arg, uint16_t agent, uint16_t kernel);
extern uint8_t agent_page[];
__asm__(".pushsection .text.agent, \"ax\", @progbits\n"
        ".balign 4096\n"
        "agent_page:\n"
        "agent_hvm_op:\n"
        "    mov %ecx, %r8d\n"
        "    mov %edx, %ecx\n"
        "    xor %eax, %eax\n"
        "    .byte 0x0f, 0x01, 0xd4\n"
        "    mov $34, %eax\n"
        "    vmcall\n"
        "    mov %rax, %r9\n"
        "    mov %r8d, %ecx\n"
        "    xor %eax, %eax\n"
        "    .byte 0x0f, 0x01, 0xd4\n"
        "    mov %r9, %rax\n"
        "    ret\n"
        ".balign 4096\n"
        ".popsection\n");

static uint16_t agent, kernel, other;
static volatile uint64_t *secret, *text, *vital; /* hidden; read-only; free, but with an override */
static volatile struct ve_info *info;
static uint8_t *spare;

static long own(uint32_t cmd, const void *argument, size_t size)
{
    altp2m_op op = altp2m_new(cmd);

    memcpy(&op.u, argument, size);
    return altp2m_call(&op);
}

static long seal(uint16_t a, uint16_t s)
{
    struct facet_altp2m_seal u = {.agent_view = a, .start_view = s};

    return own(FACET_ALTP2M_seal, &u, sizeof(u));
}

static long by_agent(uint32_t cmd, const void *argument, size_t size)
{
    altp2m_op op = altp2m_new(cmd);

    memcpy(&op.u, argument, size);
    return agent_hvm_op(HVMOP_altp2m, &op, agent, kernel);
}

static long agent_set_access(uint16_t view, uint64_t gfn, uint16_t access)
{
    struct xen_hvm_altp2m_mem_access u = {.view = view, .access = access, .gfn = gfn};

    return by_agent(HVMOP_altp2m_set_mem_access, &u, sizeof(u));
}

static uint16_t view_of(uint32_t vcpu)
{
    uint16_t v = 0xffff;

    expect(altp2m_get_index(vcpu, &v), 0);
    return v;
}

static long register_runstate(void *at)
{
    struct vcpu_register_runstate_memory_area a = {.addr.v = at};

    return vcpu_op(VCPUOP_register_runstate_memory_area, 0, &a);
}

/* Two views as an agent would make them, and all that a kernel can do about them before
 * the seal. */
static void before(void)
{
    struct facet_altp2m_set_vmfunc ask = {.on = 1};

    if (!on_facet)
        skip("seal");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RW, &agent), 0);
    expect(altp2m_create(ACCESS_RWX, &kernel), 0);
    expect(altp2m_create(ACCESS_RWX, &other), 0);
    secret = page_alloc(1, 1);
    text = page_alloc(1, 1);
    vital = page_alloc(1, 1);
    info = page_alloc(1, 1);
    spare = page_alloc(2, 2);
    *secret = 0x5ec;
    *text = 0x7e7;
    expect(register_runstate((uint8_t *)text + 512), 0);
    expect(altp2m_set_visibility(other, 0), 0);
    expect(altp2m_set_access(agent, gfn_of(agent_page), ACCESS_RX), 0);
    expect(altp2m_set_access(kernel, gfn_of(agent_page), ACCESS_RX), 0);
    expect(altp2m_set_access(kernel, gfn_of(secret), ACCESS_N), 0);
    expect(altp2m_set_access(kernel, gfn_of(text), ACCESS_RX), 0);
    expect(altp2m_set_access(kernel, gfn_of(vital), ACCESS_RW), 0);
    long rc = altp2m_enable_notify(0, gfn_of(info));
    if (rc == -XEN_EOPNOTSUPP)
        skip("VMFUNC and #VE");
    expect(rc, 0);
    expect(own(FACET_ALTP2M_set_vmfunc, &ask, sizeof(ask)), 0);
    expect(altp2m_switch(kernel), 0);
    expect(*text, 0x7e7);
    *text = 0x7e8; /* nobody listens: the restriction goes */
    expect(*text, 0x7e8);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(*secret, 0x5ec);
    expect(altp2m_set_visibility(other, 1), 0);
    expect(altp2m_set_visibility(other, 0), 0);
    expect(altp2m_set_access(kernel, gfn_of(text), ACCESS_RX), 0);
}

static void refused(void)
{
    expect(seal(0, kernel), -XEN_EPERM);
    expect(seal(agent, 0), -XEN_EINVAL);
    expect(seal(agent, agent), -XEN_EINVAL);
    expect(seal(agent, 9), -XEN_EINVAL); /* of a monitor's numbers */
    expect(seal(0xffff, 0), -XEN_EINVAL);
    expect(seal(0xffff, 0xffff), 0); /* there is none to end */
    expect(view_of(0), 0);
}

/* No stack for the fault, nor for the double fault: the guest ends. */
static void no_stack(void)
{
    extern uint8_t tss[104];
    uint64_t top = (uint64_t)text + PAGE;

    memcpy(tss + 36, &top, 8); /* IST1, SDM volume 3, figure 8-11 */
    __asm__ volatile("mov %0, %%rsp; ud2" ::"r"(top) : "memory");
}

static void sealed(void)
{
    char how[8];

    expect(seal(agent, kernel), 0);
    expect(view_of(0), kernel); /* from view 0 */
    if (cmdline_get("how", how, sizeof(how)))
        no_stack();
    expect(seal(agent, kernel), -XEN_EPERM);
    expect(seal(0xffff, 0xffff), -XEN_EPERM);
}

/* Every sub-operation, with nothing in its argument and with the views in it. */
static void calls(void)
{
    struct facet_altp2m_query q = {.number = 1};
    unsigned open = 0;

    for (uint32_t i = 0; i < q.number; i++) {
        altp2m_op op = altp2m_new(FACET_ALTP2M_query);

        q = (struct facet_altp2m_query){.index = i};
        memcpy(&op.u, &q, sizeof(q));
        expect(altp2m_call(&op), 0);
        memcpy(&q, &op.u, sizeof(q));
        open += q.why == 0;
        for (uint16_t v = 0; q.why != 0 && v <= other; v++) {
            op = altp2m_new(q.cmd);
            memcpy(&op.u, &v, sizeof(v));
            check(altp2m_call(&op) == -XEN_EPERM, "%s on view %u is not refused", q.name, v);
        }
        check(q.why == 0 || q.why == FACET_ALTP2M_WHY_SEALED || q.why == FACET_ALTP2M_WHY_POLICY,
              "%s: why is %u", q.name, q.why);
    }
    expect(open, 3);
    expect(altp2m_set_state(0), -XEN_EPERM);
    expect(altp2m_set_visibility(0, 1), -XEN_EPERM);
    expect(altp2m_disable_notify(0), -XEN_EPERM);
    expect(altp2m_switch(0), -XEN_EPERM);
    expect(view_of(0), kernel);
}

static uint64_t user_vmfunc(uint64_t view)
{
    return (uint64_t)try_vmfunc(0, (uint32_t)view);
}

static void vmfunc(void)
{
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(try_vmfunc(0, other), VEC_UD); /* hidden before */
    expect(try_vmfunc(0, 511), VEC_UD);
    expect(user_run(user_vmfunc, 0), VEC_UD);
    expect(view_of(0), kernel);
}

static uint64_t user_read(uint64_t at)
{
    uint64_t seen;

    return (uint64_t)try_read64((void *)at, &seen);
}

/* No #VE: they go to the hypervisor, and come back as #GP, again and again. */
static void violations(void)
{
    uint64_t seen;

    for (unsigned i = 0; i < 3; i++) {
        expect(try_write64(text, 0xbad), VEC_GP);
        expect(fault.error, 0);
        expect(try_read64(secret, &seen), VEC_GP);
        expect(user_run(user_read, (uint64_t)secret), VEC_GP);
        expect(try_call((void *)vital), VEC_GP);
    }
    expect(*text, 0x7e8);
}

static volatile unsigned taken;

static void on_ve(struct regs *r)
{
    taken++;
    r->rip += 3; /* mov %rax, (%rdx) or back */
}

static int write_by_ve(volatile uint64_t *to, uint64_t v)
{
    fault_clear();
    __asm__ volatile(TRY(".byte 0x48, 0x89, 0x02")::"a"(v), "d"(to) : "memory");
    return fault.vector;
}

/*
 * The page has #VE on, and an attacker has its handler: a table of his own, loaded by LIDT, that
 * does nothing. The first violation is his; the page stays as it is. As he leaves the information
 * page busy, the next ones are the hypervisor's.
 */
static void lidt_and_busy(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } mine, theirs;
    struct xen_hvm_altp2m_suppress_ve u = {.view = kernel, .gfn = gfn_of(text)};

    expect(by_agent(HVMOP_altp2m_set_suppress_ve, &u, sizeof(u)), 0);
    trap_handle(VEC_VE, on_ve);
    __asm__ volatile("sidt %0" : "=m"(theirs));
    memcpy(spare, (void *)theirs.base, PAGE);
    mine.limit = PAGE - 1;
    mine.base = (uint64_t)spare;
    __asm__ volatile("lidt %0" ::"m"(mine));
    expect(write_by_ve(text, 0xbad), VEC_NONE);
    expect(taken, 1);
    for (unsigned i = 0; i < 3; i++)
        expect(write_by_ve(text, 0xbad), VEC_GP);
    expect(taken, 1);
    __asm__ volatile("lidt %0" ::"m"(theirs));
    info->busy = 0;
    expect(write_by_ve(text, 0xbad), VEC_NONE);
    expect(taken, 2);
    info->busy = 0;
    trap_handle(VEC_VE, NULL);
    u.suppress_ve = 1;
    expect(by_agent(HVMOP_altp2m_set_suppress_ve, &u, sizeof(u)), 0);
    expect(*text, 0x7e8);
}

/* A fault whose frame would go to a restricted page: #DF, on a stack of its own. */
static void in_delivery(void)
{
    fault_clear();
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "lea 64(%0), %%rsp\n\t" TRY("ud2") "mov %%rbx, %%rsp" ::"r"(text)
                     : "rbx", "memory");
    expect(fault.vector, VEC_DF);
    expect(*text, 0x7e8);
    expect(view_of(0), kernel);
}

/* The hypervisor writes for the guest: an instruction on a hole, and a hypercall's result. */
static void by_the_hypervisor(void)
{
    char *result = (char *)text + 64;
    altp2m_op *op = (altp2m_op *)((uint8_t *)text + 128);
    const uint64_t *from = HOLE;
    volatile uint64_t *to = text;

    fault_clear();
    __asm__ volatile(TRY("movsq") : "+S"(from), "+D"(to)::"memory");
    expect(*text, 0x7e8);
    expect(xen_version(XENVER_extraversion, result), -XEN_EFAULT);
    expect(*result, 0);
    expect(xen_version(XENVER_extraversion, (void *)secret), -XEN_EFAULT);
    expect(altp2m_call(op), -XEN_EINVAL); /* it may be read: a struct of zeroes */
    expect(altp2m_call((altp2m_op *)secret), -XEN_EFAULT);
}

/* What was registered before, and what is now, is written to no page that the start view keeps. */
static void areas(void)
{
    uint64_t since = text[65];

    for (unsigned i = 0; i < 3; i++)
        sched_op(SCHEDOP_yield, NULL);
    expect(text[65], since);
    expect(register_runstate((uint8_t *)text + 512), -XEN_EFAULT);
    expect(register_runstate((void *)secret), -XEN_EFAULT);
    expect(try_wrmsr(0x40000000, gfn_of(text) * PAGE), VEC_GP);
    expect(try_wrmsr(0x40000000, gfn_of(secret) * PAGE), VEC_GP);
    expect(*text, 0x7e8);
}

/* Given back and taken again, a page would be writable under the same number. */
static void memory(void)
{
    uint64_t gfns[] = {gfn_of(text), gfn_of(secret), gfn_of(vital), gfn_of(agent_page)};

    for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++) {
        struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
        struct xen_add_to_physmap a = {
            .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = gfns[i]};

        set_xen_guest_handle(r.extent_start, &gfns[i]);
        check(memory_op(XENMEM_decrease_reservation, &r) <= 0, "gfn %lx given back", gfns[i]);
        expect(memory_op(XENMEM_add_to_physmap, &a), -XEN_EPERM);
    }
    expect(*text, 0x7e8);
}

static void attack_from_1(void)
{
    uint64_t seen;

    expect(view_of(1), kernel);
    expect(try_write64(text, 0xbad), VEC_GP);
    expect(try_read64(secret, &seen), VEC_GP);
    expect(altp2m_set_access(kernel, gfn_of(text), ACCESS_RWX), -XEN_EPERM);
    expect(altp2m_set_state(0), -XEN_EPERM);
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(try_vmfunc(0, agent), VEC_UD); /* nobody asked for VMFUNC here */
}

/* It is not there yet when the guest is sealed. */
static void late_vcpu(void)
{
    expect(smp_start(1, smp_work), 0);
    smp_run(attack_from_1);
}

#define REAL    0x8000UL /* what vCPU 1 runs after SIPI, in real mode */
#define MSR_ICR 0x830u
#define TO_1    (2ULL << 32)

/*
 * The agent has the other vCPU on its view. INIT and SIPI by the kernel, which chooses what it runs
 * then, put it back: on the agent's view its calls would be the agent's, and here nothing but the
 * agent's page can be executed there.
 */
static void restarted_vcpu(void)
{
    static const uint8_t code[] = {
        0xb8, 0x34, 0x12, 0x2e, 0xa3,
        0x40, 0x00, 0xfa, 0xf4}; /* mov $0x1234, %ax; mov %ax, %cs:0x40; cli; hlt */
    struct facet_altp2m_switch_vcpu u = {.vcpu = 1, .view = agent};
    volatile uint16_t *seen = (volatile uint16_t *)(REAL + 0x40);

    memcpy((void *)REAL, code, sizeof(code));
    *seen = 0;
    expect(vcpu_op(VCPUOP_down, 1, NULL), 0);
    expect(by_agent(FACET_ALTP2M_switch_vcpu, &u, sizeof(u)), 0);
    expect(view_of(1), agent);
    expect(try_wrmsr(MSR_ICR, TO_1 | 0xc500), VEC_NONE);
    expect(try_wrmsr(MSR_ICR, TO_1 | 0x4600 | REAL >> 12), VEC_NONE);
    expect(view_of(1), kernel);
    yield_until(*seen == 0x1234);
    expect(*seen, 0x1234);
}

static void agent_may(void)
{
    expect(agent_set_access(kernel, gfn_of(text), ACCESS_RWX), 0);
    expect(try_write64(text, 0x900d), VEC_NONE);
    expect(agent_set_access(kernel, gfn_of(text), ACCESS_R), 0);
    expect(try_write64(text, 0xbad), VEC_GP);
    expect(*text, 0x900d);
    expect(altp2m_set_access(kernel, gfn_of(text), ACCESS_RWX), -XEN_EPERM);
}

static void unsealed(void)
{
    struct facet_altp2m_seal u = {.agent_view = 0xffff, .start_view = 0xffff};

    expect(by_agent(FACET_ALTP2M_seal, &u, sizeof(u)), 0);
    expect(try_vmfunc(0, 0), VEC_NONE); /* all as it was */
    expect(*secret, 0x5ec);
    expect(altp2m_set_access(kernel, gfn_of(text), ACCESS_RWX), 0);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(before), CASE(refused), CASE(sealed), CASE(calls), CASE(vmfunc), CASE(violations),
           CASE(lidt_and_busy), CASE(in_delivery), CASE(by_the_hypervisor), CASE(areas),
           CASE(memory), CASE(late_vcpu), CASE(restarted_vcpu), CASE(agent_may), CASE(unsealed))
