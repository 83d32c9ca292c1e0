/* SPDX-License-Identifier: MIT */
/*
 * The user space of a Linux guest of `facet bench`: its first program. Tells when it was reached,
 * then runs /work.sh some rounds: plain and, if the guest is on a view (chain.c), with all pages
 * that hold page tables write-restricted there before each step of the script. Nobody listens, so
 * that the first write to each costs one exit and lifts its restriction.
 *
 * Prints what marks.h says. The workload is the same in each round, what the kernel does is not
 * quite: figures repeat to about one in a hundred. For other guests: `bench-linux say` prints what
 * it reads to the hypervisor's console, `bench-linux ask` sends its monitor a request, `bench-linux
 * end` powers off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <facet/hvmop.h>
#include "say.h"

#define ROUNDS    8
#define PAGE      4096UL
#define MOST      65536u       /* gfns that can be watched */
#define PGTABLE   (1ULL << 26) /* KPF_PGTABLE, include/uapi/linux/kernel-page-flags.h */
#define HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct call)) /* include/uapi/xen/privcmd.h */

struct call {
    uint64_t op, arg[5];
};

/* What the hypervisor reads and writes: resident, so that it finds it. */
static struct shared {
    struct xen_hvm_altp2m_op op;
    struct sched_shutdown shutdown;
    uint64_t gfns[MOST];
    uint8_t access[MOST];
} * shared;
static int privcmd = -1;

static void end(void)
{
    struct call c = {__HYPERVISOR_sched_op,
                     {SCHEDOP_shutdown, (uintptr_t)&shared->shutdown, 0, 0, 0}};

    shared->shutdown.reason = SHUTDOWN_poweroff;
    ioctl(privcmd, HYPERCALL, &c);
    pause();
}

static void ask(void)
{
    struct call c = {__HYPERVISOR_hvm_op, {HVMOP_guest_request_vm_event, 0, 0, 0, 0}};

    ioctl(privcmd, HYPERCALL, &c);
}

static void need(bool good, const char *what)
{
    if (!good) {
        say("BROKEN %s: %s\n", what, strerror(errno));
        end();
    }
}

static uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static long altp2m(uint32_t cmd)
{
    struct call c = {__HYPERVISOR_hvm_op, {HVMOP_altp2m, (uintptr_t)&shared->op, 0, 0, 0}};

    shared->op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    shared->op.cmd = cmd;
    shared->op.domain = DOMID_SELF;
    return ioctl(privcmd, HYPERCALL, &c);
}

static void start(void)
{
    int module = open("/lib/xen-privcmd.ko", O_RDONLY);

    syscall(SYS_finit_module, module, "unrestricted=1", 0);
    close(module);
    privcmd = open("/dev/xen/privcmd", O_RDWR);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    need(shared != MAP_FAILED && privcmd >= 0, "privcmd");
}

static bool on_view(void)
{
    char line[512] = "";
    int fd = open("/proc/cmdline", O_RDONLY);

    need(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0, "/proc/cmdline");
    close(fd);
    return strstr(line, "facet.view");
}

/* Facet tells what tables hold, host map included; Xen tells its dom0 only. */
static void tables(void)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    memcpy(&shared->op.u, &u, sizeof(u));
    if (altp2m(FACET_ALTP2M_usage) == 0) {
        memcpy(&u, &shared->op.u, sizeof(u));
        say("BENCH tables %u\n", u.tables + u.host_tables);
    }
}

static uint16_t view(void)
{
    memset(&shared->op.u, 0, sizeof(shared->op.u));
    need(altp2m(HVMOP_altp2m_get_p2m_idx) == 0, "get_p2m_idx");
    return shared->op.u.get_vcpu_p2m_idx.altp2m_idx;
}

/* Pages of page tables, as the kernel marks them. The flags of 512 pages are read at a time. */
static uint32_t find_tables(void)
{
    static uint64_t flags[PAGE / sizeof(uint64_t)];
    int fd = open("/proc/kpageflags", O_RDONLY);
    uint64_t gfn = 0;
    uint32_t n = 0;
    ssize_t got;

    need(fd >= 0, "/proc/kpageflags");
    while ((got = read(fd, flags, sizeof(flags))) > 0) {
        for (size_t i = 0; i < (size_t)got / sizeof(*flags); i++, gfn++) {
            if (flags[i] & PGTABLE && n < MOST)
                shared->gfns[n++] = gfn;
        }
    }
    close(fd);
    return n;
}

static uint64_t arming, armed;

static void arm(uint16_t v)
{
    struct xen_hvm_altp2m_set_mem_access_multi *m = &shared->op.u.set_mem_access_multi;
    uint32_t n = find_tables();

    memset(shared->access, XENMEM_access_r, n);
    memset(m, 0, sizeof(*m));
    m->view = v;
    m->nr = n;
    set_xen_guest_handle(m->pfn_list, shared->gfns);
    set_xen_guest_handle(m->access_list, shared->access);
    uint64_t from = ticks();
    need(altp2m(HVMOP_altp2m_set_mem_access_multi) == 0, "set_mem_access_multi");
    arming += ticks() - from;
    armed += n;
}

/* The script asks before each step, through one pipe, and goes on when the other answers. */
static bool asked(void)
{
    char text[8] = "";
    int fd = open("/tmp/ask", O_RDONLY);

    need(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "/tmp/ask");
    close(fd);
    return strncmp(text, "end", 3) != 0;
}

static void answer(void)
{
    int fd = open("/tmp/answer", O_WRONLY);

    need(fd >= 0 && write(fd, "go\n", 3) == 3, "/tmp/answer");
    close(fd);
}

/* A round of work; its ticks, without those between question and answer. `v` 0:
 * nothing is watched. */
static uint64_t work(uint16_t v)
{
    uint64_t from = ticks(), took = 0;
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        execl("/bin/sh", "sh", "/work.sh", NULL);
        _exit(127);
    }
    while (asked()) {
        took += ticks() - from;
        if (v)
            arm(v);
        from = ticks();
        answer();
    }
    waitpid(child, &status, 0);
    need(status == 0, "/work.sh");
    return took + ticks() - from;
}

static void rounds(const char *name, uint16_t v)
{
    uint64_t took = 0;

    arming = armed = 0;
    inb(MARK_PORT);
    for (int i = 0; i < ROUNDS; i++)
        took += work(v);
    inb(MARK_PORT);
    say("EXITS %s\nBENCH %s.ticks %lu\n", name, name, took);
    if (v)
        say("BENCH %s.pages %lu\nBENCH %s.arming %lu\n", name, armed, name, arming);
}

/* What comes in goes out where the hypervisor's console takes it: a line at a time. */
static void say_all(void)
{
    char line[128];

    while (fgets(line, sizeof(line), stdin))
        say("%s", line);
}

int main(int argc, char **argv)
{
    const char *task = argc > 1 ? argv[1] : "";

    need(iopl(3) == 0, "iopl");
    if (strcmp(task, "say") == 0) {
        say_all();
        return 0;
    }
    if (strcmp(task, "ask") == 0 || strcmp(task, "end") == 0) {
        start();
        strcmp(task, "ask") == 0 ? ask() : end();
        return 0;
    }
    inb(MARK_PORT);
    say("EXITS boot\nBENCH boot.end %lu\n", (unsigned long)ticks());
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
    need(mkfifo("/tmp/ask", 0600) == 0 && mkfifo("/tmp/answer", 0600) == 0, "mkfifo");
    start();
    bool viewed = on_view();
    work(0);
    rounds("work", 0);
    if (viewed) {
        need(view() != 0, "the view");
        rounds("watched", view());
    }
    tables();
    say("END linux\n");
    end();
}
