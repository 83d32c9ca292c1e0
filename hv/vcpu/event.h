/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is delivered through the IDT at the next entry. Types are those of Xen's public hvm/save.h
 * and vm_event.h, which are also the processors' own.
 */
#include <facet/types.h>

enum event_type {
    EVENT_EXTERNAL = 0,
    EVENT_NMI = 2,
    EVENT_HARDWARE = 3, /* an exception that the processor raised */
    EVENT_SOFTWARE = 4, /* INT n */
    EVENT_PRIV_SW = 5,  /* INT1 */
    EVENT_SW_EXC = 6,   /* INT3, INTO */
};

struct event {
    uint8_t vector;
    uint8_t type;   /* enum event_type */
    uint8_t length; /* of the instruction, for the last three types */
    bool has_error;
    bool due;      /* false: there is none, and the rest means nothing */
    bool with_cr2; /* cr2 goes to the vCPU with it */
    uint32_t error;
    uint64_t cr2;
};

/* Error code of a #PF (SDM 3, 4.7). */
#define PF_PRESENT  (1u << 0)
#define PF_WRITE    (1u << 1)
#define PF_USER     (1u << 2)
#define PF_RESERVED (1u << 3)
#define PF_FETCH    (1u << 4)

/* The 32-bit form that Xen's structures and VMX have: vector, type << 8, error code << 11, due
 * << 31. */
static inline uint32_t event_info(const struct event *e)
{
    return e->due ? 1u << 31 | (e->has_error ? 1u << 11 : 0) | (uint32_t)e->type << 8 | e->vector
                  : 0;
}
static inline struct event event_of_info(uint32_t info)
{
    return (struct event){
        .vector = (uint8_t)info,
        .type = info >> 8 & 7,
        .has_error = info >> 11 & 1,
        .due = info >> 31,
    };
}
