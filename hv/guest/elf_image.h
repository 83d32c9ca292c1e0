/* SPDX-License-Identifier: MIT */
#pragma once

/* A kernel as an ELF file with Xen's PHYS32_ENTRY note. Nothing in the file is trusted. */
#include <facet/types.h>

#define ELF_SEGMENTS 16u

struct elf_segment {
    uint64_t gpa, file_size, memory_size;
    const uint8_t *data; /* file_size bytes inside the file */
};

struct elf_image {
    uint32_t entry;
    uint64_t low, high; /* bytes: extent of all segments, high exclusive */
    unsigned nr;
    struct elf_segment segment[ELF_SEGMENTS];
};

/* NULL, or why the file cannot be started as a PVH guest. */
const char *elf_image_parse(struct elf_image *e, const void *file, uint64_t size);
