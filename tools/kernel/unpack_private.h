/* SPDX-License-Identifier: MIT */
/* What the formats share. */
#pragma once

#include "unpack.h"

/* Sets `*why` and returns `error`. */
int unpack_fail(const char **why, int error, const char *reason);

/* Makes room for `more` bytes behind the present ones. Returns 0 or a negative errno
 * with `*why` set. */
int unpack_reserve(struct bytes *out, size_t more, const char **why);

/* The file format of lzop(1). */
int unpack_lzop(const uint8_t *packed, size_t size, struct bytes *out, const char **why);
