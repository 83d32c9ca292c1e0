/* SPDX-License-Identifier: MIT */
#include "cmdline.h"
#include <string.h>
#include "lib/console.h"
#include "x86/cpu.h"

#define WORD_MAX 64u

static unsigned processors = CPU_MAX; /* if nothing is said */

/* 1 to most; 0: it is no such number. */
static unsigned number(const char *text, unsigned most)
{
    unsigned n = 0;

    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > most) {
            return 0;
        }
        n = n * 10 + (unsigned)(*text - '0');
    }
    return n <= most ? n : 0;
}

static void take(const char *word, bool first)
{
    static const char key[] = "processors=";
    const char *value = word + sizeof(key) - 1;

    if (strncmp(word, key, sizeof(key) - 1) == 0) {
        processors = strcmp(value, "all") == 0 ? CPU_MAX : number(value, CPU_MAX);
        if (!processors) {
            fatal("the command line says %s: a number from 1 to %u is wanted, or all", word,
                  CPU_MAX);
        }
    } else if (!first) {
        fatal("the command line says %s, which is unknown: there is processors=", word);
    }
}

/* Takes a word off the text; one that is too long loses its end. Not by the C library's strcspn(),
 * which is compiled to SSE: that is not on yet. */
static const char *next_word(const char *text, char *word)
{
    unsigned n = 0;

    while (*text == ' ' || *text == '\t') {
        text++;
    }
    for (; *text && *text != ' ' && *text != '\t'; text++) {
        if (n < WORD_MAX - 1) {
            word[n++] = *text;
        }
    }
    word[n] = '\0';
    return text;
}

void cmdline_read(const char *text)
{
    char word[WORD_MAX];

    text = next_word(text, word);
    for (bool first = true; word[0]; first = false) {
        take(word, first);
        text = next_word(text, word);
    }
}

unsigned cmdline_processors(void)
{
    return processors;
}
