/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "control.h"

#define AT_ONCE 32u
#define MIB     256u /* pages */

static const char *state_of(const struct xen_domctl_getdomaininfo *d)
{
    if (d->flags & XEN_DOMINF_dying)
        return "dying";
    if (d->flags & XEN_DOMINF_shutdown)
        return "shut down";
    if (d->flags & XEN_DOMINF_paused)
        return "paused";
    return d->flags & XEN_DOMINF_running ? "running" : "idle";
}

/* Its altp2m mode, and whether altp2m is on; "unknown" if it may not be asked. */
static const char *mode_of(const struct hypercall *hc, uint16_t domid, bool *on)
{
    struct subop_target t = {hc, domid};
    uint64_t mode;

    *on = false;
    if (subop_get_mode(&t, &mode))
        return "unknown";
    if (mode != XEN_ALTP2M_disabled && subop_get_state(&t, on))
        *on = false;
    return words_mode(mode);
}

static void human(struct session *s, const struct xen_domctl_getdomaininfo *d, bool self)
{
    bool on;
    const char *mode = mode_of(s->target.hc, d->domain, &on);

    fprintf(s->out, "%-7u %6" PRIu64 " MiB  %-5" PRIu32 "  %-9s  %-8s  %-3s%s\n", d->domain,
            d->tot_pages / MIB, d->max_vcpu_id + 1, state_of(d), mode, on ? "on" : "off",
            self ? "  (this one)" : "");
}

static void machine(struct session *s, const struct xen_domctl_getdomaininfo *d, bool self,
                    struct json *j)
{
    bool on;
    const char *mode = mode_of(s->target.hc, d->domain, &on);

    json_open(j, NULL, '{');
    json_number(j, "domid", d->domain);
    json_bool(j, "self", self);
    json_number(j, "pages", d->tot_pages);
    json_number(j, "vcpus", d->max_vcpu_id + 1);
    json_string(j, "state", state_of(d));
    json_number(j, "cpu_time_ns", d->cpu_time);
    json_string(j, "mode", mode);
    json_bool(j, "altp2m", on);
    json_close(j, '}');
}

static enum command_status refused(struct session *s, int rc)
{
    char text[80], name[24];

    if (rc == -EPERM || rc == -ENOSYS)
        return command_refuse(s, "not permitted: this domain does not control others",
                              "run it in dom0, or in a domain with monitor = 1", -rc);
    if (rc == -EACCES)
        return command_refuse(s, "the hypervisor speaks another version of the control calls",
                              "this altp2m is for those of Xen 4.17, and Facet", EACCES);
    snprintf(text, sizeof(text), "no list of domains: %s", words_errno(-rc, name));
    return command_refuse(s, text, NULL, -rc);
}

enum command_status cmd_domains(struct session *s, char **argv, int argc)
{
    struct xen_domctl_getdomaininfo list[AT_ONCE];
    const struct hypercall *hc = s->target.hc;
    int self = hc->own_domid(hc->ctx), n = control_list(hc, 0, AT_ONCE, list);
    struct json j = json_to(s->out);

    (void)argv;
    (void)argc;
    if (n < 0)
        return refused(s, n);
    if (s->json) {
        json_open(&j, NULL, '{');
        json_bool(&j, "ok", true);
        json_open(&j, "domains", '[');
    } else {
        fprintf(s->out, "DOMAIN      MEMORY  VCPUS  STATE      MODE      ALTP2M\n");
    }
    while (n > 0) {
        for (int i = 0; i < n; i++) {
            bool own = list[i].domain == self;

            if (s->json)
                machine(s, &list[i], own, &j);
            else
                human(s, &list[i], own);
        }
        n = n == (int)AT_ONCE ? control_list(hc, (uint16_t)(list[n - 1].domain + 1), AT_ONCE, list)
                              : 0;
    }
    if (s->json) {
        json_close(&j, ']');
        json_close(&j, '}');
        fputc('\n', s->out);
    }
    return COMMAND_OK;
}
