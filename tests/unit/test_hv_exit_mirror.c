/* SPDX-License-Identifier: MIT */
/*
 * What hv/exit/mirror.c does with the #PF and INVLPG of a vCPU that has a mirror: whom the fault is
 * for, what leads to nowhere, and that INVLPG has an effect wherever the processor walks.
 */
#include "hv_test.h"
#undef skip /* cmocka's; a vendor has one */
#include <string.h>
#include "x86/cpu.h"

static struct cpu test_cpu;
#define cpu_loaded(v) (test_cpu.loaded == (v))
#include "hv/exit/mirror.c"

#define LINEAR 0x7f0000003123ULL

static struct domain domain;
static struct vcpu vcpu = {.domain = &domain};
static struct domain_config config;
static enum hand_answer answer;
static enum mirror_shown shown;
static struct hand_look found;
static bool wp, decoded;
struct vendor_caps vendor_caps = {.violation = 0x400};
static unsigned nr_flushed, nr_hidden, nr_hidden_all, nr_skipped, nr_ended;

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    assert_ptr_equal(v, &vcpu);
    switch (f) {
    case VCPU_EFER:
        return EFER_LMA;
    case VCPU_CR0:
        return wp ? X86_CR0_WP : 0;
    case VCPU_CODE_64:
        return 1;
    default:
        return 0;
    }
}
void vmx_flush(struct vcpu *v, mfn_t root)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(mfn_eq(root, MFN_INVALID));
    nr_flushed++;
}
void vmx_skip(struct vcpu *v, unsigned length)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(length, 0);
    nr_skipped++;
}
void vmx_watch(struct vcpu *v, const struct vendor_watch *w)
{
    assert_int_equal(w->mirror, !!v->mirror);
}
enum hand_answer hand_look(struct vcpu *v, struct hand_look *l)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(l->linear, LINEAR);
    found.linear = l->linear;
    *l = found;
    return answer;
}
enum mirror_shown vcpu_mirror_show(struct vcpu *v, uint64_t a, unsigned shift, uint64_t entry,
                                   bool global)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(a, LINEAR);
    assert_true(shift == found.shift && entry == found.entry && global == found.global);
    return shown;
}
void vcpu_mirror_hide(struct vcpu *v, uint64_t a, bool all)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(all || a == LINEAR);
    nr_hidden++;
    nr_hidden_all += all;
}
void vcpu_mirror_end(struct vcpu *v)
{
    v->mirror = NULL;
    nr_ended++;
}
void vcpu_code_begin(struct vcpu *v, struct code *c)
{
    assert_ptr_equal(v, &vcpu);
    *c = (struct code){.bytes = {0x0f, 0x01, 0x38}, .nr = 3};
}
bool touch_decode(const uint8_t *code, size_t n, unsigned bits, struct touch *out)
{
    (void)code, (void)out;
    assert_int_equal(n, 3);
    assert_int_equal(bits, 64);
    return decoded;
}
uint64_t mmio_linear(struct vcpu *v, const struct decoded *d)
{
    (void)v, (void)d;
    return LINEAR;
}
struct domain_config *domain_config_of(const struct domain *d)
{
    assert_ptr_equal(d, &domain);
    return &config;
}
bool monitor_listens(const struct domain *d)
{
    assert_ptr_equal(d, &domain);
    return false;
}
NOT_CALLED(void, exit_handle, struct vcpu *v, const struct vcpu_exit *e)
NOT_CALLED(bool, vcpu_mirror_make, struct vcpu *v)

static void begin(void)
{
    test_cpu.loaded = &vcpu;
    vcpu.mirror = (struct mirror *)(void *)&config;
    vcpu.altp2m.inside = false;
    vcpu.exit.mirror_idle = 0;
    wp = decoded = true;
    nr_flushed = nr_hidden = nr_hidden_all = nr_skipped = nr_ended = 0;
    found = (struct hand_look){.shift = 12, .entry = 0x5067, .guarded = true};
    answer = HAND_DONE;
    shown = MIRROR_SHOWN;
}

/* In the agent's place, and without CR0.WP, the processor walks the vCPU's own tables. */
static void test_invlpg(void **state)
{
    const struct vcpu_exit e = {.kind = VCPU_EXIT_INVLPG};

    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        begin();
        vcpu.altp2m.inside = how == 1;
        wp = how != 2;
        decoded = how != 3;
        mirror_invlpg(&vcpu, &e);
        assert_int_equal(nr_flushed, how == 1 || how == 2);
        assert_int_equal(nr_hidden, how == 0 || how == 3);
        assert_int_equal(nr_hidden_all, how == 3);
        assert_int_equal(nr_skipped, 1);
    }
}

static struct vcpu_exit fault(uint32_t error)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_MIRROR,
                          .exception.event = {.vector = EXC_PF,
                                              .type = EVENT_HARDWARE,
                                              .due = true,
                                              .has_error = true,
                                              .error = error,
                                              .with_cr2 = true,
                                              .cr2 = LINEAR}};

    mirror_look(&vcpu, &e);
    return e;
}

static void test_faults(void **state)
{
    struct vcpu_exit e;

    (void)state;
    begin();
    assert_int_equal(fault(PF_USER).kind, VCPU_EXIT_WINDOW);
    shown = MIRROR_SAME; /* ... and present: the guest's own */
    assert_int_equal(fault(PF_USER).kind, VCPU_EXIT_WINDOW);
    assert_int_equal(fault(PF_USER | PF_PRESENT).kind, VCPU_EXIT_EXCEPTION);
    answer = HAND_FAULT;
    found.error = PF_PRESENT | PF_WRITE;
    e = fault(PF_WRITE);
    assert_int_equal(e.kind, VCPU_EXIT_EXCEPTION);
    assert_int_equal(e.exception.event.error, PF_PRESENT | PF_WRITE);
    answer = HAND_RETRY;
    assert_int_equal(fault(0).kind, VCPU_EXIT_WINDOW);
    answer = HAND_DENIED;
    found.gpa = gpa(0x1238);
    found.denied = RIGHT_R | RIGHT_W;
    e = fault(0);
    assert_int_equal(e.kind, VCPU_EXIT_VIOLATION);
    assert_int_equal(e.violation.gpa.v, 0x1238);
    assert_true(e.violation.walk && e.violation.gla_valid);
    assert_int_equal(e.reason, 0x400);
    assert_int_equal(e.violation.rights, RIGHT_R | RIGHT_W);
    vcpu.mirror = NULL; /* it went offline on the way out */
    assert_int_equal(fault(0).kind, VCPU_EXIT_WINDOW);
    begin();
    wp = false; /* there is no mirror that faults */
    assert_int_equal(fault(PF_PRESENT).kind, VCPU_EXIT_EXCEPTION);
}

/* The address that the guest's tables give, of each size of page, and what was to be done there. */
static void test_nowhere(void **state)
{
    static const struct {
        uint32_t error;
        unsigned rights;
    } kinds[] = {{0, RIGHT_R}, {PF_WRITE | PF_PRESENT, RIGHT_R | RIGHT_W}, {PF_FETCH, RIGHT_X}};

    (void)state;
    for (unsigned shift = 12; shift <= 30; shift += 9) {
        for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
            uint64_t within = (1ULL << shift) - 1;
            struct vcpu_exit e;

            begin();
            found.shift = shift;
            found.entry = 0x8000000000 | 1ULL << 63 | (shift > 12 ? 0x10e7 : 0x67); /* PAT, too */
            shown = MIRROR_NOWHERE;
            e = fault(kinds[i].error);
            assert_int_equal(e.kind, VCPU_EXIT_VIOLATION);
            assert_int_equal(e.violation.gpa.v, 0x8000000000 | (LINEAR & within));
            assert_int_equal(e.violation.gla, LINEAR);
            assert_int_equal(e.violation.rights, kinds[i].rights);
            assert_false(e.violation.walk);
        }
    }
}

/* When nothing was looked up that it is there for, it goes. */
static void test_idle(void **state)
{
    (void)state;
    begin();
    found.guarded = false;
    for (unsigned i = 0; i < IDLE_MAX; i++) {
        fault(0);
    }
    assert_int_equal(nr_ended, 0);
    fault(0);
    assert_int_equal(nr_ended, 1);
    assert_null(vcpu.mirror);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("hv/exit/mirror", test_invlpg),
        CASE("hv/exit/mirror", test_faults),
        CASE("hv/exit/mirror", test_nowhere),
        CASE("hv/exit/mirror", test_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
