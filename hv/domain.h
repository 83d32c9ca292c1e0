/* SPDX-License-Identifier: MIT */
#pragma once

/* A domain: hv/guest/domain.c creates and ends it; everybody else reads it. */
#include <facet/limits.h>
#include <facet/lock.h>
#include <facet/types.h>
#include "core/physmap.h"
#include "lib/console.h"
#include "vcpu.h"

struct domain {
    uint16_t id;
    uint16_t owner; /* of its frames: hv/mm/frame.h */
    bool dying;     /* shut down or crashed: its vCPUs never run again */
    char name[DOMAIN_NAME_MAX + 1];
    struct lock lock;
    struct physmap physmap;
    unsigned nr_vcpus;
    struct vcpu *vcpus[DOMAIN_VCPUS];
    uint8_t *msr_exits;         /* a map of MSRs whose writes exit, or NULL: as usual */
    struct console_line line;   /* unfinished line of console output */
    struct console_notes notes; /* what the hypervisor has to say because of it */
    uint64_t memory_pages;      /* RAM given at creation */
    struct guest_domain guest;  /* hv/guest/guest_state.h */
};

/* ---- called by the machine: implemented in hv/guest/ ---- */

struct boot_module {
    const void *start;
    uint64_t size; /* bytes */
};
/* Creates all domains of the device tree (module 0); fatal() or a message and a skipped domain on
 * bad input. */
void domains_create(const struct boot_module *modules, unsigned nr);
bool domains_all_ended(void);
/* Frees, restarts or keeps domains that ended, and prints a piece of what domains have to say that
 * stand still; called by the scheduler with no vCPU current. True: there is more to print. */
bool domains_reap(void);
/* There are such that ended; by any processor at any time. */
bool domains_wait_for_reaping(void);
/* Prints the closing line (see the console contract). True: the hardware domain's last wish was
 * that the machine be started again. */
bool domains_report(void);

/* Ends a domain. It stops running at once (its current vCPU does not return to the guest). */
void domain_shutdown(struct domain *d, unsigned reason); /* SHUTDOWN_* of Xen's sched.h */
void domain_crash(struct domain *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A line of the hypervisor's that d causes, which it may do as often as it likes: what it takes to
 * print it comes out of d's time, and d does not go on before it is out.
 */
void domain_say(struct domain *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A vCPU that nothing can wake goes offline; with the last one the domain has powered off,
 * as on Xen. */
void guest_vcpu_down(struct vcpu *v);
/* Powers the domain off if none of its vCPUs is online. Called without the domain's lock. */
void guest_all_down(struct domain *d);

/* Exits that concern the guest interface. v is current. */

/* VMCALL from the guest. True if RIP may move past it; false to run it again (continuation). */
bool guest_hypercall(struct vcpu *v);
#define GUEST_XEN_VERSION (4u << 16 | 17u) /* XENVER_version */
/* That it yields is nothing that anybody has to be told of. */
bool guest_yields_quietly(const struct vcpu *v);
struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
/* What the machine has, as guests are told of it: hv/guest/cpuid.c. */
unsigned cpuid_address_bits(void);  /* guest physical address width */
unsigned cpuid_physical_bits(void); /* the machine's: which bits of a page table are reserved */
bool cpuid_gib_pages(void);
bool cpuid_amd(void); /* the machine, and so what guests take theirs for */
void guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out);
/* MSRs that hardware does not keep for the guest by itself. False: #GP. */
bool guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/* Devices at guest physical addresses without RAM; size 1 to 8, within a page. False:
 * nothing is there. */
bool guest_mmio_read(struct vcpu *v, gpa_t a, unsigned size, uint64_t *value);
bool guest_mmio_write(struct vcpu *v, gpa_t a, unsigned size, uint64_t value);
/* size 1, 2 or 4. Ports nobody serves read all ones and swallow writes. */
uint32_t guest_in(struct vcpu *v, uint16_t port, unsigned size);
void guest_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);

/*
 * The interrupt to deliver next, or -1. Asked before each entry when one can be delivered or to
 * decide whether a halted vCPU has something to wake for. guest_interrupt_taken() tells that the
 * vector went in.
 */
int guest_pending_interrupt(struct vcpu *v);
void guest_interrupt_taken(struct vcpu *v, unsigned vector);
/* Whether v has an NMI to take, and that it went in. */
static inline bool guest_nmi_pending(const struct vcpu *v)
{
    return __atomic_load_n(&v->guest.lapic.nmi, __ATOMIC_RELAXED);
}
void guest_nmi_taken(struct vcpu *v);
/* CR8: the task priority's class, in every mode of the local APIC. False: #GP. */
uint64_t guest_cr8(const struct vcpu *v);
bool guest_write_cr8(struct vcpu *v, uint64_t value);
/*
 * Long operations on a domain's memory leave work behind (physmap_unsettled()), which is done
 * before any vCPU that has to wait for it runs guest code again: those of the domain, and who made
 * the call. Not 0: there may be some.
 */
extern unsigned guest_unsettled;
/* Does a piece of what v has to wait for; true: nothing is left. */
bool guest_settle_some(struct vcpu *v);
/* v's slice ends: the domain that it has to wait for stays until it has waited, or is destroyed. */
void guest_settle_keep(struct vcpu *v);
void guest_settle_drop(struct vcpu *v);
/* Before v runs on a processor again / after it stopped: runstate, time info. */
void guest_vcpu_running(struct vcpu *v);
void guest_vcpu_stopped(struct vcpu *v);
