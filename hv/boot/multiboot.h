/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the boot loader told, whichever version of Multiboot it speaks: copied, so that nothing of
 * it is needed any more where it lay, but the modules themselves.
 */
#include <facet/types.h>
#include "domain.h"

#define BOOT_RANGES_MAX  256u
#define BOOT_CMDLINE_MAX 1024u
#define BOOT_RSDP_MAX    36u /* ACPI 6.4, 5.2.5.3 */

struct boot_range {
    uint64_t start, end; /* start < end */
    uint32_t type;       /* as E820 has it; 1: memory */
};

/* The screen, if it shows text (EGA's characters and attributes). */
struct boot_screen {
    uint64_t at; /* 0: none */
    uint32_t pitch, columns, rows;
};

struct boot_info {
    char cmdline[BOOT_CMDLINE_MAX];
    unsigned nr_ranges, nr_modules;
    struct boot_range ranges[BOOT_RANGES_MAX];
    struct boot_module modules[BOOT_MODULES_MAX];
    struct boot_screen screen;
    unsigned rsdp_size; /* 0: it told of none */
    uint8_t rsdp[BOOT_RSDP_MAX];
};

/* What start.S found in eax and ebx. fatal() for what makes no sense. */
void multiboot_read(uint32_t magic, uint32_t at, struct boot_info *out);

/* The second version's information is at most `most` bytes at `info`; for tests, too. */
void multiboot2_read(const uint8_t *info, uint64_t most, struct boot_info *out);
