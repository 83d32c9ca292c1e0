/* SPDX-License-Identifier: MIT */
/* A hardware domain that is not to have a device, QEMU's for exercises (`pci_hide`): not its
 * configuration, nor its memory. With hide=no it has. */
#include <string.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/test.h"

#define EDU    0x11e81234u
#define ID     0x010000edu /* in its memory */
#define FIRST  0xfe000000UL
#define END    0xfec00000UL
#define MEMORY 0x100000UL

static uint32_t config(unsigned function, unsigned reg)
{
    outl(0xcf8, 1u << 31 | function << 8 | reg);
    return inl(0xcfc);
}

static void is_it_there(void)
{
    unsigned functions = 0, memories = 0;
    char hide[8] = "";
    bool there;

    cmdline_get("hide", hide, sizeof(hide));
    there = strcmp(hide, "no") == 0;
    for (unsigned f = 0; f < 256; f++)
        functions += config(f, 0) == EDU;
    for (uint64_t a = FIRST; a < END; a += MEMORY)
        memories += *(volatile uint32_t *)a == ID;
    expect(functions, there);
    expect(memories, there);
    check(config(0, 0) != ~0u, "there is no host bridge");
}

TEST_CASES(CASE(is_it_there))
