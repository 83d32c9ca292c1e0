/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: tests/unit/adversary.h, a guest under the policy `audited` beside a monitor.
 * The first byte chooses the options; for a blind run both worlds have to tell the guest the same.
 */
#include "adversary.h"
#include "fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct adversary_options o = {0};
    uint64_t told;

    if (size == 0) {
        return 0;
    }
    o.format = (data[0] & 1) | (data[0] >> 3 & 2);
    o.format = o.format < FAKE_FORMATS ? o.format : FAKE_NPT;
    o.blind = data[0] & 2;
    o.scarce = (data[0] & 4) && !o.blind; /* memory that runs out is seen by all */
    o.sealed = (data[0] & 8) && !o.blind;
    told = adversary_run(o, data + 1, size - 1);
    if (o.blind) {
        o.absent = true;
        EXPECT(adversary_run(o, data + 1, size - 1) == told,
               "the guest can tell that there is a monitor");
    }
    return 0;
}
