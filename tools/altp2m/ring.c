/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "words.h"

#define PAGE       4096u
#define RING_FIRST 64u /* bytes of the page before the first slot: io/ring.h */

/* The page, by io/ring.h: DEFINE_RING_TYPES(vm_event, ...). Requests and answers share slots. */
struct shared {
    uint32_t req_prod, req_event, rsp_prod, rsp_event;
};

static struct shared *shared(const struct ring *r)
{
    return r->page;
}

static void *slot(const struct ring *r, uint32_t i)
{
    return (char *)r->page + RING_FIRST + (i % r->size) * sizeof(vm_event_request_t);
}

/* The largest power of two that fits. */
static uint32_t slots(void)
{
    uint32_t n = 1;

    while (RING_FIRST + 2 * n * sizeof(vm_event_request_t) <= PAGE)
        n *= 2;
    return n;
}

static int trouble(struct hypercall_trouble *why, int err, const char *text, const char *hint)
{
    char buf[24];

    snprintf(why->text, sizeof(why->text), "%s (%s)", text, words_errno(-err, buf));
    snprintf(why->hint, sizeof(why->hint), "%s", hint);
    return err;
}

/* Maps the ring's page, which the domain's map need not have at first. */
static int take_page(struct ring *r, gfn_t *where)
{
    const struct subop_target *t = r->t;
    uint64_t pfn;
    int rc = control_param(t, HVM_PARAM_MONITOR_RING_PFN, &pfn);

    if (rc)
        return rc;
    *where = gfn(pfn);
    r->page = t->hc->map(t->hc->ctx, t->domid, pfn, true);
    if (!r->page) {
        rc = control_populate(t, *where);
        if (!rc)
            r->page = t->hc->map(t->hc->ctx, t->domid, pfn, true);
    }
    return r->page ? 0 : rc ? rc : -errno;
}

static void give_page_back(struct ring *r)
{
    if (r->page)
        r->t->hc->unmap(r->t->hc->ctx, r->page);
    r->page = NULL;
}

static int explain(int rc, struct hypercall_trouble *why)
{
    if (rc == -EBUSY)
        return trouble(why, rc, "another monitor watches this domain already",
                       "a domain has one vm_event ring");
    return trouble(why, rc, "the hypervisor does not give this domain a vm_event ring",
                   "it needs an HVM or PVH domain, and a hypervisor with vm_event");
}

static int open_paused(struct ring *r, struct hypercall_trouble *why)
{
    const struct subop_target *t = r->t;
    uint32_t port = 0;
    gfn_t where;
    int rc = take_page(r, &where);

    if (rc)
        return trouble(why, rc, "the ring's page cannot be mapped",
                       "is the module xen-privcmd loaded, and memory left in this domain?");
    rc = control_ring(t, true, &port);
    if (rc) {
        give_page_back(r);
        return explain(rc, why);
    }
    memset(r->page, 0, PAGE);
    shared(r)->req_event = shared(r)->rsp_event = 1;
    control_remove(t, where); /* out of the guest's reach; if that fails, the ring works too */
    rc = t->hc->bind(t->hc->ctx, t->domid, port);
    if (rc < 0) {
        control_ring(t, false, NULL);
        give_page_back(r);
        return trouble(why, rc, "no event channel to the domain",
                       "load the module: modprobe xen-evtchn");
    }
    r->port = rc;
    return 0;
}

int ring_open(struct ring *r, const struct subop_target *t, struct hypercall_trouble *why)
{
    int rc = control_pause(t, true);

    memset(r, 0, sizeof(*r));
    r->t = t;
    r->size = slots();
    if (rc)
        return trouble(why, rc, "the domain cannot be paused", "may this domain control it?");
    rc = open_paused(r, why);
    control_pause(t, false);
    return rc;
}

void ring_close(struct ring *r, bool alive)
{
    if (!r->page)
        return;
    if (alive)
        control_ring(r->t, false, NULL);
    r->t->hc->unbind(r->t->hc->ctx, r->port);
    give_page_back(r);
}

bool ring_get(struct ring *r, vm_event_request_t *out)
{
    uint32_t prod = __atomic_load_n(&shared(r)->req_prod, __ATOMIC_ACQUIRE);

    if (prod == r->req_cons) {
        __atomic_store_n(&shared(r)->req_event, r->req_cons + 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&shared(r)->req_prod, __ATOMIC_SEQ_CST) == r->req_cons)
            return false;
    }
    memcpy(out, slot(r, r->req_cons), sizeof(*out));
    r->req_cons++;
    return true;
}

void ring_put(struct ring *r, const vm_event_response_t *answer)
{
    memcpy(slot(r, r->rsp_prod), answer, sizeof(*answer));
    r->rsp_prod++;
    __atomic_store_n(&shared(r)->rsp_prod, r->rsp_prod, __ATOMIC_RELEASE);
}

void ring_notify(struct ring *r)
{
    r->t->hc->notify(r->t->hc->ctx, r->port);
}

int ring_wait(struct ring *r, int milliseconds)
{
    return r->t->hc->wait(r->t->hc->ctx, milliseconds);
}
