/* SPDX-License-Identifier: MIT */
#include "gate.h"

/* gate_entry.S: where the page holds a view's number, as a 32-bit operand. */
struct gate_operand {
    void *at;
    uint64_t agent; /* 1: the agent's view, 0: the kernel's */
};
extern const struct gate_operand gate_operands[], gate_operands_end[];

int gate_set_views(altp2m_view_t kernel, altp2m_view_t agent,
                   int (*code_write)(void *context, void *at, const void *from, size_t size),
                   void *context)
{
    for (const struct gate_operand *o = gate_operands; o < gate_operands_end; o++) {
        uint32_t number = o->agent ? agent.v : kernel.v;
        int rc = code_write(context, o->at, &number, sizeof(number));

        if (rc)
            return rc;
    }
    return 0;
}
