/* SPDX-License-Identifier: MIT */
/* The keys of a configuration: Facet's own, and those that xl takes and Facet does not carry out. */
#pragma once

#include "xlcfg.h"

struct key {
    const char *name;
    const char *why;   /* why it is not carried out; NULL: it is */
    const char *quiet; /* the value that asks for what Facet does anyway, or NULL */
};

/* NULL if neither Facet nor xl knows the key. */
const struct key *key_find(const char *name);

/* Whether the value asks for anything that Facet does not do. */
bool key_asks(const struct key *key, const struct xlcfg_value *value);
