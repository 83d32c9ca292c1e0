/* SPDX-License-Identifier: MIT */
/*
 * What a guest does while DRAKVUF watches it: each round something for each of the plugins that
 * know Linux. It ends after so many rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_US 100000
#define FOLDER   "/tmp/work"
#define SAID     "hello from facet"

static void files(void)
{
    char text[16];
    int fd = open(FOLDER "/made", O_CREAT | O_RDWR, 0640);

    if (fd < 0 || write(fd, SAID, sizeof(SAID)) < 0 || lseek(fd, 4, SEEK_SET) < 0 ||
        read(fd, text, sizeof(text)) < 0) {
        puts("GUEST work no file");
    }
    close(fd);
    rename(FOLDER "/made", FOLDER "/moved");
    unlink(FOLDER "/moved");
    fd = memfd_create("facet-memory", 0);
    close(fd);
}

/* A child that is traced, killed, and another that is another program. */
static void processes(void)
{
    pid_t child = fork();

    if (!child) {
        pause();
        _exit(0);
    }
    if (child > 0) {
        ptrace(PTRACE_ATTACH, child, 0, 0);
        waitpid(child, NULL, 0);
        ptrace(PTRACE_DETACH, child, 0, 0);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    child = fork();
    if (!child) {
        execl("/bin/other", "other", "0", "an argument", (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static void talk(void)
{
    char text[sizeof(SAID)];
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        puts("GUEST work no sockets");
        return;
    }
    if (send(pair[0], SAID, sizeof(SAID), 0) < 0 || recv(pair[1], text, sizeof(text), 0) < 0) {
        puts("GUEST work no word");
    }
    close(pair[0]);
    close(pair[1]);
}

static void map_of_bpf(void)
{
    union bpf_attr attr;
    long fd;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = 4;
    attr.value_size = 8;
    attr.max_entries = 1;
    fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
    if (fd >= 0) {
        close((int)fd);
    }
}

static void on_trap(int number)
{
    (void)number;
}

/* CPUID, and a #DB of the debugger's kind: the trap flag set for one instruction. */
static void instructions(void)
{
    uint32_t a = 0, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    __asm__ volatile("sub $128, %%rsp\n\tpushf\n\torl $0x100, (%%rsp)\n\tpopf\n\tnop\n\t"
                     "pushf\n\tandl $~0x100, (%%rsp)\n\tpopf\n\tadd $128, %%rsp" ::
                         : "memory", "cc");
}

int main(int argc, char **argv)
{
    unsigned long most = argc > 1 ? strtoul(argv[1], NULL, 0) : 1, done;

    if (argc > 2 && strcmp(argv[2], "injected") == 0) {
        printf("GUEST injected %d\n", (int)getpid());
    }
    signal(SIGTRAP, on_trap);
    mkdir(FOLDER, 0755);
    for (done = 0; done < most; done++) {
        files();
        processes();
        talk();
        map_of_bpf();
        instructions();
        reboot(RB_DISABLE_CAD);
        usleep(PAUSE_US);
    }
    if (most) {
        printf("GUEST rounds %lu\n", done);
    }
    return 0;
}
