/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int files_check_output(const char *file)
{
    char directory[PATH_MAX], *slash;
    struct stat what;

    if (!stat(file, &what))
        return !S_ISREG(what.st_mode) ? -EINVAL : access(file, W_OK) ? -errno : 0;
    if (errno != ENOENT ||
        snprintf(directory, sizeof(directory), "%s", file) >= (int)sizeof(directory))
        return -errno;
    slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = 0;
    return !*file || access(slash ? directory : ".", W_OK | X_OK) ? -errno : 0;
}

FILE *files_open(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    struct stat what;
    FILE *f = NULL;

    if (fd < 0)
        return NULL;
    error = fstat(fd, &what)         ? errno
            : S_ISDIR(what.st_mode)  ? EISDIR
            : !S_ISREG(what.st_mode) ? EINVAL
                                     : 0;
    if (!error && (f = fdopen(fd, "r")))
        return f;
    error = error ? error : errno;
    close(fd);
    errno = error;
    return NULL;
}

void files_xml(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", f);
        else if (*text == '&')
            fputs("&amp;", f);
        else
            fputc(*text, f);
    }
}
