/* SPDX-License-Identifier: MIT */
/* The keys of a configuration that xl takes and Facet does not carry out. */
#pragma once

#include "xlcfg.h"

struct key {
    const char *name;
    const char *why;   /* why it is not carried out */
    const char *quiet; /* the value that asks for what Facet does anyway, or NULL */
};

/* NULL if Facet carries it out, or xl does not know it either. */
const struct key *key_find(const char *name);

/* Whether the value asks for anything that Facet does not do. */
bool key_asks(const struct key *key, const struct xlcfg_value *value);
