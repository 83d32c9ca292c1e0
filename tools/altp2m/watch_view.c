/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "own.h"
#include "ranges.h"
#include "survey.h"

#define PAGE         4096u
#define INT3         0xccu
#define CHUNK        1024u
#define PTI_USER     0x1000u /* in CR3, with page table isolation */
#define FIND_SECONDS 15.0    /* to see the guest's page tables */
#define SAMPLE_MS    50
#define SAMPLE_WAITS 4u

static enum command_status refuse(struct watch *w, int rc, const char *text, const char *hint)
{
    char line[256], name[24];

    if (rc == -EACCES)
        return command_refuse(w->s, "the hypervisor speaks another version of the control calls",
                              "this altp2m is for those of Xen 4.17, and Facet", EACCES);
    snprintf(line, sizeof(line), "%s: %s", text, words_errno(-rc, name));
    return command_refuse(w->s, line, hint, -rc);
}

/* Why a view's pages could not be made as they are to be. */
static const char *page_hint(int rc, const char *missing)
{
    switch (rc) {
    case -ENOMEM:
        return "raise shadow_memory in the domain's configuration";
    case -EOPNOTSUPP:
        return "this processor lacks an access that is needed: altp2m info lists those it has";
    default:
        return missing;
    }
}

bool watch_ended(struct watch *w)
{
    struct xen_domctl_getdomaininfo info;
    int rc = control_info(w->t, &info);

    w->gone = rc == -ESRCH;
    return w->gone || (!rc && (info.flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown)));
}

/* ---- finding linear addresses ---- */

struct guestmem_paging watch_paging(const vm_event_request_t *r)
{
    const struct vm_event_regs_x86 *x = &r->data.regs.x86;

    return (struct guestmem_paging){x->cr0, x->cr3, x->cr4, x->msr_efer};
}

static bool any_linear(const struct watch *w)
{
    bool any = w->nr_breaks > 0;

    for (unsigned int i = 0; i < w->nr_ranges; i++)
        any = any || w->ranges[i].linear;
    return any;
}

void watch_find_slide(struct watch *w, uint64_t lstar)
{
    uint64_t entry;

    if (w->has_slide || !lstar || !symbols_find(&w->symbols, "entry_SYSCALL_64", &entry) ||
        lstar == entry || (lstar - entry) % PAGE)
        return;
    w->symbols.slide = lstar - entry;
    w->has_slide = true;
    for (unsigned int i = 0; i < w->nr_breaks; i++)
        if (w->breaks[i].name[0])
            w->breaks[i].address.v += w->symbols.slide;
    for (unsigned int i = 0; i < w->nr_ranges; i++)
        if (w->ranges[i].linear && w->ranges[i].label[0] != '@')
            w->ranges[i].address.v += w->symbols.slide;
    if (!w->s->json)
        fprintf(w->s->err, "the kernel was moved by 0x%" PRIx64 "\n", w->symbols.slide);
}

/* True if these tables map all that is to be found. */
static bool find_all(struct watch *w, const struct guestmem_paging *p)
{
    gpa_t at;

    for (unsigned int i = 0; i < w->nr_breaks; i++) {
        if (w->breaks[i].found)
            continue;
        if (!guestmem_walk(&w->memory, p, w->breaks[i].address, &at))
            return false;
        w->breaks[i].gfn = gfn(at.v / PAGE);
        w->breaks[i].offset = (uint32_t)(at.v % PAGE);
    }
    for (unsigned int i = 0; i < w->nr_ranges; i++) {
        if (!w->ranges[i].linear)
            continue;
        if (!guestmem_walk(&w->memory, p, w->ranges[i].address, &at))
            return false;
        w->ranges[i].first = gfn(at.v / PAGE);
    }
    return true;
}

static bool find_by_request(struct watch *w, const vm_event_request_t *r)
{
    struct guestmem_paging p = watch_paging(r);

    watch_find_slide(w, r->data.regs.x86.msr_lstar);
    return find_all(w, &p);
}

/* Takes the events of one sample, each of which ends its vCPU's stepping. */
static bool sample(struct watch *w)
{
    vm_event_request_t r;
    bool found = false;

    while (ring_get(&w->ring, &r)) {
        vm_event_response_t a = {.version = VM_EVENT_INTERFACE_VERSION,
                                 .vcpu_id = r.vcpu_id,
                                 .flags = r.flags & VM_EVENT_FLAG_VCPU_PAUSED,
                                 .reason = r.reason};

        if (r.reason == VM_EVENT_REASON_SINGLESTEP)
            a.flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
        found = found || find_by_request(w, &r);
        ring_put(&w->ring, &a);
    }
    ring_notify(&w->ring);
    return found;
}

/* Where the hypervisor does not give the vCPU's state: one instruction is stepped, now and then,
   until one is met under tables that have the addresses (a process' own may not have them). */
static bool find_by_steps(struct watch *w)
{
    struct xen_domctl_monitor_op step = {.event = XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP};
    double until = watch_seconds(w) + FIND_SECONDS;
    bool found = false;

    if (control_event(w->t, &step, true))
        return false;
    while (!found && watch_seconds(w) < until && !watch_stop_asked() && !watch_ended(w)) {
        control_step(w->t, 0, true);
        for (unsigned int i = 0; i < SAMPLE_WAITS && !found; i++)
            found = ring_wait(&w->ring, SAMPLE_MS) && sample(w);
    }
    control_pause(w->t, true);
    sample(w);
    control_step(w->t, 0, false);
    control_pause(w->t, false);
    control_event(w->t, &step, false);
    return found;
}

static bool find_by_state(struct watch *w)
{
    struct hvm_hw_cpu cpu;

    for (uint32_t i = 0; i < w->vcpus; i++) {
        struct guestmem_paging p;

        if (control_cpu(w->t, i, &cpu))
            continue;
        p = (struct guestmem_paging){cpu.cr0, w->has_cr3 ? w->cr3 : cpu.cr3, cpu.cr4, cpu.msr_efer};
        watch_find_slide(w, cpu.msr_lstar);
        if (find_all(w, &p))
            return true;
        p.cr3 &= ~(uint64_t)PTI_USER; /* the kernel's tables lie before those of user space */
        if (find_all(w, &p))
            return true;
    }
    return false;
}

static enum command_status find(struct watch *w)
{
    struct guestmem_paging given = {1u << 31, w->cr3, 0, 1u << 10};

    if (!any_linear(w) || (w->has_cr3 && find_all(w, &given)) || find_by_state(w))
        return COMMAND_OK;
    if (!w->s->json)
        fprintf(w->s->err, "waiting for the guest to show its page tables\n");
    if (find_by_steps(w))
        return COMMAND_OK;
    return command_refuse(w->s, "the guest's page tables do not map these addresses",
                          "is it the right System.map? For a kernel that moves itself (KASLR) "
                          "give its own kallsyms, or --slide",
                          ENOENT);
}

/* ---- the pages with breakpoints ---- */

struct watch_copy *watch_copy_at(const struct watch *w, gfn_t g)
{
    for (unsigned int i = 0; i < w->nr_copies; i++)
        if (gfn_eq(w->copies[i].gfn, g))
            return &w->copies[i];
    return NULL;
}

int watch_copy_refresh(struct watch *w, const struct watch_copy *c)
{
    const uint8_t *now = guestmem_page(&w->memory, c->gfn);

    if (!now)
        return -errno;
    memcpy(w->scratch, now, PAGE);
    for (unsigned int i = 0; i < w->nr_breaks; i++)
        if (gfn_eq(w->breaks[i].gfn, c->gfn))
            w->scratch[w->breaks[i].offset] = INT3;
    if (w->pairs && view_eq(c->executes, VIEW_NONE))
        return 0;
    if (!c->page)
        return own_shadow_copy(w->t, c->shows, w->scratch, 0, PAGE, true);
    memcpy(c->page, w->scratch, PAGE);
    return 0;
}

/* On Xen: a page beyond the guest's memory, which it gets for as long as this runs. */
static int populate_copy(struct watch *w, struct watch_copy *c)
{
    struct xen_domctl_getdomaininfo info;
    gfn_t last;
    int rc = control_max_gfn(w->t, &last);

    if (!rc && !w->max_kib) {
        rc = control_info(w->t, &info);
        w->max_kib = info.max_pages * (PAGE / 1024);
        if (!rc)
            rc = control_max_memory(w->t, w->max_kib + WATCH_BREAKS * (PAGE / 1024));
    }
    if (!rc) {
        c->shows = gfn_add(last, 1);
        rc = control_populate(w->t, c->shows);
    }
    if (rc)
        return rc;
    c->page = w->t->hc->map(w->t->hc->ctx, w->t->domid, c->shows.v, true);
    if (!c->page) {
        rc = -errno;
        control_remove(w->t, c->shows);
    }
    return rc;
}

static int make_page(struct watch *w, struct watch_copy *c)
{
    int rc = own_shadow_create(w->t, c->gfn, &c->shows);

    return rc == -EOPNOTSUPP ? populate_copy(w, c) : rc;
}

static int make_copy(struct watch *w, gfn_t g)
{
    struct watch_copy *c = &w->copies[w->nr_copies];
    int rc;

    *c = (struct watch_copy){.gfn = g, .executes = VIEW_NONE};
    if (w->pairs && !watch_pair_view_made(w, c)) {
        w->nr_copies++;
        return 0;
    }
    rc = make_page(w, c);
    if (rc)
        return rc;
    w->nr_copies++;
    rc = watch_copy_refresh(w, c);
    return rc ? rc : subop_change_gfn(w->t, w->pairs ? c->executes : w->view, g, c->shows);
}

static void drop_copies(struct watch *w)
{
    for (unsigned int i = 0; i < w->nr_copies; i++) {
        const struct watch_copy *c = &w->copies[i];

        if (w->pairs && view_eq(c->executes, VIEW_NONE)) {
            continue;
        } else if (c->page) {
            w->t->hc->unmap(w->t->hc->ctx, c->page);
            if (!w->gone)
                control_remove(w->t, c->shows);
        } else if (!w->gone) {
            own_shadow_destroy(w->t, c->shows);
        }
    }
    w->nr_copies = 0;
    if (w->max_kib && !w->gone)
        control_max_memory(w->t, w->max_kib);
    w->max_kib = 0;
}

/* ---- the pages that are watched ---- */

/* What is left when `want` is to be seen. No processor can write without reading. */
static uint8_t allowed(unsigned int want)
{
    unsigned int access = 7u & ~want;

    if (want & WATCH_R)
        access &= ~WATCH_W;
    return (uint8_t)access; /* XENMEM_access_n to rwx are these bits */
}
_Static_assert(XENMEM_access_r == WATCH_R && XENMEM_access_w == WATCH_W &&
                   XENMEM_access_x == WATCH_X,
               "memory.h");

/* All that is wanted of a page by the ranges together. */
static unsigned int wanted(const struct watch *w, gfn_t g)
{
    unsigned int want = 0;

    for (unsigned int i = 0; i < w->nr_ranges; i++)
        if (g.v - w->ranges[i].first.v < w->ranges[i].count)
            want |= w->ranges[i].want;
    return want;
}

static uint8_t access_in(const struct watch *w, view_t v, gfn_t g)
{
    uint8_t access = allowed(wanted(w, g));

    if (w->pairs)
        return watch_pair_access(w, v, g, access);
    return watch_copy_at(w, g) ? XENMEM_access_x : access;
}

static int restrict_list(struct watch *w, view_t v, const struct watch_range *r)
{
    const struct hypercall *hc = w->t->hc;
    size_t size = CHUNK * (sizeof(uint64_t) + 1);
    struct progress p = progress_start(w->s, r->count);
    uint64_t *gfns = hc->alloc(hc->ctx, size);
    uint8_t *accesses = (uint8_t *)(gfns + CHUNK);
    int rc = gfns ? 0 : -ENOMEM;

    for (uint64_t done = 0; !rc && done < r->count && !watch_stop_asked();) {
        uint32_t nr = 0;

        for (; nr < CHUNK && done < r->count; done++) {
            gfns[nr] = r->first.v + done;
            accesses[nr++] = access_in(w, v, gfn(r->first.v + done));
        }
        rc = subop_set_access_multi(w->t, v, nr, gfns, accesses);
        progress_at(&p, done);
    }
    progress_end(&p);
    if (gfns)
        hc->release(hc->ctx, gfns, size);
    return rc;
}

static bool executes_too(const struct watch *w)
{
    for (unsigned int i = 0; i < w->nr_ranges; i++)
        for (unsigned int c = 0; c < w->nr_copies; c++)
            if (w->copies[c].gfn.v - w->ranges[i].first.v < w->ranges[i].count &&
                (w->ranges[i].want & WATCH_X))
                return true;
    return false;
}

static int restrict_view(struct watch *w, view_t v)
{
    int rc = 0;

    for (unsigned int i = 0; !rc && i < w->nr_ranges; i++) {
        const struct watch_range *r = &w->ranges[i];
        uint16_t access;

        rc = restrict_list(w, v, r);
        if (!rc && r->count == 1) /* hypervisors skip a hole and report success */
            rc = subop_get_access(w->t, v, r->first, &access);
    }
    for (unsigned int c = 0; !rc && c < w->nr_copies; c++)
        rc = subop_set_access(w->t, v, w->copies[c].gfn, access_in(w, v, w->copies[c].gfn));
    return rc;
}

static enum command_status restrict_pages(struct watch *w)
{
    int rc;

    if (executes_too(w))
        return command_refuse(w->s, "a page with a breakpoint cannot be watched for execution too",
                              "start with one of them", EINVAL);
    rc = restrict_view(w, w->view);
    for (unsigned int c = 0; !rc && c < w->nr_copies; c++)
        if (!view_eq(w->copies[c].executes, VIEW_NONE))
            rc = restrict_view(w, w->copies[c].executes);
    return rc ? refuse(w, rc, "the pages cannot be restricted",
                       page_hint(rc, "is it memory of the guest?"))
              : COMMAND_OK;
}

/* The page gets its access in all views, and its own view that of all pages. */
static int place_copy(struct watch *w, gfn_t g)
{
    int rc = make_copy(w, g);
    const struct watch_copy *c = &w->copies[w->nr_copies - 1];

    if (!rc)
        rc = subop_set_access(w->t, w->view, g, access_in(w, w->view, g));
    if (!rc && !view_eq(c->executes, VIEW_NONE))
        rc = restrict_view(w, c->executes);
    for (unsigned int i = 0; !rc && i + 1 < w->nr_copies; i++)
        if (!view_eq(w->copies[i].executes, VIEW_NONE))
            rc = subop_set_access(w->t, w->copies[i].executes, g,
                                  access_in(w, w->copies[i].executes, g));
    return rc;
}

int watch_break_place(struct watch *w, const struct watch_break *b)
{
    struct watch_copy *c = watch_copy_at(w, b->gfn);

    if (wanted(w, b->gfn) & WATCH_X)
        return -EINVAL;
    return c ? watch_copy_refresh(w, c) : place_copy(w, b->gfn);
}

/* ---- the view ---- */

static void not_on_0(void *ctx, uint32_t vcpu, view_t v)
{
    (void)vcpu;
    *(bool *)ctx = *(bool *)ctx || v.v != 0;
}

static enum command_status make_view(struct watch *w)
{
    bool on = false, elsewhere = false;
    int rc = subop_get_state(w->t, &on);

    if (!rc && !on) {
        rc = subop_set_state(w->t, true);
        w->turned_on = !rc;
    }
    if (rc)
        return command_refused(w->s, HVMOP_altp2m_set_domain_state, rc, NULL);
    rc = survey_vcpus(w->t, not_on_0, &elsewhere);
    if (!rc && elsewhere)
        return command_refuse(w->s, "the guest runs on a view of somebody else's",
                              "watch works with views itself: switch to view 0 first", EBUSY);
    rc = subop_create(w->t, XENMEM_access_rwx, &w->view);
    if (rc)
        return command_refused(w->s, HVMOP_altp2m_create_p2m, rc, NULL);
    watch_pair_ask(w);
    return COMMAND_OK;
}

static enum command_status fill_view(struct watch *w)
{
    enum command_status st = COMMAND_OK;
    int rc = 0;

    w->copies = calloc(WATCH_BREAKS, sizeof(*w->copies));
    if (!w->copies)
        return refuse(w, -ENOMEM, "no memory", "");
    for (unsigned int i = 0; !rc && i < w->nr_breaks; i++)
        if (!watch_copy_at(w, w->breaks[i].gfn))
            rc = make_copy(w, w->breaks[i].gfn);
    if (rc)
        return refuse(w, rc, "no hidden page can be made for the breakpoint",
                      page_hint(rc, "is it memory of the guest?"));
    st = restrict_pages(w);
    if (st)
        return st;
    rc = subop_switch(w->t, w->view);
    return rc ? command_refused(w->s, HVMOP_altp2m_switch_p2m, rc, NULL) : COMMAND_OK;
}

/* ---- events ---- */

static enum command_status want_event(struct watch *w, const struct xen_domctl_monitor_op *op)
{
    int rc = control_event(w->t, op, true);

    if (rc == -EOPNOTSUPP && op->event == XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP)
        return command_refuse(w->s, "this hypervisor cannot single-step on this processor",
                              "Xen needs its monitor trap flag for that", EOPNOTSUPP);
    if (rc == -EOPNOTSUPP)
        return command_refuse(w->s, "this hypervisor does not tell of such events", "", EOPNOTSUPP);
    return rc ? refuse(w, rc, "the hypervisor refuses to tell of such events", "") : COMMAND_OK;
}

static bool asks_descriptors(const struct watch *w)
{
    for (unsigned int i = 0; i < w->nr_asked; i++)
        if (w->asked[i].event == XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS)
            return true;
    return false;
}

static enum command_status want_all(struct watch *w, bool on)
{
    static const uint32_t own[] = {XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
                                   XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT};
    enum command_status st = COMMAND_OK;

    for (unsigned int i = 0; i < w->nr_asked && st == COMMAND_OK; i++) {
        if (on)
            st = want_event(w, &w->asked[i]);
        else
            control_event(w->t, &w->asked[i], false);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(own) && st == COMMAND_OK; i++) {
        struct xen_domctl_monitor_op op = {.event = own[i]};

        if (i == 0 ? !watch_needs_view(w) && !asks_descriptors(w) : !w->nr_breaks)
            continue;
        if (on)
            st = want_event(w, &op);
        else
            control_event(w->t, &op, false);
    }
    return st;
}

/* ---- beginning and end ---- */

static enum command_status arrange(struct watch *w)
{
    enum command_status st = want_all(w, true);

    if (!st && watch_needs_view(w))
        st = make_view(w);
    if (!st && watch_needs_view(w))
        st = fill_view(w);
    return st;
}

static enum command_status open_domain(struct watch *w)
{
    struct xen_domctl_getdomaininfo info;
    struct hypercall_trouble why = {"", ""};
    char text[64];
    int rc = control_info(w->t, &info);

    if (rc == -ESRCH) {
        snprintf(text, sizeof(text), "there is no domain %u", w->t->domid);
        return command_refuse(w->s, text, "list the domains: altp2m domains", ESRCH);
    }
    if (rc == -EPERM || rc == -ENOSYS)
        return command_refuse(w->s, "not permitted: this domain does not control others",
                              "run it in dom0, or in a domain with monitor = 1", -rc);
    if (rc)
        return refuse(w, rc, "the hypervisor tells nothing about the domain", "");
    w->vcpus = info.max_vcpu_id + 1;
    w->steps = calloc(w->vcpus, sizeof(*w->steps));
    w->scratch = w->t->hc->alloc(w->t->hc->ctx, PAGE);
    if (!w->steps || !w->scratch)
        return refuse(w, -ENOMEM, "no memory", "");
    for (uint32_t i = 0; i < w->vcpus; i++)
        w->steps[i].fetch = WATCH_NOWHERE;
    rc = ring_open(&w->ring, w->t, &why);
    return rc ? command_refuse(w->s, why.text, why.hint, -rc) : COMMAND_OK;
}

enum command_status watch_begin(struct watch *w)
{
    enum command_status st;

    w->memory.t = w->t;
    w->view = VIEW_NONE;
    st = open_domain(w);
    if (!st)
        st = watch_kernel_find(w);
    if (!st)
        st = watch_places(w, true);
    if (!st)
        st = watch_protos(w);
    if (!st)
        st = watch_check(w);
    if (!st)
        st = find(w);
    if (st)
        return st;
    control_pause(w->t, true);
    st = arrange(w);
    control_pause(w->t, false);
    return st;
}

void watch_pass_cpuid(const vm_event_request_t *r, vm_event_response_t *a)
{
    a->data.regs.x86 = r->data.regs.x86;
    a->data.regs.x86.rip += r->u.cpuid.insn_length;
    a->flags |= VM_EVENT_FLAG_SET_REGISTERS;
}

/* Whoever waits goes on where it was, in view 0, where nothing stands in its way. */
static void release_waiting(struct watch *w)
{
    vm_event_request_t r;

    while (ring_get(&w->ring, &r)) {
        vm_event_response_t a = {.version = VM_EVENT_INTERFACE_VERSION,
                                 .vcpu_id = r.vcpu_id,
                                 .flags = r.flags & VM_EVENT_FLAG_VCPU_PAUSED,
                                 .reason = r.reason};

        if (r.reason == VM_EVENT_REASON_CPUID)
            watch_pass_cpuid(&r, &a);
        ring_put(&w->ring, &a);
    }
    ring_notify(&w->ring);
    for (uint32_t i = 0; i < w->vcpus; i++)
        control_step(w->t, i, false);
}

static void take_back(struct watch *w)
{
    bool paused = !control_pause(w->t, true);

    want_all(w, false);
    if (!view_eq(w->view, VIEW_NONE))
        subop_switch(w->t, view(0));
    release_waiting(w);
    if (!view_eq(w->view, VIEW_NONE))
        subop_destroy(w->t, w->view);
    watch_pair_drop(w);
    drop_copies(w);
    if (w->turned_on)
        subop_set_state(w->t, false);
    ring_close(&w->ring, true);
    if (paused)
        control_pause(w->t, false);
}

void watch_end(struct watch *w)
{
    const struct hypercall *hc = w->t->hc;

    guestmem_drop(&w->memory);
    if (w->ring.page) {
        watch_ended(w);
        if (w->gone) {
            drop_copies(w);
            ring_close(&w->ring, false);
        } else {
            take_back(w);
        }
    }
    if (w->scratch)
        hc->release(hc->ctx, w->scratch, PAGE);
    free(w->steps);
    free(w->copies);
    watch_kernel_free(w);
    symbols_free(&w->symbols);
}
