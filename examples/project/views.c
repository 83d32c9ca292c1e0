/* SPDX-License-Identifier: MIT */
/* A guest that tests altp2m and says so in the lines of facet-tests(5): a test of yours begins
 * here. */
#include "guest.h"

static volatile char page[2][4096] __attribute__((aligned(4096)));

void main(void)
{
    const struct altp2m xen = {.hvm_op = hvm_op};
    altp2m_view_t view;

    guest_begin();
    page[0][0] = 'a';
    page[1][0] = 'b';
    test("views.on", altp2m_set_state(&xen, true) == 0, "altp2m on");
    test("views.create", altp2m_create(&xen, ALTP2M_RWX, &view) == 0, "a view");
    test("views.remap", altp2m_change_gfn(&xen, view, gfn_of(page[0]), gfn_of(page[1])) == 0,
         "another page there");
    altp2m_switch(&xen, view);
    test("views.seen_there", page[0][0] == 'b', "the other page's content");
    altp2m_switch(&xen, ALTP2M_VIEW_0);
    test("views.seen_here", page[0][0] == 'a', "the page's own content");
    guest_end("views");
}
