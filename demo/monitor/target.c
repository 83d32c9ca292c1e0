/* SPDX-License-Identifier: MIT */
/*
 * What the watched Linux of `facet demo monitor` does: it gives itself a new host name again and
 * again, and each time compares its kernel's code of that system call with what it was at first,
 * through /proc/kcore. It ends when the system call fails.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FUNCTION "__x64_sys_sethostname"
#define CODE     64u
#define SEGMENTS 64u
#define PAUSE_NS 50000000L
#define SAY      200u /* rounds */

static uint64_t symbol(const char *name)
{
    char line[256], found[128], type;
    FILE *f = fopen("/proc/kallsyms", "re");
    uint64_t address, result = 0;

    while (f && !result && fgets(line, sizeof(line), f))
        if (sscanf(line, "%" SCNx64 " %c %127s", &address, &type, found) == 3 &&
            !strcmp(found, name))
            result = address;
    if (f)
        fclose(f);
    return result;
}

/* Where that address is in /proc/kcore, or -1. */
static off_t place(int fd, uint64_t address)
{
    Elf64_Ehdr head;
    Elf64_Phdr table[SEGMENTS];
    size_t size;

    if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.e_phnum > SEGMENTS)
        return -1;
    size = head.e_phnum * sizeof(*table);
    if (pread(fd, table, size, (off_t)head.e_phoff) != (ssize_t)size)
        return -1;
    for (unsigned int i = 0; i < head.e_phnum; i++)
        if (table[i].p_type == PT_LOAD && address - table[i].p_vaddr < table[i].p_memsz)
            return (off_t)(table[i].p_offset + (address - table[i].p_vaddr));
    return -1;
}

static int work(int fd, off_t at)
{
    uint8_t first[CODE], now[CODE];
    struct timespec pause = {0, PAUSE_NS};
    unsigned int changed = 0;
    char name[32];

    if (pread(fd, first, CODE, at) != CODE)
        return perror("work: /proc/kcore"), 1;
    for (unsigned int round = 1;; round++) {
        snprintf(name, sizeof(name), "work-%u", round);
        if (sethostname(name, strlen(name))) {
            printf("work: round %u: sethostname: %s\n", round, strerror(errno));
            printf("work: the code of " FUNCTION " looked changed %u times\n", changed);
            return 0;
        }
        if (pread(fd, now, CODE, at) != CODE || memcmp(first, now, CODE))
            changed++;
        if (round % SAY == 1)
            printf("work: round %u, I am %s\n", round, name);
        nanosleep(&pause, NULL);
    }
}

int main(void)
{
    uint64_t address = symbol(FUNCTION);
    int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
    off_t at = fd < 0 ? -1 : place(fd, address);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!address || at < 0) {
        printf("work: cannot read the kernel's own code\n");
        return 1;
    }
    return work(fd, at);
}
