/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The processors of the machine, and what each has of its own: struct cpu (cpu.h) and its stacks,
 * each with a page below it that is not there.
 */
#include "cpu.h"

/* Stacks that an exception gets, whatever stack was in use: numbers of the interrupt stack table.
 */
enum { CPU_IST_DF = 1, CPU_IST_NMI, CPU_IST_MC, CPU_ISTS };

/* The numbers that the ACPI tables give; the running one is first. At least one. */
unsigned processors_find(uint32_t *apic_ids, unsigned most);
/* Memory for `nr` of them, before there are frames; processors_get(n) is theirs from now on. */
void processors_place(const uint32_t *apic_ids, unsigned nr);
struct cpu *processors_get(unsigned n);

/* For the page tables: whether the page is to be absent, and whether any in [start, end) is. */
bool processors_guard(uint64_t page);
bool processors_guard_within(uint64_t start, uint64_t end);
