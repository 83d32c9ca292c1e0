/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `facet check`: whether a machine would do. The decisions are the hypervisor's own
 * (hv/x86/needs.c, hv/vmx/needs.c, hv/svm/needs.c); this finds what they ask about, on a running
 * Linux or in a file, and says what comes of it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CHECK_LEAVES 64u
#define CHECK_MSRS   32u
#define CHECK_TEXT   160u

/* What is known of a machine. */
struct facts {
    struct {
        uint32_t leaf, sub, r[4];
    } leaves[CHECK_LEAVES];
    struct {
        uint32_t number;
        bool there;
        uint64_t value;
    } msrs[CHECK_MSRS];
    unsigned int nr_leaves, nr_msrs;
    bool has_msrs;       /* they could be read, or there are none to read */
    bool msrs_by_flags;  /* made of Linux's flags: what flags do not tell is taken to be there */
    uint64_t memory_kib; /* 0: not known */
    char iommu[16], clock[32]; /* "": none; not known */
};

/* 0, or a negative errno with what is wrong in *why. */
int facts_here(struct facts *f, char why[CHECK_TEXT]);
int facts_read(struct facts *f, FILE *file, char why[CHECK_TEXT]);
void facts_write(const struct facts *f, FILE *file);

enum verdict {
    VERDICT_YES,
    VERDICT_NO,
    VERDICT_UNKNOWN, /* for lack of privilege */
};

#define CHECK_ITEMS 24u

struct item {
    const char *name;
    enum verdict verdict;
    bool needed;
    char text[CHECK_TEXT];
};

struct report {
    char processor[64];
    enum verdict verdict;
    char why[CHECK_TEXT];
    struct item items[CHECK_ITEMS];
    unsigned int nr;
};

void check(const struct facts *f, struct report *r);
