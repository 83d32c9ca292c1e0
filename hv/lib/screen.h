/* SPDX-License-Identifier: MIT */
#pragma once

/* A screen that shows text, for a machine without a serial port: what is printed scrolls by. */
#include <stdbool.h>
#include <stdint.h>

/* Where its cells are, each a character and its color; bytes of a row. Larger than is usual: none.
 */
void screen_init(uint64_t at, uint32_t pitch, uint32_t columns, uint32_t rows);
bool screen_there(void);
void screen_putc(char c);
