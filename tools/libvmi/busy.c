/* SPDX-License-Identifier: MIT */
/*
 * What a guest does while it is watched: each round a system call that few others make, a
 * breakpoint of its own, CPUID and SIDT. It ends when the host's name is "done", which only
 * somebody outside can make it, or when rounds= have passed.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PAUSE_US 50000

static volatile sig_atomic_t traps;

static void on_trap(int number)
{
    (void)number;
    traps++;
}

static void instructions(void)
{
    uint32_t a = 0, b, c = 0, d;
    uint8_t idtr[10];

    __asm__ volatile("int3");
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    __asm__ volatile("sidt %0" : "=m"(idtr));
}

int main(int argc, char **argv)
{
    unsigned long most = argc > 1 ? strtoul(argv[1], NULL, 0) : 1, done = 0;
    /* Made here, so that the text is nowhere but in this process. */
    char *canary = malloc(32);
    struct utsname name;

    if (!canary) {
        return 1;
    }
    snprintf(canary, 32, "canary-%u", 1234u * 5678u);
    signal(SIGTRAP, on_trap);
    do {
        instructions();
        usleep(PAUSE_US);
        done++;
    } while (uname(&name) == 0 && strcmp(name.nodename, "done") != 0 && done < most);
    printf("GUEST rounds %lu traps %d name %s canary %s\n", done, (int)traps, name.nodename,
           canary);
    return 0;
}
