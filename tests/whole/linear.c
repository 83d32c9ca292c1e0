/* SPDX-License-Identifier: MIT */
#include "linear.h"
#include <string.h>
#include "vendor.h"
#include "x86/cpu.h"

#define P     1ULL
#define W     2ULL
#define LARGE 0x80ULL
#define A     0x20ULL
#define FRAME 0x000000fffffff000ULL

/* Reading an entry sets its accessed flag, which a page that may only be read does not let: then
 * more than the access itself is denied. */
static bool entry(const struct vcpu *v, uint64_t at, bool flags, uint64_t *e)
{
    struct machine_entry m = machine_walk(v->altp2m.root.v, at >> PAGE_SHIFT);

    if (!m.present || !(m.rights & RIGHT_R) || m.mfn - MACHINE_FIRST >= MACHINE_FRAMES) {
        return false;
    }
    memcpy(e, machine_frame(m.mfn) + (at & ~PAGE_MASK), sizeof(*e));
    return (*e & P) && !(*e & ~(FRAME | 0xfff)) &&
           (!flags || ((*e & W) && ((m.rights & RIGHT_W) || (*e & A))));
}

bool linear_leads(const struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
    bool pae = v->id == 2;
    uint64_t cr3 = *whole_field(v, VCPU_CR3), table = cr3 & FRAME, e;

    if (pae) {
        if (linear >> 32 || !entry(v, (cr3 & 0xffffffe0) + (linear >> 30) * 8, false, &e)) {
            return false;
        }
        table = e & FRAME;
    }
    for (unsigned shift = pae ? 21 : 39;; shift -= 9) {
        uint64_t mask = (1ULL << shift) - 1;

        if (!entry(v, table + (linear >> shift & 511) * 8, true, &e) ||
            ((e & LARGE) && (shift == 39 || (e & FRAME & mask)))) {
            return false;
        }
        if (shift == PAGE_SHIFT || (e & LARGE)) {
            *gpa = (e & FRAME & ~mask) | (linear & mask);
            return true;
        }
        table = e & FRAME;
    }
}
