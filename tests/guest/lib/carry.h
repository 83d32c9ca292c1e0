/* SPDX-License-Identifier: MIT */
#pragma once

/* The tasks of carried.c, which its monitor (carry-watch.c) watches. */
enum carry {
    CARRY_INS = 1,
    CARRY_REP,
    CARRY_OUTS,
    CARRY_MOVS,
    CARRY_PUSH,
    CARRY_CONVERT,
    CARRY_CONVERT_QUIETLY,
    CARRY_VIEW,
    CARRY_EMULATE,
    CARRY_WALK,
    CARRY_MARK,
    CARRY_WALK_QUIETLY,
    CARRY_WALK_AND_WRITE,
    CARRY_WALK_AND_WRITE_PLAIN,
};

#define CARRY_PAGES 8u /* four for data, one for a stack, one unused, two for page tables */

/* Elements of the mailbox's data. */
#define CARRY_GFN 0u /* of the pages */
#define CARRY_RIP 1u /* of the instruction that the task is about */
