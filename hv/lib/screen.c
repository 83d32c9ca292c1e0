/* SPDX-License-Identifier: MIT */
#include "screen.h"
#include <string.h>

#define COLUMNS_MOST 132u
#define ROWS_MOST    60u
#define COLOR        0x0700u /* grey on black */
#define BLANK        (COLOR | ' ')

static volatile uint8_t *base;
static uint32_t row_bytes, width, height, row, column;
/* What it shows: a screen's memory is slow to read. */
static uint16_t shown[ROWS_MOST][COLUMNS_MOST];

static void draw(uint32_t y)
{
    volatile uint16_t *cells = (volatile uint16_t *)(base + y * (uint64_t)row_bytes);

    for (uint32_t x = 0; x < width; x++) {
        cells[x] = shown[y][x];
    }
}

static void clear_row(uint32_t y)
{
    for (uint32_t x = 0; x < width; x++) {
        shown[y][x] = BLANK;
    }
}

void screen_init(uint64_t at, uint32_t pitch, uint32_t columns, uint32_t rows)
{
    if (!at || !columns || !rows || columns > COLUMNS_MOST || rows > ROWS_MOST) {
        return;
    }
    base = (volatile uint8_t *)at;
    row_bytes = pitch;
    width = columns;
    height = rows;
    row = column = 0;
    for (uint32_t y = 0; y < height; y++) {
        clear_row(y);
        draw(y);
    }
}

bool screen_there(void)
{
    return base != NULL;
}

static void next_row(void)
{
    column = 0;
    if (++row < height) {
        return;
    }
    row = height - 1;
    memmove(shown[0], shown[1], row * sizeof(shown[0]));
    clear_row(row);
    for (uint32_t y = 0; y < height; y++) {
        draw(y);
    }
}

void screen_putc(char c)
{
    if (c == '\n') {
        next_row();
        return;
    }
    if (column == width) {
        next_row();
    }
    shown[row][column] = (uint16_t)(COLOR | (unsigned char)c);
    ((volatile uint16_t *)(base + row * (uint64_t)row_bytes))[column] = shown[row][column];
    column++;
}
