/* SPDX-License-Identifier: MIT */
/* Where the facts come from: a running Linux, or a file with lines
 *     cpuid LEAF SUBLEAF EAX EBX ECX EDX
 *     msr NUMBER VALUE|none
 *     memory KIB, iommu NAME, clock NAME, msrs none
 * numbers in hexadecimal but KIB. */
#include "check.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 4096

static const uint32_t asked_leaves[] = {0,          1,          0x80000000, 0x80000001, 0x80000002,
                                        0x80000003, 0x80000004, 0x80000007, 0x8000000a};
/* Of hv/vmx/needs.c and hv/svm/needs.c. */
static const uint32_t asked_msrs[] = {0x3a,  0x480, 0x485, 0x486, 0x487, 0x488, 0x489,     0x48b,
                                      0x48c, 0x48d, 0x48e, 0x48f, 0x490, 0x491, 0xc0010114};

static void add_leaf(struct facts *f, uint32_t leaf, uint32_t sub, const uint32_t r[4])
{
    if (f->nr_leaves == CHECK_LEAVES)
        return;
    f->leaves[f->nr_leaves].leaf = leaf;
    f->leaves[f->nr_leaves].sub = sub;
    memcpy(f->leaves[f->nr_leaves++].r, r, sizeof(f->leaves[0].r));
}

static void add_msr(struct facts *f, uint32_t number, bool there, uint64_t value)
{
    if (f->nr_msrs == CHECK_MSRS)
        return;
    f->msrs[f->nr_msrs].number = number;
    f->msrs[f->nr_msrs].there = there;
    f->msrs[f->nr_msrs++].value = value;
}

/* ---- a running Linux ---- */

static void ask_cpuid(struct facts *f)
{
    for (size_t i = 0; i < sizeof(asked_leaves) / sizeof(asked_leaves[0]); i++) {
        uint32_t leaf = asked_leaves[i], r[4] = {0};

        if (__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
            __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
        add_leaf(f, leaf, 0, r);
    }
}

/* Without root, or without the module, there is nothing to read. */
static void ask_msrs(struct facts *f)
{
    int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    f->has_msrs = true;
    for (size_t i = 0; i < sizeof(asked_msrs) / sizeof(asked_msrs[0]); i++) {
        uint64_t value = 0;
        ssize_t n = pread(fd, &value, sizeof(value), asked_msrs[i]);

        if (n < 0 && errno != EIO) { /* EIO: the processor has none of that number */
            f->has_msrs = false;
            f->nr_msrs = 0;
            break;
        }
        add_msr(f, asked_msrs[i], n == sizeof(value), value);
    }
    close(fd);
}

/* The first line of a file that begins with `word`, behind its colon. */
static bool line_of(const char *file, const char *word, char line[LINE])
{
    FILE *f = fopen(file, "re");
    char *colon = NULL;

    while (f && !colon && fgets(line, LINE, f))
        if (!strncmp(line, word, strlen(word)))
            colon = strchr(line, ':');
    if (f)
        fclose(f);
    if (!colon)
        return false;
    memmove(line, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static bool has_flag(const char *line, const char *flag)
{
    size_t n = strlen(flag);

    for (const char *p = strstr(line, flag); p; p = strstr(p + 1, flag))
        if ((p == line || p[-1] == ' ' || p[-1] == '\t') && (!p[n] || p[n] == ' ' || p[n] == '\n'))
            return true;
    return false;
}

/* A bit of a control's "may be 1" half, if the flag is there. */
static uint64_t control(const char *line, const char *flag, unsigned int bit)
{
    return has_flag(line, flag) ? 0 : 1ULL << bit;
}

/*
 * What Linux tells everybody of VMX, as the MSRs would: controls that its flags do not name are
 * taken to be there, and none to be fixed.
 */
static void by_flags(struct facts *f, const char *vmx)
{
    const uint64_t missing2 = control(vmx, "ept", 1) | control(vmx, "unrestricted_guest", 7) |
                              control(vmx, "eptp_switching", 13) |
                              control(vmx, "ept_violation_ve", 18) | control(vmx, "vpid", 5);
    const uint64_t ept = (1ULL << 6 | 1ULL << 14 | 1ULL << 16 | 1ULL << 20 | 1ULL << 25 |
                          1ULL << 26 | 1ULL << 32 | 1ULL << 41) |
                         has_flag(vmx, "ept_x_only") | (uint64_t)has_flag(vmx, "ept_1gb") << 17;

    f->msrs_by_flags = true;
    add_msr(f, 0x3a, true, 5);
    add_msr(f, 0x480, true, 3ULL << 54);
    add_msr(f, 0x48b, true, ~missing2 << 32);
    add_msr(f, 0x48c, true, ept);
    add_msr(f, 0x48d, true, ~(control(vmx, "vnmi", 5) | control(vmx, "preemption_timer", 6)) << 32);
    add_msr(f, 0x48e, true, ~control(vmx, "mtf", 27) << 32);
    add_msr(f, 0x48f, true, ~0ULL << 32);
    add_msr(f, 0x490, true, ~0ULL << 32);
    add_msr(f, 0x491, true, has_flag(vmx, "eptp_switching"));
}

static void ask_linux(struct facts *f)
{
    char line[LINE];

    if (line_of("/proc/meminfo", "MemTotal", line))
        f->memory_kib = strtoull(line, NULL, 10);
    if (!f->has_msrs && line_of("/proc/cpuinfo", "vmx flags", line))
        by_flags(f, line);
}

static void first_line(const char *file, char *to, size_t size)
{
    FILE *f = fopen(file, "re");

    if (f && fgets(to, (int)size, f))
        to[strcspn(to, "\n")] = 0;
    if (f)
        fclose(f);
}

static void ask_iommu(struct facts *f)
{
    DIR *d = opendir("/sys/class/iommu");
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            snprintf(f->iommu, sizeof(f->iommu), "%s",
                     !strncmp(e->d_name, "dmar", 4) ? "VT-d" : "AMD-Vi");
    if (d)
        closedir(d);
    if (!f->iommu[0] && !access("/sys/firmware/acpi/tables/DMAR", F_OK))
        snprintf(f->iommu, sizeof(f->iommu), "VT-d");
    if (!f->iommu[0] && !access("/sys/firmware/acpi/tables/IVRS", F_OK))
        snprintf(f->iommu, sizeof(f->iommu), "AMD-Vi");
}

int facts_here(struct facts *f, char why[CHECK_TEXT])
{
    memset(f, 0, sizeof(*f));
    why[0] = 0;
    ask_cpuid(f);
    ask_msrs(f);
    ask_linux(f);
    ask_iommu(f);
    first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", f->clock,
               sizeof(f->clock));
    return 0;
}

/* ---- a file ---- */

static bool take_line(struct facts *f, const char *line)
{
    uint32_t leaf, sub, r[4];
    char word[32];
    uint64_t value;
    int end = 0;

    if (sscanf(line, "cpuid %x %x %x %x %x %x %n", &leaf, &sub, &r[0], &r[1], &r[2], &r[3], &end) ==
            6 &&
        !line[end]) {
        add_leaf(f, leaf, sub, r);
    } else if (sscanf(line, "msr %x none %n", &leaf, &end) == 1 && end && !line[end]) {
        add_msr(f, leaf, false, 0);
    } else if (sscanf(line, "msr %x %" SCNx64 " %n", &leaf, &value, &end) == 2 && !line[end]) {
        add_msr(f, leaf, true, value);
    } else if (sscanf(line, "memory %" SCNu64 " %n", &value, &end) == 1 && !line[end]) {
        f->memory_kib = value;
    } else if (sscanf(line, "iommu %15s %n", f->iommu, &end) == 1 && !line[end]) {
        return true;
    } else if (sscanf(line, "clock %31s %n", f->clock, &end) == 1 && !line[end]) {
        return true;
    } else if (sscanf(line, "msrs %31s %n", word, &end) == 1 && !line[end] &&
               (!strcmp(word, "none") || !strcmp(word, "flags"))) {
        f->has_msrs = false;
        f->msrs_by_flags = !strcmp(word, "flags");
    } else {
        return !line[strspn(line, " \t\n")] || line[0] == '#';
    }
    return true;
}

int facts_read(struct facts *f, FILE *file, char why[CHECK_TEXT])
{
    char line[LINE];

    memset(f, 0, sizeof(*f));
    f->has_msrs = true;
    for (unsigned int nr = 1; fgets(line, sizeof(line), file); nr++) {
        if (!take_line(f, line)) {
            line[strcspn(line, "\n")] = 0;
            snprintf(why, CHECK_TEXT, "line %u: \"%.60s\" is not what facet check --dump writes",
                     nr, line);
            return -EINVAL;
        }
    }
    if (ferror(file)) {
        snprintf(why, CHECK_TEXT, "cannot read: %s", strerror(errno));
        return -EIO;
    }
    if (!f->nr_leaves) {
        snprintf(why, CHECK_TEXT, "it says nothing of a processor");
        return -EINVAL;
    }
    return 0;
}

void facts_write(const struct facts *f, FILE *file)
{
    for (unsigned int i = 0; i < f->nr_leaves; i++)
        fprintf(file, "cpuid %x %x %x %x %x %x\n", f->leaves[i].leaf, f->leaves[i].sub,
                f->leaves[i].r[0], f->leaves[i].r[1], f->leaves[i].r[2], f->leaves[i].r[3]);
    if (!f->has_msrs)
        fprintf(file, "msrs %s\n", f->msrs_by_flags ? "flags" : "none");
    for (unsigned int i = 0; i < f->nr_msrs; i++) {
        if (f->msrs[i].there)
            fprintf(file, "msr %x %" PRIx64 "\n", f->msrs[i].number, f->msrs[i].value);
        else
            fprintf(file, "msr %x none\n", f->msrs[i].number);
    }
    if (f->memory_kib)
        fprintf(file, "memory %" PRIu64 "\n", f->memory_kib);
    if (f->iommu[0])
        fprintf(file, "iommu %s\n", f->iommu);
    if (f->clock[0])
        fprintf(file, "clock %s\n", f->clock);
}
