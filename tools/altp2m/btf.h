/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The BPF Type Format: what types, structures and functions a kernel has, told by itself. Read from
 * a guest's memory, so nothing in it is trusted: what does not fit is refused at once by btf_open,
 * and chains of types are followed for a bounded number of steps.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf {
    const uint8_t *types, *strings; /* in the caller's bytes */
    size_t types_size, strings_size;
    uint32_t *at; /* where each type is; entry 0 is void, and unused */
    uint32_t nr;  /* types, void included */
};

/* Type 0 is void; it also stands for "there is none". */
typedef uint32_t btf_id;

enum btf_kind {
    BTF_VOID = 0,
    BTF_INT = 1,
    BTF_PTR = 2,
    BTF_ARRAY = 3,
    BTF_STRUCT = 4,
    BTF_UNION = 5,
    BTF_ENUM = 6,
    BTF_FWD = 7,
    BTF_TYPEDEF = 8,
    BTF_VOLATILE = 9,
    BTF_CONST = 10,
    BTF_RESTRICT = 11,
    BTF_FUNC = 12,
    BTF_FUNC_PROTO = 13,
    BTF_VAR = 14,
    BTF_DATASEC = 15,
    BTF_FLOAT = 16,
    BTF_DECL_TAG = 17,
    BTF_TYPE_TAG = 18,
    BTF_ENUM64 = 19,
};

struct btf_member {
    btf_id type;
    uint32_t bits;   /* from the beginning of the structure */
    uint32_t length; /* of a bit field; 0 otherwise */
};

struct btf_param {
    const char *name;
    btf_id type;
};

/* `bytes` must stay. 0, -EINVAL if they are no BTF that fits together, or -ENOMEM. */
int btf_open(struct btf *b, const uint8_t *bytes, size_t size);
void btf_close(struct btf *b);

enum btf_kind btf_kind(const struct btf *b, btf_id id);
/* The first type of that name and kind, or 0. */
btf_id btf_find(const struct btf *b, enum btf_kind kind, const char *name);
/* Without typedefs and qualifiers. */
btf_id btf_plain(const struct btf *b, btf_id id);
/* What a pointer points to, what an array is made of; 0 for others. */
btf_id btf_target(const struct btf *b, btf_id id);
/* In bytes; 0 if it has none. */
uint64_t btf_size(const struct btf *b, btf_id id);
bool btf_signed(const struct btf *b, btf_id id);
/* A pointer to char or an array of them. */
bool btf_is_text(const struct btf *b, btf_id id);
/* Looks into members without names, too. */
bool btf_member(const struct btf *b, btf_id id, const char *name, struct btf_member *m);
/* Of a structure with that name: the member's place in bytes, or -1. */
int64_t btf_offset(const struct btf *b, const char *structure, const char *member);
/* The number of a function's parameters, or -1 if `id` is no function with a prototype. */
int btf_params(const struct btf *b, btf_id id);
bool btf_param(const struct btf *b, btf_id id, unsigned int i, struct btf_param *p);
/* What it returns. */
btf_id btf_result(const struct btf *b, btf_id id);
