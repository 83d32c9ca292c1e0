/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A guest's writes of what it has pinned (FACET_ALTP2M_pin). Who writes asks here first, after all
 * other checks; whoever is refused gets #GP(0), as for a value that cannot be.
 */
#include "vcpu.h"

/* Whether CR0, CR4 (`pins`: v->altp2m.pins.cr0 ...) or EFER may become `value`. */
bool pinned_allows(struct vcpu *v, uint64_t pins, uint64_t old, uint64_t value);
bool pinned_allows_msr(struct vcpu *v, uint32_t msr, uint64_t old, uint64_t value);
bool pinned_allows_xcr0(struct vcpu *v, uint64_t value);
/* A task switch loads TR and LDTR, perhaps CR3, and sets CR0.TS. */
bool pinned_allows_task(struct vcpu *v);
/* Whether CR3 may become `cr3`: its top table is kept from the guest's writes. */
bool pinned_allows_cr3(struct vcpu *v, uint64_t cr3);
/* It may not: true if #VE asks the agent, and the instruction runs again after that. */
bool pinned_asks_cr3(struct vcpu *v, uint64_t cr3);
/* It is pinned for 64-bit code, and nobody else minds: no monitor, no step. */
bool pinned_quickly(const struct vcpu *v);
/* It has: loading the same once more need not exit. */
void pinned_knows_cr3(struct vcpu *v, uint64_t cr3);
/* Whether an MSR is v's to ask about at all. */
bool pinned_msr(const struct vcpu *v, uint32_t msr);

/* An access to descriptor tables exits: true if it was refused. Nobody listens for others: */
bool pinned_refuses_table(struct vcpu *v, const struct vcpu_exit *e);
/* ... they run, one step long, where they do not exit. */
void pinned_pass(struct vcpu *v);

/* Of an instruction that is stepped, where none of them exits: what is pinned is as it was. */
struct pinned_tables {
    struct segment ldtr, tr;
    uint64_t idt, idt_limit, gdt, gdt_limit;
};
void pinned_keep(const struct vcpu *v, struct pinned_tables *t);
void pinned_put_back(struct vcpu *v, const struct pinned_tables *t);
