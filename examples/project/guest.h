/* SPDX-License-Identifier: MIT */
#pragma once

/* What a guest needs that has no operating system: hypercalls, exceptions, words, tests. */
#include <altp2m.h>

/* Before all else. */
void guest_begin(void);
/* The last line of facet-tests(5), and power off. */
void guest_end(const char *name);

void say(const char *text);
/* A line of facet-tests(5). */
void test(const char *name, bool good, const char *wanted);

/* HVMOP_altp2m, as libfacet-agent wants it. All memory is mapped where it is. */
long hvm_op(void *context, unsigned op, void *arg);
altp2m_gfn_t gfn_of(const volatile void *at);

/* A load and a store of a byte: false if a #GP came instead. */
bool try_read(const volatile void *at, unsigned char *value);
bool try_write(volatile void *at, unsigned char value);
extern const char on_gp[]; /* the handler */
void vector_set(unsigned vector, const void *handler);
