/* SPDX-License-Identifier: MIT */
/* What a monitor's answer orders of a vCPU. */
#include "exit/orders.h"
#include "domain.h"
#include "exit/emulate.h"
#include "exit/exit.h"

static void set_registers(struct vcpu *v, struct monitor_orders *o)
{
    if (o->set_registers) {
        o->set_registers = false;
        if (!vcpu_registers_load(v, o->registers)) {
            monitor_registers_refused(v);
        }
    }
}

static enum emulate_result emulate_as(struct vcpu *v, const struct monitor_orders *o,
                                      enum monitor_emulate how)
{
    bool once = v->domain->guest.monitor.wish.each_rep;

    switch (how) {
    case MONITOR_EMULATE_RUN:
        return emulate_begin(v, NULL, once);
    case MONITOR_EMULATE_BYTES:
        return emulate_begin(v, o->emulate_data, once);
    case MONITOR_EMULATE_DATA:
        return mmio_carry_out(v, o->emulate_data, o->emulate_size, false) ? EMULATE_DONE
                                                                          : EMULATE_REFUSED;
    case MONITOR_EMULATE_NOWRITE:
        return mmio_carry_out(v, NULL, 0, true) ? EMULATE_DONE : EMULATE_REFUSED;
    default:
        return EMULATE_DONE;
    }
}

static void emulate(struct vcpu *v, struct monitor_orders *o)
{
    enum monitor_emulate how = (enum monitor_emulate)o->emulate;
    enum emulate_result done;

    o->emulate = MONITOR_EMULATE_NONE;
    done = emulate_as(v, o, how);
    if (done == EMULATE_LATER) {
        o->emulate = (uint8_t)how;
        sched_yield(v);
    } else if (done == EMULATE_REFUSED) {
        monitor_not_emulated(v);
    }
}

static void finish_write(struct vcpu *v, struct monitor_orders *o)
{
    uint8_t write = o->write;

    o->write = MONITOR_WRITE_NONE;
    if (write == MONITOR_WRITE_MSR) {
        msr_write(v, o->write_msr, o->write_value);
    } else if (write != MONITOR_WRITE_NONE) {
        control_write(v, write - MONITOR_WRITE_CR0, o->write_value);
    }
}

void orders_carry_out(struct vcpu *v)
{
    struct monitor_orders *o = &v->guest.monitor.orders;

    set_registers(v, o);
    emulate(v, o);
    finish_write(v, o);
}
