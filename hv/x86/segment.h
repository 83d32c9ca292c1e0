/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Segment registers as the processor holds them. The rights are bits 40 to 55 of the descriptor
 * (SDM 3, 3.4.5), moved down to bit 0, and one bit more for a register that holds nothing.
 */
#include <facet/types.h>

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

#define AR_TYPE(ar)   ((ar)&0xfu)
#define AR_ACCESSED   (1u << 0)
#define AR_WRITABLE   (1u << 1) /* of data; of code: readable */
#define AR_DOWN       (1u << 2) /* of data: expands down */
#define AR_CONFORMING (1u << 2) /* of code */
#define AR_CODE       (1u << 3)
#define AR_S          (1u << 4) /* code or data, no system segment */
#define AR_DPL(ar)    ((ar) >> 5 & 3u)
#define AR_PRESENT    (1u << 7)
#define AR_LONG       (1u << 13)
#define AR_DB         (1u << 14)
#define AR_G          (1u << 15)
#define AR_DEFINED    0xf0ffu /* what a descriptor has of these */
#define AR_UNUSABLE   (1u << 16)

#define AR_BUSY       (1u << 1) /* of a TSS */
#define AR_TSS16_BUSY 0x3u
#define AR_TSS32_BUSY 0xbu

#define AR_CODE32 0xc09bu
#define AR_DATA32 0xc093u
#define AR_CODE16 0x9bu
#define AR_DATA16 0x93u
#define AR_TSS32  0x8bu
#define AR_LDT    0x82u
#define AR_VM86   0xf3u

struct segment {
    uint16_t selector;
    uint64_t base;
    uint32_t limit; /* in bytes */
    uint32_t ar;
};
