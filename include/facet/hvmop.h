/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Facet's own sub-operations of HVMOP_altp2m, for guests, monitors and tools. They use the 80-byte
 * struct xen_hvm_altp2m_op of Xen's <xen/hvm/hvm_op.h>: `cmd` is a number from here, `u` is one of
 * these structs. Layouts are the same for 32-bit and 64-bit callers. Numbers start at 0x8000, so
 * that they never meet one of Xen's. On real Xen all of them give -EOPNOTSUPP.
 */
#include <stdint.h>

/* Lists the sub-operations, Xen's and Facet's. Needs no active altp2m. */
#define FACET_ALTP2M_query 0x8000u

/* facet_altp2m_query.flags */
#define FACET_ALTP2M_QUERY_ALLOWED  0x1u /* the caller may use it on the domain that it named */
#define FACET_ALTP2M_QUERY_INACTIVE 0x2u /* works while altp2m is off */

/* facet_altp2m_query.verdict: how the audit judges it for callers inside the guest */
#define FACET_ALTP2M_VERDICT_UNAUDITED       0u
#define FACET_ALTP2M_VERDICT_SAFE            1u
#define FACET_ALTP2M_VERDICT_SAFE_WHEN_OWNED 2u
#define FACET_ALTP2M_VERDICT_UNSAFE          3u

struct facet_altp2m_query {
    uint32_t index;   /* in: 0 .. number-1, in order of cmd; -ENOENT beyond */
    uint32_t number;  /* out: how many there are (also with -ENOENT) */
    uint32_t cmd;     /* out */
    uint8_t flags;    /* out: FACET_ALTP2M_QUERY_* */
    uint8_t verdict;  /* out: FACET_ALTP2M_VERDICT_* */
    uint16_t since;   /* out: first Xen release, major << 8 | minor; 0: Facet's own */
    char name[32];    /* out: ends with a zero byte */
    uint8_t pad[16];  /* in: 0 */
};

/* Reads what a view, or the whole domain, holds of its table memory. Needs no active altp2m. */
#define FACET_ALTP2M_usage 0x8001u

#define FACET_ALTP2M_ALL_VIEWS 0xffffu

struct facet_altp2m_usage {
    uint16_t view;           /* in: a view, or FACET_ALTP2M_ALL_VIEWS; -EINVAL if there is none */
    uint16_t pad;            /* in: 0 */
    uint32_t tables;         /* out: table pages of its own; all views: their sum */
    uint32_t overrides;      /* out: 4 KiB leaves with an override (access, frame or #VE) */
    uint32_t remaps;         /* out: of those, with another frame */
    uint32_t quota;          /* out: tables it may have; 0: no limit of its own */
    uint32_t pool_pages;     /* out, domain: pages of the pool, its metadata included */
    uint32_t pool_free;      /* out, domain */
    uint32_t pool_reserve;   /* out, domain: free pages that only the host map may take */
    uint32_t pool_fixed;     /* out, domain: metadata */
    uint32_t host_tables;    /* out, domain: tables of the host map */
    uint32_t host_changes; /* out: host map changes under an override, or under a remap's target */
    uint32_t lost;           /* out, domain: times that the target of a remap vanished */
    uint16_t default_access; /* out: xenmem_access_t */
    uint16_t vcpus;          /* out: vCPUs on it */
    uint16_t views;          /* out, domain: views that exist */
    uint16_t max_views;      /* out, domain */
    uint32_t relaxed;        /* out: faults that had to lift more than one page's restriction */
    uint8_t visible;         /* out: 1 if VMFUNC and switch_p2m accept it */
    uint8_t pad2[3];         /* in: 0 */
};
