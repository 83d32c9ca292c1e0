/* SPDX-License-Identifier: MIT */
/*
 * Work that keeps a Linux kernel writing page tables and loading them, for `facet bench`:
 * `bench-churn NAME` prints "BENCH NAME.WORK.ticks N", "... .exits" by marks.h and, where an agent
 * watches, "... .tables N": how many writes came to it; and "BEGINS NAME.WORK", for who has a
 * clock. `bench-churn` alone does nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "say.h"

#define PAGE     4096UL
#define COUNTER  "/sys/kernel/facet_agent/tables"
#define FORKS    64
#define EXECS    16
#define MAPS     128
#define MAPPED   (64 * PAGE)
#define BESIDE   (32UL << 39) /* of 512 GiB each that nothing else is in */
#define FAR      (48UL << 39)
#define GAP      (4UL << 20)
#define ROUNDS   128
#define RING_MAX 6

static void need(bool good, const char *what)
{
    if (!good) {
        say("BROKEN %s\n", what);
        exit(1);
    }
}

/* 0 without an agent. */
static uint64_t counted(void)
{
    FILE *f = fopen(COUNTER, "r");
    unsigned long n = 0;

    if (f) {
        need(fscanf(f, "%lu", &n) == 1, COUNTER);
        fclose(f);
    }
    return n;
}

static void wait_for(pid_t child)
{
    int status;

    need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child");
}

static void forks(void)
{
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(0);
        wait_for(child);
    }
}

static void execs(void)
{
    for (int i = 0; i < EXECS; i++) {
        pid_t child = fork();

        if (child == 0) {
            execl("/proc/self/exe", "bench-churn", NULL);
            _exit(127);
        }
        wait_for(child);
    }
}

static char *map(uint64_t at, size_t size)
{
    char *p = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    need(p == (void *)at, "mmap");
    return p;
}

static void maps_at(uint64_t at)
{
    for (int i = 0; i < MAPS; i++) {
        volatile char *p = map(at, MAPPED);

        for (size_t n = 0; n < MAPPED; n += PAGE)
            p[n] = 1;
        munmap((void *)p, MAPPED);
    }
}

/* Beside a page that stays: no entry of the top table changes. */
static void maps(void)
{
    volatile char *p = map(BESIDE, PAGE);

    *p = 1;
    maps_at(BESIDE + GAP);
    munmap((void *)p, PAGE);
}

/* Where nothing else is, so that each makes such an entry, and takes it away. */
static void far_maps(void)
{
    maps_at(FAR);
}

/* Hands each byte on to the next process: every step loads the tables of another. */
static void relay(int from, int to)
{
    char c;

    while (read(from, &c, 1) == 1 && write(to, &c, 1) == 1)
        continue;
    _exit(0);
}

static void ring(int processes)
{
    int in[RING_MAX], out[RING_MAX], ends[2];
    pid_t child[RING_MAX];
    char c = 'x';

    for (int i = 0; i < processes; i++) {
        need(pipe(ends) == 0, "pipe");
        in[i] = ends[0];
        out[i] = ends[1];
    }
    for (int i = 1; i < processes; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            for (int j = 0; j < processes; j++) {
                if (j != i)
                    close(in[j]);
                if (j != (i + 1) % processes)
                    close(out[j]);
            }
            relay(in[i], out[(i + 1) % processes]);
        }
    }
    for (int i = 0; i < ROUNDS; i++)
        need(write(out[1], &c, 1) == 1 && read(in[0], &c, 1) == 1, "the ring");
    for (int i = 0; i < processes; i++) {
        close(in[i]);
        close(out[i]);
    }
    for (int i = 1; i < processes; i++)
        wait_for(child[i]);
}

static void two(void)
{
    ring(2);
}

static void six(void)
{
    ring(RING_MAX);
}

static void measure(const char *name, const char *what, void (*work)(void), unsigned int times)
{
    uint64_t tables, ticks;

    work(); /* so that it finds what it needs in memory */
    tables = counted();
    say("BEGINS %s.%s\n", name, what);
    inb(MARK_PORT);
    ticks = __builtin_ia32_rdtsc();
    work();
    ticks = __builtin_ia32_rdtsc() - ticks;
    inb(MARK_PORT);
    say("EXITS %s.%s\nBENCH %s.%s.ticks %lu\nBENCH %s.%s.tables %lu\nBENCH %s.%s.times %u\n", name,
        what, name, what, ticks, name, what, counted() - tables, name, what, times);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 0;
    need(iopl(3) == 0, "iopl");
    measure(argv[1], "fork", forks, FORKS);
    measure(argv[1], "exec", execs, EXECS);
    measure(argv[1], "map", maps, MAPS);
    measure(argv[1], "far", far_maps, MAPS);
    measure(argv[1], "two", two, ROUNDS * 2);
    measure(argv[1], "six", six, ROUNDS * RING_MAX);
    return 0;
}
