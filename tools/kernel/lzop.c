/* SPDX-License-Identifier: MIT */
/*
 * The file format of lzop(1), which Linux packs its kernel in; liblzo2 knows only what is in its
 * blocks. All numbers are big-endian:
 *   9 bytes magic | version:16 | of the library:16 | [needed:16] | method:8 | [level:8] | flags:32
 *   | [filter:32] | mode:32 | time:32 | [time, high:32] | length:8, name | checksum:32
 * (in brackets: from version 0x940 on, but the filter, which its flag announces), then blocks
 *   size:32 | packed size:32 | checksums of the content | checksums of the packed form, if it is
 *   smaller | data
 * up to one of size 0.
 */
#include "unpack_private.h"

#include <errno.h>
#include <lzo/lzo1x.h>
#include <string.h>
#include <zlib.h>

#define MAGIC_SIZE    9u
#define VERSION_LEVEL 0x940u
#define BLOCK_MAX     ((uint32_t)64 << 20) /* lzop's own limit */

/* Flags. */
#define ADLER32_CONTENT 0x1u
#define ADLER32_PACKED  0x2u
#define EXTRA_FIELD     0x40u
#define CRC32_CONTENT   0x100u
#define CRC32_PACKED    0x200u
#define FILTER          0x800u

struct lzop {
    const uint8_t *at;
    size_t left;
    bool short_; /* something was beyond the end */
    uint32_t flags;
};

static const uint8_t *lzop_skip(struct lzop *l, size_t size)
{
    const uint8_t *here = l->at;

    l->short_ = l->short_ || size > l->left;
    if (l->short_)
        return NULL;
    l->at += size;
    l->left -= size;
    return here;
}

/* The next `size` bytes as a number; 0 beyond the end. */
static uint32_t lzop_number(struct lzop *l, size_t size)
{
    const uint8_t *p = lzop_skip(l, size);
    uint32_t value = 0;

    for (size_t i = 0; p && i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static void lzop_header(struct lzop *l)
{
    uint32_t version;

    lzop_skip(l, MAGIC_SIZE);
    version = lzop_number(l, 2);
    lzop_skip(l, version >= VERSION_LEVEL ? 2 + 2 + 1 + 1 : 2 + 1);
    l->flags = lzop_number(l, 4);
    lzop_skip(l, (l->flags & FILTER ? 4 : 0) + 4 + 4 + (version >= VERSION_LEVEL ? 4 : 0));
    lzop_skip(l, lzop_number(l, 1));
    lzop_skip(l, 4);
}

/* Reads the block's `size` bytes of content to `to`. Returns whether they are what they were. */
static bool lzop_block(struct lzop *l, uint32_t size, uint8_t *to)
{
    uint32_t packed = lzop_number(l, 4);
    uint32_t adler = l->flags & ADLER32_CONTENT ? lzop_number(l, 4) : 0;
    uint32_t crc = l->flags & CRC32_CONTENT ? lzop_number(l, 4) : 0;
    const uint8_t *data;
    lzo_uint got = size;

    if (packed < size)
        lzop_skip(l, (l->flags & ADLER32_PACKED ? 4 : 0) + (l->flags & CRC32_PACKED ? 4 : 0));
    data = lzop_skip(l, packed);
    if (!data || packed > size)
        return false;
    if (packed == size)
        memcpy(to, data, size);
    else if (lzo1x_decompress_safe(data, packed, to, &got, NULL) != LZO_E_OK || got != size)
        return false;
    return (!(l->flags & ADLER32_CONTENT) || adler32(1, to, size) == adler) &&
           (!(l->flags & CRC32_CONTENT) || crc32(0, to, size) == crc);
}

int unpack_lzop(const uint8_t *packed, size_t size, struct bytes *out, const char **why)
{
    struct lzop l = {.at = packed, .left = size};
    uint32_t block;

    lzop_header(&l);
    if (!l.short_ && l.flags & (EXTRA_FIELD | FILTER))
        return unpack_fail(why, -ENOTSUP, "packed by lzop with an extra field or a filter");
    while ((block = lzop_number(&l, 4)) != 0) {
        int error = block > BLOCK_MAX ? -EINVAL : unpack_reserve(out, block, why);

        if (error == -EINVAL || (!error && !lzop_block(&l, block, out->data + out->size)))
            break;
        if (error)
            return error;
        out->size += block;
    }
    return block || l.short_ ? unpack_fail(why, -EINVAL, "the lzop data is damaged or cut short")
                             : 0;
}
