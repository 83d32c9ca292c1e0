/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The image of a small made-up kernel: what `altp2m watch` looks for in a guest's memory. A table
 * of symbols, types, one task, the metadata of one system call.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MADE_SYMBOLS 400u
#define MADE_PID     312u
#define MADE_TID     313u

/* Offsets in the image; those up to MADE_TABLES are left alone. */
#define MADE_EXECVE       0x1010u
#define MADE_THING        0x1020u
#define MADE_MODULE_THING 0x1030u /* mod_thing */
#define MADE_ENTRY        0x3000u /* entry_SYSCALL_64 */
#define MADE_TABLES       0x3100u /* kallsyms, then BTF */
#define MADE_DATA         0x7000u /* per-CPU area, task, mm, metadata */
#define MADE_TASK         0x7200u
#define MADE_CHILD        0x7300u /* another task, MADE_PID + 8 */
#define MADE_MODULES      0x7600u /* the list of modules */
#define MADE_MODULE       0x7640u
#define MADE_SIZE         0x8000u
#define MADE_PGD          0x8000u /* behind it: the page tables of both tasks */

struct made_kernel {
    uint8_t *mem; /* MADE_SIZE bytes */
    uint64_t base;
    bool late;                           /* kallsyms as since Linux 6.4 */
    bool pcpu_hot;                       /* current_task in struct pcpu_hot, as in 6.2 to 6.14 */
    size_t tokens, names, btf, btf_size; /* where they are */
};

void made_kernel(struct made_kernel *k);
