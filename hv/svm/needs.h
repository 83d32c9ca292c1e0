/* SPDX-License-Identifier: MIT */
#pragma once

/* What Facet needs of SVM, and what it uses where it is there (CPUID 8000_000A). */
#include "x86/look.h"

struct svm_features {
    uint32_t asids;
    uint32_t clean;         /* CLEAN_ALL, or 0: the processor looks at none */
    uint8_t vmmcall_length; /* 0: it is told */
    uint8_t address_bits;   /* of physical addresses */
    bool next_rip, flush_asid, decodes;
    bool redelivers; /* an interrupt that VMRUN injects may come twice: see enter_event() */
    bool external;   /* error codes tell what came in the delivery of another event */
    bool tsc_aux, pages_1g;
};

bool svm_present_on(const struct look *l);
/* False: *why. */
bool svm_needs(const struct look *l, struct svm_features *f, struct lack *why);
