/* SPDX-License-Identifier: MIT */
#pragma once

/* Questions that change nothing: which views exist, and where the vCPUs are. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "subop.h"

#define SURVEY_VCPU_MAX 8192u /* more than any HVM domain may have */

/*
 * 0 and the view's default access if it exists, -EINVAL if it does not. Asks get_mem_access for
 * gfn ~0, which every release answers for any existing view, in use or not, hidden or not.
 */
int survey_view(const struct subop_target *t, view_t v, uint16_t *default_access);
unsigned int survey_count(const struct subop_target *t);

/*
 * Calls visit for each vCPU from 0 up with the view it runs on. 0, or the error of vCPU 0.
 */
int survey_vcpus(const struct subop_target *t, void (*visit)(void *, uint32_t vcpu, view_t),
                 void *ctx);
/* "vCPU 0" or "vCPUs 0, 2" of those on `v`; their number. */
unsigned int survey_vcpus_text(const struct subop_target *t, view_t v, char *buf, size_t size);

/* The number that this hypervisor's release uses for the access "default". */
uint16_t survey_default_access(const struct subop_target *t);
