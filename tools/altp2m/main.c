/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <unistd.h>

#include "command.h"

int main(int argc, char **argv)
{
    int rc = command_main(argc, argv, stdout, stderr, isatty(STDERR_FILENO), hypercall_xen_open,
                          hypercall_xen_close);

    if (fflush(stdout) || ferror(stdout)) {
        perror("altp2m: standard output");
        return COMMAND_REFUSED;
    }
    return rc;
}
