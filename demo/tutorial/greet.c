/* SPDX-License-Identifier: MIT */

/*
 * greet: the program that docs/tutorial.md puts a breakpoint into. It says hello from a function
 * that has a page for itself, and says which gfn that page is.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_SIZE 4096

/* Documentation/admin-guide/mm/pagemap.rst of Linux */
#define PAGEMAP_PFN ((1ULL << 55) - 1)

__attribute__((noinline, section(".text.greeting"), aligned(PAGE_SIZE))) static const char *
greeting(void)
{
    return "hello";
}

/* Begins the page behind, so that greeting() is alone in its own. */
__attribute__((noinline, section(".text.greeting"), aligned(PAGE_SIZE))) static int
say(const char *what, uint64_t pagemap_entry)
{
    return printf("%s, from %p in gfn 0x%llx\n", what, (void *)(uintptr_t)greeting,
                  (unsigned long long)(pagemap_entry & PAGEMAP_PFN)) < 0;
}

int main(void)
{
    const char *what = greeting();
    off_t at = (off_t)((uintptr_t)greeting / PAGE_SIZE * sizeof(uint64_t));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;

    if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry) || !(entry & PAGEMAP_PFN)) {
        fprintf(stderr, "greet: /proc/self/pagemap does not tell (not root?)\n");
        return 1;
    }
    return say(what, entry);
}
