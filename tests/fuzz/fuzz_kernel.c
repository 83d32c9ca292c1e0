/* SPDX-License-Identifier: MIT */
/* Any bytes as a kernel file: refused with a reason, or an ELF that passes the check again. */
#include "kernel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes elf = {0};
    const char *why = NULL;
    int error = kernel_to_elf(data, size, &elf, &why);

    if (error ? !why : kernel_check_elf(elf.data, elf.size, &why))
        abort();
    bytes_free(&elf);
    return 0;
}
