/* SPDX-License-Identifier: MIT */
/* What is done at an event beside telling of it: a command, new values in registers. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch.h"

#define PATIENCE 10.0 /* seconds that a command may take: the guest waits for it */
#define TICK_US  5000

/* ---- registers ---- */

/* True if the vCPU is to go on elsewhere than where it is. */
bool watch_set_registers(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a)
{
    struct expr_env env = watch_env(w, false);
    struct expr_trouble why;
    struct expr_value v;
    bool moved = false;

    if (!w->nr_set)
        return false;
    if (!(a->flags & VM_EVENT_FLAG_SET_REGISTERS))
        a->data.regs.x86 = r->data.regs.x86;
    a->flags |= VM_EVENT_FLAG_SET_REGISTERS;
    for (unsigned int i = 0; i < w->nr_set; i++) {
        if (!expr_eval(&w->set[i].expr, &env, &v, &why) || v.kind != EXPR_NUMBER)
            continue; /* not in memory: the register stays */
        memcpy((char *)&a->data.regs.x86 + w->set[i].offset, &v.number, sizeof(v.number));
        moved = moved || w->set[i].offset == offsetof(struct vm_event_regs_x86, rip);
    }
    return moved;
}

/* ---- a command ---- */

static _Noreturn void child(const char *command, int input)
{
    setpgid(0, 0);
    dup2(input, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* the events' stream stays what it is */
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* -ETIMEDOUT: it was ended. */
static int wait_for(pid_t pid, int *status)
{
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (watch_stop_asked() || (double)(now.tv_sec - start.tv_sec) > PATIENCE) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL); /* if it has no group yet */
            waitpid(pid, status, 0);
            return -ETIMEDOUT;
        }
        usleep(TICK_US);
    }
}

static void complain(struct watch *w, const char *text, int number)
{
    if (!w->complained)
        fprintf(w->s->err, "altp2m: --exec: the command %s %d (told once)\n", text, number);
    w->complained = true;
}

void watch_exec(struct watch *w, const char *command, const char *json, size_t size)
{
    int input = memfd_create("event", MFD_CLOEXEC), status = 0, rc;
    pid_t pid;

    if (input < 0 || write(input, json, size) != (ssize_t)size || lseek(input, 0, SEEK_SET)) {
        complain(w, "cannot be given the event: error", errno);
        if (input >= 0)
            close(input);
        return;
    }
    fflush(w->s->out);
    fflush(w->s->err);
    pid = fork();
    if (pid == 0)
        child(command, input);
    close(input);
    if (pid < 0) {
        complain(w, "cannot be run: error", errno);
        return;
    }
    rc = wait_for(pid, &status);
    if (rc)
        complain(w, "was ended: seconds that it may take:", (int)PATIENCE);
    else if (!WIFEXITED(status) || WEXITSTATUS(status))
        complain(w, "ended with status", WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}
