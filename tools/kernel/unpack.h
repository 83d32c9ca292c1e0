/* SPDX-License-Identifier: MIT */
/* Decompression of the formats that kernels are packed in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What unpacks to more than this is refused. */
#define UNPACK_MAX ((size_t)1 << 30)

/* A growing buffer on the heap; zero-initialised it is empty. */
struct bytes {
    uint8_t *data;
    size_t size;
    size_t room;
};

void bytes_free(struct bytes *bytes);

/* Makes empty `out` a copy of `data`. Returns 0, or -ENOMEM with `*why` set. */
int bytes_copy(struct bytes *out, const uint8_t *data, size_t size, const char **why);

/* Whether it begins as something that unpack() knows. */
bool unpack_is_packed(const uint8_t *data, size_t size);

/*
 * Unpacks gzip, bzip2, xz, lzma, lzop, zstd or lz4 data (frames or legacy), told apart by their
 * first bytes. Data behind the end of the packed stream is ignored, except for legacy lz4, whose
 * stream has no end mark: there `packed` must end where the stream does. Returns 0, or a negative
 * errno with `*why` set to a reason in words, a static string: -EINVAL damaged data, -ENOTSUP
 * unknown format, -EFBIG larger than UNPACK_MAX, -ENOMEM. The caller releases `out` in any case.
 */
int unpack(const uint8_t *packed, size_t size, struct bytes *out, const char **why);
