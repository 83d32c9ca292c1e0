/* SPDX-License-Identifier: MIT */
#include "unpack.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define UNPACK_STEP ((size_t)4 << 20)
/* Uncompressed size of every legacy lz4 block but the last ("lz4 -l"). */
#define LZ4_LEGACY_BLOCK ((size_t)8 << 20)

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

static int unpack_fail(const char **why, int error, const char *reason)
{
    *why = reason;
    return error;
}

/* Makes room for `more` bytes behind the present ones. */
static int unpack_reserve(struct bytes *out, size_t more, const char **why)
{
    size_t room = out->room ? out->room : UNPACK_STEP;
    uint8_t *bigger;

    if (more > UNPACK_MAX - out->size)
        return unpack_fail(why, -EFBIG, "the unpacked kernel is larger than 1 GiB");
    while (room < out->size + more)
        room *= 2;
    if (room == out->room)
        return 0;
    bigger = realloc(out->data, room);
    if (!bigger)
        return unpack_fail(why, -ENOMEM, "out of memory");
    out->data = bigger;
    out->room = room;
    return 0;
}

static int unpack_gzip(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    z_stream z = {.next_in = (Bytef *)packed, .avail_in = (uInt)size};
    int status = Z_OK, error = 0;

    if (size > UINT_MAX || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return unpack_fail(why, -ENOMEM, "cannot start zlib");
    while (status == Z_OK && !error) {
        error = unpack_reserve(out, UNPACK_STEP, why);
        if (error)
            break;
        z.next_out = out->data + out->size;
        z.avail_out = (uInt)UNPACK_STEP;
        status = inflate(&z, Z_NO_FLUSH);
        out->size += UNPACK_STEP - z.avail_out;
        if (status == Z_OK && z.avail_in == 0 && z.avail_out != 0)
            status = Z_BUF_ERROR;
    }
    inflateEnd(&z);
    if (!error && status != Z_STREAM_END)
        error = unpack_fail(why, -EINVAL, "the gzip data is damaged or cut short");
    return error;
}

static int unpack_lzma(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    lzma_stream x = LZMA_STREAM_INIT;
    lzma_ret status = LZMA_OK;
    int error = 0;

    if (lzma_auto_decoder(&x, UINT64_MAX, 0) != LZMA_OK)
        return unpack_fail(why, -ENOMEM, "cannot start liblzma");
    x.next_in = packed;
    x.avail_in = size;
    while (status == LZMA_OK) {
        error = unpack_reserve(out, UNPACK_STEP, why);
        if (error)
            break;
        x.next_out = out->data + out->size;
        x.avail_out = UNPACK_STEP;
        status = lzma_code(&x, LZMA_RUN);
        out->size += UNPACK_STEP - x.avail_out;
        if (status == LZMA_OK && x.avail_in == 0 && x.avail_out != 0)
            status = LZMA_BUF_ERROR;
    }
    lzma_end(&x);
    if (!error && status != LZMA_STREAM_END)
        error = unpack_fail(why, -EINVAL, "the xz or lzma data is damaged or cut short");
    return error;
}

static int unpack_zstd(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {.src = packed, .size = size};
    size_t status = 1;
    int error = 0;

    if (!context)
        return unpack_fail(why, -ENOMEM, "cannot start libzstd");
    /* The kernel is packed with windows beyond the decoder's default limit. */
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 30);
    while (status != 0 && !error) {
        ZSTD_outBuffer step;

        error = unpack_reserve(out, UNPACK_STEP, why);
        if (error)
            break;
        step = (ZSTD_outBuffer){.dst = out->data + out->size, .size = UNPACK_STEP};
        status = ZSTD_decompressStream(context, &step, &in);
        out->size += step.pos;
        if (ZSTD_isError(status) || (status && in.pos == in.size && step.pos < step.size))
            error = unpack_fail(why, -EINVAL, "the zstd data is damaged or cut short");
    }
    ZSTD_freeDCtx(context);
    return error;
}

static uint32_t unpack_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int unpack_lz4(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    size_t at = 4;

    while (at < size) {
        uint32_t length;
        int got, error;

        if (size - at < 4)
            return unpack_fail(why, -EINVAL, "the lz4 data is cut short");
        length = unpack_le32(packed + at);
        at += 4;
        if (length > size - at || length > INT_MAX)
            return unpack_fail(why, -EINVAL, "the lz4 data is damaged or cut short");
        error = unpack_reserve(out, LZ4_LEGACY_BLOCK, why);
        if (error)
            return error;
        got = LZ4_decompress_safe((const char *)packed + at, (char *)out->data + out->size,
                                  (int)length, (int)LZ4_LEGACY_BLOCK);
        if (got < 0)
            return unpack_fail(why, -EINVAL, "the lz4 data is damaged");
        out->size += (size_t)got;
        at += length;
    }
    return 0;
}

int unpack(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    static const struct {
        const char *magic;
        size_t length;
        int (*unpack)(const uint8_t *packed, size_t size, struct bytes *out, const char **why);
        const char *refusal;
    } formats[] = {
        {"\x1f\x8b", 2, unpack_gzip, NULL},
        {"\xfd" "7zXZ", 6, unpack_lzma, NULL},
        {"\x5d\x00\x00", 3, unpack_lzma, NULL},
        {"\x28\xb5\x2f\xfd", 4, unpack_zstd, NULL},
        {"\x02\x21\x4c\x18", 4, unpack_lz4, NULL},
        {"BZh", 3, NULL, "packed with bzip2; gzip, xz, lzma, lz4 and zstd can be unpacked"},
        {"\x89LZO", 4, NULL, "packed with lzo; gzip, xz, lzma, lz4 and zstd can be unpacked"},
    };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (size < formats[i].length || memcmp(packed, formats[i].magic, formats[i].length))
            continue;
        if (!formats[i].unpack)
            return unpack_fail(why, -ENOTSUP, formats[i].refusal);
        return formats[i].unpack(packed, size, out, why);
    }
    return unpack_fail(why, -ENOTSUP,
                       "packed in an unknown way; gzip, xz, lzma, lz4 and zstd can be unpacked");
}
