/* SPDX-License-Identifier: MIT */
/* The formats, and what hardware makes of their bits, by hand. */
#include "prove.h"
#include "spec.h"

/* The hypervisor's own EPT, compiled into this program without the hypervisor. */
const struct table_format *prove_ept_format(void);

enum { SCRAMBLED, NEGATIVE, NPT, EPT };

const struct table_format *prove_format(unsigned i)
{
    return i == EPT ? prove_ept_format() : fake_format((enum fake_format)i);
}

unsigned spec_hardware(unsigned format, unsigned rights)
{
    if (format == NEGATIVE || format == NPT) { /* a present entry can be read */
        return rights & RIGHT_R ? rights : 0;
    }
    return rights & RIGHT_R ? rights : rights & RIGHT_X; /* no write without read */
}

unsigned spec_entry_rights(unsigned format, uint64_t e)
{
    switch (format) {
    case SCRAMBLED:
        return (e >> 5 & 1 ? RIGHT_R : 0) | (e >> 1 & 1 ? RIGHT_W : 0) |
               (e >> 58 & 1 ? RIGHT_X : 0);
    case NEGATIVE:
    case NPT:
        if ((e & 1) == 0 || (e >> 2 & 1) == 0) {
            return 0;
        }
        return RIGHT_R | (e >> 1 & 1 ? RIGHT_W : 0) | (e >> 63 ? 0 : RIGHT_X);
    default:
        return (e & 1 ? RIGHT_R : 0) | (e & 2 ? RIGHT_W : 0) | (e & 4 ? RIGHT_X : 0);
    }
}

bool spec_misconfigured(unsigned format, uint64_t e, unsigned level)
{
    unsigned type = e >> 3 & 7;
    bool leaf = level == 1 || (e >> 7 & 1);

    if (format == NPT) { /* written by the processor, or with reserved bits: APM 2, 5.3 and 15.25 */
        return (e & 1) && (!(e >> 5 & 1) || (leaf && !(e >> 6 & 1)) || (e >> 59 & 15) ||
                           (level > 1 && leaf &&
                            (e & FORMAT_ADDRESS_MASK & ((PAGE_SIZE << 9 * (level - 1)) - 1))));
    }
    if (format != EPT || (e & 7) == 0) {
        return false;
    }
    if ((e & 3) == 2 || (level == 4 && (e >> 3 & 0x1f))) {
        return true;
    }
    if (!leaf) {
        return e >> 3 & 0x1f;
    }
    if (level > 1 && (e & FORMAT_ADDRESS_MASK & ((PAGE_SIZE << 9 * (level - 1)) - 1))) {
        return true;
    }
    return type == 2 || type == 3 || type == 7;
}

void prove_start(const struct table_format *f, unsigned policy)
{
    struct fake_options o = FAKE_DEFAULTS;
    uint16_t v;

    o.format = f;
    o.policy = policy;
    fake_start(o);
    assert_int_equal(set_state(true), 0);
    assert_int_equal(create(ACCESS_RWX, &v), 0);
    assert_int_equal(v, 1);
}

void prove_stop(void)
{
    fake_stop();
}
