/* SPDX-License-Identifier: MIT */
/*
 * The hypercall gate: the page, unknown numbers, privilege level, xen_version, console_io, and
 * buffers at wild addresses, which are -EFAULT and never a fault in the hypervisor or the guest.
 */
#include <string.h>
#include <xen/features.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

#define VA   0x0000600000000000ULL
#define HOLE 0xd0000000ULL

static void hypercall_page_contents(void)
{
    for (unsigned nr = 0; nr < 64; nr++) {
        const uint8_t *p = hypercall_page + nr * 32;
        if (nr == __HYPERVISOR_iret)
            continue;
        bool calls = false;
        for (unsigned i = 0; i + 2 < 32; i++)
            calls |= p[i] == 0x0f && p[i + 1] == 0x01 && (p[i + 2] == 0xc1 || p[i + 2] == 0xd9);
        check(calls || test_is_failing(), "entry %u holds no VMCALL", nr);
    }
}

/* The page can be set up anywhere in RAM, again, but not outside it or by an index beyond the last.
 */
static void hypercall_page_msr(void)
{
    uint8_t *p = page_alloc(1, 1);
    uint32_t r[4];

    cpuid(xen_leaf + 2, 0, r);
    expect(try_wrmsr(r[1], (uint64_t)p), VEC_NONE);
    check(memcmp(p, hypercall_page, 32) == 0, "the second page differs");
    expect(try_wrmsr(r[1], HOLE), VEC_GP);
    expect(try_wrmsr(r[1], 0x7ffffffffff000), VEC_GP);
    expect(try_wrmsr(r[1], (uint64_t)p | 1), VEC_GP);
    uint64_t v;
    expect(try_rdmsr(r[1], &v), VEC_NONE);
}

static void unknown_numbers(void)
{
    static const uint64_t nrs[] = {11, 45, 54, 63, 64, 1000, 0x7fffffff, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(nrs); i++) {
        long rc = vmcall(nrs[i], 0, 0);
        check(rc == -XEN_ENOSYS, "hypercall %lx: %ld", nrs[i], rc);
    }
}

static uint64_t user_version(uint64_t nr)
{
    return (uint64_t)vmcall(nr, XENVER_version, 0);
}

static void from_user(void)
{
    expect(user_run(user_version, __HYPERVISOR_xen_version), -XEN_EPERM);
    expect(user_run(user_version, 4711), -XEN_EPERM);
    expect(user_run(user_version, __HYPERVISOR_sched_op), -XEN_EPERM);
}

/* What a hypercall must leave alone: everything but rax. */
static void registers_kept(void)
{
    register uint64_t r10 __asm__("r10") = 0x1010;
    register uint64_t r8 __asm__("r8") = 0x8888;
    register uint64_t r9 __asm__("r9") = 0x9999;
    register uint64_t r11 __asm__("r11") = 0x1111;
    uint64_t rax = __HYPERVISOR_xen_version, rbx = 0xbbbb, rcx = 0xcccc, rdx = 0xdddd, rdi = 0;
    uint64_t rsi = 0x5151;

    __asm__ volatile("vmcall"
                     : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+D"(rdi), "+S"(rsi), "+r"(r10),
                       "+r"(r8), "+r"(r9), "+r"(r11)::"memory");
    expect(rax, 4 << 16 | 17);
    expect(rbx, 0xbbbb);
    expect(rcx, 0xcccc);
    expect(r9, 0x9999);
    expect(r11, 0x1111);
}

static void version_sub_ops(void)
{
    static char buf[4096];
    struct xen_feature_info fi = {.submap_idx = 0};

    expect(xen_version(XENVER_version, NULL), 4 << 16 | 17);
    memset(buf, 0xee, sizeof(buf));
    expect(xen_version(XENVER_extraversion, buf), 0);
    check(memchr(buf, 0, XEN_EXTRAVERSION_LEN) != NULL, "extraversion is not terminated");
    expect((uint8_t)buf[XEN_EXTRAVERSION_LEN], 0xee);
    expect(xen_version(XENVER_compile_info, buf), 0);
    expect(xen_version(XENVER_capabilities, buf), 0);
    check(strstr(buf, "hvm-3.0-x86_64") != NULL, "capabilities \"%s\"", buf);
    expect(xen_version(XENVER_changeset, buf), 0);
    expect(xen_version(XENVER_pagesize, NULL), 4096);
    expect(xen_version(XENVER_guest_handle, buf), 0);
    expect(xen_version(XENVER_get_features, &fi), 0);
    check(fi.submap & 1U << XENFEAT_hvm_callback_vector, "no callback vector: %x", fi.submap);
    check(fi.submap & 1U << XENFEAT_hvm_safe_pvclock, "no safe pvclock: %x", fi.submap);
    fi.submap_idx = 1;
    expect(xen_version(XENVER_get_features, &fi), -XEN_EINVAL);
    fi.submap_idx = 0xffffffff;
    expect(xen_version(XENVER_get_features, &fi), -XEN_EINVAL);
    expect(xen_version(1234, buf), -XEN_ENOSYS);
    expect(xen_version(-1, buf), -XEN_ENOSYS);
}

/* XENVER_extraversion writes 16 bytes, XENVER_get_features reads 8 and writes 8. */
static long write_to(uint64_t at)
{
    return xen_version(XENVER_extraversion, (void *)at);
}

static long read_from(uint64_t at)
{
    return xen_version(XENVER_get_features, (void *)at);
}

static void wild_pointers(void)
{
    static const uint64_t wild[] = {VA,   VA + 4095,    0x00007ffffffff000,
                                    HOLE, 0xfff0000000, 0xffffffffffff0000};

    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        long rc = write_to(wild[i]);
        check(rc == -XEN_EFAULT, "write to %lx: %ld", wild[i], rc);
        rc = read_from(wild[i]);
        check(rc == -XEN_EFAULT, "read from %lx: %ld", wild[i], rc);
    }
}

/* Xen walks the page tables without looking at bits 63:48; Facet refuses such an address. */
static void non_canonical(void)
{
    static const uint64_t wild[] = {0x8000000000000000, 0x0000800000000000, 0xffff7ffffffffff0};

    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        long rc = write_to(wild[i]);
        check(rc == -XEN_EFAULT || (!on_facet && rc == 0), "%lx: %ld", wild[i], rc);
    }
}

/* Two frames that are not neighbours: each gets its part. */
static void crossing_pages(void)
{
    uint8_t *a = page_alloc(3, 1), *c = a + 2 * PAGE;
    char whole[XEN_EXTRAVERSION_LEN];

    expect(write_to((uint64_t)whole), 0);
    page_map(VA, (uint64_t)a, PTE_RWX);
    page_map(VA + PAGE, (uint64_t)c, PTE_RWX);
    for (unsigned before = 1; before < XEN_EXTRAVERSION_LEN; before += 7) {
        expect(write_to(VA + PAGE - before), 0);
        check(memcmp(a + PAGE - before, whole, before) == 0, "first part wrong at %u", before);
        check(memcmp(c, whole + before, XEN_EXTRAVERSION_LEN - before) == 0,
              "second part wrong at %u", before);
    }
    page_map(VA + PAGE, 0, 0);
    expect(write_to(VA + PAGE - 15), -XEN_EFAULT);
    expect(write_to(VA + PAGE - 16), 0);
    page_map(VA + PAGE, HOLE, PTE_RWX);
    expect(write_to(VA + PAGE - 15), -XEN_EFAULT);
    page_map(VA, 0, 0);
    page_map(VA + PAGE, 0, 0);
}

static void read_only(void)
{
    struct xen_feature_info *fi = page_alloc(1, 1);

    page_map(VA, (uint64_t)fi, PTE_P | PTE_U);
    expect(write_to(VA), -XEN_EFAULT);
    expect(read_from(VA), -XEN_EFAULT);
    expect(fi->submap, 0);
    page_map(VA, (uint64_t)fi, PTE_P | PTE_W);
    expect(write_to(VA), 0);
    page_map(VA, 0, 0);
}

/* The guest's tables hold garbage on the way to the buffer. */
static void broken_tables(void)
{
    extern uint64_t pml4[512];
    uint64_t *entry = &pml4[0x1a0];
    const uint64_t va = 0xffff000000000000 | 0x1a0ULL << 39;
    static const uint64_t bad[] = {HOLE | 7, 0x000ffffffffff007, 0x7fffffff007, 0xffffffffffffffff,
                                   6};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        *entry = bad[i];
        long rc = write_to(va);
        check(rc == -XEN_EFAULT, "entry %lx: %ld", bad[i], rc);
    }
    *entry = 0;
}

static void console(void)
{
    static char text[] = "hypercalls: by console_io\n";
    static char bytes[300];

    long rc =
        hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text) - 1, (uint64_t)text, 0, 0);
    check(rc == 0 || (!on_facet && rc == -XEN_EPERM), "write: %ld", rc);
    rc = hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 8, VA, 0, 0);
    check(rc == -XEN_EFAULT || (!on_facet && rc == -XEN_EPERM), "write from nowhere: %ld", rc);
    rc = hypercall(__HYPERVISOR_console_io, 99, 0, 0, 0, 0);
    check(rc == -XEN_ENOSYS || (!on_facet && rc == -XEN_EPERM), "unknown command: %ld", rc);
    rc = hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, sizeof(bytes), (uint64_t)bytes, 0, 0);
    check(rc >= -XEN_ENOSYS && rc <= (long)sizeof(bytes), "read: %ld", rc);
}

/* Hypercalls a guest has no business with. */
static void not_for_guests(void)
{
    static const uint8_t nrs[] = {__HYPERVISOR_domctl, __HYPERVISOR_sysctl,
                                  __HYPERVISOR_platform_op};
    static uint8_t buf[256];

    for (unsigned i = 0; i < ARRAY_SIZE(nrs); i++) {
        long rc = hypercall(nrs[i], (uint64_t)buf, 0, 0, 0, 0);
        check(rc < 0, "hypercall %u: %ld", nrs[i], rc);
    }
}

static void multicall(void)
{
    struct multicall_entry calls[3] = {
        {.op = __HYPERVISOR_xen_version, .args = {XENVER_version, 0}},
        {.op = 4711},
        {.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize, 0}},
    };

    long rc = hypercall(__HYPERVISOR_multicall, (uint64_t)calls, 3, 0, 0, 0);
    if (rc == -XEN_ENOSYS)
        skip("multicall");
    expect(rc, 0);
    expect(calls[0].result, 4 << 16 | 17);
    expect(calls[1].result, -XEN_ENOSYS);
    expect(calls[2].result, 4096);
    expect(hypercall(__HYPERVISOR_multicall, VA, 1, 0, 0, 0), -XEN_EFAULT);
    expect(hypercall(__HYPERVISOR_multicall, VA, 0, 0, 0, 0), 0);
}

TEST_CASES(CASE(hypercall_page_contents), CASE(hypercall_page_msr), CASE(unknown_numbers),
           CASE(from_user), CASE(registers_kept), CASE(version_sub_ops), CASE(wild_pointers),
           CASE(non_canonical), CASE(crossing_pages), CASE(read_only), CASE(broken_tables),
           CASE(console), CASE(not_for_guests), CASE(multicall))
