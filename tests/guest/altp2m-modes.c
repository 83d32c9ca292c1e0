/* SPDX-License-Identifier: MIT */
/*
 * HVMOP_altp2m under each mode: which sub-ops the domain itself may call while altp2m is off, and
 * the order of the checks common to all, which error codes show: copy-in, pads and version,
 * command, domain, active, mode, permission. The command line names the mode ("mode=mixed");
 * without it the guest believes HVM_PARAM_ALTP2M.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define SUBOPS 16u

static const char *const mode_names[] = {"disabled", "mixed", "external", "limited"};
static uint64_t mode;

static void parameter(void)
{
    char want[16];

    expect(hvm_param_get(HVM_PARAM_ALTP2M, &mode), 0);
    check(mode <= XEN_ALTP2M_limited, "mode is %lu", mode);
    if (cmdline_get("mode", want, sizeof(want)))
        check(strcmp(want, mode_names[mode]) == 0, "mode is %s, not %s", mode_names[mode], want);
    for (uint64_t m = 0; m < 5; m++)
        check(hvm_param_set(HVM_PARAM_ALTP2M, m) < 0, "the guest may set mode %lu", m);
}

static long refusal(uint32_t cmd)
{
    if (cmd > HVMOP_altp2m_set_domain_state)
        return -XEN_EOPNOTSUPP;
    if (mode == XEN_ALTP2M_disabled)
        return -XEN_EINVAL;
    return mode == XEN_ALTP2M_mixed ? 0 : -XEN_EPERM;
}

static void while_inactive(void)
{
    for (uint32_t cmd = 1; cmd <= SUBOPS; cmd++) {
        altp2m_op op = altp2m_new(cmd);
        long rc = altp2m_call(&op);
        check(rc == refusal(cmd), "sub-op %u: %ld, wanted %ld", cmd, rc, refusal(cmd));
    }
}

static void unknown_command(void)
{
    static const uint32_t cmds[] = {0, 17, 255, 0x7fff, 0x10001, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(cmds); i++) {
        altp2m_op op = altp2m_new(cmds[i]);
        long rc = altp2m_call(&op);
        check(rc == -XEN_EOPNOTSUPP, "command %x: %ld", cmds[i], rc);
        op.domain = 0x7e57;
        rc = altp2m_call(&op);
        check(rc == -XEN_EOPNOTSUPP, "command %x on no domain: %ld", cmds[i], rc);
    }
}

static void pads_and_version(void)
{
    altp2m_op op;

    for (uint32_t version = 0; version < 4; version++) {
        op = altp2m_new(HVMOP_altp2m_get_domain_state);
        op.version = version;
        expect(altp2m_call(&op), version == 1 ? refusal(op.cmd) : -XEN_EINVAL);
    }
    op = altp2m_new(0xffff);
    op.version = 0x10001;
    op.domain = 0x7e57;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op = altp2m_new(0xffff);
    op.pad1 = 0x100;
    expect(altp2m_call(&op), -XEN_EINVAL);
    op = altp2m_new(0xffff);
    op.pad2 = 0x80000000;
    expect(altp2m_call(&op), -XEN_EINVAL);
}

static void no_such_domain(void)
{
    for (uint32_t cmd = 1; cmd <= SUBOPS; cmd++) {
        altp2m_op op = altp2m_new(cmd);
        op.domain = 0x7e57;
        long rc = altp2m_call(&op);
        check(rc == -XEN_ESRCH, "sub-op %u: %ld", cmd, rc);
    }
}

/* The 80 bytes are read as a whole first, so a bad pointer comes before all else. */
static void bad_pointer(void)
{
    const uint64_t va = 0x0000600000000000;
    uint8_t *p = page_alloc(1, 1);

    expect(hvm_op(HVMOP_altp2m, (void *)va), -XEN_EFAULT);
    page_map(va, (uint64_t)p, PTE_RWX);
    memset(p, 0xff, PAGE);
    expect(hvm_op(HVMOP_altp2m, (void *)(va + PAGE - 79)), -XEN_EFAULT);
    expect(hvm_op(HVMOP_altp2m, (void *)(va + PAGE - 80)), -XEN_EINVAL);
    altp2m_op *op = (altp2m_op *)(va + PAGE - 80);
    *op = altp2m_new(HVMOP_altp2m_switch_p2m);
    expect(altp2m_call(op), -XEN_EOPNOTSUPP);
    page_map(va, 0, 0);
}

static void vmfunc_is_undefined(void)
{
    for (uint32_t view = 0; view < 3; view++)
        expect(try_vmfunc(0, view), VEC_UD);
    expect(try_vmfunc(1, 0), VEC_UD);
}

static uint64_t user_altp2m(uint64_t op)
{
    return (uint64_t)vmcall(__HYPERVISOR_hvm_op, HVMOP_altp2m, op);
}

static void from_user(void)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_get_domain_state);

    expect(user_run(user_altp2m, (uint64_t)&op), -XEN_EPERM);
}

static void state(void)
{
    uint8_t on = 0xee;

    if (mode != XEN_ALTP2M_mixed)
        skip("altp2m mode mixed");
    expect(altp2m_get_state(&on), 0);
    expect(on, 0);
    expect(altp2m_set_state(1), 0);
    expect(altp2m_set_state(1), 0);
    expect(altp2m_get_state(&on), 0);
    expect(on, 1);
    expect(altp2m_set_state(0xff), 0);
    expect(altp2m_set_state(0), 0);
    expect(altp2m_set_state(0), 0);
    expect(altp2m_get_state(&on), 0);
    expect(on, 0);
    altp2m_op op = altp2m_new(HVMOP_altp2m_switch_p2m);
    expect(altp2m_call(&op), -XEN_EOPNOTSUPP);
}

TEST_CASES(CASE(parameter), CASE(while_inactive), CASE(unknown_command), CASE(pads_and_version),
           CASE(no_such_domain), CASE(bad_pointer), CASE(vmfunc_is_undefined), CASE(from_user),
           CASE(state))
