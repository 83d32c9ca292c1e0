/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "report.h"

/* Documentation/admin-guide/mm/pagemap.rst of Linux */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN     ((1ULL << 55) - 1)

#define KCORE_SEGMENTS 64

static bool lookup(const void *at, gfn_t *g)
{
    uint64_t entry = 0;
    off_t offset = (off_t)((uintptr_t)at / PAGE_SIZE * sizeof(entry));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, &entry, sizeof(entry), offset);

    if (fd >= 0)
        close(fd);
    if (n != sizeof(entry))
        return report_fail("cannot read /proc/self/pagemap: %s", strerror(errno));
    if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_PFN))
        return report_fail("/proc/self/pagemap does not tell the frame (not root?)");
    *g = gfn(entry & PAGEMAP_PFN);
    return true;
}

bool pages_take(struct page *pages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *at = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

        if (at == MAP_FAILED)
            return report_fail("cannot get a locked page: %s", strerror(errno));
        memset(at, 0, PAGE_SIZE);
        pages[i].at = at;
        if (!lookup(at, &pages[i].gfn))
            return false;
    }
    return true;
}

bool pages_still_there(const struct page *p)
{
    gfn_t now;

    if (!lookup(p->at, &now))
        return false;
    if (!gfn_eq(now, p->gfn))
        return report_fail("the kernel has moved page %s", p->name);
    return true;
}

/* Where in /proc/kcore the byte at physical address `paddr` is; -1 if nowhere. */
static off_t kcore_offset(int fd, uint64_t paddr)
{
    Elf64_Phdr ph[KCORE_SEGMENTS];
    Elf64_Ehdr eh;
    size_t n;

    if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
        return -1;
    n = eh.e_phnum < KCORE_SEGMENTS ? eh.e_phnum : KCORE_SEGMENTS;
    if (pread(fd, ph, n * sizeof(ph[0]), (off_t)eh.e_phoff) != (ssize_t)(n * sizeof(ph[0])))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (ph[i].p_type == PT_LOAD && ph[i].p_paddr != ~0ULL && paddr >= ph[i].p_paddr &&
            paddr - ph[i].p_paddr < ph[i].p_filesz)
            return (off_t)(ph[i].p_offset + (paddr - ph[i].p_paddr));
    return -1;
}

bool pages_read_physical(const struct page *p, char *buf)
{
    int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
    off_t at = fd < 0 ? -1 : kcore_offset(fd, gfn_to_gpa(p->gfn).v);
    ssize_t n = at < 0 ? -1 : pread(fd, buf, PAGE_SIZE, at);

    if (fd >= 0)
        close(fd);
    return n == (ssize_t)PAGE_SIZE || report_fail("cannot read page %s in /proc/kcore", p->name);
}
