/* SPDX-License-Identifier: MIT */
/* Maps a page of the file and writes to it, for the demo of the agent: the page is the kernel's. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
    volatile unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    *p = (unsigned char)(*p ^ 1);
    puts("written");
    return 0;
}
