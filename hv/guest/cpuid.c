/* SPDX-License-Identifier: MIT */
/*
 * CPUID as a guest sees it: the machine's own features, as far as Facet keeps their promises, and
 * Xen's leaves. What is not in a list here is hidden: a new processor's features wait until
 * somebody looked. The machine's vendor is the guest's: leaves and bits that only AMD has are given
 * where the machine is AMD's. Bits: SDM 2A, CPUID; APM 3, appendix E.
 */
#include "guest.h"
#include "x86/cpu.h"

#define MAX_BASIC    0xdu
#define MAX_EXTENDED 0x80000008u
#define MAX_AMD      0x8000001eu
#define XEN_LEAF     0x40000000u
#define BIT(n)       (1u << (n))

/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
#define LEAF1_ECX                                                                                  \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) |        \
     BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define ECX1_X2APIC     BIT(21)
#define ECX1_OSXSAVE    BIT(27)
#define ECX1_HYPERVISOR BIT(31)
/*
 * FPU VME DE PSE TSC MSR PAE CX8 APIC SEP MTRR PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS.
 * Machine checks, thermal control and debug store stay with the machine.
 */
#define LEAF1_EDX                                                                                  \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) | BIT(11) |    \
     BIT(12) | BIT(13) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) |     \
     BIT(26) | BIT(27))
#define EDX1_APIC BIT(9)
#define EDX1_HTT  BIT(28)
/*
 * FSGSBASE BMI1 AVX2 FDP SMEP BMI2 ERMS INVPCID FPCSDS AVX512F AVX512DQ RDSEED ADX SMAP AVX512IFMA
 * CLFLUSHOPT CLWB AVX512PF AVX512ER AVX512CD SHA AVX512BW AVX512VL. Not TSX, SGX, PQM, MPX, PT,
 * TSC_ADJUST.
 */
#define LEAF7_EBX                                                                                  \
    (BIT(0) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) | BIT(16) |  \
     BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(26) | BIT(27) |     \
     BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* PREFETCHWT1 VBMI UMIP VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ RDPID MOVDIRI MOVDIR64B */
#define LEAF7_ECX                                                                                  \
    (BIT(0) | BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | \
     BIT(22) | BIT(27) | BIT(28))
#define EBX7_ERMS BIT(9)
/* AVX512_4VNNIW AVX512_4FMAPS FSRM. No SPEC_CTRL and its like: their MSRs are not switched. */
#define LEAF7_EDX (BIT(2) | BIT(3) | BIT(4))
#define EDX7_FSRM BIT(4)
/*
 * XSAVEOPT XGETBV1; not XSAVES, which needs IA32_XSS, nor XSAVEC: that of Bochs 2.7 puts the
 * compacted components 160 bytes too low, so that XRSTOR does not find them and processes lose
 * registers.
 */
#define LEAFD1_EAX (BIT(0) | BIT(2))
/* LAHF ABM SSE4A MISALIGNSSE PREFETCHW */
#define EXT1_ECX (BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))
/* CMP_LEGACY, which is about the guest, and TOPOEXT */
#define ECX1_CMP_LEGACY BIT(1)
#define ECX1_TOPOEXT    BIT(22)
/* SYSCALL NX 1GB RDTSCP LM */
#define EXT1_EDX     (BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29))
#define EDX1_SYSCALL BIT(11)
#define EDX1_GIB     BIT(26)
#define EDX1_RDTSCP  BIT(27)
#define ECX7_RDPID   BIT(22)
/* AMD's: what leaf 1 has there, too, and MMXEXT */
#define EXT1_EDX_AMD ((LEAF1_EDX & 0x0183f3ffu) | BIT(22))
/* CLZERO XSAVEERPTR. No IBPB and its like, as above. */
#define EXT8_EBX_AMD (BIT(0) | BIT(2))

static void host(uint32_t leaf, uint32_t sub, struct cpuid_result *out)
{
    uint32_t r[4];

    cpuid(leaf, sub, r);
    *out = (struct cpuid_result){r[0], r[1], r[2], r[3]};
}

/* Who made it. */
static struct cpuid_result machine;

bool cpuid_amd(void)
{
    static const uint32_t auth = 0x68747541; /* of AuthenticAMD */

    if (machine.ebx == 0) {
        host(0, 0, &machine);
    }
    return machine.ebx == auth;
}

unsigned cpuid_physical_bits(void)
{
    static unsigned bits;
    struct cpuid_result r;

    if (bits == 0) {
        host(0x80000008, 0, &r);
        bits = r.eax & 0xff;
    }
    return bits;
}

unsigned cpuid_address_bits(void)
{
    unsigned bits = cpuid_physical_bits();

    return bits < 48 ? bits : 48; /* four levels of tables reach 48 */
}

bool cpuid_gib_pages(void)
{
    struct cpuid_result r;

    host(0x80000001, 0, &r);
    return r.edx & EDX1_GIB;
}

static void leaf_1(struct vcpu *v, struct cpuid_result *r)
{
    unsigned nr = v->domain->nr_vcpus;

    r->ebx = (r->ebx & 0xff00) | v->guest.lapic.id << 24 | (nr > 1 ? 2 * nr : 1) << 16;
    r->ecx = (r->ecx & LEAF1_ECX) | ECX1_X2APIC | ECX1_HYPERVISOR;
    if ((r->ecx & BIT(26)) && (vcpu_get(v, VCPU_CR4) & X86_CR4_OSXSAVE)) {
        r->ecx |= ECX1_OSXSAVE;
    }
    r->edx = (r->edx & LEAF1_EDX) | (nr > 1 ? EDX1_HTT : 0);
    if (v->guest.lapic.mode == LAPIC_OFF) { /* SDM 3, 10.4.3 */
        r->edx &= ~EDX1_APIC;
    }
}

/* Caches are each vCPU's own, as far as the guest can tell; one package. */
static void leaf_4(const struct vcpu *v, struct cpuid_result *r)
{
    if (r->eax & 0x1f) {
        r->eax = (r->eax & 0x3fff) | (v->domain->nr_vcpus * 2 - 1) << 26;
    }
}

static void leaf_7(uint32_t sub, struct cpuid_result *r)
{
    if (sub != 0) {
        *r = (struct cpuid_result){0, 0, 0, 0};
        return;
    }
    *r = (struct cpuid_result){0, r->ebx & LEAF7_EBX, r->ecx & LEAF7_ECX, r->edx & LEAF7_EDX};
    r->ecx &= vendor_caps.tsc_aux ? ~0u : ~ECX7_RDPID;
    /*
     * A machine that has both and says that its strings are not fast (Bochs as a Tiger Lake)
     * misleads Linux: it drops ERMS for that, keeps FSRM, and lets memmove() rely on ERMS where
     * FSRM is.
     */
    if (!cpuid_amd() && !msr_fast_strings()) {
        r->ebx &= ~EBX7_ERMS;
        r->edx &= ~EDX7_FSRM;
    }
}

static unsigned log2_up(unsigned n)
{
    return n <= 1 ? 0 : 32u - (unsigned)__builtin_clz(n - 1);
}

/* Topology: one thread a core; ids of cores are two apart. */
static void leaf_b(const struct vcpu *v, uint32_t sub, struct cpuid_result *r)
{
    unsigned nr = v->domain->nr_vcpus;

    *r = (struct cpuid_result){0, 0, sub & 0xff, v->guest.lapic.id};
    if (sub == 0) {
        r->eax = 1;
        r->ebx = 1;
        r->ecx |= 1 << 8;
    } else if (sub == 1) {
        r->eax = log2_up(2 * nr);
        r->ebx = nr;
        r->ecx |= 2 << 8;
    }
}

/* Bytes of an XSAVE area for the components in `mask`, standard or compacted form (SDM 1, 13.4). */
static uint32_t xsave_size(uint64_t mask, bool compacted)
{
    uint32_t size = 576;

    for (unsigned i = 2; i < 63; i++) {
        struct cpuid_result c;

        if (!(mask >> i & 1)) {
            continue;
        }
        host(0xd, i, &c);
        if (compacted) {
            size = (c.ecx & 2 ? (size + 63) & ~63u : size) + c.eax;
        } else if (c.ebx + c.eax > size) {
            size = c.ebx + c.eax;
        }
    }
    return size;
}

static void leaf_d(struct vcpu *v, uint32_t sub, struct cpuid_result *r)
{
    uint64_t mask = fpu_supported_xcr0();

    if (sub == 0) {
        *r = (struct cpuid_result){(uint32_t)mask, xsave_size(vcpu_xcr0(v), false),
                                   xsave_size(mask, false), (uint32_t)(mask >> 32)};
    } else if (sub == 1) {
        r->eax &= LEAFD1_EAX;
        *r = (struct cpuid_result){r->eax, r->eax & BIT(1) ? xsave_size(vcpu_xcr0(v), true) : 0, 0,
                                   0};
    } else if (sub > 62 || !(mask >> sub & 1)) {
        *r = (struct cpuid_result){0, 0, 0, 0};
    }
}

static void basic(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_result *r)
{
    host(leaf, sub, r);
    switch (leaf) {
    case 0:
        r->eax = r->eax < MAX_BASIC ? r->eax : MAX_BASIC;
        break;
    case 1:
        leaf_1(v, r);
        break;
    case 2:
        break;
    case 4:
        leaf_4(v, r);
        break;
    case 6: /* only that the APIC timer never stops */
        *r = (struct cpuid_result){BIT(2), 0, 0, 0};
        break;
    case 7:
        leaf_7(sub, r);
        break;
    case 0xb:
        leaf_b(v, sub, r);
        break;
    case 0xd:
        leaf_d(v, sub, r);
        break;
    default:
        *r = (struct cpuid_result){0, 0, 0, 0};
        break;
    }
}

static bool has_topology(void)
{
    struct cpuid_result r;

    host(0x80000001, 0, &r);
    return cpuid_amd() && (r.ecx & ECX1_TOPOEXT);
}

static void extended_1(const struct vcpu *v, struct cpuid_result *r)
{
    uint32_t ecx = EXT1_ECX, edx = EXT1_EDX;

    if (cpuid_amd()) {
        ecx |= ECX1_TOPOEXT;
        edx |= EXT1_EDX_AMD;
        edx &= v->guest.lapic.mode == LAPIC_OFF ? ~EDX1_APIC : ~0u;
    } else if (!vcpu_long_mode(v)) {
        edx &= ~EDX1_SYSCALL; /* Intel's rule: only in 64-bit mode */
    }
    edx &= vendor_caps.tsc_aux ? ~0u : ~EDX1_RDTSCP;
    r->ecx &= ecx;
    r->edx &= edx;
    if (cpuid_amd() && v->domain->nr_vcpus > 1) {
        r->ecx |= ECX1_CMP_LEGACY; /* they are cores */
    }
}

#define LINEAR_BITS 48u /* LA57 is not offered */

/* Widths; AMD's: how many cores, and how many bits of an APIC id name one of them. */
static void extended_8(const struct vcpu *v, struct cpuid_result *r)
{
    unsigned nr = v->domain->nr_vcpus, linear = r->eax >> 8 & 0xff;

    linear = linear < LINEAR_BITS ? linear : LINEAR_BITS;
    r->eax = linear << 8 | cpuid_address_bits();
    r->ebx &= cpuid_amd() ? EXT8_EBX_AMD : 0;
    r->ecx = cpuid_amd() ? log2_up(2 * nr) << 12 | (nr - 1) : 0;
    r->edx = 0;
}

/* Leaves that only AMD has. Virtualization, LWP and IBS are not for guests. */
static void extended_amd(const struct vcpu *v, uint32_t leaf, struct cpuid_result *r)
{
    switch (leaf) {
    case 0x80000019: /* TLBs of 1 GiB pages */
        break;
    case 0x8000001a: /* how wide units are */
        *r = (struct cpuid_result){r->eax & 7, 0, 0, 0};
        break;
    case 0x8000001d: /* caches, each vCPU's own, as in leaf 4 */
        r->eax &= 0x3fff;
        break;
    case 0x8000001e: /* one node; cores of one thread */
        *r = (struct cpuid_result){v->guest.lapic.id, v->guest.lapic.id / 2, 0, 0};
        break;
    default:
        *r = (struct cpuid_result){0, 0, 0, 0};
        break;
    }
    if (leaf >= 0x8000001d && !has_topology()) {
        *r = (struct cpuid_result){0, 0, 0, 0};
    }
}

static uint32_t max_extended(void)
{
    return cpuid_amd() ? MAX_AMD : MAX_EXTENDED;
}

static void extended(const struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_result *r)
{
    host(leaf, sub, r);
    switch (leaf) {
    case 0x80000000:
        r->eax = r->eax < max_extended() ? r->eax : max_extended();
        break;
    case 0x80000001:
        extended_1(v, r);
        break;
    case 0x80000002 ... 0x80000006:
        break;
    case 0x80000008:
        extended_8(v, r);
        break;
    case 0x80000019 ... MAX_AMD:
        extended_amd(v, leaf, r);
        break;
    default:
        *r = (struct cpuid_result){0, 0, 0, 0};
        break;
    }
}

/* How the guest's TSC runs: natively, at the machine's rate. */
static void xen_time(uint32_t sub, struct cpuid_result *r)
{
    uint64_t khz = time_tsc_khz();
    int8_t shift;

    switch (sub) {
    case 0:
        *r = (struct cpuid_result){BIT(1), 0, (uint32_t)khz, 0};
        break;
    case 1:
        time_pvclock_scale(&r->ecx, &shift);
        r->edx = (uint32_t)(int32_t)shift;
        break;
    case 2:
        r->eax = (uint32_t)khz;
        break;
    default:
        break;
    }
}

static void xen_leaf(const struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_result *r)
{
    *r = (struct cpuid_result){0, 0, 0, 0};
    switch (leaf - XEN_LEAF) {
    case 0:
        *r = (struct cpuid_result){XEN_LEAF + XEN_CPUID_MAX_NUM_LEAVES, XEN_CPUID_SIGNATURE_EBX,
                                   XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX};
        break;
    case 1:
        r->eax = 4u << 16 | 17u;
        break;
    case 2: /* one page, written through this MSR */
        *r = (struct cpuid_result){1, 0x40000000, 0, 0};
        break;
    case 3:
        xen_time(sub, r);
        break;
    case 4:
        if (sub == 0) {
            *r = (struct cpuid_result){XEN_HVM_CPUID_X2APIC_VIRT | XEN_HVM_CPUID_VCPU_ID_PRESENT |
                                           XEN_HVM_CPUID_DOMID_PRESENT,
                                       v->id, v->domain->id, 0};
        }
        break;
    default:
        break;
    }
}

void guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_result *out)
{
    struct cpuid_result max;

    if (leaf >= XEN_LEAF && leaf < XEN_LEAF + 0x10000) {
        xen_leaf(v, leaf, sub, out);
        return;
    }
    host(leaf & 0x80000000, 0, &max);
    if (leaf < 0x80000000 && leaf <= MAX_BASIC && leaf <= max.eax) {
        basic(v, leaf, sub, out);
    } else if (leaf >= 0x80000000 && leaf <= max_extended() && leaf <= max.eax) {
        extended(v, leaf, sub, out);
    } else {
        *out = (struct cpuid_result){0, 0, 0, 0};
    }
}
