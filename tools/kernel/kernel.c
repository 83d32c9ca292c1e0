/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>

#define SETUP_HEADER_OFFSET 0x1f1
#define SETUP_HEADER_MAGIC 0x53726448 /* "HdrS" */
#define SETUP_VERSION_PAYLOAD 0x0208  /* first with payload_offset (Linux x86 boot protocol) */
#define SECTOR 512u

_Static_assert(offsetof(struct setup_header, boot_flag) + SETUP_HEADER_OFFSET == 0x1fe,
               "boot_flag (Linux x86 boot protocol)");
_Static_assert(offsetof(struct setup_header, payload_offset) + SETUP_HEADER_OFFSET == 0x248,
               "payload_offset (Linux x86 boot protocol)");

/* The fields that matter of a program header, either class. */
struct segment {
    uint32_t type;
    uint64_t offset, filesz, paddr, memsz;
};

struct elf {
    const uint8_t *data;
    size_t size;
    bool wide; /* ELFCLASS64 */
    uint64_t phoff;
    uint16_t phnum;
};

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

static int kernel_read_header(struct elf *elf, const char **why)
{
    const uint8_t *data = elf->data;
    uint16_t type, machine, phentsize;

    if (elf->size < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG))
        return kernel_fail(why, "neither an ELF nor a Linux bzImage");
    elf->wide = data[EI_CLASS] == ELFCLASS64;
    if (elf->size < (elf->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return kernel_fail(why, "the ELF header is cut short");
    if ((!elf->wide && data[EI_CLASS] != ELFCLASS32) || data[EI_DATA] != ELFDATA2LSB ||
        data[EI_VERSION] != EV_CURRENT)
        return kernel_fail(why, "not a little-endian ELF of 32 or 64 bits");
    if (elf->wide) {
        Elf64_Ehdr h;

        memcpy(&h, data, sizeof(h));
        type = h.e_type;
        machine = h.e_machine;
        phentsize = h.e_phentsize == sizeof(Elf64_Phdr);
        elf->phoff = h.e_phoff;
        elf->phnum = h.e_phnum;
    } else {
        Elf32_Ehdr h;

        memcpy(&h, data, sizeof(h));
        type = h.e_type;
        machine = h.e_machine;
        phentsize = h.e_phentsize == sizeof(Elf32_Phdr);
        elf->phoff = h.e_phoff;
        elf->phnum = h.e_phnum;
    }
    if (machine != EM_386 && machine != EM_X86_64)
        return kernel_fail(why, "an ELF for another processor than x86");
    if (type != ET_EXEC && type != ET_DYN)
        return kernel_fail(why, "not an executable ELF");
    if (!elf->phnum || !phentsize ||
        !kernel_within(elf->phoff,
                       (uint64_t)elf->phnum *
                           (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)),
                       elf->size))
        return kernel_fail(why, "the ELF has no program headers, or they are cut short");
    return 0;
}

static struct segment kernel_segment(const struct elf *elf, unsigned i)
{
    if (elf->wide) {
        Elf64_Phdr p;

        memcpy(&p, elf->data + elf->phoff + i * sizeof(p), sizeof(p));
        return (struct segment){p.p_type, p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz};
    } else {
        Elf32_Phdr p;

        memcpy(&p, elf->data + elf->phoff + i * sizeof(p), sizeof(p));
        return (struct segment){p.p_type, p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz};
    }
}

static int kernel_check_segments(const struct elf *elf, const char **why)
{
    unsigned loads = 0;

    for (unsigned i = 0; i < elf->phnum; i++) {
        struct segment s = kernel_segment(elf, i);

        if (s.type != PT_LOAD && s.type != PT_NOTE)
            continue;
        if (!kernel_within(s.offset, s.filesz, elf->size))
            return kernel_fail(why, "a segment reaches beyond the end of the file: cut short?");
        if (s.type != PT_LOAD)
            continue;
        if (s.filesz > s.memsz)
            return kernel_fail(why, "a segment is larger in the file than in memory");
        if (!kernel_within(s.paddr, s.memsz, (uint64_t)1 << 52))
            return kernel_fail(why, "a segment has a physical address beyond 52 bits");
        loads += s.memsz != 0;
    }
    return loads ? 0 : kernel_fail(why, "the ELF has nothing to load");
}

/* Looks for the entry note among the notes of `s`. Returns whether it was found. */
static bool kernel_find_entry(const struct elf *elf, const struct segment *s, uint64_t *entry)
{
    const uint8_t *note = elf->data + s->offset;
    uint64_t left = s->filesz;
    Elf32_Nhdr h; /* the same in both classes */

    while (left >= sizeof(h)) {
        uint64_t name, desc;

        memcpy(&h, note, sizeof(h));
        note += sizeof(h);
        left -= sizeof(h);
        name = ((uint64_t)h.n_namesz + 3) & ~3ull;
        desc = ((uint64_t)h.n_descsz + 3) & ~3ull;
        if (name > left || h.n_descsz > left - name)
            return false;
        if (h.n_type == XEN_ELFNOTE_PHYS32_ENTRY && h.n_namesz == sizeof("Xen") &&
            !memcmp(note, "Xen", sizeof("Xen")) && (h.n_descsz == 4 || h.n_descsz == 8)) {
            *entry = 0;
            memcpy(entry, note + name, h.n_descsz);
            return true;
        }
        if (desc > left - name)
            return false;
        note += name + desc;
        left -= name + desc;
    }
    return false;
}

static bool kernel_is_loaded(const struct elf *elf, uint64_t address)
{
    for (unsigned i = 0; i < elf->phnum; i++) {
        struct segment s = kernel_segment(elf, i);

        if (s.type == PT_LOAD && address >= s.paddr && address - s.paddr < s.memsz)
            return true;
    }
    return false;
}

int kernel_check_elf(const uint8_t *data, size_t size, const char **why)
{
    struct elf elf = {.data = data, .size = size};
    uint64_t entry = 0;
    bool found = false;
    int error = kernel_read_header(&elf, why);

    if (!error)
        error = kernel_check_segments(&elf, why);
    if (error)
        return error;
    for (unsigned i = 0; i < elf.phnum && !found; i++) {
        struct segment s = kernel_segment(&elf, i);

        found = s.type == PT_NOTE && kernel_find_entry(&elf, &s, &entry);
    }
    if (!found)
        return kernel_fail(why, "not a PVH kernel: it has no Xen PHYS32_ENTRY note");
    if (entry > UINT32_MAX || !kernel_is_loaded(&elf, entry))
        return kernel_fail(why, "its PVH entry point lies outside of what is loaded");
    return 0;
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

int kernel_to_elf(const uint8_t *data, size_t size, struct bytes *elf, const char **why)
{
    struct setup_header header;
    int error;

    if (!kernel_is_bzimage(data, size, &header)) {
        error = kernel_check_elf(data, size, why);
        if (error)
            return error;
        elf->data = malloc(size);
        if (!elf->data) {
            *why = "out of memory";
            return -ENOMEM;
        }
        memcpy(elf->data, data, size);
        elf->size = elf->room = size;
        return 0;
    }
    error = kernel_unpack(data, size, &header, elf, why);
    if (!error)
        error = kernel_check_elf(elf->data, elf->size, why);
    return error ? error : kernel_shrink(elf, why);
}
