/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: tests/whole/random.h, a guest against the whole hypervisor. The first byte
 * chooses the machine; in a blind run what it may not read has to make no difference to what it is
 * told.
 */
#include "machine.h"
#include "random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct random_options o = {.open = false};
    uint64_t told;

    if (size == 0) {
        return 0;
    }
    o.sealed = data[0] & 1;
    o.listener = data[0] & 2;
    o.blind = (data[0] & 12) == 12 && !o.listener;
    o.open = (data[0] & 12) == 8 && !o.sealed && o.listener;
    o.scarce = (data[0] & 12) == 4;
    told = random_run(o, data + 1, size - 1);
    if (o.blind) {
        o.other = true;
        EXPECT(random_run(o, data + 1, size - 1) == told,
               "the guest can tell what is in a page that it may not read");
    }
    return 0;
}
