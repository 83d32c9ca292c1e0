/* SPDX-License-Identifier: MIT */
/*
 * What guests are told of the machine, on made-up machines of both vendors: the vendor stays, what
 * only AMD has is given on AMD's alone, and nothing is that was not looked at.
 */
#include "hv_test.h"
#include "x86/cpu.h"

static bool amd, topology;

/* Every bit set that can be; only who and how far differs. */
static void machine_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)sub;
    r[0] = r[1] = r[2] = r[3] = ~0u;
    if (leaf == 0 || leaf == 0x80000000) {
        r[0] = leaf == 0 ? 0x20 : amd ? 0x80000026 : 0x80000008;
        r[1] = amd ? 0x68747541 : 0x756e6547;
    } else if (leaf == 0x80000001) {
        r[2] = topology ? ~0u : ~(1u << 22);
    } else if (leaf == 0x80000008) {
        r[0] = 48u << 8 | 40;
    }
}
#define cpuid         machine_cpuid
#define cpu_loaded(v) ((void)(v), true)
#include "guest/cpuid.c"

struct vendor_caps vendor_caps;

/* CR4, and no 64-bit code. By each vendor's name. */
uint64_t vmx_get(const struct vcpu *at, enum vcpu_field f)
{
    (void)at;
    (void)f;
    return 0;
}

uint64_t vcpu_xcr0(struct vcpu *at)
{
    return at->xcr0;
}

uint64_t fpu_supported_xcr0(void)
{
    return 7;
}

bool msr_fast_strings(void)
{
    return false;
}

uint64_t time_tsc_khz(void)
{
    return 1000000;
}

void time_pvclock_scale(uint32_t *mul, int8_t *shift)
{
    *mul = 1u << 31;
    *shift = 1;
}

static struct domain d;
static struct vcpu v;

static struct cpuid_result ask(uint32_t leaf)
{
    struct cpuid_result r;

    guest_cpuid(&v, leaf, 0, &r);
    return r;
}

static void set(bool is_amd, unsigned vcpus, bool aux)
{
    amd = topology = is_amd;
    d.nr_vcpus = vcpus;
    v.domain = &d;
    v.guest.lapic.id = 2;
    v.guest.lapic.mode = LAPIC_XAPIC;
    vendor_caps.tsc_aux = aux;
    machine = (struct cpuid_result){0, 0, 0, 0};
}

static bool is_nothing(struct cpuid_result r)
{
    return !(r.eax | r.ebx | r.ecx | r.edx);
}

static void intel(void **state)
{
    (void)state;
    set(false, 2, true);
    assert_int_equal(ask(0).ebx, 0x756e6547);
    assert_int_equal(ask(0x80000000).eax, 0x80000008);
    assert_int_equal(ask(0x80000001).ecx, EXT1_ECX);
    assert_int_equal(ask(0x80000001).edx, EXT1_EDX & ~EDX1_SYSCALL); /* not in 64-bit mode */
    assert_int_equal(ask(0x80000008).ebx | ask(0x80000008).ecx, 0);
    assert_true(is_nothing(ask(0x8000000a)) && is_nothing(ask(0x8000001e)));
    assert_false(ask(7).ebx & EBX7_ERMS); /* the machine says that its strings are not fast */
}

static void amds(void **state)
{
    struct cpuid_result r;

    (void)state;
    set(true, 2, true);
    assert_int_equal(ask(0).ebx, 0x68747541);
    assert_int_equal(ask(0x80000000).eax, MAX_AMD);
    r = ask(0x80000001);
    assert_int_equal(r.ecx, EXT1_ECX | ECX1_TOPOEXT | ECX1_CMP_LEGACY);
    assert_int_equal(r.edx, EXT1_EDX | EXT1_EDX_AMD);
    assert_true(r.edx & EDX1_SYSCALL);   /* in every mode */
    assert_int_equal(r.ecx >> 2 & 1, 0); /* no SVM */
    r = ask(0x80000008);
    assert_int_equal(r.eax, 48u << 8 | 40);
    assert_int_equal(r.ecx, 2u << 12 | 1);
    r = ask(0x8000001e);
    assert_true(r.eax == 2 && r.ebx == 1 && r.ecx == 0);
    assert_true(is_nothing(ask(0x8000000a)) && is_nothing(ask(0x8000001b)));
    assert_true(is_nothing(ask(0x8000001f)) && is_nothing(ask(0x80000007)));
    assert_true(ask(7).ebx & EBX7_ERMS);
    v.guest.lapic.mode = LAPIC_OFF;
    assert_false((ask(1).edx | ask(0x80000001).edx) & EDX1_APIC);
}

static void amds_of_one_vcpu_without_topology(void **state)
{
    (void)state;
    set(true, 1, true);
    topology = false;
    assert_int_equal(ask(0x80000001).ecx, EXT1_ECX);
    assert_int_equal(ask(0x80000008).ecx, 1u << 12);
    assert_true(is_nothing(ask(0x8000001d)) && is_nothing(ask(0x8000001e)));
}

/* Both instructions read an MSR that the vendor cannot keep for the guest. */
static void without_tsc_aux(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        set(i, 1, false);
        assert_false(ask(0x80000001).edx & EDX1_RDTSCP);
        assert_false(ask(7).ecx & ECX7_RDPID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("Intel's: nothing of AMD's", intel),
        CASE("AMD's: its leaves, less SVM", amds),
        CASE("AMD's, one vCPU, no topology leaves", amds_of_one_vcpu_without_topology),
        CASE("no RDTSCP and RDPID without TSC_AUX", without_tsc_aux),
    };

    return cmocka_run_group_tests_name("hv/guest/cpuid", tests, NULL, NULL);
}
