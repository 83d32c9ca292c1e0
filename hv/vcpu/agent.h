/* SPDX-License-Identifier: MIT */
#pragma once

/* What a vCPU has otherwise in its agent than outside. Only agent.c touches the members. */
#include <facet/types.h>

/* A vCPU's state that its agent has otherwise (agent.c). */
struct agent_state {
    uint64_t rip, rsp, rflags, cr3, gdt, idt, gdt_limit, idt_limit, dr7;
};

struct agent_vcpu {
    struct agent_state entry, outside;
    uint64_t cr0, efer; /* outside */
    uint64_t trap;      /* if rare */
    bool rare;          /* it has something there, or in dr7, that the agent has otherwise */
    bool down;          /* INIT, or being taken down, waits until it has left */
};
