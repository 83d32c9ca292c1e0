/* SPDX-License-Identifier: MIT */
/*
 * An entry on a mirror (hv/svm/vcpu.c): the processor walks it, after having forgotten what it is
 * to forget; and to everybody else, before and after, also while this one waits to be among them
 * again, the vCPU has the CR3 that is its own, which they may change.
 */
#include "hv_test.h"
#include <string.h>
#include "mm/frame.h"
#include "svm/svm.h"
#include "x86/cpu.h"
#include "x86/smp.h"

static struct cpu test_cpu;
#define this_cpu()         (&test_cpu)
#define write_cr2(value)   ((void)(value))
#define write_cr0(value)   ((void)(value))
#define read_dr(n)         0
#define write_dr(n, value) ((void)(value))
#define rdmsr(msr)         0
#define wrmsr(msr, value)  ((void)(value))
#include "hv/svm/vcpu.c"

#define OWN_CR3    0x5000u
#define MIRROR_CR3 0x8000000000u
#define OTHER_CR3  0x7000u

bool smp_on, vendor_is_svm = true;
struct vendor_caps vendor_caps;
struct svm_features svm_features;
uint64_t svm_flushes, svm_host_cr0;
uint8_t *svm_io_map, *vendor_msr_usual;

static struct vcpu vcpu;
static struct vmcb vmcb;
static uint64_t view_root[PT_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t mirror_root[PT_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static bool active, is_stale, interferes, paused;
static unsigned entries, flushes;

bool vcpu_mirror_before(struct vcpu *v, bool *stale)
{
    assert_ptr_equal(v, &vcpu);
    *stale = is_stale;
    return active;
}

struct mirror_place vcpu_mirror_place(const struct vcpu *v, const uint64_t *root)
{
    assert_ptr_equal(v, &vcpu);
    assert_ptr_equal(root, view_root);
    return (struct mirror_place){mirror_root, MIRROR_CR3};
}

void asid_follow(struct vcpu *v)
{
    assert_int_equal(flushes, is_stale);
    svm_of(v)->vmcb->ncr3 = v->altp2m.root.v << PAGE_SHIFT;
    v->altp2m_changed = false;
}

void asid_change(struct vcpu *v)
{
    asid_follow(v);
}

void svm_flush(struct vcpu *v, mfn_t root)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(mfn_eq(root, MFN_INVALID));
    assert_int_equal(entries, 0);
    flushes++;
    svm_flushes++;
}

void svm_enter(struct vcpu_regs *regs, struct vmcb *guest, struct vmcb *host)
{
    (void)host;
    assert_ptr_equal(regs, &vcpu.regs);
    assert_int_equal(guest->cr3, active ? MIRROR_CR3 : OWN_CR3);
    assert_ptr_equal((void *)guest->ncr3, active ? mirror_root : view_root);
    assert_true(!active || !(guest->clean & (CLEAN_NESTED | CLEAN_CR)));
    guest->exit_code = SVM_INTR;
    entries++;
}

void smp_leave(void)
{
    assert_int_equal(entries, 0);
}

/* Another has the big lock meanwhile, sees the vCPU out of the guest, and gives it other tables. */
enum smp_exit smp_back(void)
{
    assert_int_equal(entries, 1);
    assert_int_equal(vmcb.cr3, OWN_CR3);
    assert_ptr_equal((void *)vmcb.ncr3, view_root);
    if (interferes) {
        vmcb.cr3 = OTHER_CR3;
    }
    return interferes ? SMP_EXIT_DROPPED : paused ? SMP_EXIT_PAUSED : SMP_EXIT;
}

void svm_tell(struct vcpu *v, struct vcpu_exit *e)
{
    assert_ptr_equal(v, &vcpu);
    e->kind = paused ? VCPU_EXIT_MIRROR : VCPU_EXIT_INTERRUPT;
}

enum vmfunc_done vmfunc_done(struct vcpu *v, struct svm_vcpu *x)
{
    assert_ptr_equal(x, svm_of(v));
    return VMFUNC_NOT;
}

/* ---- what no entry of these comes to ---- */

NOT_CALLED(void, apic_send, uint32_t to, uint8_t vector)
NOT_CALLED(void, asid_load, struct vcpu *v)
NOT_CALLED(mfn_t, frame_alloc, uint16_t owner, unsigned order)
NOT_CALLED(void, frame_put, mfn_t m)
NOT_CALLED(void, npt_without_code, uint64_t *to, const uint64_t *from)
NOT_CALLED(uint64_t, svm_get, const struct vcpu *v, enum vcpu_field f)
NOT_CALLED(void, svm_set, struct vcpu *v, enum vcpu_field f, uint64_t value)
NOT_CALLED(bool, svm_init, struct vendor_caps *caps)
NOT_CALLED(bool, svm_present, void)
NOT_CALLED(uint8_t *, svm_msr_bit, uint8_t *map, uint32_t msr, bool write, uint8_t *bit)
NOT_CALLED(unsigned, svm_length, const struct vcpu *v)
NOT_CALLED(void, svm_tell_pending, struct svm_vcpu *x, struct vcpu_exit *e)
NOT_CALLED(void, svm_tell_violation, struct vcpu_exit *e, const struct vmcb *b, bool delivering)
NOT_CALLED(const uint8_t *, vcpu_code_known, struct vcpu *v, size_t n)
NOT_CALLED(bool, vcpu_exit_own, struct vcpu *v, enum vcpu_exit_kind kind)
NOT_CALLED(bool, vcpu_reflect, struct vcpu *v, const struct vcpu_exit *e)
NOT_CALLED(bool, vmfunc_own, struct vcpu *v, struct svm_vcpu *x)

static void test_mirrored(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 32; how++) {
        struct vcpu_exit e;

        smp_on = how & 1;
        active = how & 2;
        is_stale = how & 4;
        interferes = (how & 8) && smp_on;
        paused = (how & 16) && smp_on && !interferes; /* what exited exits again */
        memset(&vcpu, 0, sizeof(vcpu));
        vmcb = (struct vmcb){.cr3 = OWN_CR3, .clean = CLEAN_ALL};
        svm_features.clean = CLEAN_ALL;
        svm_of(&vcpu)->vmcb = &vmcb;
        svm_flushes = 1;
        svm_of(&vcpu)->mirrored = true;
        vcpu.altp2m.root = frame_of(view_root);
        vcpu.altp2m_changed = true;
        entries = flushes = 0;
        svm_run(&vcpu, &e);
        assert_int_equal(entries, 1);
        assert_int_equal(flushes, is_stale);
        assert_int_equal(vmcb.cr3, interferes ? OTHER_CR3 : OWN_CR3);
        assert_ptr_equal((void *)vmcb.ncr3, view_root);
        assert_true(!active || !(vmcb.clean & (CLEAN_NESTED | CLEAN_CR)));
        assert_int_equal(e.kind, interferes || paused ? VCPU_EXIT_WINDOW : VCPU_EXIT_INTERRUPT);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {CASE("hv/svm/vcpu", test_mirrored)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
