/* SPDX-License-Identifier: MIT */
#include "shell.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

#define WORDS      12
#define LINE       256
#define SHOWN_ROWS 6 /* of a command's output */

extern char **environ;
char shell_output[SHELL_OUTPUT];

static void collect(int fd)
{
    size_t len = 0;
    ssize_t n;
    char rest[256];

    while (len < sizeof(shell_output) - 1 &&
           (n = read(fd, shell_output + len, sizeof(shell_output) - 1 - len)) > 0)
        len += (size_t)n;
    shell_output[len] = '\0';
    while (read(fd, rest, sizeof(rest)) > 0)
        continue;
}

static void show_output(void)
{
    char copy[SHELL_OUTPUT], *state = NULL;
    unsigned int row = 0;

    memcpy(copy, shell_output, sizeof(copy));
    for (char *l = strtok_r(copy, "\n", &state); l; l = strtok_r(NULL, "\n", &state), row++)
        if (row < SHOWN_ROWS)
            report_note("  %s", l);
    if (row > SHOWN_ROWS)
        report_note("  (%u more lines)", row - SHOWN_ROWS);
}

static int spawn_and_wait(char **argv, int out)
{
    posix_spawn_file_actions_t fa;
    int status = -1, rc;
    pid_t pid;

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&fa, out, STDERR_FILENO);
    rc = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    close(out);
    if (rc) {
        report_fail("cannot run %s: %s", argv[0], strerror(rc));
        return -1;
    }
    /* The command's few lines fit into the pipe, so it can end before they are read. */
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

int shell_run(const char *line)
{
    char words[LINE], *argv[WORDS], *state = NULL;
    int fds[2], n = 0, status;

    report_note("$ %s", line);
    snprintf(words, sizeof(words), "%s", line);
    for (char *w = strtok_r(words, " ", &state); w && n < WORDS - 1;
         w = strtok_r(NULL, " ", &state))
        argv[n++] = w;
    argv[n] = NULL;
    shell_output[0] = '\0';
    if (pipe2(fds, O_CLOEXEC)) {
        report_fail("no pipe: %s", strerror(errno));
        return -1;
    }
    status = spawn_and_wait(argv, fds[1]);
    collect(fds[0]);
    close(fds[0]);
    show_output();
    return status;
}

bool shell_ok(const char *format, ...)
{
    char line[LINE];
    va_list args;
    int status;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    status = shell_run(line);
    return status == 0 || report_fail("\"%s\" ended with status %d", line, status);
}

bool shell_refused(const char *words, const char *format, ...)
{
    char line[LINE];
    va_list args;
    int status;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    status = shell_run(line);
    if (status != 1)
        return report_fail("\"%s\" ended with status %d, not with a refusal", line, status);
    return strstr(shell_output, words) || report_fail("\"%s\" did not say \"%s\"", line, words);
}
