/* SPDX-License-Identifier: MIT */
#pragma once

/* What the guest interface keeps per domain and per vCPU. Only hv/guest/ touches the members. */
#include <facet/lock.h>
#include <facet/types.h>
#include "monitor_state.h"
#include "vcpu/area.h"
#include "x86/timer.h"

struct vcpu_info;
struct shared_info;
struct xencons_interface;

/* Bits of 256 vectors. */
struct vector_set {
    uint64_t word[4];
};

/* Bits 11 and 10 of IA32_APIC_BASE (SDM 3, figure 10-27). */
enum lapic_mode { LAPIC_OFF = 0, LAPIC_XAPIC = 2, LAPIC_X2APIC = 3 };

/* Local APIC (SDM 3, 10.4 and 10.12). */
struct lapic {
    struct vector_set irr, isr;
    struct vector_set tmr; /* those that came with a level: the I/O APIC is told of their end */
    enum lapic_mode mode;
    bool nmi;     /* one waits to be taken */
    bool irr_any; /* some bit of irr may be set */
    bool wait_for_sipi;
    bool init_waits; /* until it has left its agent */
    uint32_t id, tpr, svr, esr, tdcr, tmict;
    uint32_t errors;         /* since ESR was last written */
    uint32_t ldr, dfr;       /* of xAPIC mode */
    uint32_t lvt[7];         /* MSRs 0x82f, 0x832..0x837 */
    uint64_t icr;            /* x2APIC layout; in xAPIC mode the destination is one of 8 bits */
    uint64_t timer_deadline; /* ns; 0: stopped */
    struct timer timer;
};

struct guest_vcpu {
    struct vcpu_info *info; /* in the shared info page, or in info_area: vcpu_info_of() */
    struct hand_area info_area;
    bool info_moved; /* once, for good */
    bool info_due;   /* it could not be written: to be marked whole when it can */
    struct lapic lapic;
    uint8_t upcall_vector; /* HVMOP_set_evtchn_upcall_vector; 0: none */
    bool taking_callback;  /* what guest_pending_interrupt() found last */
    bool polling;          /* blocked in SCHEDOP_poll */
    bool cpuid_faults;     /* outside CPL 0 */
    bool initialised;      /* VCPUOP_initialise or SIPI gave it registers */
    struct timer singleshot, periodic, poll;
    uint64_t period;         /* ns; 0: no periodic timer */
    uint32_t virq_port[24];  /* 0: unbound */
    unsigned runstate;       /* RUNSTATE_* */
    uint64_t runstate_since; /* ns */
    uint64_t runstate_time[4];
    struct guest_area {
        struct hand_area page[2]; /* the second if it crosses */
        uint16_t offset;
        bool compat, registered;
    } runstate_area, time_area;
    struct domain *settles; /* another domain, of which a call of this vCPU left something to be
                               done; else NULL */
    bool settles_pinned;
    struct extent {
        struct was_mapped *pages; /* frames of the hypervisor's */
        unsigned nr;              /* 0: none */
    } extent; /* what memory_op took out of a map, and views may show until that is settled */
    struct monitor_vcpu monitor;
};

struct evtchn; /* hv/guest/evtchn.c */
struct grant_pin;
struct grant_track; /* hv/guest/grant.h */
struct made;        /* hv/guest/made.h */

#define EVTCHN_BUCKETS     16u  /* pages of 256 channel records, allocated when used */
#define GRANT_FRAMES       64u  /* of a grant table, at most: as on Xen */
#define GRANT_TRACK_FRAMES 128u /* of records of what is mapped */
#define GUEST_PARAMS       39u

struct guest_domain {
    unsigned shutdown_reason;
    bool control;      /* may make domains, and controls those */
    bool hardware;     /* drives the machine's devices: hv/host.h */
    struct made *made; /* NULL: described at boot */
    char crash_reason[160];
    unsigned pins;           /* references that keep the domain from being freed */
    bool interactive;        /* console is COM2, raw */
    bool compat_shared_info; /* 32-bit layout of the shared info page */
    bool runstate_flag;      /* VMASST_TYPE_runstate_update_flag */
    bool physmap_ready;

    struct shared_info *shared;
    mfn_t shared_frame;
    gfn_t shared_gfn; /* where it is mapped, or GFN_INVALID */
    uint32_t serial;  /* no other domain has it */
    unsigned grant_frames, grant_most, grant_track_most;
    mfn_t grant_frame[GRANT_FRAMES];
    gfn_t grant_gfn[GRANT_FRAMES];
    struct grant_pin *grant_pins[GRANT_FRAMES];          /* of the entries in each, when used */
    struct grant_track *grant_track[GRANT_TRACK_FRAMES]; /* what it has mapped of others' */
    uint32_t grant_tracks, grant_handles, grant_next;    /* places; those in use; where to look */

    uint64_t params[GUEST_PARAMS];
    enum { WAITS_NOT, WAITS_ASKED, WAITS_SAID } waits; /* for xenstore: waits.c */
    unsigned yields;                                   /* in a row, since it asked */
    uint8_t callback_vector;                           /* 0: none */

    mfn_t pool;
    unsigned pool_pages;
    uint64_t ram_pages;         /* RAM frames in the host map now */
    uint64_t extra_pages;       /* beyond its memory that it was built with: ACPI tables, console */
    uint64_t acpi_gfn;          /* see guest_special_gfn() */
    uint64_t ram_end_gfn;       /* RAM never lies at or above this gfn */
    uint64_t max_gfn;           /* highest gfn that was ever mapped */
    uint64_t low_end, high_end; /* bytes: end of RAM below 4 GiB; end of RAM above it, or 0 */

    struct lock evtchn_lock;
    struct evtchn *evtchn[EVTCHN_BUCKETS];
    unsigned nr_ports; /* ports that have a record */

    struct hand_area ring;
    uint32_t console_port;
    struct timer console_poll;
    bool console_rest; /* the output ring has more */
    bool console_held; /* vCPUs wait until what it said is out */

    uint64_t trace_second; /* that trace_lines are of */
    unsigned trace_lines;
    uint64_t areas_lost; /* registered areas whose right to be written went */

    struct monitor_domain monitor;
};
