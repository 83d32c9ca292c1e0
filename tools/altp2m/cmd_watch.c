/* SPDX-License-Identifier: MIT */
/* Answers the events of a watched domain, and tells of them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "watch.h"

#define PAGE    4096u
#define WAIT_MS 200
#define TICK    1.0 /* seconds: between looks at the domain, and lines of --stats */

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

bool watch_stop_asked(void)
{
    return stop_asked;
}

/* ---- answers ---- */

static vm_event_response_t answer_to(const vm_event_request_t *r)
{
    vm_event_response_t a;

    memset(&a, 0, sizeof(a));
    a.version = VM_EVENT_INTERFACE_VERSION;
    a.vcpu_id = r->vcpu_id;
    a.reason = r->reason;
    a.flags = r->flags & VM_EVENT_FLAG_VCPU_PAUSED;
    return a;
}

/* One instruction in view 0, and back; with a report after it, or without. */
static void step_over(struct watch *w, vm_event_response_t *a, view_t back, bool reported)
{
    a->flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
    a->altp2m_idx = 0;
    w->steps[a->vcpu_id].fetch = WATCH_NOWHERE;
    if (reported) {
        a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    } else {
        a->flags |= VM_EVENT_FLAG_FAST_SINGLESTEP;
        a->u.fast_singlestep.p2midx = back.v;
    }
}

static bool in_our_view(const struct watch *w, const vm_event_request_t *r)
{
    return !view_eq(w->view, VIEW_NONE) && (r->flags & VM_EVENT_FLAG_ALTERNATE_P2M) &&
           (r->altp2m_idx == w->view.v || watch_pair_is_ours(w, view(r->altp2m_idx)));
}

/* --limit: the first ones of each second. */
static bool in_limit(struct watch *w)
{
    double now = w->limit ? watch_seconds(w) : 0;

    if (!w->limit)
        return true;
    if (now - w->limit_start >= 1) {
        w->limit_start = now;
        w->limit_told = 0;
    }
    return w->limit_told++ < w->limit;
}

/* Whether the filters let it through. Counts those that they do not. */
static bool passes(struct watch *w, enum watch_kind k, const vm_event_request_t *r)
{
    bool page = r->reason == VM_EVENT_REASON_MEM_ACCESS;

    if ((w->only_kinds & (1u << k)) && (!w->has_vcpu || r->vcpu_id == w->only_vcpu) &&
        (!w->has_gfns || !page || r->u.mem_access.gfn - w->gfn_first.v < w->gfn_count) &&
        watch_condition(w) && in_limit(w))
        return true;
    w->hidden++;
    return false;
}

/* ---- breakpoints ---- */

/* Of several, one at the very address: a page that two processes map at others may have both. */
static struct watch_break *break_at(struct watch *w, uint64_t gfn, uint64_t rip)
{
    struct watch_break *same = NULL;

    for (unsigned int i = 0; i < w->nr_breaks; i++) {
        struct watch_break *b = &w->breaks[i];

        if (b->gfn.v != gfn || b->offset != rip % PAGE) {
            if (b->address.v == rip && b->kind != WATCH_USER)
                return b;
            continue;
        }
        if (b->kind != WATCH_USER || (b->pid == w->now.who.pid && w->now.who.known))
            return b;
        same = b;
    }
    return same;
}

/* As if the function had returned the value at once. False: there is no way back to be read. */
static bool return_now(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    struct vm_event_regs_x86 *x = &a->data.regs.x86;
    struct guestmem_paging p = watch_paging(r);
    uint64_t to;

    if (guestmem_read(&w->memory, &p, gva(r->data.regs.x86.rsp), &to, sizeof(to)) != sizeof(to))
        return false;
    *x = r->data.regs.x86;
    x->rax = w->return_value;
    x->rsp += sizeof(to);
    x->rip = to;
    a->flags |= VM_EVENT_FLAG_SET_REGISTERS;
    return true;
}

static bool tell_break(struct watch *w, const struct watch_break *b, const vm_event_request_t *r)
{
    if (!passes(w, b->kind, r))
        return false;
    watch_tell(w, b->kind, r, b->label, NULL, NULL);
    return true;
}

/* At the end of a function that was met at its beginning. */
static bool on_return(struct watch *w, const vm_event_request_t *r)
{
    struct watch_call *c = watch_call_ends(w, r);
    struct watch_break *b;

    if (!c)
        return false;
    c->used = false;
    b = &w->breaks[c->breakpoint];
    w->now.b = b;
    w->now.args = w->now.returned = true;
    w->now.result = watch_result(b, r->data.regs.x86.rax);
    memcpy(w->now.arg, c->arg, sizeof(c->arg));
    return tell_break(w, b, r);
}

/* True if it was told of: another process may execute the same page. */
static bool on_own(struct watch *w, const vm_event_request_t *r, struct watch_break *b)
{
    if (b->kind == WATCH_USER && (b->pid != w->now.who.pid || !w->now.who.known))
        return false;
    b->hits++;
    if (b->is_return)
        return on_return(w, r);
    w->now.b = b;
    watch_args(w, r, b, w->now.arg);
    w->now.args = w->args || b->kind == WATCH_SYSCALL;
    if (!w->result)
        return tell_break(w, b, r);
    w->hidden += !watch_call_begins(w, r, b);
    return false;
}

/* b was reached; the instruction that is there goes on in `back`. */
static void hit(struct watch *w, struct watch_break *b, const vm_event_request_t *r,
                vm_event_response_t *a, view_t back)
{
    bool told = on_own(w, r, b);

    if (told && w->returns && return_now(w, r, a))
        watch_set_registers(w, r, a);
    else if (!told || !watch_set_registers(w, r, a))
        step_over(w, a, back, false);
}

static void on_break(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    struct watch_break *b =
        in_our_view(w, r) ? break_at(w, r->u.software_breakpoint.gfn, r->data.regs.x86.rip) : NULL;

    if (b) {
        hit(w, b, r, a, view(r->altp2m_idx));
        return;
    }
    if (passes(w, WATCH_OWN_BREAK, r))
        watch_tell(w, WATCH_OWN_BREAK, r, NULL, NULL, NULL);
    control_inject_breakpoint(w->t, r->vcpu_id, r->u.software_breakpoint.type,
                              (uint8_t)r->u.software_breakpoint.insn_length);
}

/* With pairs: a page may not be executed in this view. False: it is for on_page() to tell. */
static bool on_fetch(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    const struct watch_copy *c = watch_copy_at(w, gfn(r->u.mem_access.gfn));
    struct watch_break *b =
        c && watch_pair_begins(r) ? break_at(w, r->u.mem_access.gfn, r->data.regs.x86.rip) : NULL;
    view_t to;

    if (b && b->gfn.v == r->u.mem_access.gfn) {
        hit(w, b, r, a, watch_pair_view(w, c));
    } else if (watch_pair_turns(w, r, &to)) {
        a->flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
        a->altp2m_idx = to.v;
    } else if (c) {
        step_over(w, a, view(r->altp2m_idx), false);
    } else {
        return false;
    }
    return true;
}

/* ---- memory ---- */

static enum watch_kind page_kind(uint32_t flags)
{
    return flags & MEM_ACCESS_W ? WATCH_WRITE : flags & MEM_ACCESS_X ? WATCH_EXEC : WATCH_READ;
}

static const struct watch_range *range_of(const struct watch *w, const vm_event_request_t *r,
                                          enum watch_kind k)
{
    static const unsigned int want[] = {WATCH_R, WATCH_W, WATCH_X};
    uint64_t g = r->u.mem_access.gfn, offset = r->u.mem_access.offset;

    for (unsigned int i = 0; i < w->nr_ranges; i++) {
        const struct watch_range *x = &w->ranges[i];

        if ((x->want & want[k]) && g - x->first.v < x->count && offset >= x->from && offset < x->to)
            return x;
    }
    return NULL;
}
_Static_assert(WATCH_READ == 0 && WATCH_WRITE == 1 && WATCH_EXEC == 2, "range_of's table");

/* The bytes at the written place, as far as they lie in its page. */
static void look(struct watch *w, const vm_event_request_t *r, uint8_t *bytes)
{
    const uint8_t *page = guestmem_page(&w->memory, gfn(r->u.mem_access.gfn));
    uint64_t from = r->u.mem_access.offset & ~7ULL;

    memset(bytes, 0, WATCH_VALUES);
    if (page)
        memcpy(bytes, page + from, PAGE - from < WATCH_VALUES ? PAGE - from : WATCH_VALUES);
}

/* A restriction of the host's map, which no view can step over: it is lifted. */
static void lift(struct watch *w, const vm_event_request_t *r)
{
    if (passes(w, WATCH_OTHER, r))
        watch_tell(w, WATCH_OTHER, r, "lifted", NULL, NULL);
    control_host_access(w->t, gfn(r->u.mem_access.gfn), XENMEM_access_rwx);
}

static void on_page(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    enum watch_kind k = page_kind(r->u.mem_access.flags);
    const struct watch_range *range = range_of(w, r, k);
    const struct watch_copy *copy = watch_copy_at(w, gfn(r->u.mem_access.gfn));
    bool refresh = k == WATCH_WRITE && copy && !(w->pairs && view_eq(copy->executes, VIEW_NONE));
    bool tell = range && passes(w, k, r), values = tell && w->values && k == WATCH_WRITE;
    struct watch_step *step = &w->steps[r->vcpu_id];

    if (!in_our_view(w, r)) {
        lift(w, r);
        return;
    }
    if (w->pairs && k == WATCH_EXEC && on_fetch(w, r, a))
        return;
    w->hidden += !range;
    if (tell && !values)
        watch_tell(w, k, r, range->label, NULL, NULL);
    step->refresh = refresh;
    step->tell = values;
    if (refresh || values) {
        step->request = *r;
        look(w, r, step->before);
    }
    step_over(w, a, view(r->altp2m_idx), refresh || values);
}

/* The instruction would meet its event again and again: meanwhile they are turned off. */
static void hold_descriptors(struct watch *w, uint32_t vcpu, bool hold)
{
    struct xen_domctl_monitor_op op = {.event = XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS};

    if (w->steps[vcpu].descriptor != hold)
        control_event(w->t, &op, !hold);
    w->steps[vcpu].descriptor = hold;
}

static void on_step(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    struct watch_step *step = &w->steps[r->vcpu_id];
    const vm_event_request_t *was = &step->request;
    uint8_t after[WATCH_VALUES];

    if (step->refresh)
        watch_copy_refresh(w, watch_copy_at(w, gfn(was->u.mem_access.gfn)));
    if (step->tell) {
        const struct watch_range *range = range_of(w, was, WATCH_WRITE);

        w->now.r = was;
        look(w, was, after);
        watch_tell(w, WATCH_WRITE, was, range ? range->label : NULL, step->before, after);
    }
    step->refresh = step->tell = false;
    hold_descriptors(w, r->vcpu_id, false);
    a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    if (!view_eq(w->view, VIEW_NONE)) {
        a->flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
        a->altp2m_idx = w->view.v;
    }
}

/* ---- registers ---- */

static enum watch_kind plain_kind(const vm_event_request_t *r)
{
    static const uint8_t crs[] = {[VM_EVENT_X86_CR0] = WATCH_CR0,
                                  [VM_EVENT_X86_CR3] = WATCH_CR3,
                                  [VM_EVENT_X86_CR4] = WATCH_CR4,
                                  [VM_EVENT_X86_XCR0] = WATCH_XCR0};

    switch (r->reason) {
    case VM_EVENT_REASON_WRITE_CTRLREG:
        return crs[r->u.write_ctrlreg.index % ARRAY_SIZE(crs)];
    case VM_EVENT_REASON_MOV_TO_MSR:
        return WATCH_MSR;
    case VM_EVENT_REASON_CPUID:
        return WATCH_CPUID;
    case VM_EVENT_REASON_DESCRIPTOR_ACCESS:
        return WATCH_DESCRIPTOR;
    case VM_EVENT_REASON_DEBUG_EXCEPTION:
        return WATCH_DEBUG;
    case VM_EVENT_REASON_GUEST_REQUEST:
        return WATCH_REQUEST;
    case VM_EVENT_REASON_VMEXIT:
        return WATCH_EXIT;
    default:
        return WATCH_OTHER;
    }
}

static void on_register(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    enum watch_kind k = plain_kind(r);

    if (passes(w, k, r))
        watch_tell(w, k, r, NULL, NULL, NULL);
    if (k == WATCH_CPUID) {
        watch_pass_cpuid(r, a);
    } else if (k == WATCH_DESCRIPTOR) {
        hold_descriptors(w, r->vcpu_id, true);
        a->flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    }
}

/* ---- the loop ---- */

static void answer(struct watch *w, const vm_event_request_t *r)
{
    vm_event_response_t a = answer_to(r);

    w->now = (struct watch_now){.r = r};
    watch_who(w, r, &w->now.who);
    if (r->vcpu_id >= w->vcpus)
        w->hidden++;
    else if (r->reason == VM_EVENT_REASON_MEM_ACCESS)
        on_page(w, r, &a);
    else if (r->reason == VM_EVENT_REASON_SINGLESTEP)
        on_step(w, r, &a);
    else if (r->reason == VM_EVENT_REASON_SOFTWARE_BREAKPOINT)
        on_break(w, r, &a);
    else
        on_register(w, r, &a);
    ring_put(&w->ring, &a);
}

static bool enough(const struct watch *w)
{
    return stop_asked || (w->count && w->told >= w->count) ||
           (w->seconds > 0 && watch_seconds(w) >= w->seconds) || ferror(w->s->out);
}

static int patience(const struct watch *w)
{
    double left = w->seconds > 0 ? (w->seconds - watch_seconds(w)) * 1000 : WAIT_MS;

    return left < 1 ? 1 : left < WAIT_MS ? (int)left : WAIT_MS;
}

static void loop(struct watch *w)
{
    double tick = watch_seconds(w);
    vm_event_request_t r;

    w->last_stats = tick;
    while (!enough(w)) {
        int news = ring_wait(&w->ring, patience(w));
        bool any = false;

        while (!enough(w) && ring_get(&w->ring, &r)) {
            answer(w, &r);
            any = true;
        }
        if (any)
            ring_notify(&w->ring);
        if (watch_seconds(w) - tick >= TICK || !news) {
            if (watch_ended(w))
                return;
            guestmem_drop(&w->memory);
            if (w->stats && watch_seconds(w) - tick >= TICK)
                watch_rates(w);
            tick = news ? watch_seconds(w) : tick;
        }
    }
}

static void catch_signals(struct sigaction *old, bool on)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction sa = {.sa_handler = on_signal};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], on ? &sa : &old[i], on ? &old[i] : NULL);
}

static enum command_status run(struct watch *w)
{
    struct sigaction old[4];
    enum command_status st;

    stop_asked = 0;
    catch_signals(old, true);
    clock_gettime(CLOCK_MONOTONIC, &w->start);
    st = watch_begin(w);
    if (st == COMMAND_OK) {
        watch_hello(w);
        clock_gettime(CLOCK_MONOTONIC, &w->start);
        loop(w);
    }
    watch_end(w);
    if (st == COMMAND_OK) {
        if (w->gone && !w->s->json)
            fprintf(w->s->err, "domain %u has ended\n", w->t->domid);
        watch_summary(w);
    }
    catch_signals(old, false);
    return st;
}

enum command_status cmd_watch(struct session *s, char **argv, int argc)
{
    struct watch *w;
    enum command_status st;

    if (s->target.domid == DOMID_SELF)
        return command_refuse(s, "a domain cannot watch itself",
                              "name another one: altp2m -d DOMID watch ...", EINVAL);
    w = calloc(1, sizeof(*w));
    if (!w)
        return command_refuse(s, "out of memory", NULL, ENOMEM);
    w->s = s;
    w->t = &s->target;
    w->column_seconds = 1;
    st = watch_parse(w, argv, argc);
    if (st == COMMAND_OK)
        st = run(w);
    else
        symbols_free(&w->symbols);
    free(w);
    return st;
}
