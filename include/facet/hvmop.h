/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Facet's own sub-operations of HVMOP_altp2m, for guests, monitors and tools. They use the 80-byte
 * struct xen_hvm_altp2m_op of Xen's <xen/hvm/hvm_op.h>: `cmd` is a number from here, `u` is one of
 * these structs. Layouts are the same for 32-bit and 64-bit callers. Numbers start at 0x8000, so
 * that they never meet one of Xen's. On real Xen all of them give -EOPNOTSUPP.
 */
#include <stdint.h>

/*
 * No sub-operation, and no argument in memory: on AMD, VMMCALL at any CPL with this number in EAX
 * does what VMFUNC does on Intel, for a vCPU that may use it. The vCPU is in the view that RCX
 * names, and RAX is 0; nothing else changes. VMFUNC works there, too, but costs more. Where the
 * vCPU may not use VMFUNC or not enter that view, and on other processors, it is a call that is not
 * there: -ENOSYS, or -EPERM but at CPL 0.
 */
#define FACET_ALTP2M_VMMCALL_VIEW 0x46435657u

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

/* facet_altp2m_query.why: why the caller may not use it on that domain */
#define FACET_ALTP2M_WHY_MODE   1u /* the domain's altp2m mode keeps its guest from it */
#define FACET_ALTP2M_WHY_POLICY 2u /* its altp2m policy, or its list of denied sub-operations */
#define FACET_ALTP2M_WHY_PRIVILEGE                                                                 \
    3u                             /* it is another domain, and the caller has no control of it */
#define FACET_ALTP2M_WHY_SEALED 4u /* the domain is sealed, the vCPU not on its agent's view */

struct facet_altp2m_query {
    uint32_t index;  /* in: 0 .. number-1, in order of cmd; -ENOENT beyond */
    uint32_t number; /* out: how many there are (also with -ENOENT) */
    uint32_t cmd;    /* out */
    uint8_t flags;   /* out: FACET_ALTP2M_QUERY_* */
    uint8_t verdict; /* out: FACET_ALTP2M_VERDICT_* */
    uint16_t since;  /* out: first Xen release, major << 8 | minor; 0: Facet's own */
    char name[32];   /* out: ends with a zero byte */
    uint8_t why;     /* in: 0; out: FACET_ALTP2M_WHY_*; 0: the caller may use it */
    uint8_t pad0;    /* in: 0 */
    /*
     * in: 0; out: sets of 1 << xenmem_access_t, the same for every index. `accesses`: what can be
     * asked for on this machine; others give -EOPNOTSUPP. `narrowed`: of those, what the processor
     * cannot give: it gets less, and the hypervisor carries out the rest, an instruction at a time.
     */
    uint16_t accesses, narrowed;
    uint8_t pad[10]; /* in: 0 */
};

/* Reads what a view, or the whole domain, holds of its table memory. Needs no active altp2m. */
#define FACET_ALTP2M_usage 0x8001u

#define FACET_ALTP2M_ALL_VIEWS 0xffffu

struct facet_altp2m_usage {
    uint16_t view;         /* in: a view, or FACET_ALTP2M_ALL_VIEWS; -EINVAL if there is none */
    uint16_t pad;          /* in: 0 */
    uint32_t tables;       /* out: table pages of its own; all views: their sum */
    uint32_t overrides;    /* out: 4 KiB leaves with an override (access, frame or #VE) */
    uint32_t remaps;       /* out: of those, with another frame */
    uint32_t quota;        /* out: tables it may have; 0: no limit of its own */
    uint32_t pool_pages;   /* out, domain: pages of the pool, its metadata included */
    uint32_t pool_free;    /* out, domain */
    uint32_t pool_reserve; /* out, domain: free pages that only the host map may take; for the guest
                              itself: or monitors */
    uint32_t pool_fixed;   /* out, domain: metadata */
    uint32_t host_tables;  /* out, domain: tables of the host map */
    uint32_t host_changes; /* out: host map changes under an override, or under a remap's target */
    uint32_t lost;         /* out, domain: times that the target of a remap vanished */
    uint16_t default_access; /* out: xenmem_access_t */
    uint16_t vcpus;          /* out: vCPUs on it */
    uint16_t views;          /* out, domain: views that exist */
    uint16_t max_views;      /* out, domain */
    uint32_t relaxed;        /* out: faults that had to lift more than one page's restriction */
    uint8_t visible;         /* out: 1 if VMFUNC and switch_p2m accept it */
    uint8_t pad2;            /* in: 0 */
    uint16_t lent;           /* out, domain: pages of the pool that mirrors of page tables hold */
};

/*
 * Those that work on a range or a list do it in slices, and other calls may come between two
 * slices. They stop at the first entry that fails; what came before stays done. `done` is written
 * back whatever is returned: with an error it is the index of the entry that failed. It is 0 at
 * first; a call whose `done` is beyond its end gives -EINVAL. A range that goes beyond the guest's
 * address width gives -EINVAL and has no effect; a range or a list of nothing gives 0.
 */

/*
 * Lets a range of gfns show other gfns, as HVMOP_altp2m_change_gfn does for each: old_gfn + i shows
 * new_gfn + i, or all of them show new_gfn. All ones as new_gfn reverts. They are done in ascending
 * order: a new_gfn that is remapped itself by then gives what it shows. -ESRCH: either gfn has no
 * RAM; -ENOMEM: no table memory, and no effect on that gfn.
 */
#define FACET_ALTP2M_change_gfn_range 0x8002u

/* facet_altp2m_change_gfn_range.flags */
#define FACET_ALTP2M_RANGE_SAME 0x1u /* each shows new_gfn itself */

struct facet_altp2m_change_gfn_range {
    uint16_t view;
    uint16_t flags;   /* in: FACET_ALTP2M_RANGE_*; others give -EINVAL */
    uint8_t pad[4];   /* in: 0 */
    uint64_t old_gfn; /* in: the first of the range */
    uint64_t new_gfn; /* in */
    uint64_t nr;      /* in: gfns */
    uint64_t done;    /* in: 0; out */
};

/* The same for a list of pairs. -EFAULT: the list cannot be read there. */
#define FACET_ALTP2M_change_gfn_list 0x8003u

struct facet_altp2m_gfn_pair {
    uint64_t old_gfn, new_gfn; /* new_gfn all ones: revert */
};

struct facet_altp2m_change_gfn_list {
    uint16_t view;
    uint8_t pad[2]; /* in: 0 */
    uint32_t nr;    /* in: pairs */
    uint64_t list;  /* in: linear address of nr facet_altp2m_gfn_pair */
    uint64_t done;  /* in: 0; out */
};

/*
 * Sets the access, the #VE bit, or both over a range. A gfn gets both in one step: no vCPU finds
 * one of them new and the other old, but in view 0 (the host map) and with the access `default`.
 * Holes, and in other views than 0 device memory, have nothing to set and are skipped. -EINVAL also
 * if both are to stay; -ENOMEM: no effect from first_gfn + done on.
 */
#define FACET_ALTP2M_set_range 0x8004u

#define FACET_ALTP2M_LEAVE 0xffu /* as access or suppress_ve: stays as it is */

struct facet_altp2m_set_range {
    uint16_t view;
    uint8_t access;      /* in: xenmem_access_t (default: take it back), or LEAVE */
    uint8_t suppress_ve; /* in: 1: violations exit; 0: they become #VEs; or LEAVE */
    uint8_t pad[4];      /* in: 0 */
    uint64_t first_gfn;  /* in */
    uint64_t nr;         /* in: gfns */
    uint64_t done;       /* in: 0; out */
    uint64_t skipped;    /* in: 0; out: gfns of those done that had nothing to set */
};

/*
 * Puts one vCPU on a view. -EINVAL: no such vCPU, no such view, or it is hidden.
 */
#define FACET_ALTP2M_switch_vcpu 0x8005u

struct facet_altp2m_switch_vcpu {
    uint32_t vcpu;
    uint16_t view;
    uint8_t pad[2]; /* in: 0 */
};

/*
 * Reads what a view has of its own (set access, #VE bit, remap) from first_gfn to last_gfn, in
 * ascending order. Parts of the view that have nothing cost next to nothing. One call ends when the
 * list is full or when it took long enough; then first_gfn is where to go on (even if nothing was
 * written), and all ones if the range is done. The view may change between two calls. Neighbours
 * that are alike may come as two runs. In view 0, access and #VE bit are the host map's, and it has
 * only remaps of its own. With nr 0, first_gfn goes to the first gfn that has something. -EINVAL:
 * no such view; -EFAULT: the list cannot be written.
 */
#define FACET_ALTP2M_get_overrides 0x8006u

/* facet_altp2m_override_run.flags */
#define FACET_ALTP2M_OWN_ACCESS  0x01u /* its access was set here */
#define FACET_ALTP2M_OWN_FRAME   0x02u /* it is remapped */
#define FACET_ALTP2M_OWN_VE      0x04u /* its #VE bit was set here, or by the remap */
#define FACET_ALTP2M_SUPPRESS_VE 0x08u /* violations exit */
#define FACET_ALTP2M_UNMAPPED    0x10u /* there is no memory to show now */

struct facet_altp2m_override_run {
    uint64_t first_gfn;
    uint64_t target_gfn; /* what first_gfn shows: itself, or the remap's target; counts up too */
    uint32_t count;      /* gfns */
    uint8_t access;      /* xenmem_access_t that holds there */
    uint8_t flags;       /* FACET_ALTP2M_* above */
    uint8_t pad[2];      /* 0 */
};

struct facet_altp2m_get_overrides {
    uint16_t view;
    uint8_t pad[2];     /* in: 0 */
    uint32_t nr;        /* in: runs that the list has room for */
    uint64_t list;      /* in: linear address of nr facet_altp2m_override_run */
    uint64_t first_gfn; /* in; out: where to go on, or all ones */
    uint32_t written;   /* out: runs */
    uint8_t pad2[4];    /* in: 0 */
    uint64_t last_gfn;  /* in: the last of the range; what is beyond the address width is empty */
};

/*
 * Shadow pages: pages of the domain's table memory that the guest's own map does not have, and that
 * a view can show in place of a gfn. A shadow page has a name that can stand wherever a new_gfn is
 * asked for (change_gfn_range, change_gfn_list, HVMOP_altp2m_change_gfn) and nowhere else: numbers
 * from FACET_ALTP2M_SHADOW_BASE on, beyond every physical address. All are freed when altp2m is
 * turned off. A view gives a shadow page its default access, until one is set for the gfn.
 */
#define FACET_ALTP2M_SHADOW_BASE 0x0010000000000000u

/*
 * Makes one. It begins as a copy of what is at source_gfn in the host map (not atomically, if vCPUs
 * write there meanwhile) or of another shadow page, or with zeroes if that is all ones. -ESRCH: no
 * RAM there; -ENOMEM: no table memory left, or the guest's quota is used up.
 */
#define FACET_ALTP2M_shadow_create 0x8007u

struct facet_altp2m_shadow_create {
    uint64_t source_gfn; /* in */
    uint64_t gfn;        /* out: its name */
};

/* Frees one. -EBUSY: a view still shows it; -ENOENT: there is none of that name. */
#define FACET_ALTP2M_shadow_destroy 0x8008u

struct facet_altp2m_shadow_destroy {
    uint64_t gfn; /* in: its name */
};

/*
 * Reads or writes its content, whether a view shows it or not. -EINVAL: beyond the page's end;
 * -ENOENT: none of that name; -EFAULT: the buffer cannot be used, and a part may have been copied.
 */
#define FACET_ALTP2M_shadow_copy 0x8009u

struct facet_altp2m_shadow_copy {
    uint64_t gfn;    /* in: its name */
    uint64_t buffer; /* in: linear address */
    uint32_t offset; /* in: bytes, in the page */
    uint32_t length; /* in: bytes; offset + length is at most 4096 */
    uint8_t write;   /* in: 1: from the buffer to the page; 0: the other way */
    uint8_t pad[7];  /* in: 0 */
};

/*
 * Gives a range one access in one view and another in all others, those that are created later
 * included. The others' is set in the host map (as if in view 0) and replaces what other views have
 * set there themselves; a view's default access narrows it further. suppress_ve, if it is not to
 * stay, is set in all views. Access of a remap elsewhere that shows one of these gfns: follows the
 * host map, unless one was set or copied for it.
 *
 * It is done at once: the domain's vCPUs are stopped meanwhile, and all memory that it can need is
 * there before anything changes, so that -ENOMEM has no effect on any gfn. For this the range is
 * bounded; its cost is that of the gfns, and of the views that have something of their own at them.
 * Holes and device memory are skipped. -EINVAL: view 0, no such view, an access that is none or
 * `default`, gfns beyond the address width; -E2BIG: too many gfns.
 */
#define FACET_ALTP2M_isolate 0x800au

#define FACET_ALTP2M_ISOLATE_MAX 512u /* gfns */

struct facet_altp2m_isolate {
    uint16_t view;       /* in: not 0 */
    uint8_t access;      /* in: xenmem_access_t in the view */
    uint8_t others;      /* in: xenmem_access_t in all others */
    uint8_t suppress_ve; /* in: 1: violations exit; 0: they become #VEs; or FACET_ALTP2M_LEAVE */
    uint8_t pad[3];      /* in: 0 */
    uint64_t first_gfn;  /* in */
    uint64_t nr;         /* in: gfns */
    uint64_t skipped;    /* out: gfns that had nothing to set */
};

/*
 * Reads how often the host map changed under one of the view's overrides, or under the target of
 * one of its remaps, and the gfns of the view where it last did. `count` grows by one for each; who
 * knows an earlier one knows how many of the gfns are news, and if some were missed. It begins at 0
 * with the view and wraps. -EINVAL: no such view.
 */
#define FACET_ALTP2M_host_changes 0x800bu

struct facet_altp2m_host_changes {
    uint16_t view;
    uint8_t pad[2];   /* in: 0 */
    uint32_t count;   /* out */
    uint64_t gfns[7]; /* out: newest first; all ones where there is none */
};

/*
 * Turns VMFUNC on or off for a vCPU. Under the policy `audited` this is the only way to have it:
 * HVMOP_altp2m_vcpu_enable_notify then turns on #VE alone. VMFUNC has no privilege check: what can
 * be entered with it can be entered from user space. -EINVAL: no such vCPU, or `on` is not 0 or 1;
 * -EOPNOTSUPP: the processor has no VMFUNC; -EPERM: a monitor turned it on, and the guest wants it
 * off (policy `audited`).
 */
#define FACET_ALTP2M_set_vmfunc 0x800cu

struct facet_altp2m_set_vmfunc {
    uint32_t vcpu;
    uint8_t on;     /* in: 0 or 1 */
    uint8_t pad[3]; /* in: 0 */
};

/*
 * Seals the domain: of its own calls, only those of its agent are taken from now on. The agent is
 * known by the view that its vCPU is on: what can be executed on `agent_view` is the agent's to
 * say, so that a call made there is the agent's call. While the domain is sealed,
 *   - other calls from inside it give -EPERM, but for query, get_domain_state and get_p2m_idx;
 *   - it enters view 0 by no way: VMFUNC to it is refused as to a hidden view, switch_p2m gives
 *     -EINVAL. Its vCPUs that are on view 0 now are put on `start_view`, those that are not up with
 *     them. Its other visible views can be entered as before: the agent hides what must not be;
 *   - what its views deny stays denied: a violation that is no #VE, and that no monitor listens
 *     for, raises #GP(0) in the guest where otherwise the restriction is lifted. In the delivery of
 *     an exception this makes a double fault, and then a triple fault, which ends the domain;
 *   - gfns that one of its views other than the agent's restricts are not moved or replaced by its
 *     memory_op (-EPERM), and the hypervisor's accesses for it obey its views, as always under the
 *     policy `audited`;
 *   - neither of the two views can be destroyed (-EBUSY).
 * A monitor may do all that it could before, and unseal it. It ends with a seal of both views all
 * ones, made from the agent's view or by a monitor, and when altp2m is turned off; a sealed domain
 * can be sealed anew by the same. An agent's view that is hidden can be entered by nobody: then
 * only a monitor ends it.
 *
 * Only under the policy `audited`, else -EOPNOTSUPP: elsewhere the guest may edit the host map.
 * Both views are the guest's own. -EINVAL: there is no such view, it is not the guest's, both are
 * the same, or one is all ones and the other is not. -EPERM: view 0.
 */
#define FACET_ALTP2M_seal 0x800du

#define FACET_ALTP2M_UNSEAL 0xffffu

struct facet_altp2m_seal {
    uint16_t agent_view; /* in */
    uint16_t start_view; /* in */
    uint8_t pad[4];      /* in: 0 */
};

/*
 * Registers where a vCPU enters the agent: before the seal, for each vCPU that is to, also for
 * those that are not up. A seal that names `view` as its agent's view then makes that view
 * enterable by this entry alone: by no VMFUNC and no switch. A call with registers alone, from the
 * guest's kernel on any other view of its own, at any place,
 *
 *     rax = 34 (__HYPERVISOR_hvm_op), rdi = FACET_ALTP2M_enter, VMCALL (VMMCALL)
 *
 * puts the vCPU on the agent's view with what is registered here in the place of what the caller
 * has: RIP, RSP, CR3, GDTR, IDTR; RFLAGS is 2 (interrupts off), DR7 0x400, CR0.WP and EFER.NXE are
 * set, no trap is pending. CS and SS are a caller's at CPL 0 in 64-bit mode; load them before an
 * IRET. General registers are the caller's, but for rax, which is 0, and rdi, which is the caller's
 * CR3; so are FS, GS, TR, the FPU, and what else is not named here: do not use them, nor an IST.
 * The same call from the agent leaves it: the caller goes on behind its call with its state as it
 * was, rax being what the agent has in rdx and the other general registers as the agent leaves
 * them.
 *
 * In between, the vCPU takes no interrupt, and NMI and INIT wait until it has left; exceptions are
 * the agent's, by its own IDT. A monitor may move the vCPU to another view; it then stays there
 * when it leaves. The entering call gives -EPERM from user space or while a monitor holds the vCPU,
 * -EOPNOTSUPP where no seal has an entry or from 32-bit code, -ENOENT if this vCPU has none,
 * -EINVAL in a multicall, -EBUSY while a monitor lets the vCPU through.
 *
 * The entry must be the agent's: the first page of code mapped for the kernel by `cr3` and
 * executable in `view`, the stack below `rsp`, GDT and IDT mapped and accessible there; and when it
 * is sealed, none of these pages, nor of the paging structures that lead there, may be writable in
 * the start view. -EOPNOTSUPP: the policy is not `audited`; -EINVAL: no such vCPU or view, an
 * address that is not canonical; -EFAULT: not mapped; -EACCES: mapped without the rights; -EBUSY:
 * it is sealed already; -EEXIST: the vCPU has an entry. The end of the seal, or of altp2m, ends
 * them. A seal gives -EINVAL if an entry is for another view, or can be written.
 */
#define FACET_ALTP2M_enter 0x800eu

struct facet_altp2m_enter {
    uint16_t view;  /* in: the agent's */
    uint8_t pad[2]; /* in: 0 */
    uint32_t vcpu;
    uint64_t rip, rsp, cr3;        /* in: cr3 without PCID */
    uint64_t gdt, idt;             /* in: their bases */
    uint16_t gdt_limit, idt_limit; /* in */
    uint8_t pad2[4];               /* in: 0 */
};

/*
 * Pins registers of a vCPU: from the call's return on, the guest does not change their value any
 * more. An instruction that would
 * change a pinned register or bit gives #GP(0) and does nothing: MOV to CR, LMSW and CLTS, WRMSR,
 * XSETBV, a task switch; of LGDT, LIDT, LLDT and LTR any, whatever it loads. A write of the value
 * that is there already is done. Nothing else exits that did not, but that some processors tell all
 * accesses to descriptor tables together. The agent's own registers, that `enter` loads, are
 * others.
 *
 * CR3 is pinned otherwise: MOV to CR3 may load any top table that the guest cannot write, on the
 * start view of a sealed guest (for a monitor's pin: on the vCPU's view). Its agent has looked at
 * it and taken the right away. Another one raises #VE in the vCPU, with exit reason 28, the value
 * as linear address and the table as guest physical address, and the instruction runs again; where
 * no #VE can be raised it is #GP(0). While a vCPU with that pin has a table loaded, the agent's
 * set_mem_access and set_range that would let it be written give -EBUSY. A table that was loaded
 * lately may be loaded again without an exit. Where page walks count as writes (AMD) the hypervisor
 * sets accessed and dirty bits in the tables of a vCPU with that pin, while no monitor listens.
 *
 * A vCPU with a pin does not start anew: VCPUOP_initialise of it gives -EPERM, and SIPI does
 * nothing; INIT and VCPUOP_down take it down, and VCPUOP_up lets it go on as it was. One that was
 * never up can be pinned so that nobody starts it.
 *
 * Pins are the agent's of a sealed guest, or a monitor's: each lets go of its own. A monitor is not
 * bound by any in what it sets by itself (a context, its own answers' registers); an instruction
 * that it lets through is. The guest's end with the seal, a monitor's with its listening, and all
 * with altp2m.
 *
 * -EINVAL: no such vCPU, a bit or register that cannot be pinned, `on` is not 0 or 1; -EOPNOTSUPP:
 * the guest's policy is not `audited`, or the processor cannot tell of that register; -ENXIO: the
 * guest is not sealed; -EEXIST: something named has the caller's pin; -ENOENT: it has not;
 * -ENOMEM. With nothing named it only reads.
 */
#define FACET_ALTP2M_pin 0x800fu

/* facet_altp2m_pin.registers */
#define FACET_ALTP2M_PIN_IDTR         0x1u
#define FACET_ALTP2M_PIN_GDTR         0x2u
#define FACET_ALTP2M_PIN_LDTR         0x4u
#define FACET_ALTP2M_PIN_TR           0x8u
#define FACET_ALTP2M_PIN_XCR0         0x10u /* not on AMD */
#define FACET_ALTP2M_PIN_CR3          0x20u /* as said above */
#define FACET_ALTP2M_PIN_STAR         0x100u
#define FACET_ALTP2M_PIN_LSTAR        0x200u
#define FACET_ALTP2M_PIN_CSTAR        0x400u
#define FACET_ALTP2M_PIN_FMASK        0x800u
#define FACET_ALTP2M_PIN_SYSENTER_CS  0x1000u
#define FACET_ALTP2M_PIN_SYSENTER_ESP 0x2000u
#define FACET_ALTP2M_PIN_SYSENTER_EIP 0x4000u
#define FACET_ALTP2M_PIN_PAT          0x8000u
#define FACET_ALTP2M_PIN_TSC_AUX      0x10000u
#define FACET_ALTP2M_PIN_APIC_BASE    0x20000u

struct facet_altp2m_pin {
    uint32_t vcpu;
    uint8_t on;         /* in: 1: pins what is named; 0: lets go of it */
    uint8_t pad[3];     /* in: 0 */
    uint64_t cr0, cr4;  /* in: bits; out: all that have the caller's pin */
    uint64_t efer;      /* the same: SCE, LME, NXE */
    uint32_t registers; /* the same: FACET_ALTP2M_PIN_* */
    uint32_t refused;   /* in: 0; out: writes of the vCPU that were refused so far */
};
