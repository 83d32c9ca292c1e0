/* SPDX-License-Identifier: MIT */
/* Areas that a guest registered: bound by right, written while it stands, and no reference too
 * many or too few. */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "vcpu/hand.h"
#include "hv/vcpu/hand_area.c"

static uint8_t (*pages)[PAGE_SIZE];
static struct domain domain = {.id = 1};
static struct vcpu vcpu = {.domain = &domain};
static int references[8];
static access_t host[8], views[8][8]; /* access of each gfn, in the host map and by view */
static unsigned remapped;             /* in view 1 this gfn shows the frame of gfn 0 */
static bool gone[8];                  /* views that are not there */

bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out)
{
    bool at_host = view_eq(v, VIEW_NONE);

    assert_ptr_equal(pm, &domain.physmap);
    if (g.v >= 8 || (!at_host && gone[v.v])) {
        return false;
    }
    *out = (struct mapping){.mfn = frame_of(pages[v.v == 1 && g.v == remapped ? 0 : g.v]),
                            .type = MAP_RAM,
                            .access = at_host ? host[g.v] : views[v.v][g.v]};
    return true;
}

bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out)
{
    return view_lookup(pm, VIEW_NONE, g, out);
}

bool altp2m_view_exists(struct physmap *pm, view_t v)
{
    assert_ptr_equal(pm, &domain.physmap);
    return !gone[v.v];
}

bool frame_get(mfn_t m, uint16_t owner)
{
    assert_int_equal(owner, domain.owner);
    references[((uint8_t *)frame_virt(m) - pages[0]) / PAGE_SIZE]++;
    return true;
}

void frame_put(mfn_t m)
{
    references[((uint8_t *)frame_virt(m) - pages[0]) / PAGE_SIZE]--;
}

/* Linear addresses are guest physical ones. */
bool hand_translate_to_write(struct vcpu *v, gva_t a, gpa_t *out)
{
    assert_ptr_equal(v, &vcpu);
    *out = gpa(a.v);
    return true;
}

void domain_say(struct domain *d, const char *format, ...)
{
    assert_ptr_equal(d, &domain);
    assert_non_null(format);
}

static int start(void **state)
{
    (void)state;
    memset(host, ACCESS_RWX, sizeof(host));
    memset(views, ACCESS_RWX, sizeof(views));
    memset(gone, 0, sizeof(gone));
    remapped = ~0u;
    domain.guest.areas_lost = 0;
    domain.physmap = (struct physmap){.audited = true, .guest_views = 3, .start_view = VIEW_NONE};
    vcpu.altp2m.view = view(1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(references[i], 0);
    }
    return 0;
}

static void changed(void)
{
    domain.physmap.flush.wanted++;
}

static uint8_t *page_of(struct hand_area *a)
{
    return hand_area_page(&domain, vcpu.altp2m.view, a);
}

static void test_bound_by_right(void **state)
{
    struct hand_area a = {0};

    (void)state;
    host[5] = ACCESS_R;
    views[1][6] = ACCESS_X;
    remapped = 4;
    assert_int_equal(hand_area_bind(&vcpu, gfn(5), &a), -EINVAL);
    assert_int_equal(hand_area_bind(&vcpu, gfn(6), &a), -EINVAL);
    assert_int_equal(hand_area_bind(&vcpu, gfn(4), &a), -EINVAL); /* another frame */
    assert_int_equal(hand_area_bind(&vcpu, gfn(9), &a), -EINVAL);
    assert_null(page_of(&a));
    domain.physmap.audited = false; /* as on Xen */
    assert_int_equal(hand_area_bind(&vcpu, gfn(5), &a), 0);
    assert_ptr_equal(page_of(&a), pages[5]);
    hand_area_unbind(&a);
    hand_area_unbind(&a);
    assert_null(page_of(&a));
}

/* By whatever takes the right away, and for good. */
static void test_lost(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 5; how++) {
        struct hand_area a = {0};

        start(NULL);
        assert_int_equal(hand_area_bind(&vcpu, gfn(5), &a), 0);
        assert_int_equal(references[5], 1);
        changed();
        assert_ptr_equal(page_of(&a), pages[5]);
        switch (how) {
        case 0:
            host[5] = ACCESS_R;
            break;
        case 1:
            views[1][5] = ACCESS_RX;
            break;
        case 2:
            remapped = 5;
            break;
        case 3: /* of a sealed guest the start view counts */
            domain.physmap.sealed = true;
            domain.physmap.start_view = view(2);
            views[2][5] = ACCESS_N;
            break;
        default:
            views[1][5] = ACCESS_N2RWX;
        }
        changed();
        assert_null(page_of(&a));
        assert_int_equal(references[5], 0);
        start(NULL);
        changed();
        assert_null(page_of(&a));
    }
}

/* The vCPU is on another view: the guest's own, a monitor's that holds it. */
static void test_elsewhere(void **state)
{
    struct hand_area a = {0};

    (void)state;
    assert_int_equal(hand_area_bind(&vcpu, gfn(5), &a), 0);
    views[2][5] = views[4][5] = ACCESS_R;
    changed();
    vcpu.altp2m.view = view(2);
    assert_ptr_equal(page_of(&a), pages[5]); /* its own: the page was named elsewhere */
    vcpu.altp2m.view = view(4);
    assert_null(page_of(&a)); /* a monitor's: not meanwhile */
    assert_int_equal(references[5], 1);
    vcpu.altp2m.view = view(1);
    assert_ptr_equal(page_of(&a), pages[5]);
    gone[1] = true; /* what it restricted went with it */
    changed();
    assert_ptr_equal(page_of(&a), pages[5]);
    assert_int_equal(domain.guest.areas_lost, 0);
    hand_area_unbind(&a);
}

static void test_crosses(void **state)
{
    struct hand_area a[2] = {{0}};

    (void)state;
    assert_int_equal(hand_area_bind_linear(&vcpu, gva(5 * PAGE_SIZE - 8), 48, a), 0);
    assert_ptr_equal(a[0].at, pages[4]);
    assert_ptr_equal(a[1].at, pages[5]);
    hand_area_unbind(&a[0]);
    hand_area_unbind(&a[1]);
    views[1][5] = ACCESS_R;
    assert_int_equal(hand_area_bind_linear(&vcpu, gva(5 * PAGE_SIZE - 8), 48, a), -EFAULT);
    assert_int_equal(references[4], 0);
    assert_int_equal(hand_area_bind_linear(&vcpu, gva(5 * PAGE_SIZE - 48), 48, a), 0);
    assert_null(a[1].at);
    hand_area_unbind(&a[0]);
}

int main(void)
{
    pages = aligned_alloc(PAGE_SIZE, 8 * PAGE_SIZE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bound_by_right, start, stop),
        cmocka_unit_test_setup_teardown(test_lost, start, stop),
        cmocka_unit_test_setup_teardown(test_elsewhere, start, stop),
        cmocka_unit_test_setup_teardown(test_crosses, start, stop),
    };
    int failed = pages ? cmocka_run_group_tests_name("hv/vcpu/hand_area", tests, NULL, NULL) : 1;

    free(pages);
    return failed;
}
