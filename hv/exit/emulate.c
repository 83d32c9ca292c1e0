/* SPDX-License-Identifier: MIT */
/*
 * An instruction that a monitor lets through ("emulate", as Xen calls it) is not interpreted but
 * run, single-stepped, where everything is allowed and nobody else can go (core/lift.c): right for
 * every instruction, and no other vCPU notices. As with Xen's emulator the host map's frames show
 * there, so a view's remaps do not count.
 */
#include <errno.h>
#include "domain.h"
#include "exit/emulate.h"
#include "monitor.h"
#include "vcpu/patch.h"

#define ROUNDS_MAX 4096u /* iterations of a REP: as many as Xen's emulator does at once */

static void begin(struct vcpu *v, bool once)
{
    struct exit_vcpu *x = &v->exit;

    x->emulating = true;
    x->watch_update =
        x->watch_update || x->watch.descriptors || x->watch.table_loads; /* not watched meanwhile */
    x->emulate_once = once;
    x->emulate_failed = false;
    x->emulate_rounds = 0;
    x->emulate_rip = vcpu_get(v, VCPU_RIP);
}

enum emulate_result emulate_walk(struct vcpu *v, gpa_t a, bool judged)
{
    int rc = v->exit.emulating ? -EINVAL : altp2m_lift_walk(&v->altp2m, judged);

    if (rc == 0) {
        begin(v, false);
        v->exit.walk_first = a;
    } else if (rc == -EBUSY) {
        sched_yield(v); /* then the instruction meets it again */
    }
    return rc == 0 ? EMULATE_DONE : rc == -EBUSY ? EMULATE_LATER : EMULATE_REFUSED;
}

enum emulate_result emulate_begin(struct vcpu *v, const uint8_t *bytes, bool once)
{
    if (bytes && patch_by_others(v)) {
        return EMULATE_LATER;
    }
    if (v->exit.emulating || altp2m_lift(&v->altp2m) != 0) {
        return EMULATE_REFUSED;
    }
    begin(v, once);
    if (bytes && !patch_show(v, bytes)) {
        vcpu_emulate_stop(v);
        return EMULATE_REFUSED;
    }
    return EMULATE_DONE;
}

void emulate_pause(struct vcpu *v)
{
    if (v->altp2m.lifted_walk) {
        vcpu_emulate_stop(v);
    }
}

/* The string instructions: SDM 2, table A-2. */
static bool repeats(struct vcpu *v)
{
    uint8_t code[6], op = 0;
    bool rep = false;

    if (vcpu_code(v, code, sizeof(code)) < sizeof(code)) {
        return false; /* at the end of what is mapped: one iteration, then its event again */
    }
    for (unsigned i = 0; i < sizeof(code) && op == 0; i++) {
        bool prefix = code[i] == 0x66 || code[i] == 0x67 || code[i] == 0xf2 || code[i] == 0xf3 ||
                      (vcpu_long_mode(v) && (code[i] & 0xf0) == 0x40);

        rep = rep || code[i] == 0xf2 || code[i] == 0xf3;
        op = prefix ? 0 : code[i];
    }
    return rep &&
           ((op >= 0x6c && op <= 0x6f) || (op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf));
}

/* Whether there is more to do. */
static bool goes_on(struct vcpu *v, const struct vcpu_exit *e, bool broke_off)
{
    struct exit_vcpu *x = &v->exit;

    if (x->emulate_failed || v->domain->dying) {
        return false;
    }
    if (x->stepped) {
        return !x->emulate_once && vcpu_get(v, VCPU_RIP) == x->emulate_rip &&
               ++x->emulate_rounds < ROUNDS_MAX && repeats(v);
    }
    switch (e->kind) {
    case VCPU_EXIT_INTERRUPT:
    case VCPU_EXIT_WINDOW:
    case VCPU_EXIT_IRET:
    case VCPU_EXIT_SLICE:
        return true;
    case VCPU_EXIT_VIOLATION:
        return vcpu_get(v, VCPU_RIP) == x->emulate_rip && (!v->event.due || broke_off);
    default: /* a fault, or something that was done for it */
        return false;
    }
}

void emulate_finish(struct vcpu *v, const struct vcpu_exit *e, bool broke_off)
{
    bool failed = v->exit.emulate_failed;

    if (!v->exit.emulating || goes_on(v, e, broke_off)) {
        return;
    }
    vcpu_emulate_stop(v);
    if (failed) {
        monitor_not_emulated(v);
    }
}
