/* SPDX-License-Identifier: MIT */
/*
 * What the hardware domain is shown of devices' memory: small pages beside what it is not to have,
 * of which no part ever is; large ones elsewhere.
 */
#include "hv_test.h"
#include <string.h>
#include "hv/host/memory.c"

#define BLOCK (PAGE_SIZE << ORDER_2M)
#define AT    0xfd000000ULL

struct domain *host_domain;
static struct domain domain;
static uint64_t kept; /* the page of whom */
static enum { NOBODY, IOAPIC, CONFIG, IOMMU, HIDDEN, TABLES, POWER, OWNERS } owner;
static struct {
    uint64_t gfn, mfn;
    unsigned order, nr;
} mapped;

static bool has(unsigned who, uint64_t start, uint64_t end)
{
    return owner == who && start < kept + PAGE_SIZE && end > kept;
}
bool host_ioapic_page(uint64_t start, uint64_t end)
{
    return has(IOAPIC, start, end);
}
bool config_page(uint64_t start, uint64_t end)
{
    return has(CONFIG, start, end);
}
bool iommu_page(uint64_t start, uint64_t end)
{
    return has(IOMMU, start, end);
}
bool hide_page(uint64_t start, uint64_t end)
{
    return has(HIDDEN, start, end);
}
bool msi_page(uint64_t start, uint64_t end)
{
    return has(TABLES, start, end);
}
bool host_power_page(uint64_t start, uint64_t end)
{
    return has(POWER, start, end);
}
uint64_t hostmap_next(struct physmap *pm, uint64_t from)
{
    (void)pm;
    return from + (1ULL << 40);
}
int hostmap_map(struct physmap *pm, gfn_t g, mfn_t m, unsigned order, enum map_type type,
                access_t access)
{
    assert_ptr_equal(pm, &domain.physmap);
    assert_int_equal(type, MAP_MMIO);
    assert_int_equal(access, ACCESS_RWX);
    mapped.gfn = g.v;
    mapped.mfn = m.v;
    mapped.order = order;
    mapped.nr++;
    return 0;
}

/* The rest of the file asks for these, and none of that runs here. */
#define NEVER(name) __asm__(".pushsection .text\n.globl " #name "\n" #name ": ud2\n.popsection")
NEVER(acpi_find);
NEVER(acpi_number);
NEVER(config_begin);
NEVER(dtree_domain);
NEVER(dtree_first);
NEVER(dtree_next);
NEVER(dtree_open);
NEVER(frame_alloc_run);
NEVER(frame_keep);
NEVER(hide_function);
NEVER(host_ioapic_begin);
NEVER(host_ports_init);
NEVER(host_power_init);
NEVER(hostmap_lookup);
NEVER(hostmap_unmap);
NEVER(iommu_begin);
NEVER(msi_add);
NEVER(msi_begin);
NEVER(pci_each);

static void touch(uint64_t a, bool shown, unsigned order)
{
    const uint64_t large = a & ~(BLOCK - 1), small = a & PAGE_MASK;

    memset(&mapped, 0, sizeof(mapped));
    assert_int_equal(host_map(&domain, gpa(a)), shown);
    assert_int_equal(mapped.nr, shown);
    if (shown) {
        assert_int_equal(mapped.order, order);
        assert_int_equal(mapped.gfn, (order == ORDER_4K ? small : large) >> PAGE_SHIFT);
        assert_int_equal(mapped.mfn, mapped.gfn);
    }
}

static void shows_what_is_a_devices(void **state)
{
    (void)state;
    ram_add(0, 1ULL << 30, RAM_USABLE);
    host_domain = &domain;
    for (owner = NOBODY; owner < OWNERS; owner++) {
        unsigned order = owner == NOBODY ? ORDER_2M : ORDER_4K;

        kept = AT + 5 * PAGE_SIZE;
        touch(kept + 0x10, owner == NOBODY, order);
        touch(kept - 1, true, order);
        touch(kept + PAGE_SIZE, true, order);
        touch(AT + BLOCK - 1, true, order);
        touch(AT + BLOCK, true, ORDER_2M);
    }
    owner = NOBODY;
    touch((1ULL << 30) - 1, false, 0); /* memory */
    touch(0xfee00000, false, 0);
    touch(0xfed00000, true, ORDER_2M);
    touch(4ULL << 30, false, 0);
    host_domain = NULL;
    touch(AT, false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CASE("hv/host/memory", shows_what_is_a_devices)};

    return cmocka_run_group_tests_name("hv/host/memory", tests, NULL, NULL);
}
