/* SPDX-License-Identifier: MIT */
/* elf_image_parse() with a file of 4 KiB of arbitrary bytes, any length of them. */
#include "__fc_builtin.h"
#include "guest/elf_image.h"

int main(void)
{
    static unsigned char file[4096];
    struct elf_image image;

    Frama_C_make_unknown((char *)file, sizeof(file));
    return elf_image_parse(&image, file, (unsigned long)Frama_C_interval(0, sizeof(file))) == 0;
}
