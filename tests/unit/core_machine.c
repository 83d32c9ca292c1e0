/* SPDX-License-Identifier: MIT */
#include "core_machine.h"
#include <string.h>
#include <sys/mman.h>
#include "core/abi.h"
#include "core/view.h"
#include "fake.h"

/* The caller's lists lie where the fake machine has caller memory; its first
 * page is fake_hvmop()'s. */
static uint8_t *const lists = (uint8_t *)FAKE_CALLER_BASE;
static size_t next, held; /* bytes: handed out up to here; not given back */

void machine_start(unsigned mode, unsigned policy)
{
    struct fake_options o = FAKE_DEFAULTS;

    o.mode = mode;
    o.policy = policy;
    o.pool = 2048;
    fake_start(o);
    next = PAGE_SIZE;
    held = 0;
    EXPECT(mmap(lists, FAKE_CALLER_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == lists,
           "no memory for lists");
    for (uint64_t g = 0; g < MACHINE_PAGES; g += 512) {
        EXPECT(hostmap_map(&fake.pm, gfn(g), mfn(FAKE_FRAME_FIRST + g), ORDER_2M, MAP_RAM,
                           ACCESS_RWX) == 0,
               "no memory");
    }
}

void machine_stop(void)
{
    EXPECT(held == 0, "%zu bytes of lists are left", held);
    munmap(lists, FAKE_CALLER_SIZE);
    fake_audit();
    fake_stop();
}

int machine_hvm_op(void *ctx, unsigned int op, void *arg, size_t size)
{
    struct xen_hvm_param *p = arg;
    long rc;

    (void)ctx;
    if (op == HVMOP_get_param) {
        EXPECT(size == sizeof(*p) && p->index == HVM_PARAM_ALTP2M, "parameter %u", p->index);
        p->value = fake.pm.mode;
        return 0;
    }
    EXPECT(op == HVMOP_altp2m && size == sizeof(struct xen_hvm_altp2m_op),
           "hvm_op %u with %zu bytes", op, size);
    memcpy(fake.caller, lists, FAKE_CALLER_SIZE);
    rc = fake_hvmop(&fake.self, arg);
    memcpy(lists, fake.caller, FAKE_CALLER_SIZE);
    return (int)rc;
}

void *machine_alloc(void *ctx, size_t size)
{
    size_t at = held ? next : PAGE_SIZE;

    (void)ctx;
    size = (size + 15) & ~(size_t)15;
    if (size > FAKE_CALLER_SIZE - at) {
        return NULL;
    }
    next = at + size;
    held += size;
    memset(lists + at, 0, size);
    return lists + at;
}

void machine_release(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (p) {
        held -= (size + 15) & ~(size_t)15;
    }
}

struct machine_page machine_page(unsigned view, uint64_t gfn)
{
    struct fake_access a = fake_access_all(mfn(view_root_mfn(&fake.pm, &fake.pm.views[view])), gfn);

    return (struct machine_page){a.present ? (int64_t)a.mfn : -1, a.rights, a.suppress_ve};
}

unsigned machine_view(unsigned vcpu)
{
    return fake.vcpus[vcpu].view.v;
}
