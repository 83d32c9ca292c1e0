/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hypervisor's command line: words of the form key=value, and before them the image's own name.
 *   processors=N    how many processors to use, or `all`, as if nothing is said
 */

/* fatal() for what is not one of these. */
void cmdline_read(const char *text);
unsigned cmdline_processors(void);
