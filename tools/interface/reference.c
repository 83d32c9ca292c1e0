/* SPDX-License-Identifier: MIT */
/*
 * Prints docs/reference.md. `make reference` writes it, `make check-reference` compares.
 */
#include <stdio.h>

#include "core/policy.h"
#include "rows.h"
#include <facet/hvmop.h>

static const char head[] =
    "<!-- Made by `make reference` from core/subops.h. Do not edit. -->\n"
    "# Reference of HVMOP_altp2m\n"
    "\n"
    "Hypercall `hvm_op` (34), operation 25, with an 80-byte `struct xen_hvm_altp2m_op`: `version` "
    "1,\n"
    "`cmd` a number from here, `domain`, and from byte 16 on the argument `u`. Arguments of 1 to "
    "16\n"
    "are those of Xen's `<xen/hvm/hvm_op.h>`, those from 0x8000 on are in "
    "`include/facet/hvmop.h`.\n"
    "What is not as on Xen 4.17 is in [differences.md](differences.md), the audit in\n"
    "[audit.md](audit.md).\n"
    "\n"
    "Checks that all have in common, in this order: no altp2m on this machine `-EOPNOTSUPP`; "
    "argument\n"
    "cannot be read `-EFAULT`; padding or version `-EINVAL`; no such `cmd` `-EOPNOTSUPP`; no such\n"
    "domain `-ESRCH` (an audited guest: `-EPERM` for every other domain); altp2m is off\n"
    "`-EOPNOTSUPP`; mode `disabled` `-EINVAL`; no views allowed `-EOPNOTSUPP`; mode, policy, "
    "privilege or\n"
    "[seal](#seal) `-EPERM`; padding of the argument `-EINVAL`; under `audited`, view 0 as the "
    "view to\n"
    "change `-EPERM`.\n"
    "\n"
    "Bytes are counted from `u` on. \"In\" is what the caller gives, \"out\" what it gets back; "
    "what is\n"
    "both has to be 0 at first where it is called progress. C functions for all of them are in\n"
    "`include/facet/altp2m_stubs.h`.\n"
    "\n"
    "Callers inside the guest may use what both the mode and the policy give; `altp2m_allow` adds "
    "to\n"
    "the policy and `altp2m_deny` takes away. A monitor may use all in every mode but `disabled`.\n"
    "\n"
    "| number | name | since | mixed | limited | open | grandfathered | audited | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|\n";

static void number(uint32_t n)
{
    printf(n < FACET_ALTP2M_query ? "%u" : "0x%04x", n);
}

static void since(unsigned release)
{
    if (release) {
        printf("Xen %u.%u", release >> 8, release & 0xff);
    } else {
        printf("Facet");
    }
}

static const char *yes(int is)
{
    return is ? "yes" : "no";
}

static const char *gives(unsigned policy, uint32_t nr)
{
    return yes((policy_allowed(policy, 0, 0) & policy_bit(nr)) != 0);
}

static void line(const struct row *r)
{
    printf("| ");
    number(r->number);
    printf(" | [%s](#%s) | ", r->name, r->name);
    since(r->since);
    printf(" | yes | %s | %s | %s | %s | %s |\n", yes(r->flags & LIMITED),
           gives(POLICY_OPEN, r->number), gives(POLICY_GRANDFATHERED, r->number),
           gives(POLICY_AUDITED, r->number), r->verdict);
}

static void padding(uint64_t pads)
{
    const char *comma = "";

    for (unsigned i = 0, end; i < 64; i = end) {
        for (end = i; end < 64 && pads >> end & 1; end++) {
        }
        if (end > i) {
            printf(end - i > 1 ? "%s%u to %u" : "%s%u", comma, i, end - 1);
            comma = ", ";
        }
        end += end == i;
    }
}

static void argument(const struct row *r)
{
    static const char *const ways[] = {[IN] = "in", [OUT] = "out", [INOUT] = "in, out"};
    static const char *const kinds[] = {
        [VIEW] = "view",
        [VCPU] = "vCPU",
        [GFN] = "gfn",
        [ACCESS] = "xenmem_access_t",
        [SWITCH] = "0 or 1",
        [FLAGS] = "flags",
        [COUNT] = "number of something",
        [NUMBER] = "number",
        [PROGRESS] = "progress",
        [ERROR] = "negative errno",
        [LIST] = "linear address, read",
        [BUFFER] = "linear address, written",
        [HANDLE] = "linear address, read",
        [BYTES] = "array",
    };

    printf("\n| bytes | field of `%s` | | |\n|---|---|---|---|\n", r->type);
    for (unsigned i = 0; i < r->nr_fields; i++) {
        const struct field *f = &r->fields[i];

        printf("| %u", f->offset);
        if (f->size > 1) {
            printf(" to %u", f->offset + f->size - 1);
        }
        printf(" | `%s` | %s | %s |\n", f->name, ways[f->way], kinds[f->kind]);
    }
}

static void section(const struct row *r)
{
    static const char *const uses[] = {
        [NO_VIEW] = "Names no view.",
        [READS] = "Reads the view that it names; an audited guest: its own and view 0.",
        [ENTERS] = ("Enters the view that it names; an audited guest: its own, view 0 and what a "
                    "monitor shows it."),
        [EDITS] = "Works on the view that it names; an audited guest: its own only.",
    };

    printf("\n## %s\n\n%s\n\n", r->name, r->summary);
    printf("- Number ");
    number(r->number);
    printf(", ");
    since(r->since);
    printf(", argument of %u bytes", r->arg);
    if (r->pads) {
        printf("; bytes that must be 0: ");
        padding(r->pads);
    }
    printf(".\n- ");
    if (r->out_size) {
        printf("Writes back %u bytes of the argument from byte %u on%s.\n", r->out_size, r->out,
               r->flags & ALWAYS    ? ", whatever it returns"
               : r->flags & PARTIAL ? ", also while it goes on"
                                    : ", when it returns 0");
        if (r->flags & ASKED) {
            printf("  If that cannot be written it is `-EFAULT`, and nothing is done.\n");
        }
    } else {
        printf("Writes nothing back.\n");
    }
    printf("- %s\n", r->flags & INACTIVE ? "Works while altp2m is off." : "Needs altp2m to be on.");
    printf("- %s\n", uses[r->use]);
    if (r->flags & ANYWHERE) {
        printf("- A sealed guest may use it outside of its agent's view too.\n");
    }
    printf("- Audit: %s: %s. Test: `%s`.\n", r->verdict, r->reason, r->test);
    argument(r);
}

int main(void)
{
    rows_init();
    fputs(head, stdout);
    for (unsigned i = 0; i < nr_rows; i++) {
        line(&rows[i]);
    }
    for (unsigned i = 0; i < nr_rows; i++) {
        section(&rows[i]);
    }
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
