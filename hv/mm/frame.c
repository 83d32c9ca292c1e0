/* SPDX-License-Identifier: MIT */
/*
 * A buddy allocator over all RAM. Free blocks are linked through their own first bytes; what is
 * known of each frame is in frames[], which frame_init() places above the image.
 */
#include "frame.h"
#include <facet/check.h>
#include <facet/lock.h>
#include <string.h>
#include <sys/queue.h>
#include "boot/boot.h"

#define MAX_ORDER ORDER_1G

struct frame {
    uint32_t count; /* 0: free */
    uint16_t owner;
    uint8_t order : 5;  /* of the free block that starts here */
    bool free_head : 1; /* a free block starts here */
    bool shut : 1;      /* frame_shut() */
    bool kept : 1;      /* frame_keep() */
    uint8_t foreign;    /* of the count, mappings by other domains; FOREIGN_MANY: that or more, from
                           then on */
};
#define FOREIGN_MANY 0xffu
_Static_assert(sizeof(struct frame) == 8, "512 of memory for one of this");

struct free_block {
    LIST_ENTRY(free_block) link;
};
LIST_HEAD(free_list, free_block);

static struct lock frames_lock = LOCK_INIT(LOCK_RANK_FRAMES);
static struct frame *frames;
static uint64_t nr_frames, nr_free, nr_ram;
static uint64_t owned[FRAME_OWNERS];
static struct free_list free_lists[MAX_ORDER + 1];

static void block_insert(uint64_t first, unsigned order)
{
    struct free_block *b = frame_virt(mfn(first));

    frames[first].free_head = true;
    frames[first].order = (uint8_t)order;
    LIST_INSERT_HEAD(&free_lists[order], b, link);
    nr_free += 1ULL << order;
}

static void block_remove(uint64_t first)
{
    struct free_block *b = frame_virt(mfn(first));

    CHECK(frames[first].free_head);
    frames[first].free_head = false;
    LIST_REMOVE(b, link);
    nr_free -= 1ULL << frames[first].order;
}

static void block_free(uint64_t first, unsigned order)
{
    while (order < MAX_ORDER) {
        uint64_t buddy = first ^ (1ULL << order);

        if (buddy >= nr_frames || !frames[buddy].free_head || frames[buddy].order != order) {
            break;
        }
        block_remove(buddy);
        first &= ~(1ULL << order);
        order++;
    }
    block_insert(first, order);
}

/* Frees [first, end) in the largest aligned blocks that fit. */
static void range_free(uint64_t first, uint64_t end)
{
    while (first < end) {
        unsigned order = 0;

        while (order < MAX_ORDER && !(first & (1ULL << order)) && first + (2ULL << order) <= end) {
            order++;
        }
        block_free(first, order);
        first += 1ULL << order;
    }
}

/* Takes a block of at least `order` and gives back what is over. ~0 if there is none. */
static uint64_t block_alloc(unsigned order)
{
    for (unsigned o = order; o <= MAX_ORDER; o++) {
        if (!LIST_EMPTY(&free_lists[o])) {
            uint64_t first = frame_of(LIST_FIRST(&free_lists[o])).v;

            block_remove(first);
            while (o > order) {
                o--;
                block_insert(first + (1ULL << o), o);
            }
            return first;
        }
    }
    return ~0ULL;
}

static void account(uint16_t owner, uint64_t nr)
{
    if (owner < FRAME_OWNERS) {
        owned[owner] += nr;
    }
}

static void take(uint16_t owner, uint64_t first, uint64_t nr)
{
    account(owner, nr);
    for (uint64_t i = first; i < first + nr; i++) {
        CHECK(i < nr_frames && frames[i].count == 0);
        frames[i].count = 1;
        frames[i].owner = owner;
        frames[i].foreign = 0;
        frames[i].shut = false;
    }
}

/*
 * Page by page, with a read of the stack that does not go through the stack pointer: Bochs 2.7
 * keeps memory beyond 2 GiB in a file, and moves there what is not in the data TLB, the stack in
 * use too.
 */
static void zero(mfn_t m, uint64_t nr)
{
    uint64_t left = nr;
    volatile uint64_t *stack = &left;

    __asm__("" : "+r"(stack));
    for (; *stack; --*stack) {
        memset(frame_virt(m), 0, PAGE_SIZE);
        m.v++;
    }
}

mfn_t frame_reserve(uint64_t nr)
{
    unsigned order = 0;

    while (order <= MAX_ORDER && (1ULL << order) < nr) {
        order++;
    }
    if (nr == 0 || order > MAX_ORDER) {
        return MFN_INVALID;
    }
    lock_acquire(&frames_lock);
    uint64_t first = block_alloc(order);
    if (first != ~0ULL) {
        range_free(first + nr, first + (1ULL << order));
    }
    lock_release(&frames_lock);
    return first != ~0ULL ? mfn(first) : MFN_INVALID;
}

void frame_unreserve(mfn_t m, uint64_t nr)
{
    lock_acquire(&frames_lock);
    range_free(m.v, m.v + nr);
    lock_release(&frames_lock);
}

void frame_take(uint16_t owner, mfn_t m, uint64_t nr, bool clear)
{
    lock_acquire(&frames_lock);
    take(owner, m.v, nr);
    lock_release(&frames_lock);
    if (clear) {
        zero(m, nr);
    }
}

mfn_t frame_alloc_run(uint16_t owner, uint64_t nr)
{
    mfn_t m = frame_reserve(nr);

    if (!mfn_eq(m, MFN_INVALID)) {
        frame_take(owner, m, nr, true);
    }
    return m;
}

mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    return order <= MAX_ORDER ? frame_alloc_run(owner, 1ULL << order) : MFN_INVALID;
}

/* Drops one count; true if it was the last, and the frame is to be free. */
static bool put_locked(uint64_t i)
{
    CHECK(i < nr_frames && frames[i].count > 0);
    if (--frames[i].count > 0) {
        return false;
    }
    account(frames[i].owner, -1ULL);
    frames[i].owner = FRAME_OWNER_NONE;
    return !frames[i].kept;
}

/* Neighbours that become free together are given back as large blocks, not merged one by one. */
void frame_put_run(mfn_t m, uint64_t nr)
{
    uint64_t end = m.v + nr, first = m.v;

    lock_acquire(&frames_lock);
    for (uint64_t i = m.v; i < end; i++) {
        if (!put_locked(i)) {
            range_free(first, i);
            first = i + 1;
        }
    }
    range_free(first, end);
    lock_release(&frames_lock);
}

void frame_put(mfn_t m)
{
    lock_acquire(&frames_lock);
    if (put_locked(m.v)) {
        block_free(m.v, 0);
    }
    lock_release(&frames_lock);
}

bool frame_get(mfn_t m, uint16_t owner)
{
    bool ok = false;

    lock_acquire(&frames_lock);
    if (m.v < nr_frames && frames[m.v].count > 0 && frames[m.v].count < UINT32_MAX &&
        frames[m.v].owner == owner && !frames[m.v].shut) {
        frames[m.v].count++;
        ok = true;
    }
    lock_release(&frames_lock);
    return ok;
}

void frame_to_foreign(mfn_t m)
{
    lock_acquire(&frames_lock);
    CHECK(m.v < nr_frames && frames[m.v].count > 0);
    frames[m.v].foreign += frames[m.v].foreign < FOREIGN_MANY;
    lock_release(&frames_lock);
}

void frame_put_foreign(mfn_t m)
{
    lock_acquire(&frames_lock);
    CHECK(m.v < nr_frames && frames[m.v].foreign > 0);
    frames[m.v].foreign -= frames[m.v].foreign < FOREIGN_MANY;
    if (put_locked(m.v)) {
        block_free(m.v, 0);
    }
    lock_release(&frames_lock);
}

uint32_t frame_holders(mfn_t m)
{
    uint32_t n;

    lock_acquire(&frames_lock);
    CHECK(m.v < nr_frames && frames[m.v].count > 0);
    n = frames[m.v].foreign == FOREIGN_MANY ? UINT32_MAX : frames[m.v].count - frames[m.v].foreign;
    lock_release(&frames_lock);
    return n;
}

void frame_shut(mfn_t m)
{
    lock_acquire(&frames_lock);
    CHECK(m.v < nr_frames && frames[m.v].count > 0);
    frames[m.v].shut = true;
    lock_release(&frames_lock);
}

uint64_t frame_owned(uint16_t owner)
{
    uint64_t n;

    lock_acquire(&frames_lock);
    n = owned[owner];
    lock_release(&frames_lock);
    return n;
}

uint16_t frame_owner(mfn_t m)
{
    return m.v < nr_frames && frames[m.v].count > 0 ? frames[m.v].owner : FRAME_OWNER_NONE;
}

uint64_t frame_free_count(void)
{
    return nr_free;
}

uint64_t frame_total_count(void)
{
    return nr_ram;
}

/* The start of the free block that a frame lies in; ~0: it is not free. */
static uint64_t block_of(uint64_t i)
{
    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        uint64_t first = i & ~((1ULL << o) - 1);

        if (frames[first].free_head && frames[first].order == o) {
            return first;
        }
    }
    return ~0ULL;
}

static void keep(uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        frames[i].count = 0;
        frames[i].kept = true;
    }
}

uint64_t frame_keep(uint64_t first, uint64_t end, bool taken)
{
    uint64_t i = first;

    end = end < nr_frames ? end : nr_frames;
    lock_acquire(&frames_lock);
    while (i < end) {
        uint64_t block = block_of(i), after = i + 1, stop;

        if (block != ~0ULL) {
            after = block + (1ULL << frames[block].order);
            block_remove(block);
            range_free(block, i);
        } else if (!taken || frames[i].owner != FRAME_OWNER_NONE || frames[i].kept) {
            break;
        }
        stop = after < end ? after : end;
        keep(i, stop);
        range_free(stop, after);
        i = stop;
    }
    lock_release(&frames_lock);
    return i;
}

/*
 * Until frame_add_range() every frame counts as taken by nobody. `frames` must point to enough
 * usable RAM; frame_table_place() of the boot code found it.
 */
void frame_init(void *table, uint64_t top_of_ram)
{
    frames = table;
    nr_frames = top_of_ram >> PAGE_SHIFT;
    for (uint64_t i = 0; i < nr_frames; i++) {
        frames[i] = (struct frame){.count = 1, .owner = FRAME_OWNER_NONE};
    }
    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        LIST_INIT(&free_lists[o]);
    }
}

size_t frame_table_size(uint64_t top_of_ram)
{
    return (top_of_ram >> PAGE_SHIFT) * sizeof(struct frame);
}

void frame_add_range(uint64_t start, uint64_t end)
{
    uint64_t first = (start + PAGE_SIZE - 1) >> PAGE_SHIFT, last = end >> PAGE_SHIFT;

    last = last < nr_frames ? last : nr_frames;
    for (uint64_t i = first; i < last; i++) {
        frames[i].count = 0;
        nr_ram++;
    }
    if (first < last) {
        range_free(first, last);
    }
}
