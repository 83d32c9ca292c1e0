/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the model share. */
#include "core_own.h"
#include "model.h"

#define OFFSETS  9
#define CLUSTERS 7
#define SLOTS    (OFFSETS * CLUSTERS)

struct host {
    bool mapped, ve; /* ve: a violation exits */
    uint64_t mfn;
    enum map_type type;
    access_t access;
};

struct leaf {
    bool own_access, own_frame, own_ve;
    bool ve;
    access_t access;
    unsigned target; /* slot, or SLOTS + a shadow page */
};

#define SHADOWS 3

struct model_state {
    struct host host[SLOTS];
    struct leaf leaf[MODEL_VIEWS][SLOTS];
    bool active, exists[MODEL_VIEWS], visible[MODEL_VIEWS];
    access_t view_default[MODEL_VIEWS], host_default;
    uint16_t on[FAKE_VCPUS];     /* view of each vCPU, 0xffff: none */
    uint64_t notify[FAKE_VCPUS]; /* frame of the #VE page, or ~0 */
    uint64_t shadow[SHADOWS];    /* names, 0: none */
    enum fake_format format;
    bool narrow, scarce;
};
extern struct model_state model;

/* Two accesses meet. */
access_t model_both(access_t a, access_t b);

struct shown {
    bool valid, ve;
    uint64_t mfn;
    enum map_type type;
    access_t access;
};

/* model_says.c. What the processor grants by an access: RIGHT_*. */
unsigned model_hardware_rights(access_t a);
/* Fails the test where view v (0xffff: the host map) has at slot s what the model has not; or
 * anywhere, with all counts. */
void model_compare_at(uint16_t v, unsigned s);
void model_compare_all(void);
/* The gfn of a slot. */
uint64_t model_gfn(unsigned slot);
/* What the host map, or view v, has at slot s; a slot beyond SLOTS is a shadow page. */
struct shown model_host_shows(unsigned s);
struct shown model_shows(uint16_t v, unsigned s);
bool model_view_ok(uint16_t v);
bool model_any_own(const struct leaf *l);
bool model_may_override(uint16_t v, unsigned s);

/* The host map has another domain's page there, to be read alone. */
bool model_fixed(unsigned slot);
/* -ENOMEM is right only if less than `most` pages are left to the caller. */
void model_check_enomem(bool host, unsigned most);
/* Fails the test unless `have` is `want`, or an -ENOMEM that is right; true if it is 0. */
bool model_same(long have, long want, bool host, unsigned most);
/* What changing one gfn returns; *after is the leaf, but for what a remap always sets. */
long model_expect_change(uint16_t v, unsigned old, unsigned new, struct leaf *after);
/* What asking for an access gives, apart from all else. */
long model_access_error(unsigned a);
/* Do to the model what sub-ops 7 and 10 do to one gfn. */
void model_access(uint16_t v, unsigned slot, access_t a);
long model_ve(uint16_t v, unsigned slot, bool suppress);

/* model_own.c */
void model_step_change_range(const struct step *s);
void model_step_set_range(const struct step *s);
void model_step_isolate(const struct step *s);
void model_step_switch_one(const struct step *s);
void model_step_overrides(const struct step *s);
void model_step_shadow(const struct step *s);
void model_step_run(const struct step *s);
