/* SPDX-License-Identifier: MIT */
/* facet-kernel: a bzImage or ELF in, a checked PVH ELF out. */
#include "kernel.h"

#include "hv/guest/elf_image.h"
#include "hv/guest/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_STEP ((size_t)1 << 20)

static const char usage[] =
    "usage: facet-kernel IN OUT [FILE:LINE MEMORY-KIB RAMDISK-BYTES]...\n"
    "Writes the ELF in IN, a PVH ELF or a Linux bzImage, to OUT for the hypervisor to load.\n"
    "IN may be packed: gzip, bzip2, xz, lzma, lzop, lz4, zstd.\n"
    "For each domain whose configuration names the kernel at FILE:LINE it is checked whether all "
    "fits in its memory.\n"
    "Exit status: 0, or 2 if IN is no kernel that can be run.\n";

/* Reads a whole file of at most UNPACK_MAX bytes. Returns 0 or a negative errno. */
static int read_file(const char *path, struct bytes *out)
{
    FILE *file = fopen(path, "rb");
    int error = file ? 0 : -errno;

    while (file && !error && !feof(file)) {
        uint8_t *bigger = out->size > UNPACK_MAX ? NULL : realloc(out->data, out->size + READ_STEP);

        if (!bigger) {
            error = out->size > UNPACK_MAX ? -EFBIG : -ENOMEM;
            break;
        }
        out->data = bigger;
        out->size += fread(out->data + out->size, 1, READ_STEP, file);
        if (ferror(file))
            error = errno ? -errno : -EIO;
    }
    if (file)
        fclose(file);
    return error;
}

static int write_file(const char *path, const struct bytes *bytes)
{
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(bytes->data, 1, bytes->size, file) == bytes->size;
    int error = good ? 0 : -errno;

    if (file && fclose(file) && !error)
        error = -errno;
    return error;
}

/* Whether kernel and ramdisk fit in a domain's memory, as the hypervisor lays them out; a message
 * if not. */
static bool check_fit(const struct bytes *elf, const char *where, uint64_t memory_kib,
                      uint64_t ramdisk_size)
{
    struct elf_image image;
    uint64_t ramdisk, info;

    if (elf_image_parse(&image, elf->data, elf->size) ||
        layout_place(memory_kib << 10, image.high, ramdisk_size, &ramdisk, &info))
        return true;
    fprintf(stderr,
            "%s: kernel and ramdisk need memory up to %" PRIu64 " KiB, the domain has %" PRIu64
            " KiB%s\n",
            where, (layout_page_up(image.high) + layout_page_up(ramdisk_size) + PAGE_SIZE) >> 10,
            layout_low_end(memory_kib << 10) >> 10,
            memory_kib << 10 > GUEST_LOW_RAM_END ? " below 4 GiB" : "");
    return false;
}

/* The domains behind IN and OUT. Returns how many the kernel does not fit in, or cannot be read. */
static unsigned check_fits(const struct bytes *elf, char **domains)
{
    unsigned bad = 0;

    for (; *domains; domains += 3)
        bad += !check_fit(elf, domains[0], strtoull(domains[1], NULL, 10),
                          strtoull(domains[2], NULL, 10));
    return bad;
}

int main(int argc, char **argv)
{
    struct bytes in = {0}, elf = {0};
    const char *why = NULL, *file = argv[1];
    int error;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc < 3 || argc % 3 != 0) {
        fputs(usage, stderr);
        return 2;
    }
    error = read_file(argv[1], &in);
    if (!error)
        error = kernel_to_elf(in.data, in.size, &elf, &why);
    if (!error && check_fits(&elf, argv + 3)) {
        bytes_free(&in);
        bytes_free(&elf);
        return 2;
    }
    if (!error) {
        file = argv[2];
        error = write_file(argv[2], &elf);
    }
    if (error)
        fprintf(stderr, "facet-kernel: %s: %s\n", file, why ? why : strerror(-error));
    bytes_free(&in);
    bytes_free(&elf);
    return error ? 2 : 0;
}
