/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A mirror of a vCPU's page tables: where the processor's page walks count as writes, tables that a
 * view lets be read and not written cannot be walked by it. So it walks others, v->mirror, which
 * the guest cannot reach, and a #PF there asks for one page (hv/exit/mirror.c). What a vendor needs
 * to know of it is in vcpu/vendor.h. What shows or hides wants
 * v current, or that it runs nowhere.
 */
#include <facet/types.h>

struct vcpu;

/* An empty one from now on. False: its domain's table memory has too little for v, or there is no
 * room for it in the address space of this machine's guests. */
bool vcpu_mirror_make(struct vcpu *v);
/* Its pages are the domain's again. There may be none; and v never runs again, or is flushed and
 * its exits are brought up to date before. */
void vcpu_mirror_end(struct vcpu *v);
/* The same of one that is offline, wherever it is: sched_online() sees to the exits. One that it
 * has come out for may still be handled. */
void vcpu_mirror_stop(struct vcpu *v);

enum mirror_shown {
    MIRROR_SHOWN,
    MIRROR_SAME,   /* it was so before */
    MIRROR_NOWHERE /* it leads to where the mirror is, where the guest has no memory: not shown */
};
/*
 * What is to be found there for a linear address, by an entry of the level whose pages have
 * 1 << shift bytes. Of what is not global a flush of v's takes all away, and lack of memory now and
 * then all there is.
 */
enum mirror_shown vcpu_mirror_show(struct vcpu *v, uint64_t a, unsigned shift, uint64_t entry,
                                   bool global);
/* vcpu_flush(), of what is global, too, whether there is a mirror or not. */
void vcpu_mirror_forget(struct vcpu *v);
void vcpu_mirror_hide(struct vcpu *v, uint64_t a, bool all);
