/* SPDX-License-Identifier: MIT */
#include "gate.h"

/* gate_entry.S: where its pages hold a view's number, as a 32-bit operand. */
struct gate_operand {
    void *at;
    uint64_t view; /* 0: the kernel's, 1: the agent's, 2: the store view */
};
extern const struct gate_operand gate_operands[], gate_operands_end[];
extern uint64_t gate_tag;

int gate_set_views(const struct gate_views *views, uint64_t tag,
                   int (*code_write)(void *context, void *at, const void *from, size_t size),
                   void *context)
{
    const uint32_t numbers[] = {views->kernel.v, views->agent.v, views->store.v};

    for (const struct gate_operand *o = gate_operands; o < gate_operands_end; o++) {
        int rc = code_write(context, o->at, &numbers[o->view], sizeof(numbers[0]));

        if (rc)
            return rc;
    }
    return code_write(context, &gate_tag, &tag, sizeof(tag));
}
