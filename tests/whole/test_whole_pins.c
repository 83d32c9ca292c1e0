/* SPDX-License-Identifier: MIT */
/*
 * A switch of tasks loads TR, LDTR and CR3 and sets CR0.TS in one instruction: with any of them
 * pinned it does not happen, and nothing of it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "calls.h"
#include "core/policy.h"
#include "guest/guest.h"
#include "vendor.h"

#define PLAY       GUEST_PLAY
#define GPA(g)     ((uint64_t)(g) << PAGE_SHIFT)
#define NEED(call) EXPECT((call) == 0, "%s", #call)
#define OLD_TASK   0x18u
#define NEW_TASK   0x20u
#define TSS_CR3    28u

enum { GDT, OLD, NEXT, PAGES };

static struct vcpu *monitor, *guest;
static uint64_t at[PAGES];

static void start(unsigned policy)
{
    const struct machine_options o = {
        .policy = policy, .tables = 128, .guest_views = 3, .guest_tables = 24};
    const uint32_t cr3 = GPA(PLAY + PAGES);

    machine_start(&o);
    monitor = machine_vcpu(2, 0);
    guest = machine_vcpu(1, 2);
    for (unsigned i = 0; i < PAGES; i++) {
        at[i] = GPA(PLAY + i) + 0x40;
    }
    machine_lay_task(machine_domain(1), at[GDT], at[OLD], at[NEXT]);
    /* Other tables, which lead where the old ones do. */
    memcpy(machine_page(machine_domain(1), PLAY + PAGES),
           machine_page(machine_domain(1), GUEST_TABLES + 4), PAGE_SIZE);
    machine_poke_gpa(machine_domain(1), at[NEXT] + TSS_CR3, &cr3, sizeof(cr3));
    NEED(call_altp2m_state(monitor, 1, true));
}

/* How many writes were refused by now; `on` < 0: it only asks. */
static uint32_t pin(int on, uint64_t cr0, uint32_t registers)
{
    struct facet_altp2m_pin a = {.vcpu = 2, .on = on != 0};

    if (on >= 0) {
        a.cr0 = cr0;
        a.registers = registers;
    }
    long rc = call_facet(monitor, 1, FACET_ALTP2M_pin, &a, sizeof(a));
    EXPECT(rc == 0, "pin gives %ld", rc);
    return a.refused;
}

static uint64_t selector(void)
{
    return *whole_field(guest, vcpu_segment_field(VCPU_SELECTOR, SEG_TR));
}

static void switch_task(void)
{
    machine_switch(guest);
    guest->event.due = false;
    machine_task_switch(guest, at[GDT], at[OLD]);
}

static void one(unsigned policy, uint64_t cr0, uint32_t registers)
{
    uint8_t before[PAGES][PAGE_SIZE];
    uint64_t cr3, ts;

    start(policy);
    pin(1, cr0, registers);
    cr3 = *whole_field(guest, VCPU_CR3);
    ts = *whole_field(guest, VCPU_CR0) & X86_CR0_TS;
    for (unsigned i = 0; i < PAGES; i++) {
        memcpy(before[i], machine_page(guest->domain, PLAY + i), PAGE_SIZE);
    }
    switch_task();
    EXPECT(guest->event.due && guest->event.vector == EXC_GP && guest->event.error == 0,
           "pins %lx %x: exception %u", cr0, registers, guest->event.vector);
    EXPECT(selector() == OLD_TASK, "pins %lx %x: TR is %lx", cr0, registers, selector());
    EXPECT(*whole_field(guest, VCPU_RIP) != MACHINE_TASK_EIP, "pins %lx %x: RIP", cr0, registers);
    EXPECT(*whole_field(guest, VCPU_CR3) == cr3, "pins %lx %x: CR3", cr0, registers);
    EXPECT((*whole_field(guest, VCPU_CR0) & X86_CR0_TS) == ts, "pins %lx %x: TS", cr0, registers);
    for (unsigned i = 0; i < PAGES; i++) {
        EXPECT(memcmp(before[i], machine_page(guest->domain, PLAY + i), PAGE_SIZE) == 0,
               "pins %lx %x: page %u was written", cr0, registers, i);
    }
    EXPECT(pin(-1, 0, 0) == 1, "pins %lx %x: not counted", cr0, registers);
    pin(0, cr0, registers);
    switch_task();
    EXPECT(!guest->event.due, "pins %lx %x ended: exception %u", cr0, registers,
           guest->event.vector);
    EXPECT(selector() == NEW_TASK && *whole_field(guest, VCPU_RIP) == MACHINE_TASK_EIP,
           "pins %lx %x ended: TR is %lx", cr0, registers, selector());
    EXPECT(*whole_field(guest, VCPU_CR3) == GPA(PLAY + PAGES), "pins %lx %x ended: CR3 is %lx", cr0,
           registers, cr3);
}

static const struct {
    uint64_t cr0;
    uint32_t registers;
} each[] = {
    {0, FACET_ALTP2M_PIN_CR3},
    {0, FACET_ALTP2M_PIN_TR},
    {0, FACET_ALTP2M_PIN_LDTR},
    {X86_CR0_TS, 0},
};

static void tasks(void **state)
{
    static jmp_buf trap;

    (void)state;
    if (setjmp(trap)) {
        machine_trap = NULL;
        fail_msg("%s", machine_message);
    }
    machine_trap = &trap;
    for (unsigned policy = 0; policy < 2; policy++) {
        for (unsigned i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
            one(policy ? POLICY_AUDITED : POLICY_OPEN, each[i].cr0, each[i].registers);
        }
    }
    machine_trap = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tasks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
