/* SPDX-License-Identifier: MIT */
#pragma once

/* Files that commands read, and put results into. */
#include <stdio.h>

/* 0, or why nothing could be put there (-EINVAL: it is no regular file): known before anything is
   looked at, and without a change. */
int files_check_output(const char *file);
/* To be read; NULL with errno: EISDIR, or EINVAL for what is no regular file and might never end.
 */
FILE *files_open(const char *file);
/* Letters of a guest's or a user's as XML text. */
void files_xml(FILE *f, const char *text);
