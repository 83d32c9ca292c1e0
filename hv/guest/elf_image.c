/* SPDX-License-Identifier: MIT */
#include "elf_image.h"
#include <elf.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY, Xen's public elfnote.h */
#define ADDRESS_LIMIT     0xffffffffULL
#define HEADERS_MAX       512u

/* A program header of either class. */
struct header {
    uint32_t type;
    uint64_t offset, paddr, file_size, memory_size;
};

struct file {
    const uint8_t *data;
    uint64_t size;
    bool is64;
    uint64_t table; /* offset of the program headers */
    unsigned nr;
};

static bool inside(const struct file *f, uint64_t offset, uint64_t n)
{
    return offset <= f->size && n <= f->size - offset;
}

/* The one way to the file's bytes. False, and zeroes, if they are not all there. */
static bool fetch(const struct file *f, uint64_t offset, void *to, size_t n)
{
    if (f->size < n || offset > f->size - n) {
        memset(to, 0, n);
        return false;
    }
    memcpy(to, f->data + offset, n);
    return true;
}

/* What the two classes of header say. */
struct open {
    uint16_t type, machine, entry_size;
};

static bool open64(struct file *f, struct open *o)
{
    Elf64_Ehdr e;
    bool whole = fetch(f, 0, &e, sizeof(e));

    f->table = e.e_phoff;
    f->nr = e.e_phnum;
    *o = (struct open){e.e_type, e.e_machine, e.e_phentsize};
    return whole;
}

static bool open32(struct file *f, struct open *o)
{
    Elf32_Ehdr e;
    bool whole = fetch(f, 0, &e, sizeof(e));

    f->table = e.e_phoff;
    f->nr = e.e_phnum;
    *o = (struct open){e.e_type, e.e_machine, e.e_phentsize};
    return whole;
}

static const char *file_open(struct file *f, const void *data, uint64_t size)
{
    unsigned char ident[EI_NIDENT];
    size_t entry_size;
    struct open o;

    *f = (struct file){.data = data, .size = size};
    if (!fetch(f, 0, ident, sizeof(ident)) || memcmp(ident, ELFMAG, SELFMAG) != 0) {
        return "not an ELF file";
    }
    f->is64 = ident[EI_CLASS] == ELFCLASS64;
    entry_size = f->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (!(f->is64 ? open64(f, &o) : open32(f, &o))) {
        return "the ELF header is cut short";
    }
    if (ident[EI_DATA] != ELFDATA2LSB || ident[EI_VERSION] != EV_CURRENT ||
        (!f->is64 && ident[EI_CLASS] != ELFCLASS32)) {
        return "not a little-endian ELF of 32 or 64 bits";
    }
    /* Either processor in either class: x86-64 code in a 32-bit container is usual for boot
     * loaders' sake. */
    if (o.machine != EM_386 && o.machine != EM_X86_64) {
        return "an ELF for another processor than x86";
    }
    if (o.type != ET_EXEC && o.type != ET_DYN) {
        return "not an executable ELF";
    }
    if (f->nr > HEADERS_MAX) {
        return "the ELF has too many program headers";
    }
    if (f->nr == 0 || o.entry_size != entry_size || !inside(f, f->table, f->nr * entry_size)) {
        return "the ELF has no program headers, or they are cut short";
    }
    return NULL;
}

/* file_open() has seen that the table is inside. */
static struct header header_at(const struct file *f, unsigned i)
{
    Elf64_Phdr p64;
    Elf32_Phdr p;

    if (f->is64) {
        fetch(f, f->table + i * sizeof(p64), &p64, sizeof(p64));
        return (struct header){p64.p_type, p64.p_offset, p64.p_paddr, p64.p_filesz, p64.p_memsz};
    }
    fetch(f, f->table + i * sizeof(p), &p, sizeof(p));
    return (struct header){p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz};
}

static const char *add_segment(struct elf_image *e, const struct file *f, const struct header *h)
{
    if (h->file_size > h->memory_size) {
        return "a segment is larger in the file than in memory";
    }
    if (h->memory_size == 0) {
        return NULL;
    }
    if (h->paddr > ADDRESS_LIMIT || h->memory_size > ADDRESS_LIMIT - h->paddr) {
        return "a segment does not lie below 4 GiB";
    }
    for (unsigned i = 0; i < e->nr; i++) {
        const struct elf_segment *s = &e->segment[i];

        if (h->paddr < s->gpa + s->memory_size && s->gpa < h->paddr + h->memory_size) {
            return "two segments overlap";
        }
    }
    if (e->nr == ELF_SEGMENTS) {
        return "the ELF has too many segments to load";
    }
    e->segment[e->nr++] = (struct elf_segment){
        .gpa = h->paddr,
        .file_size = h->file_size,
        .memory_size = h->memory_size,
        .data = f->data + h->offset,
    };
    if (e->nr == 1 || h->paddr < e->low) {
        e->low = h->paddr;
    }
    if (h->paddr + h->memory_size > e->high) {
        e->high = h->paddr + h->memory_size;
    }
    return NULL;
}

/* Looks for the entry note in one PT_NOTE segment (notes are 4-byte aligned, gABI chapter 5). */
static bool find_entry(const struct file *f, const struct header *h, uint64_t *entry)
{
    uint64_t at = h->offset, end = h->offset + h->file_size;

    while (end - at >= sizeof(Elf32_Nhdr)) {
        Elf32_Nhdr n;
        uint64_t name, desc, next;
        char owner[4];

        if (!fetch(f, at, &n, sizeof(n))) {
            return false;
        }
        name = at + sizeof(n);
        desc = name + (((uint64_t)n.n_namesz + 3) & ~3ULL);
        next = desc + (((uint64_t)n.n_descsz + 3) & ~3ULL);
        if (desc > end || n.n_descsz > end - desc) {
            return false;
        }
        if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == 4 &&
            (n.n_descsz == 4 || n.n_descsz == sizeof(*entry)) &&
            fetch(f, name, owner, sizeof(owner)) && memcmp(owner, "Xen", 4) == 0) {
            *entry = 0;
            return fetch(f, desc, entry, n.n_descsz == 4 ? 4 : sizeof(*entry));
        }
        if (next > end) {
            return false;
        }
        at = next;
    }
    return false;
}

static bool entry_inside(const struct elf_image *e, uint64_t entry)
{
    for (unsigned i = 0; i < e->nr; i++) {
        if (entry >= e->segment[i].gpa && entry - e->segment[i].gpa < e->segment[i].memory_size) {
            return true;
        }
    }
    return false;
}

const char *elf_image_parse(struct elf_image *e, const void *data, uint64_t size)
{
    struct file f;
    bool has_entry = false;
    uint64_t entry = 0;
    const char *error = file_open(&f, data, size);

    memset(e, 0, sizeof(*e));
    for (unsigned i = 0; !error && i < f.nr; i++) {
        struct header h = header_at(&f, i);

        if (h.type != PT_LOAD && h.type != PT_NOTE) {
            continue;
        }
        if (!inside(&f, h.offset, h.file_size)) {
            error = "a segment reaches beyond the end of the file: cut short?";
        } else if (h.type == PT_LOAD) {
            error = add_segment(e, &f, &h);
        } else if (!has_entry) {
            has_entry = find_entry(&f, &h, &entry);
        }
    }
    if (error) {
        return error;
    }
    if (e->nr == 0) {
        return "the ELF has nothing to load";
    }
    if (!has_entry) {
        return "not a PVH kernel: it has no Xen PHYS32_ENTRY note";
    }
    e->entry = (uint32_t)entry; /* below 4 GiB, as everything that is loaded */
    return entry_inside(e, entry) ? NULL : "its PVH entry point lies outside of what is loaded";
}
