/* SPDX-License-Identifier: MIT */
/*
 * What a disk and a network of domain 0's cost its guest, and what commands cost domain 0, in
 * instructions (tools/runner/bench_host.py). Prints "BENCH name NUMBER" on its standard output.
 *
 *   bench-pv run NAME COMMAND...   in domain 0: from before its start until it has ended
 *   bench-pv until NAME FILE TEXT COMMAND...  the same, until FILE, which is appended to, has TEXT
 *   bench-pv serve                 in domain 0: answers packets, sinks and gives streams
 *   bench-pv disk DEVICE           in the guest
 *   bench-pv net ADDRESS           in the guest: against `serve` there
 *
 * A figure is what so many requests more cost: the start of a series, and its end, are in neither.
 * `marks` before disk or net: the larger series lies between two marks (marks.h), for each figure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "marks.h"

#define BLOCK       4096u
#define BLOCKS      2048u /* of the disk are used: 8 MiB */
#define FEW         128u  /* requests */
#define MANY        640u
#define PORT        7777
#define STREAM      7778
#define STREAM_FEW  (1u << 20) /* bytes */
#define STREAM_MANY (3u << 20)
#define LARGE       (128u << 10) /* bytes of a large request */

static bool marks;
static unsigned char *buffer; /* of LARGE bytes */

static void need(bool good, const char *what)
{
    if (good)
        return;
    printf("BROKEN %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static void mark(void)
{
    if (marks)
        (void)inb(MARK_PORT);
}

/* One series: so many requests. */
typedef void series(int fd, unsigned count);

static void measure(const char *name, series *run, int fd, unsigned few, unsigned many)
{
    run(fd, few);
    uint64_t start = ticks();
    run(fd, few);
    uint64_t middle = ticks();
    mark();
    run(fd, many);
    mark();
    uint64_t end = ticks();
    if (marks)
        printf("EXITS %s\n", name);
    else
        printf("BENCH %s %llu\n", name,
               (unsigned long long)((end - middle) - (middle - start)) / (many - few));
}

/* ---- the disk ---- */

static void transfer(int fd, bool write, size_t size, off_t at)
{
    ssize_t done = write ? pwrite(fd, buffer, size, at) : pread(fd, buffer, size, at);

    need(done == (ssize_t)size, "the disk");
}

static off_t random_place(unsigned i)
{
    return (off_t)((i * 2654435761u >> 8) % BLOCKS) * BLOCK;
}

static void read_on(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        transfer(fd, false, BLOCK, (off_t)(i % BLOCKS) * BLOCK);
}

static void read_random(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        transfer(fd, false, BLOCK, random_place(i));
}

static void write_on(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        transfer(fd, true, BLOCK, (off_t)(i % BLOCKS) * BLOCK);
}

static void read_large(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        transfer(fd, false, LARGE, (off_t)(i % (BLOCKS * BLOCK / LARGE)) * LARGE);
}

static void disk(const char *device)
{
    int fd = open(device, O_RDWR | O_DIRECT);

    need(fd >= 0, device);
    measure("read", read_on, fd, FEW, MANY);
    measure("read-random", read_random, fd, FEW, MANY);
    measure("write", write_on, fd, FEW, MANY);
    measure("read-large", read_large, fd, 16, 80);
    close(fd);
}

/* ---- the network ---- */

static unsigned packet; /* bytes of one */

static void there_and_back(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        need(send(fd, buffer, packet, 0) == (ssize_t)packet, "send");
        need(recv(fd, buffer, LARGE, 0) == (ssize_t)packet, "recv");
    }
}

static int connected(const char *address, int type, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type, 0);

    inet_pton(AF_INET, address, &to.sin_addr);
    need(fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)), address);
    return fd;
}

/* What the other side of a stream is asked for. */
struct order {
    uint32_t bytes;
    uint32_t here; /* they come from there; else they go there, and one byte says that they came */
};

static void all(int fd, bool in, size_t size)
{
    while (size) {
        size_t part = size < LARGE ? size : LARGE;
        ssize_t done = in ? recv(fd, buffer, part, 0) : send(fd, buffer, part, 0);
        need(done > 0, "a stream");
        size -= (size_t)done;
    }
}

static void stream_in(int fd, unsigned pages)
{
    struct order order = {pages * BLOCK, 1};

    need(send(fd, &order, sizeof(order), 0) == sizeof(order), "an order");
    all(fd, true, order.bytes);
}

static void stream_out(int fd, unsigned pages)
{
    struct order order = {pages * BLOCK, 0};

    need(send(fd, &order, sizeof(order), 0) == sizeof(order), "an order");
    all(fd, false, order.bytes);
    all(fd, true, 1);
}

static void net(const char *address)
{
    int fd = connected(address, SOCK_DGRAM, PORT), stream;

    packet = 18;
    measure("packet-small", there_and_back, fd, FEW, MANY);
    packet = 1400;
    measure("packet-large", there_and_back, fd, FEW, MANY);
    close(fd);
    stream = connected(address, SOCK_STREAM, STREAM);
    measure("stream-in", stream_in, stream, STREAM_FEW / BLOCK, STREAM_MANY / BLOCK);
    measure("stream-out", stream_out, stream, STREAM_FEW / BLOCK, STREAM_MANY / BLOCK);
    close(stream);
}

static int bound(int type, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type, 0);

    need(fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
    return fd;
}

static void echo(void)
{
    int fd = bound(SOCK_DGRAM, PORT);

    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        ssize_t size = recvfrom(fd, buffer, LARGE, 0, (struct sockaddr *)&from, &length);
        if (size >= 0)
            sendto(fd, buffer, (size_t)size, 0, (struct sockaddr *)&from, length);
    }
}

static void streams(void)
{
    int listening = bound(SOCK_STREAM, STREAM);

    need(!listen(listening, 1), "listen");
    for (;;) {
        int fd = accept(listening, NULL, NULL);
        struct order order;
        while (recv(fd, &order, sizeof(order), MSG_WAITALL) == sizeof(order)) {
            all(fd, !order.here, order.bytes);
            if (!order.here)
                all(fd, false, 1);
        }
        close(fd);
    }
}

static void serve(void)
{
    if (fork())
        echo();
    streams();
}

/* ---- commands ---- */

static void run(char **command)
{
    int status = 0;
    pid_t child = fork();

    if (!child) {
        execvp(command[0], command);
        _exit(127);
    }
    need(waitpid(child, &status, 0) == child && status == 0, command[0]);
}

/* Whether the file has that text somewhere in its last LARGE bytes. */
static bool has(const char *file, const char *text)
{
    int fd = open(file, O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, buffer, LARGE);

    if (fd >= 0)
        close(fd);
    return size > 0 && memmem(buffer, (size_t)size, text, strlen(text));
}

static uint64_t until(const char *file, const char *text, char **command)
{
    char event[4096];
    int watch = inotify_init();

    need(watch >= 0 && inotify_add_watch(watch, file, IN_MODIFY) >= 0, file);
    uint64_t start = ticks();
    run(command);
    while (!has(file, text))
        need(read(watch, event, sizeof(event)) > 0, "inotify");
    return ticks() - start;
}

static void tell(const char *name, uint64_t took)
{
    printf("BENCH %s %llu\n", name, (unsigned long long)took);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    buffer = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
    need(buffer != MAP_FAILED, "mmap");
    if (argc > 1 && !strcmp(argv[1], "marks")) {
        marks = true;
        need(!ioperm(MARK_PORT, 1, 1), "ioperm");
        argv++;
        argc--;
    }
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "run") && argc > 3) {
        uint64_t start = ticks();
        run(argv + 3);
        tell(argv[2], ticks() - start);
    } else if (!strcmp(what, "until") && argc > 5) {
        tell(argv[2], until(argv[3], argv[4], argv + 5));
    } else if (!strcmp(what, "serve")) {
        serve();
    } else if (!strcmp(what, "disk") && argc == 3) {
        disk(argv[2]);
    } else if (!strcmp(what, "net") && argc == 3) {
        net(argv[2]);
    } else {
        return 2;
    }
    return 0;
}
