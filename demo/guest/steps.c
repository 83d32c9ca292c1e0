/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "shell.h"
#include "vmfunc.h"
#include "words.h"
#include "xenabi.h"

#define TEXT   32 /* bytes at the start of a page that the demo writes and shows */
#define SALT   "salt"
#define PEPPER "pepper"

static const char *at(const struct stage *s, int page)
{
    return s->page[page].at;
}

/* The compiler must not remember what a page held before a view was switched. */
static bool holds(const char *page, const char *text)
{
    char now[TEXT];

    __asm__ volatile("" : : : "memory");
    memcpy(now, page, sizeof(now));
    now[TEXT - 1] = '\0';
    return !strcmp(now, text);
}

static void write_text(struct stage *s, int page, const char *text)
{
    __asm__ volatile("" : : : "memory");
    snprintf(s->page[page].at, TEXT, "%s", text);
    __asm__ volatile("" : : : "memory");
}

static bool expect(const struct stage *s, int page, const char *text, const char *where)
{
    if (!pages_still_there(&s->page[page]))
        return false;
    report_note("%s: address %p holds \"%.*s\"", where, (const void *)at(s, page), TEXT - 1,
                at(s, page));
    return holds(at(s, page), text) || report_fail("%s, address %p does not hold \"%s\"", where,
                                                   (const void *)at(s, page), text);
}

static bool expect_vcpu_on(const struct stage *s, view_t v)
{
    view_t now;
    int rc = subop_get_vcpu_view(&s->self, 0, &now);

    if (rc)
        return report_fail("the hypervisor does not tell vCPU 0's view (%d)", rc);
    return view_eq(now, v) || report_fail("the hypervisor says view %u, not view %u", now.v, v.v);
}

static bool step_interface(struct stage *s)
{
    uint64_t mode = XEN_ALTP2M_disabled;

    if (!shell_ok("altp2m info"))
        return false;
    if (subop_get_mode(&s->self, &mode) || mode != XEN_ALTP2M_mixed)
        return report_fail("the domain is in %s mode, not mixed", words_mode(mode));
    snprintf(s->result, sizeof(s->result), "the guest may work on its own views (mixed mode)");
    return true;
}

static bool step_on(struct stage *s)
{
    bool on = false;

    if (!shell_ok("altp2m on") || !shell_ok("altp2m list"))
        return false;
    if (subop_get_state(&s->self, &on) || !on)
        return report_fail("altp2m is still off");
    snprintf(s->result, sizeof(s->result), "altp2m is on and vCPU 0 runs on view 0");
    return expect_vcpu_on(s, view(0));
}

static bool step_pages(struct stage *s)
{
    static const char *const names[PAGE_COUNT] = {"salt",  "pepper", "secret",
                                                  "blank", "ledger", "#VE"};

    if (!pages_take(s->page, PAGE_COUNT))
        return false;
    for (int i = 0; i < PAGE_COUNT; i++) {
        s->page[i].name = names[i];
        report_note("page %-6s address %p is gfn 0x%" PRIx64, names[i], (void *)s->page[i].at,
                    s->page[i].gfn.v);
        for (int k = 0; k < i; k++)
            if (gfn_eq(s->page[i].gfn, s->page[k].gfn))
                return report_fail("two pages have one gfn");
    }
    write_text(s, PAGE_SALT, SALT);
    write_text(s, PAGE_PEPPER, PEPPER);
    write_text(s, PAGE_BLANK, "nothing here");
    write_text(s, PAGE_LEDGER, "balance 100");
    snprintf(s->secret, sizeof(s->secret), "secret %" PRIx64, report_tsc());
    write_text(s, PAGE_SECRET, s->secret);
    snprintf(s->result, sizeof(s->result), "six locked pages of this process, gfns known");
    return true;
}

static bool create_view(struct stage *s)
{
    unsigned int v;

    if (!shell_ok("altp2m create"))
        return false;
    if (sscanf(shell_output, "%u", &v) != 1 || v == 0 || v >= VIEW_MAX)
        return report_fail("create printed no view number");
    s->other = view((uint16_t)v);
    return true;
}

static bool step_two_contents(struct stage *s)
{
    gfn_t salt = s->page[PAGE_SALT].gfn, pepper = s->page[PAGE_PEPPER].gfn;

    if (!create_view(s) ||
        !shell_ok("altp2m remap %u 0x%" PRIx64 " 0x%" PRIx64, s->other.v, salt.v, pepper.v) ||
        !expect(s, PAGE_SALT, SALT, "view 0") || !shell_ok("altp2m switch %u", s->other.v) ||
        !expect_vcpu_on(s, s->other) || !expect(s, PAGE_SALT, PEPPER, "the new view"))
        return false;
    report_note("written there: \"black pepper\"");
    write_text(s, PAGE_SALT, "black pepper");
    if (!shell_ok("altp2m switch 0") || !expect_vcpu_on(s, view(0)) ||
        !expect(s, PAGE_SALT, SALT, "view 0") ||
        !expect(s, PAGE_PEPPER, "black pepper", "view 0, the other page"))
        return false;
    snprintf(s->result, sizeof(s->result),
             "one virtual address, two contents; a write in one view does not reach the other");
    return true;
}

static bool physical_holds(struct stage *s, const char *text, const char *where)
{
    static char buf[PAGE_SIZE];

    if (!pages_read_physical(&s->page[PAGE_SECRET], buf))
        return false;
    report_note("%s: the kernel reads \"%.*s\" at physical address 0x%" PRIx64, where, TEXT - 1,
                buf, gfn_to_gpa(s->page[PAGE_SECRET].gfn).v);
    return holds(buf, text) || report_fail("%s, physical memory does not hold \"%s\"", where, text);
}

static bool step_one_view_only(struct stage *s)
{
    gfn_t secret = s->page[PAGE_SECRET].gfn, blank = s->page[PAGE_BLANK].gfn;

    if (!shell_ok("altp2m remap 0 0x%" PRIx64 " 0x%" PRIx64, secret.v, blank.v) ||
        !expect(s, PAGE_SECRET, "nothing here", "view 0") ||
        !physical_holds(s, "nothing here", "view 0"))
        return false;
    report_note("written in view 0: \"overwritten\"");
    write_text(s, PAGE_SECRET, "overwritten");
    if (!shell_ok("altp2m switch %u", s->other.v) ||
        !expect(s, PAGE_SECRET, s->secret, "the other view") ||
        !physical_holds(s, s->secret, "the other view") || !shell_ok("altp2m switch 0") ||
        !expect(s, PAGE_SECRET, "overwritten", "view 0"))
        return false;
    snprintf(s->result, sizeof(s->result),
             "no address of view 0 leads to the secret, not even the kernel's; it is in view %u",
             s->other.v);
    return true;
}

/*
 * A #VE would reach a kernel without a handler for it. The processor raises none while the
 * information page's second word is not zero (SDM vol. 3C, 26.5.7.1), so it is never zero here.
 */
static bool allow_vmfunc(struct stage *s)
{
    struct page *p = &s->page[PAGE_VE_INFO];
    int rc;

    ((volatile uint32_t *)(void *)p->at)[1] = ~0u;
    rc = subop_enable_notify(&s->self, 0, p->gfn);
    report_note("vcpu_enable_notify: vCPU 0 may use VMFUNC; #VE information page is gfn 0x%" PRIx64,
                p->gfn.v);
    return rc == 0 || report_fail("vcpu_enable_notify was refused (%d)", rc);
}

static bool step_vmfunc(struct stage *s)
{
    char seen[TEXT] = "";

    if (vmfunc_switch(view(0)))
        return report_fail("VMFUNC worked before it was allowed");
    report_note("VMFUNC before that: refused with #UD");
    if (!allow_vmfunc(s))
        return false;
    if (!vmfunc_peek(s->other, at(s, PAGE_SALT), seen, TEXT))
        return report_fail("VMFUNC was refused");
    seen[TEXT - 1] = '\0';
    report_note("VMFUNC to view %u and back: \"%s\" there, \"%s\" here", s->other.v, seen,
                at(s, PAGE_SALT));
    if (strcmp(seen, "black pepper") || !holds(at(s, PAGE_SALT), SALT))
        return report_fail("VMFUNC did not switch the view");
    if (!vmfunc_switch(s->other) || !expect_vcpu_on(s, s->other) || !vmfunc_switch(view(0)) ||
        !expect_vcpu_on(s, view(0)))
        return report_fail("the hypervisor has lost track of the view");
    snprintf(s->result, sizeof(s->result),
             "user space switched views without the hypervisor, in %" PRIu64 " ticks",
             vmfunc_ticks(s->other));
    return true;
}

static bool step_hidden(struct stage *s)
{
    if (!shell_ok("altp2m hide %u", s->other.v))
        return false;
    if (vmfunc_switch(s->other))
        return report_fail("VMFUNC reached a hidden view");
    report_note("VMFUNC to view %u: refused with #UD", s->other.v);
    if (!shell_refused("hidden", "altp2m switch %u", s->other.v) ||
        !shell_ok("altp2m show %u", s->other.v))
        return false;
    if (!vmfunc_switch(s->other) || !vmfunc_switch(view(0)))
        return report_fail("VMFUNC is still refused");
    snprintf(s->result, sizeof(s->result),
             "neither VMFUNC nor the hypercall reaches a hidden view");
    return true;
}

static bool expect_access(const struct stage *s, view_t v, const char *access)
{
    char line[64];
    gfn_t g = s->page[PAGE_LEDGER].gfn;

    if (!shell_ok("altp2m access %u 0x%" PRIx64, v.v, g.v))
        return false;
    snprintf(line, sizeof(line), "0x%" PRIx64 " %s\n", g.v, access);
    return !strcmp(shell_output, line) || report_fail("the access is not %s", access);
}

static bool step_violation(struct stage *s)
{
    gfn_t g = s->page[PAGE_LEDGER].gfn;

    if (!shell_ok("altp2m access %u 0x%" PRIx64 " r", s->other.v, g.v) ||
        !expect_access(s, s->other, "r") || !shell_ok("altp2m switch %u", s->other.v) ||
        !expect(s, PAGE_LEDGER, "balance 100", "read there"))
        return false;
    report_note("a write to the read-only page, and nobody listens for violations");
    write_text(s, PAGE_LEDGER, "balance 0");
    if (!expect(s, PAGE_LEDGER, "balance 0", "the write went through") ||
        !expect_access(s, s->other, "rwx") || !expect_access(s, view(0), "rwx"))
        return false;
    snprintf(s->result, sizeof(s->result),
             "without a listener the write is done and the restriction is dropped, as on Xen");
    return true;
}

static bool step_refusals(struct stage *s)
{
    if (!shell_refused("switch away first", "altp2m destroy %u", s->other.v) ||
        !shell_refused("does not exist", "altp2m switch 499") ||
        !shell_refused("is a hole", "altp2m remap %u 0xfffff00 0x%" PRIx64, s->other.v,
                       s->page[PAGE_SALT].gfn.v))
        return false;
    snprintf(s->result, sizeof(s->result), "what cannot be done is refused, in words");
    return true;
}

static bool step_off(struct stage *s)
{
    bool on = true;

    if (!shell_ok("altp2m switch 0") ||
        !shell_ok("altp2m unremap %u 0x%" PRIx64, s->other.v, s->page[PAGE_SALT].gfn.v) ||
        !shell_ok("altp2m switch %u", s->other.v) || !expect(s, PAGE_SALT, SALT, "unremapped") ||
        !shell_ok("altp2m switch 0") || !shell_ok("altp2m destroy %u", s->other.v) ||
        !shell_ok("altp2m unremap 0 0x%" PRIx64, s->page[PAGE_SECRET].gfn.v) ||
        !expect(s, PAGE_SECRET, s->secret, "view 0 again") || !shell_ok("altp2m off"))
        return false;
    if (subop_get_state(&s->self, &on) || on)
        return report_fail("altp2m is still on");
    if (vmfunc_switch(view(0)))
        return report_fail("VMFUNC still works");
    snprintf(s->result, sizeof(s->result), "every page is back, altp2m is off, VMFUNC is refused");
    return expect(s, PAGE_SALT, SALT, "off") && expect(s, PAGE_LEDGER, "balance 0", "off");
}

const struct step steps[] = {
    {"ask what is here", step_interface},
    {"turn altp2m on", step_on},
    {"take real memory of this process", step_pages},
    {"one address, two views, two contents", step_two_contents},
    {"a page that exists in one view and not in the other", step_one_view_only},
    {"switch views with VMFUNC from user space", step_vmfunc},
    {"hide a view", step_hidden},
    {"break a restriction while nobody listens", step_violation},
    {"ask for what cannot be done", step_refusals},
    {"put everything back", step_off},
};
const unsigned int steps_count = ARRAY_SIZE(steps);

void steps_abandon(struct stage *s)
{
    subop_switch(&s->self, view(0));
    subop_set_state(&s->self, false);
}
