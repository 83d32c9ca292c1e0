/* SPDX-License-Identifier: MIT */
/*
 * What hv/svm/exit.c makes of exits that no emulator tells as some processors do: with decode
 * assists an access to a control register is told, and not looked for in code that may be another
 * by then.
 */
#include "hv_test.h"
#include <string.h>
#include "svm/svm.h"
#include "x86/code.h"
#include "x86/cpu.h"

#define read_dr(n) 0
#include "hv/svm/exit.c"

struct svm_features svm_features;

static struct vcpu vcpu;
static struct vmcb vmcb;
static unsigned decoded;

void vcpu_code_cr(struct vcpu *v, struct vcpu_exit *e)
{
    assert_ptr_equal(v, &vcpu);
    e->cr.access = CR_CLTS;
    decoded++;
}

NOT_CALLED(uint64_t, svm_get, const struct vcpu *v, enum vcpu_field f)
NOT_CALLED(void, svm_set, struct vcpu *v, enum vcpu_field f, uint64_t value)
NOT_CALLED(void, svm_windows, struct vcpu *v, bool interrupt, bool nmi)
NOT_CALLED(void, vcpu_code_begin, struct vcpu *v, struct code *c)
NOT_CALLED(struct event, vcpu_code_int, struct vcpu *v)
NOT_CALLED(bool, vcpu_code_is_cr3_load, struct vcpu *v)
NOT_CALLED(bool, vcpu_code_is_dr, struct vcpu *v)
NOT_CALLED(unsigned, vcpu_code_length, struct vcpu *v)
NOT_CALLED(void, vcpu_code_string, struct vcpu *v, struct vcpu_exit *e)

static void check(unsigned code, uint64_t told, bool decodes, unsigned access, unsigned gpr)
{
    struct vcpu_exit e;

    memset(&vcpu, 0, sizeof(vcpu));
    memset(&e, 0xff, sizeof(e));
    vmcb = (struct vmcb){.exit_code = code, .exit_info1 = told, .rip = 0x1000, .next_rip = 0x1003};
    svm_of(&vcpu)->vmcb = &vmcb;
    svm_features = (struct svm_features){.next_rip = true, .decodes = decodes};
    decoded = 0;
    svm_tell(&vcpu, &e);
    assert_int_equal(e.kind, VCPU_EXIT_CR);
    assert_int_equal(e.cr.cr, code & 0xf);
    assert_int_equal(e.cr.access, access);
    assert_int_equal(decoded, access == CR_CLTS);
    if (!decoded) {
        assert_int_equal(e.cr.gpr, gpr);
    }
}

static void test_control(void **state)
{
    (void)state;
    for (unsigned gpr = 0; gpr < 16; gpr++) {
        for (unsigned cr = 0; cr <= 8; cr++) {
            check(SVM_CR_READ + cr, CR_MOV | gpr, true, CR_MOV_FROM, gpr);
            check(SVM_CR_WRITE + cr, CR_MOV | gpr, true, CR_MOV_TO, gpr);
            check(SVM_CR_WRITE + cr, CR_MOV | gpr, false, CR_CLTS, 0);
        }
        check(SVM_CR_WRITE, gpr, true, CR_CLTS, 0); /* CLTS and LMSW are not MOV */
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {CASE("hv/svm/exit", test_control)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
