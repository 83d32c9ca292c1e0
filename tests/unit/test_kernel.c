/* SPDX-License-Identifier: MIT */
/* Which files count as PVH kernels, and that damaged ones are refused and never overrun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel.h"

#include <bzlib.h>
#include <elf.h>
#include <errno.h>
#include <lzma.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzo/lzo1x.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>
#include <zlib.h>
#include <zstd.h>

#define LOAD_AT     0x100000
#define NOTE_OFFSET 0x200
#define FILE_SIZE   0x300

/* A 64-bit ELF: one loaded segment that is the whole file, and a note in it. */
struct image {
    uint8_t data[FILE_SIZE];
    size_t size;
};

struct note {
    Elf32_Nhdr header;
    char name[4];
    uint64_t entry;
};

static void make_elf(struct image *image)
{
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    const Elf64_Phdr segments[2] = {
        {.p_type = PT_LOAD, .p_paddr = LOAD_AT, .p_filesz = FILE_SIZE, .p_memsz = FILE_SIZE + 64},
        {.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = sizeof(struct note)},
    };
    const struct note note = {
        .header = {.n_namesz = 4, .n_descsz = 8, .n_type = XEN_ELFNOTE_PHYS32_ENTRY},
        .name = "Xen",
        .entry = LOAD_AT + 0x280,
    };

    *image = (struct image){.size = FILE_SIZE};
    memset(image->data + 0x280, 0x90, 0x80);
    memcpy(image->data, &header, sizeof(header));
    memcpy(image->data + sizeof(header), segments, sizeof(segments));
    memcpy(image->data + NOTE_OFFSET, &note, sizeof(note));
}

static Elf64_Ehdr *header_of(struct image *image)
{
    return (void *)image->data;
}

static Elf64_Phdr *segment_of(struct image *image, unsigned i)
{
    return (Elf64_Phdr *)(void *)(image->data + sizeof(Elf64_Ehdr)) + i;
}

static struct note *note_of(struct image *image)
{
    return (void *)(image->data + NOTE_OFFSET);
}

/* The input is given in a heap block of just its size, so that ASan sees any overrun. */
static int convert(const void *data, size_t size, struct bytes *elf, const char **why)
{
    uint8_t *copy = malloc(size ? size : 1);
    int error;

    assert_non_null(copy);
    memcpy(copy, data, size);
    *elf = (struct bytes){0};
    *why = NULL;
    error = kernel_to_elf(copy, size, elf, why);
    free(copy);
    return error;
}

static void assert_refused(const struct image *image, const char *reason)
{
    struct bytes elf;
    const char *why;

    assert_int_equal(convert(image->data, image->size, &elf, &why), -EINVAL);
    assert_string_equal(why, reason);
    bytes_free(&elf);
}

static void assert_taken(const struct image *image)
{
    struct bytes elf;
    const char *why;

    assert_int_equal(convert(image->data, image->size, &elf, &why), 0);
    assert_null(why);
    assert_int_equal(kernel_check_elf(elf.data, elf.size, &why), 0);
    bytes_free(&elf);
}

static void test_good_elf(void **state)
{
    struct image image;

    (void)state;
    make_elf(&image);
    assert_taken(&image);
    note_of(&image)->header.n_descsz = 4;
    segment_of(&image, 1)->p_filesz -= 4;
    assert_taken(&image);
}

static void test_bad_headers(void **state)
{
    struct image image;

    (void)state;
    make_elf(&image);
    image.data[0] = 'X';
    assert_refused(&image, "neither an ELF nor a Linux bzImage");
    make_elf(&image);
    image.data[EI_CLASS] = 3;
    assert_refused(&image, "not a little-endian ELF of 32 or 64 bits");
    make_elf(&image);
    image.data[EI_DATA] = ELFDATA2MSB;
    assert_refused(&image, "not a little-endian ELF of 32 or 64 bits");
    make_elf(&image);
    header_of(&image)->e_machine = EM_AARCH64;
    assert_refused(&image, "an ELF for another processor than x86");
    make_elf(&image);
    header_of(&image)->e_type = ET_REL;
    assert_refused(&image, "not an executable ELF");
    make_elf(&image);
    header_of(&image)->e_phnum = 0;
    assert_refused(&image, "the ELF has no program headers, or they are cut short");
    make_elf(&image);
    header_of(&image)->e_phoff = UINT64_MAX - 8;
    assert_refused(&image, "the ELF has no program headers, or they are cut short");
    make_elf(&image);
    header_of(&image)->e_phentsize = 1;
    assert_refused(&image, "the ELF has no program headers, or they are cut short");
}

static void test_bad_segments(void **state)
{
    static const char beyond[] = "a segment reaches beyond the end of the file: cut short?";
    struct image image;

    (void)state;
    make_elf(&image);
    segment_of(&image, 0)->p_filesz = FILE_SIZE + 1;
    assert_refused(&image, beyond);
    make_elf(&image);
    segment_of(&image, 0)->p_offset = UINT64_MAX;
    assert_refused(&image, beyond);
    make_elf(&image);
    segment_of(&image, 1)->p_filesz = UINT64_MAX;
    assert_refused(&image, beyond);
    make_elf(&image);
    segment_of(&image, 0)->p_memsz = FILE_SIZE - 1;
    assert_refused(&image, "a segment is larger in the file than in memory");
    make_elf(&image);
    segment_of(&image, 0)->p_paddr = UINT64_MAX - 16;
    assert_refused(&image, "a segment does not lie below 4 GiB");
    make_elf(&image);
    segment_of(&image, 0)->p_type = PT_NULL;
    assert_refused(&image, "the ELF has nothing to load");
}

static void test_bad_notes(void **state)
{
    static const char no_note[] = "not a PVH kernel: it has no Xen PHYS32_ENTRY note";
    static const char outside[] = "its PVH entry point lies outside of what is loaded";
    struct image image;

    (void)state;
    make_elf(&image);
    note_of(&image)->header.n_type = XEN_ELFNOTE_ENTRY;
    assert_refused(&image, no_note);
    make_elf(&image);
    note_of(&image)->name[0] = 'Y';
    assert_refused(&image, no_note);
    make_elf(&image);
    note_of(&image)->header.n_namesz = UINT32_MAX;
    assert_refused(&image, no_note);
    make_elf(&image);
    note_of(&image)->header.n_descsz = UINT32_MAX;
    assert_refused(&image, no_note);
    make_elf(&image);
    note_of(&image)->header.n_descsz = 5;
    assert_refused(&image, no_note);
    make_elf(&image);
    segment_of(&image, 1)->p_filesz = 3;
    assert_refused(&image, no_note);
    make_elf(&image);
    note_of(&image)->entry = LOAD_AT - 1;
    assert_refused(&image, outside);
    make_elf(&image);
    note_of(&image)->entry = 0x100000000 + LOAD_AT;
    assert_refused(&image, outside);
}

/* Every shorter file, and every file with one byte changed, is refused or taken: nothing else. */
static void test_damage_is_harmless(void **state)
{
    struct image image;
    struct bytes elf;
    const char *why;

    (void)state;
    make_elf(&image);
    for (size_t size = 0; size < FILE_SIZE; size++) {
        assert_true(convert(image.data, size, &elf, &why) < 0);
        assert_non_null(why);
        bytes_free(&elf);
    }
    for (size_t i = 0; i < FILE_SIZE; i++) {
        image.data[i] ^= 0xff;
        if (convert(image.data, image.size, &elf, &why))
            assert_non_null(why);
        bytes_free(&elf);
        image.data[i] ^= 0xff;
    }
}

#define SETUP_SECTS    1
#define PAYLOAD_OFFSET 16
#define PAYLOAD_AT     ((SETUP_SECTS + 1) * 512 + PAYLOAD_OFFSET)

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* A bzImage around `packed`. The offsets are those of the Linux x86 boot protocol. */
static size_t make_bzimage(uint8_t *out, const uint8_t *packed, size_t size)
{
    memset(out, 0, PAYLOAD_AT);
    out[0x1f1] = SETUP_SECTS;
    out[0x1fe] = 0x55;
    out[0x1ff] = 0xaa;
    memcpy(out + 0x202, "HdrS", 4);
    out[0x206] = 0x0f; /* version 2.15 */
    out[0x207] = 0x02;
    put32(out + 0x248, PAYLOAD_OFFSET);
    put32(out + 0x24c, (uint32_t)size + 4);
    memcpy(out + PAYLOAD_AT, packed, size);
    put32(out + PAYLOAD_AT + size, FILE_SIZE);
    return PAYLOAD_AT + size + 4;
}

static size_t pack_gzip(const struct image *image, uint8_t *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)image->data,
                  .avail_in = FILE_SIZE,
                  .next_out = out,
                  .avail_out = (uInt)room};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t pack_xz(const struct image *image, uint8_t *out, size_t room)
{
    size_t size = 0;

    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, image->data, FILE_SIZE, out,
                                             &size, room),
                     LZMA_OK);
    return size;
}

static size_t pack_lzma(const struct image *image, uint8_t *out, size_t room)
{
    lzma_stream x = LZMA_STREAM_INIT;
    lzma_options_lzma options;
    size_t size;

    assert_false(lzma_lzma_preset(&options, 6));
    assert_int_equal(lzma_alone_encoder(&x, &options), LZMA_OK);
    x.next_in = image->data;
    x.avail_in = FILE_SIZE;
    x.next_out = out;
    x.avail_out = room;
    assert_int_equal(lzma_code(&x, LZMA_FINISH), LZMA_STREAM_END);
    size = x.total_out;
    lzma_end(&x);
    return size;
}

static size_t pack_zstd(const struct image *image, uint8_t *out, size_t room)
{
    size_t size = ZSTD_compress(out, room, image->data, FILE_SIZE, 19);

    assert_false(ZSTD_isError(size));
    return size;
}

static size_t pack_lz4(const struct image *image, uint8_t *out, size_t room)
{
    int size =
        LZ4_compress_default((const char *)image->data, (char *)out + 8, FILE_SIZE, (int)room - 8);

    assert_true(size > 0);
    put32(out, 0x184c2102); /* legacy frame */
    put32(out + 4, (uint32_t)size);
    return (size_t)size + 8;
}

static size_t pack_bzip2(const struct image *image, uint8_t *out, size_t room)
{
    unsigned size = (unsigned)room;

    assert_int_equal(
        BZ2_bzBuffToBuffCompress((char *)out, &size, (char *)image->data, FILE_SIZE, 9, 0, 0),
        BZ_OK);
    return size;
}

static size_t pack_lz4_frame(const struct image *image, uint8_t *out, size_t room)
{
    const LZ4F_preferences_t p = {.frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled,
                                                .blockChecksumFlag = LZ4F_blockChecksumEnabled}};
    size_t size = LZ4F_compressFrame(out, room, image->data, FILE_SIZE, &p);

    assert_false(LZ4F_isError(size));
    return size;
}

static void put32_big(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* As lzop 1.04 writes it: `flags` as in lzop.c, one block that is packed and one that is not. */
static size_t pack_lzop_as(const struct image *image, uint8_t *out, uint32_t flags)
{
    static const uint8_t head[] = {0x89, 'L',  'Z',  'O',  0,    '\r', '\n', 0x1a, '\n',
                                   0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 3,    9};
    static uint8_t work[LZO1X_1_MEM_COMPRESS];
    const uint32_t first = FILE_SIZE - 64;
    size_t at = sizeof(head), sums, packed_at;
    lzo_uint packed;

    memcpy(out, head, at);
    memset(out + at, 0, 64);
    put32_big(out + at, flags);
    at += 4 + 4 + 4 + 4; /* flags, mode, time */
    out[at++] = 3;
    memcpy(out + at, "elf", 3);
    at += 3 + 4; /* name, checksum of the header */
    put32_big(out + at, first);
    sums = at += 8;
    at += (flags & 1 ? 4 : 0) + (flags & 0x100 ? 4 : 0);
    packed_at = at += (flags & 2 ? 4 : 0) + (flags & 0x200 ? 4 : 0);
    assert_int_equal(lzo1x_1_compress(image->data, first, out + at, &packed, work), LZO_E_OK);
    put32_big(out + sums - 4, (uint32_t)packed);
    if (flags & 1)
        put32_big(out + sums, (uint32_t)adler32(1, image->data, first));
    if (flags & 0x100)
        put32_big(out + sums + (flags & 1 ? 4 : 0), (uint32_t)crc32(0, image->data, first));
    at = packed_at + packed;
    put32_big(out + at, 64);
    put32_big(out + at + 4, 64);
    at += 8;
    if (flags & 1)
        put32_big(out + at, (uint32_t)adler32(1, image->data + first, 64));
    at += flags & 1 ? 4 : 0;
    if (flags & 0x100)
        put32_big(out + at, (uint32_t)crc32(0, image->data + first, 64));
    at += flags & 0x100 ? 4 : 0;
    memcpy(out + at, image->data + first, 64);
    at += 64;
    put32_big(out + at, 0);
    return at + 4;
}

static size_t pack_lzop(const struct image *image, uint8_t *out, size_t room)
{
    assert_true(room > 2 * FILE_SIZE);
    return pack_lzop_as(image, out, 0x03000001);
}

/* The same as a whole file, once and twice packed; cut short and damaged. */
static void check_whole(const uint8_t *packed, size_t size, bool ends)
{
    static uint8_t twice[8192];
    struct image outer = {.size = size};
    struct bytes elf;
    const char *why;
    size_t total;

    assert_int_equal(convert(packed, size, &elf, &why), 0);
    assert_int_equal(kernel_check_elf(elf.data, elf.size, &why), 0);
    bytes_free(&elf);
    assert_true(size <= FILE_SIZE);
    memcpy(outer.data, packed, size);
    total = pack_gzip(&outer, twice, sizeof(twice));
    if (!ends)
        return; /* what gzip fills up with zeros is no legacy lz4 */
    assert_int_equal(convert(twice, total, &elf, &why), 0);
    bytes_free(&elf);
    for (size_t cut = 1; cut <= size; cut++) {
        assert_true(convert(packed, size - cut, &elf, &why) < 0);
        assert_non_null(why);
        bytes_free(&elf);
    }
    for (size_t i = 0; i < size; i++) {
        memcpy(twice, packed, size);
        twice[i] ^= 0x55;
        if (convert(twice, size, &elf, &why))
            assert_non_null(why);
        bytes_free(&elf);
    }
}

static void check_format(size_t (*pack)(const struct image *, uint8_t *, size_t))
{
    static uint8_t packed[8192], file[16384];
    struct image image;
    struct bytes elf;
    const char *why;
    size_t size, total;

    make_elf(&image);
    size = pack(&image, packed, sizeof(packed));
    check_whole(packed, size, pack != pack_lz4);
    total = make_bzimage(file, packed, size);
    assert_int_equal(convert(file, total, &elf, &why), 0);
    assert_int_equal(kernel_check_elf(elf.data, elf.size, &why), 0);
    bytes_free(&elf);
    for (size_t cut = 1; cut < total; cut++) {
        assert_true(convert(file, total - cut, &elf, &why) < 0);
        assert_non_null(why);
        bytes_free(&elf);
    }
    for (size_t i = PAYLOAD_AT; i < total; i++) {
        file[i] ^= 0x55;
        if (convert(file, total, &elf, &why))
            assert_non_null(why);
        bytes_free(&elf);
        file[i] ^= 0x55;
    }
    /* A stream that ends early within a bzImage that is whole. */
    for (size_t cut = 5; cut < size; cut++) {
        total = make_bzimage(file, packed, size - cut);
        assert_true(convert(file, total, &elf, &why) < 0);
        assert_non_null(why);
        bytes_free(&elf);
    }
}

static void test_gzip(void **state)
{
    (void)state;
    check_format(pack_gzip);
}

static void test_xz(void **state)
{
    (void)state;
    check_format(pack_xz);
}

static void test_lzma(void **state)
{
    (void)state;
    check_format(pack_lzma);
}

static void test_zstd(void **state)
{
    (void)state;
    check_format(pack_zstd);
}

static void test_lz4(void **state)
{
    (void)state;
    check_format(pack_lz4);
}

static void test_bzip2(void **state)
{
    (void)state;
    check_format(pack_bzip2);
}

static void test_lz4_frame(void **state)
{
    (void)state;
    check_format(pack_lz4_frame);
}

static void test_lzop(void **state)
{
    static const uint32_t flags[] = {0, 1, 2, 3, 0x100, 0x200, 0x303};
    static uint8_t packed[8192];
    struct image image;
    struct bytes elf;
    const char *why;

    (void)state;
    check_format(pack_lzop);
    make_elf(&image);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        size_t size = pack_lzop_as(&image, packed, flags[i]);

        assert_int_equal(convert(packed, size, &elf, &why), 0);
        bytes_free(&elf);
        /* The last byte of the last block: a checksum sees it, if there is one. */
        packed[size - 5] ^= 1;
        assert_int_equal(convert(packed, size, &elf, &why), flags[i] & 0x101 ? -EINVAL : 0);
        bytes_free(&elf);
    }
    assert_int_equal(convert(packed, pack_lzop_as(&image, packed, 0x801), &elf, &why), -ENOTSUP);
    bytes_free(&elf);
}

/* What is packed is refused for what is in it. */
static void test_reason_inside(void **state)
{
    static uint8_t packed[8192], again[8192];
    struct image image;
    struct bytes elf;
    const char *why;
    size_t size;

    (void)state;
    make_elf(&image);
    note_of(&image)->header.n_type = XEN_ELFNOTE_ENTRY; /* for PV */
    assert_int_equal(convert(packed, pack_gzip(&image, packed, sizeof(packed)), &elf, &why),
                     -EINVAL);
    assert_string_equal(why, "not a PVH kernel: it has no Xen PHYS32_ENTRY note");
    bytes_free(&elf);
    memset(image.data, 'x', FILE_SIZE);
    assert_int_equal(convert(packed, pack_gzip(&image, packed, sizeof(packed)), &elf, &why),
                     -EINVAL);
    assert_string_equal(why, "neither an ELF nor a Linux bzImage");
    bytes_free(&elf);
    size = pack_gzip(&image, packed, sizeof(packed));
    for (int i = 0; i < 3; i++) {
        memset(image.data, 0, FILE_SIZE);
        memcpy(image.data, packed, size);
        size = pack_gzip(&image, again, sizeof(again));
        memcpy(packed, again, size);
    }
    assert_int_equal(convert(packed, size, &elf, &why), -EINVAL);
    assert_string_equal(why, "packed again and again");
    bytes_free(&elf);
}

/* A bzImage inside of gzip, and one whose payload is not packed. */
static void test_bzimages(void **state)
{
    static uint8_t inner[4096], file[8192], packed[8192];
    z_stream z = {.next_in = file, .next_out = packed, .avail_out = sizeof(packed)};
    struct image image;
    struct bytes elf;
    const char *why;

    (void)state;
    make_elf(&image);
    assert_int_equal(convert(file, make_bzimage(file, image.data, FILE_SIZE), &elf, &why), 0);
    bytes_free(&elf);
    z.avail_in = (uInt)make_bzimage(file, inner, pack_xz(&image, inner, sizeof(inner)));
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    assert_int_equal(convert(packed, z.total_out, &elf, &why), 0);
    bytes_free(&elf);
}

static void test_unknown_formats(void **state)
{
    static uint8_t file[2048];
    struct bytes elf;
    const char *why;
    size_t total;

    (void)state;
    total = make_bzimage(file, (const uint8_t *)"nonsense!!", 10);
    assert_int_equal(convert(file, total, &elf, &why), -ENOTSUP);
    assert_string_equal(
        why, "packed in an unknown way; gzip, bzip2, xz, lzma, lzop, lz4 and zstd can be unpacked");
    file[0x206] = 7;
    assert_int_equal(convert(file, total, &elf, &why), -EINVAL);
    assert_string_equal(why, "a Linux kernel older than 2.6.24: it cannot be unpacked");
    file[0x206] = 0xf;
    put32(file + 0x248, UINT32_MAX);
    put32(file + 0x24c, UINT32_MAX);
    assert_int_equal(convert(file, total, &elf, &why), -EINVAL);
    assert_string_equal(why, "the bzImage is cut short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_elf),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_segments),
        cmocka_unit_test(test_bad_notes),
        cmocka_unit_test(test_damage_is_harmless),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_xz),
        cmocka_unit_test(test_lzma),
        cmocka_unit_test(test_zstd),
        cmocka_unit_test(test_lz4),
        cmocka_unit_test(test_unknown_formats),
        cmocka_unit_test(test_bzip2),
        cmocka_unit_test(test_lzop),
        cmocka_unit_test(test_lz4_frame),
        cmocka_unit_test(test_reason_inside),
        cmocka_unit_test(test_bzimages),
    };

    return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
