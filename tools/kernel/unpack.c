/* SPDX-License-Identifier: MIT */
#include "unpack.h"
#include "unpack_private.h"

#include <bzlib.h>
#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lz4frame.h>
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

int bytes_copy(struct bytes *out, const uint8_t *data, size_t size, const char **why)
{
    out->data = malloc(size ? size : 1);
    if (!out->data) {
        *why = "out of memory";
        return -ENOMEM;
    }
    memcpy(out->data, data, size);
    out->size = out->room = size;
    return 0;
}

int unpack_fail(const char **why, int error, const char *reason)
{
    *why = reason;
    return error;
}

int unpack_reserve(struct bytes *out, size_t more, const char **why)
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

static int unpack_bzip2(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    bz_stream z = {.next_in = (char *)packed, .avail_in = (unsigned)size};
    int status = BZ_OK, error = 0;

    if (size > UINT_MAX || BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return unpack_fail(why, -ENOMEM, "cannot start libbz2");
    while (status == BZ_OK && !error) {
        error = unpack_reserve(out, UNPACK_STEP, why);
        if (error)
            break;
        z.next_out = (char *)out->data + out->size;
        z.avail_out = (unsigned)UNPACK_STEP;
        status = BZ2_bzDecompress(&z);
        out->size += UNPACK_STEP - z.avail_out;
        if (status == BZ_OK && z.avail_in == 0 && z.avail_out != 0)
            status = BZ_UNEXPECTED_EOF;
    }
    BZ2_bzDecompressEnd(&z);
    if (!error && status != BZ_STREAM_END)
        error = unpack_fail(why, -EINVAL, "the bzip2 data is damaged or cut short");
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

static int unpack_lz4_frame(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    LZ4F_dctx *context;
    size_t status = 1;
    int error = 0;

    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return unpack_fail(why, -ENOMEM, "cannot start liblz4");
    while (status != 0 && !error) {
        size_t got = UNPACK_STEP, taken = size;

        error = unpack_reserve(out, UNPACK_STEP, why);
        if (error)
            break;
        status = LZ4F_decompress(context, out->data + out->size, &got, packed, &taken, NULL);
        if (LZ4F_isError(status) || (status && !got && !taken)) {
            error = unpack_fail(why, -EINVAL, "the lz4 data is damaged or cut short");
            break;
        }
        out->size += got;
        packed += taken;
        size -= taken;
    }
    LZ4F_freeDecompressionContext(context);
    return error;
}

static const struct {
    const char *magic;
    size_t length;
    int (*unpack)(const uint8_t *packed, size_t size, struct bytes *out, const char **why);
} unpack_formats[] = {
    {"\x1f\x8b", 2, unpack_gzip},
    {"BZh", 3, unpack_bzip2},
    {"\xfd"
     "7zXZ",
     6, unpack_lzma},
    {"\x5d\x00\x00", 3, unpack_lzma},
    {"\x89LZO\x00\r\n\x1a\n", 9, unpack_lzop},
    {"\x28\xb5\x2f\xfd", 4, unpack_zstd},
    {"\x02\x21\x4c\x18", 4, unpack_lz4},
    {"\x04\x22\x4d\x18", 4, unpack_lz4_frame},
};

/* The format's place in the table; negative if it is none of them. */
static int unpack_format(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof(unpack_formats) / sizeof(unpack_formats[0]); i++)
        if (size >= unpack_formats[i].length &&
            !memcmp(data, unpack_formats[i].magic, unpack_formats[i].length))
            return (int)i;
    return -1;
}

bool unpack_is_packed(const uint8_t *data, size_t size)
{
    return unpack_format(data, size) >= 0;
}

int unpack(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    int format = unpack_format(packed, size);

    if (format < 0)
        return unpack_fail(why, -ENOTSUP,
                           "packed in an unknown way; gzip, bzip2, xz, lzma, lzop, lz4 and zstd "
                           "can be unpacked");
    return unpack_formats[format].unpack(packed, size, out, why);
}
