/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include "hv/guest/elf_image.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_HEADER_OFFSET   0x1f1
#define SETUP_HEADER_MAGIC    0x53726448 /* "HdrS" */
#define SETUP_VERSION_PAYLOAD 0x0208     /* first with payload_offset (Linux x86 boot protocol) */
#define SECTOR                512u
#define LAYERS_MAX            3u /* of packing around a kernel */

_Static_assert(offsetof(struct setup_header, boot_flag) + SETUP_HEADER_OFFSET == 0x1fe,
               "boot_flag (Linux x86 boot protocol)");
_Static_assert(offsetof(struct setup_header, payload_offset) + SETUP_HEADER_OFFSET == 0x248,
               "payload_offset (Linux x86 boot protocol)");

static int kernel_fail(const char **why, const char *reason)
{
    *why = reason;
    return -EINVAL;
}

/* Whether `length` bytes at `offset` lie within `size`. */
static bool kernel_within(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

static bool kernel_is_elf(const uint8_t *data, size_t size)
{
    return size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG);
}

int kernel_check_elf(const uint8_t *data, size_t size, const char **why)
{
    struct elf_image image;
    const char *error;

    if (!kernel_is_elf(data, size))
        return kernel_fail(why, "neither an ELF nor a Linux bzImage");
    error = elf_image_parse(&image, data, size);
    return error ? kernel_fail(why, error) : 0;
}

static bool kernel_is_bzimage(const uint8_t *data, size_t size, struct setup_header *header)
{
    if (size < SETUP_HEADER_OFFSET + sizeof(*header))
        return false;
    memcpy(header, data + SETUP_HEADER_OFFSET, sizeof(*header));
    return header->boot_flag == 0xaa55 && header->header == SETUP_HEADER_MAGIC;
}

/* Unpacks the payload of a bzImage. */
static int kernel_unpack(const uint8_t *data, size_t size, const struct setup_header *header,
                         struct bytes *elf, const char **why)
{
    uint64_t start = ((header->setup_sects ? header->setup_sects : 4) + 1ull) * SECTOR;

    if (header->version < SETUP_VERSION_PAYLOAD)
        return kernel_fail(why, "a Linux kernel older than 2.6.24: it cannot be unpacked");
    start += header->payload_offset;
    /* The payload's last four bytes are its unpacked size, no part of the packed stream. */
    if (header->payload_length < 8 || !kernel_within(start, header->payload_length, size))
        return kernel_fail(why, "the bzImage is cut short");
    if (kernel_is_elf(data + start, header->payload_length))
        return bytes_copy(elf, data + start, header->payload_length, why);
    return unpack(data + start, header->payload_length - 4, elf, why);
}

/* How much of the `size` bytes at `data` is left without the zeros at their end. */
static uint64_t kernel_without_zeros(const uint8_t *data, uint64_t size)
{
    while (size && !data[size - 1])
        size--;
    return size;
}

/* Fills `out`, which has the room, with the segments that matter; `header` is adapted to it. */
static void kernel_copy_segments(const struct bytes *elf, Elf64_Ehdr *header, struct bytes *out)
{
    uint16_t count = header->e_phnum;
    uint64_t from = header->e_phoff;

    header->e_phoff = sizeof(*header);
    header->e_phnum = 0;
    header->e_shoff = header->e_shnum = header->e_shstrndx = 0;
    out->size = sizeof(*header) + count * sizeof(Elf64_Phdr);
    for (unsigned i = 0; i < count; i++) {
        Elf64_Phdr p;

        memcpy(&p, elf->data + from + i * sizeof(p), sizeof(p));
        if (p.p_type != PT_LOAD && p.p_type != PT_NOTE)
            continue;
        if (p.p_type == PT_LOAD)
            p.p_filesz = kernel_without_zeros(elf->data + p.p_offset, p.p_filesz);
        memcpy(out->data + out->size, elf->data + p.p_offset, p.p_filesz);
        p.p_offset = out->size;
        p.p_align = 1;
        out->size += p.p_filesz;
        memcpy(out->data + sizeof(*header) + header->e_phnum++ * sizeof(p), &p, sizeof(p));
    }
    memcpy(out->data, header, sizeof(*header));
}

/*
 * Leaves of a checked ELF only what is loaded, without the zeros at the segments' ends: a third
 * less than what Linux packs, and the boot loader copies each byte under emulation.
 */
static int kernel_shrink(struct bytes *elf, const char **why)
{
    struct bytes out = {0};
    Elf64_Ehdr header;
    uint64_t room = sizeof(header);

    if (elf->data[EI_CLASS] != ELFCLASS64)
        return 0;
    memcpy(&header, elf->data, sizeof(header));
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr p;

        memcpy(&p, elf->data + header.e_phoff + i * sizeof(p), sizeof(p));
        room += sizeof(p) + (p.p_type == PT_LOAD || p.p_type == PT_NOTE ? p.p_filesz : 0);
        if (room > UNPACK_MAX)
            return kernel_fail(why, "its segments overlap to more than 1 GiB");
    }
    out.data = malloc(room);
    if (!out.data) {
        *why = "out of memory";
        return -ENOMEM;
    }
    out.room = room;
    kernel_copy_segments(elf, &header, &out);
    bytes_free(elf);
    *elf = out;
    return 0;
}

/* Takes what is packed as a whole apart, layer by layer: `out` stays empty if nothing is. */
static int kernel_unwrap(const uint8_t *data, size_t size, struct bytes *out, const char **why)
{
    for (unsigned layer = 0; unpack_is_packed(data, size); layer++) {
        struct bytes inner = {0};
        int error;

        if (layer == LAYERS_MAX)
            return kernel_fail(why, "packed again and again");
        error = unpack(data, size, &inner, why);
        bytes_free(out);
        *out = inner;
        if (error)
            return error;
        data = out->data;
        size = out->size;
    }
    return 0;
}

/* A file that is packed no more. */
static int kernel_extract(const uint8_t *data, size_t size, struct bytes *elf, const char **why)
{
    struct setup_header header;

    if (!kernel_is_elf(data, size) && kernel_is_bzimage(data, size, &header))
        return kernel_unpack(data, size, &header, elf, why);
    return bytes_copy(elf, data, size, why);
}

int kernel_to_elf(const uint8_t *data, size_t size, struct bytes *elf, const char **why)
{
    struct bytes outer = {0};
    int error = kernel_unwrap(data, size, &outer, why);

    if (!error)
        error = kernel_extract(outer.data ? outer.data : data, outer.data ? outer.size : size, elf,
                               why);
    bytes_free(&outer);
    if (!error)
        error = kernel_check_elf(elf->data, elf->size, why);
    return error ? error : kernel_shrink(elf, why);
}
