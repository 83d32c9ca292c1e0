/* SPDX-License-Identifier: MIT */
/* facet-kernel: a bzImage or ELF in, a checked PVH ELF out. */
#include "kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_STEP ((size_t)1 << 20)

static const char usage[] =
    "usage: facet-kernel IN OUT\n"
    "Writes the ELF in IN, a PVH ELF or a Linux bzImage, to OUT for the hypervisor to load.\n"
    "IN may be packed: gzip, bzip2, xz, lzma, lzop, lz4, zstd.\n"
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

int main(int argc, char **argv)
{
    struct bytes in = {0}, elf = {0};
    const char *why = NULL, *file = argv[1];
    int error;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 3) {
        fputs(usage, stderr);
        return 2;
    }
    error = read_file(argv[1], &in);
    if (!error)
        error = kernel_to_elf(in.data, in.size, &elf, &why);
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
