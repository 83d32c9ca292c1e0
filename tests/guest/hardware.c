/* SPDX-License-Identifier: MIT */
/*
 * A hardware domain (tests/system/test_hardware.py): the machine's devices by the hypervisor's
 * hands, with QEMU's device for exercises ("edu") as the one that interrupts and uses memory.
 * Nonsense, an interrupt that does not end, and what is not its. With dma=finds or dma=fails:
 * whether a device reaches the memory of another domain, tests/guest/dma-prey.c, and what it is
 * worth to be told so.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/dma.h"
#include "lib/event.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include <xen/physdev.h>
#include <xen/platform.h>

#define EDU        0x11e81234u
#define REG_LIVE   0x04 /* gives back what was written, inverted */
#define REG_STATUS 0x24
#define REG_RAISE  0x60
#define REG_ACK    0x64
#define REG_SOURCE 0x80
#define REG_TARGET 0x88
#define REG_COUNT  0x90
#define REG_DMA    0x98
#define DMA_START  1u
#define DMA_OUT    2u /* from the device */
#define EDU_BUFFER 0x40000ULL

#define IOAPIC     0xfec00000UL
#define X2_EOI     0x80b
#define X2_SVR     0x80f
#define X2_ONESHOT 0x832
#define X2_INITIAL 0x838
#define LEVEL      0x51
#define MESSAGE    0x61
#define TIMER      0x41
#define MASKED     (1u << 16)
#define STORM      100u /* interrupts; then the device is told */
#define BY_LEVEL   (1u << 15)

static uint32_t device; /* its number in a configuration address */
static volatile uint8_t *edu;
static volatile unsigned taken, messages;
static bool ends = true, acks = true;

static uint32_t config(unsigned function, unsigned reg)
{
    outl(0xcf8, 1u << 31 | function << 8 | reg);
    return inl(0xcfc);
}

static void config_set(unsigned function, unsigned reg, uint32_t value)
{
    outl(0xcf8, 1u << 31 | function << 8 | reg);
    outl(0xcfc, value);
}

static uint32_t edu_get(unsigned reg)
{
    return *(volatile uint32_t *)(edu + reg);
}

static void edu_set(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(edu + reg) = value;
}

static void found(void)
{
    for (unsigned f = 0; f < 256; f++)
        if (config(f, 0) == EDU)
            device = f;
    need(device, "there is no such device");
    config_set(device, 4, config(device, 4) | 6); /* memory, and uses memory */
    edu = (volatile uint8_t *)(uintptr_t)(config(device, 0x10) & ~15u);
    expect(edu_get(0) & 0xff, 0xed);
    edu_set(REG_LIVE, 0x12345678);
    expect(edu_get(REG_LIVE), ~0x12345678u);
}

/* ---- interrupts ---- */

static uint32_t pin_get(unsigned reg)
{
    *(volatile uint32_t *)IOAPIC = reg;
    return *(volatile uint32_t *)(IOAPIC + 0x10);
}

static void pin_set(unsigned pin, uint32_t low)
{
    *(volatile uint32_t *)IOAPIC = 0x11 + 2 * pin;
    *(volatile uint32_t *)(IOAPIC + 0x10) = 0;
    *(volatile uint32_t *)IOAPIC = 0x10 + 2 * pin;
    *(volatile uint32_t *)(IOAPIC + 0x10) = low;
}

static unsigned line(void)
{
    return config(device, 0x3c) & 0xff;
}

static void eoi(void)
{
    need(try_wrmsr(X2_EOI, 0) == VEC_NONE, "no x2APIC");
}

static void on_level(struct regs *r)
{
    (void)r;
    taken++;
    if (acks || taken > STORM)
        edu_set(REG_ACK, edu_get(REG_STATUS));
    if (ends)
        eoi();
}

static void on_message(struct regs *r)
{
    (void)r;
    messages++;
    edu_set(REG_ACK, edu_get(REG_STATUS));
    eoi();
}

static void window(void)
{
    for (unsigned i = 0; i < 200; i++)
        __asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

static void levels(void)
{
    trap_handle(LEVEL, on_level);
    trap_handle(MESSAGE, on_message);
    expect(try_wrmsr(X2_SVR, 0x1ff), VEC_NONE);
    check(line() < 24, "line %u", line());
    pin_set(line(), BY_LEVEL | LEVEL);
    edu_set(REG_RAISE, 1);
    window();
    expect(taken, 1);
    edu_set(REG_RAISE, 4);
    window();
    expect(taken, 2);
    expect(pin_get(0x10 + 2 * line()) & 1u << 14, 0);
}

/* Nobody quiets the device: once, until the end of the interrupt; then again and again, with this
 * domain's time. */
static void storm(void)
{
    taken = 0;
    ends = acks = false;
    edu_set(REG_RAISE, 1);
    window();
    window();
    expect(taken, 1);
    check(pin_get(0x10 + 2 * line()) & 1u << 14, "no interrupt in service");
    ends = true;
    eoi();
    window();
    expect(taken, STORM + 1);
    acks = true;
    window();
    taken = 0;
    window();
    expect(taken, 0);
    pin_set(line(), BY_LEVEL | LEVEL | MASKED);
    edu_set(REG_RAISE, 1);
    window();
    expect(taken, 0);
    edu_set(REG_ACK, 1);
}

static unsigned capability(unsigned id)
{
    for (unsigned at = config(device, 0x34) & 0xfc; at; at = config(device, at) >> 8 & 0xfc)
        if ((config(device, at) & 0xff) == id)
            return at;
    return 0;
}

/* What was written is read back, and the message comes; of several, one. */
static void by_message(void)
{
    unsigned cap = capability(5);

    need(cap, "it sends no messages");
    config_set(device, cap + 4, 0xfee00000);
    config_set(device, cap + 8, 0);
    config_set(device, cap + 12, MESSAGE);
    expect(config(device, cap + 4), 0xfee00000);
    expect(config(device, cap + 12) & 0xffff, MESSAGE);
    expect(config(device, cap) >> 17 & 7, 0);
    config_set(device, cap, config(device, cap) | 1u << 16 | 7u << 20);
    expect(config(device, cap) >> 20 & 7, 0);
    for (unsigned i = 1; i < 4; i++) {
        edu_set(REG_RAISE, 1);
        window();
        expect(messages, i);
    }
    config_set(device, cap + 12, 3); /* no vector */
    edu_set(REG_RAISE, 1);
    window();
    edu_set(REG_ACK, 1);
    config_set(device, cap, config(device, cap) & ~(1u << 16));
    expect(messages, 3);
}

/* ---- nonsense ---- */

static long physdev(unsigned op, const void *arg)
{
    return hypercall(__HYPERVISOR_physdev_op, op, (uint64_t)arg, 0, 0, 0);
}

static void calls(void)
{
    struct physdev_pci_device_add a = {.devfn = (uint8_t)device};
    struct physdev_pci_device r = {.devfn = (uint8_t)device};
    struct xen_platform_op p = {.cmd = XENPF_enter_acpi_sleep,
                                .interface_version = XENPF_INTERFACE_VERSION};
    void *const wild[] = {NULL, (void *)0x7ffffffffff000, (void *)-1L, (void *)0x800000000000};

    for (unsigned op = 0; op < 70; op++)
        for (unsigned i = 0; i < ARRAY_SIZE(wild); i++)
            check(physdev(op, wild[i]) < 0, "physdev_op %u with %p", op, wild[i]);
    expect(physdev(PHYSDEVOP_pci_device_add, &a), 0);
    expect(physdev(PHYSDEVOP_pci_device_remove, &r), 0);
    a.devfn = 0xf7;
    expect(physdev(PHYSDEVOP_pci_device_add, &a), -XEN_ENODEV);
    a = (struct physdev_pci_device_add){.seg = 1, .devfn = (uint8_t)device};
    expect(physdev(PHYSDEVOP_pci_device_add, &a), -XEN_ENODEV);
    for (unsigned i = 1; i < ARRAY_SIZE(wild); i++)
        check(hypercall(__HYPERVISOR_platform_op, (uint64_t)wild[i], 0, 0, 0, 0) == -XEN_EFAULT,
              "platform_op with %p", wild[i]);
    for (unsigned state = 0; state < 5; state++) {
        p.u.enter_acpi_sleep.sleep_state = state;
        expect(hypercall(__HYPERVISOR_platform_op, (uint64_t)&p, 0, 0, 0, 0), -XEN_EOPNOTSUPP);
    }
    for (p.cmd = 0; p.cmd < 70; p.cmd++)
        if (p.cmd != XENPF_enter_acpi_sleep)
            expect(hypercall(__HYPERVISOR_platform_op, (uint64_t)&p, 0, 0, 0, 0), -XEN_ENOSYS);
}

/* Its RAM is where devices find it: it neither gives any back nor takes more. */
static void memory(void)
{
    xen_pfn_t g = gfn_of(page_alloc(1, 1));
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    expect(memory_op(XENMEM_decrease_reservation, &r), 0);
    g = 0x100000;
    expect(memory_op(XENMEM_populate_physmap, &r), 0);
}

/* The hypervisor's memory, its console, the window of messages, and others' memory. */
static void not_its(void)
{
    static const uint64_t where[] = {0x200000, 0x201000, 0xfee01000, 0xfee00000, 0xfeefe000};

    for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
        volatile uint64_t *p = (volatile uint64_t *)where[i];

        *p = 0x1111;
        check(*p == ~0ULL, "%lx reads %lx", (unsigned long)where[i], (unsigned long)*p);
    }
    for (uint16_t port = 0x3f8; port < 0x400; port++) {
        outb(port, 0x41);
        expect(inb(port), 0xff);
    }
    for (unsigned reg = 0; reg < 256; reg++) {
        pin_set(reg, 0x1beef | MASKED);
        pin_get(reg);
    }
    for (unsigned f = 0; f < 0x10000; f += 0x101)
        config_set(f | 0x4000, 0x40, config(f | 0x4000, 0x40)); /* no such bus */
    expect(edu_get(0) & 0xff, 0xed);
}

/* ---- a device's use of memory ---- */

static void on_timer(struct regs *r)
{
    (void)r;
    eoi();
}

static void transfer(uint64_t from, uint64_t to, unsigned size, unsigned how)
{
    trap_handle(TIMER, on_timer);
    need(try_wrmsr(X2_ONESHOT, TIMER) == VEC_NONE, "no timer");
    edu_set(REG_SOURCE, (uint32_t)from);
    edu_set(REG_TARGET, (uint32_t)to);
    edu_set(REG_COUNT, size);
    edu_set(REG_DMA, DMA_START | how);
    while (edu_get(REG_DMA) & DMA_START) {
        need(try_wrmsr(X2_INITIAL, 1000000) == VEC_NONE, "no timer"); /* 10 ms */
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

/* What a device finds at an address of the machine's. */
static uint64_t look(volatile uint64_t *page, uint64_t at)
{
    page[0] = 0;
    transfer((uint64_t)page, EDU_BUFFER, 8, 0);
    page[0] = ~0ULL;
    transfer(at, EDU_BUFFER, 8, 0);
    transfer(EDU_BUFFER, (uint64_t)page, 8, DMA_OUT);
    return page[0];
}

static void own_memory(void)
{
    volatile uint64_t *from = page_alloc(1, 1), *to = page_alloc(1, 1);

    for (unsigned i = 0; i < 64; i++)
        from[i] = i * 0x0101010101010101ULL + 1;
    transfer((uint64_t)from, EDU_BUFFER, 512, 0);
    transfer(EDU_BUFFER, (uint64_t)to, 512, DMA_OUT);
    check(memcmp((void *)from, (void *)to, 512) == 0, "other bytes than were written");
}

static uint32_t prey_port(void)
{
    long port = -1;

    event_init();
    while (port < 0) {
        for (uint32_t p = 1; p < 8 && port < 0; p++)
            port = event_bind(PREY_DOMAIN, p);
        sched_op(SCHEDOP_yield, NULL);
    }
    return (uint32_t)port;
}

static void others_memory(void)
{
    volatile uint64_t *page = page_alloc(1, 1);
    unsigned hits = 0;
    uint32_t port;
    char want[8];

    if (!cmdline_get("dma", want, sizeof(want)))
        skip("there is no other domain");
    port = prey_port();
    for (uint64_t a = PREY_FIRST; a < PREY_END; a += PREY_STEP) {
        if (look(page, a) == PREY_MAGIC) {
            hits++;
            page[0] = PREY_HIT;
            transfer((uint64_t)page, EDU_BUFFER, 8, 0);
            transfer(EDU_BUFFER, a, 8, DMA_OUT);
        }
    }
    if (strcmp(want, "finds") == 0)
        check(hits > 0, "no page of the other domain's was found");
    else
        expect(hits, 0);
    expect(event_send(port), 0);
}

/* A device that writes what an interrupt is: an NMI, a processor's reset, exceptions, the
 * hypervisor's own vectors and another device's. Where interrupts are remapped the machine never
 * sees one that is not a device's (test_hardware.py looks for the NMI); here all goes on. */
static void interrupts_by_memory(void)
{
    static const uint32_t data[] = {0x400, 0x0f1, 0x0ef, 0x030, /* trusted with the others: */
                                    0x200, 0x012, 0x01f, 0x0f0, 0x0ff};
    volatile uint64_t *page = page_alloc(1, 1);
    char want[8] = "";
    unsigned nr;

    cmdline_get("dma", want, sizeof(want));
    nr = strcmp(want, "fails") == 0 ? ARRAY_SIZE(data) : 4;
    for (unsigned i = 0; i < nr; i++) {
        page[0] = data[i];
        transfer((uint64_t)page, EDU_BUFFER, 4, 0);
        transfer(EDU_BUFFER, 0xfee00000, 4, DMA_OUT);
    }
    taken = messages = 0;
    window();
    expect(taken, 0);
    expect(messages, 0);
}

TEST_CASES(CASE(found), CASE(levels), CASE(storm), CASE(by_message), CASE(calls), CASE(memory),
           CASE(not_its), CASE(own_memory), CASE(interrupts_by_memory), CASE(others_memory))
