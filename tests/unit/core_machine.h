/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The real core on the fake machine (fake.h), behind the altp2m command's hypercall interface. It
 * is linked as one object of which only these names are seen: the core's handlers are called as the
 * command's functions are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_PAGES                                                                              \
    8192u /* gfns below this are memory, at MACHINE_FRAME + gfn; others are holes */
#define MACHINE_FRAME 0x100000u
#define MACHINE_VCPUS 3u

/* Domain 1 with altp2m in this mode under this policy (core/policy.h), off. */
void machine_start(unsigned mode, unsigned policy);
/* Checks that nothing leaked. */
void machine_stop(void);

/* struct hypercall's functions; the context is not used. */
int machine_hvm_op(void *ctx, unsigned int op, void *arg, size_t size);
void *machine_alloc(void *ctx, size_t size);
void machine_release(void *ctx, void *p, size_t size);

/* What a processor on the view gets at gfn: the frame, or -1 without any right; rights as RIGHT_*,
 * r w x = 1 2 4. */
struct machine_page {
    int64_t frame;
    unsigned rights;
    bool suppress_ve;
};
struct machine_page machine_page(unsigned view, uint64_t gfn);
/* The view that a vCPU is on. */
unsigned machine_view(unsigned vcpu);
