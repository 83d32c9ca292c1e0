/* SPDX-License-Identifier: MIT */
/*
 * What views show while they change. One vCPU, the director, restricts, remaps, hides, destroys and
 * creates views, moves everybody into one and gives a page back; the others, the players, go from
 * view to view by VMFUNC and read, write and call what is there. What the call is about is marked
 * as changing before it, and as what it is to be now after it. A player looks at the mark before
 * and after what it does: if nothing changed meanwhile, what it saw must be what holds. So a right
 * that was gone when a call returned, and is used after it, is a failure.
 *
 * Nothing waits for a time: after each change the director waits until every player has judged
 * something. On one processor players give it up when they are asked to.
 */
#include <stdint.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/player.h"
#include "lib/smp.h"
#include "lib/test.h"

#define VIEWS    6u /* 1 to VIEWS - 1 are changed */
#define CELLS    4u /* pages that views restrict or remap */
#define TARGETS  3u /* what they show then; the last is what is given back at times */
#define BALLOON  (TARGETS - 1)
#define CHANGES  260u
#define ACCESSES 6u /* of a player in a view, at least */
#define LONG     3u /* changes that it stays for, at times */
#define LOOKS    1000u

/* What somebody writes down before and after a change: odd while it is one. */
struct mark {
    volatile uint64_t count;
};

/* What a page shows in a view. */
struct cell {
    struct mark mark;
    volatile uint64_t stamp; /* of the page that it shows */
    volatile bool not_stamp; /* anything but that */
    volatile uint16_t access;
    volatile uint16_t target; /* TARGETS: itself */
};

struct view {
    struct mark mark;
    volatile bool there, shown;
    struct cell cells[CELLS];
};

/* Each page holds its stamp, and code that returns it; then a word for each player. */
struct shown_page {
    volatile uint64_t stamp;
    uint8_t code[24];
    volatile uint64_t words[VCPUS];
} __attribute__((aligned(4096)));

enum judged { GRANTED, DENIED, ENTERED, REFUSED, MOVED, GIVEN_BACK, WRITTEN, JUDGED };
static volatile uint64_t judged[VCPUS][JUDGED];

static struct shown_page *pages, *targets;
static volatile uint64_t *where_page; /* shows which view it is */
static struct view views[VIEWS];
static struct {
    struct mark mark;
    volatile uint16_t to;
} move; /* everybody */
static struct {
    struct mark mark;
    volatile uint64_t stamp; /* 0: it was given back */
} balloon;
static volatile uint64_t changed;
static volatile bool ending, give_up, up;
static unsigned vcpus;
static volatile unsigned failures, ended;
static uint64_t seed, stamps = 0x1000;

static void yield(void)
{
    sched_op(SCHEDOP_yield, NULL);
}

static uint64_t random(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (*state >> 11) % below;
}

static void begin(struct mark *m)
{
    m->count++;
    in_order();
}

static void end(struct mark *m)
{
    in_order();
    m->count++;
}

static uint64_t look(const struct mark *m)
{
    uint64_t count = m->count;

    in_order();
    return count;
}

static uint64_t settled(const struct mark *m)
{
    uint64_t seen;

    while ((seen = look(m)) & 1 && !ending)
        give_up ? yield() : pause();
    return seen;
}

static bool holds(const struct mark *m, uint64_t seen)
{
    in_order();
    return !(seen & 1) && m->count == seen;
}

/* One failure tells enough. */
static void wrong(int line, const char *what, unsigned view, uint64_t cell, uint64_t got,
                  uint64_t wanted)
{
    if (__atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST) == 0)
        test_failed(line, "%s: view %u, page %lu: %lx, wanted %lx", what, view, cell, got, wanted);
}
#define WRONG(...) wrong(__LINE__, __VA_ARGS__)

/* ---- players ---- */

static void count(struct player *me, enum judged what)
{
    judged[me - players][what]++;
    me->judged++;
}

static void judge_access(struct player *me, bool allowed, int vector, uint16_t view, uint64_t cell)
{
    count(me, allowed ? GRANTED : DENIED);
    if (vector != (allowed ? VEC_NONE : VEC_VE))
        WRONG(allowed ? "denied what holds" : "used what was taken away", view, cell,
              (uint64_t)vector, (uint64_t)(allowed ? VEC_NONE : VEC_VE));
    if (vector == VEC_VE && me->gpa / PAGE != gfn_of(&pages[cell]))
        WRONG("#VE of another page", view, cell, me->gpa / PAGE, gfn_of(&pages[cell]));
}

static void judge_content(struct player *me, const struct cell *c, uint64_t got, uint16_t view,
                          uint64_t cell)
{
    if (c->not_stamp)
        count(me, GIVEN_BACK);
    if ((got == c->stamp) == c->not_stamp)
        WRONG(c->not_stamp ? "a page that was given back" : "content", view, cell, got, c->stamp);
}

/* A word written in a view is in the page that the view shows. It is looked at in view 0. */
struct written {
    const struct mark *mark;
    uint64_t seen, value;
    const volatile uint64_t *at;
};

static uint64_t begin_writing(struct written *w)
{
    w->mark = NULL; /* until it is judged */
    return ++w->value;
}

static void access_some(struct player *me, uint16_t view, uint64_t cell, uint64_t moved,
                        struct written *w)
{
    static const uint8_t rights[] = {
        [ACCESS_N] = 0, [ACCESS_R] = 1, [ACCESS_RW] = 3, [ACCESS_RX] = 5, [ACCESS_RWX] = 7};
    unsigned n = (unsigned)(me - players);
    const struct cell *c = &views[view].cells[cell];
    unsigned kind = (unsigned)random(&me->random, 3);
    uint64_t got = 0, seen = look(&c->mark);
    struct cell was = *c;
    int vector = VEC_NONE;

    if (kind == 2 && was.target == BALLOON) /* before it can be gone, somebody has to judge */
        kind = 0;
    if (kind == 0)
        vector = read_page(me, &pages[cell], &got);
    else if (kind == 1)
        vector = write_page(me, &pages[cell].words[n], begin_writing(w));
    else
        vector = call_page(me, pages[cell].code, &got);
    if (!holds(&c->mark, seen) || !holds(&move.mark, moved))
        return;
    judge_access(me, view == 0 || rights[was.access] >> kind & 1, vector, view, cell);
    if (vector != VEC_NONE)
        return;
    if (kind == 0 || (kind == 2 && !was.not_stamp))
        judge_content(me, &was, got, view, cell);
    if (kind == 1 && !was.not_stamp && was.target != BALLOON)
        *w = (struct written){&c->mark, seen, w->value,
                              was.target == TARGETS ? &pages[cell].words[n]
                                                    : &targets[was.target].words[n]};
}

static void read_balloon(struct player *me)
{
    uint64_t got, seen = look(&balloon.mark), stamp = balloon.stamp;
    int vector = read_page(me, &targets[BALLOON], &got);

    if (!holds(&balloon.mark, seen))
        return;
    count(me, stamp ? GRANTED : GIVEN_BACK);
    if (vector != VEC_NONE || got != (stamp ? stamp : ~0ULL))
        WRONG("the page that comes and goes", 0, BALLOON, got, stamp);
}

static bool give_up_at(unsigned access)
{
    return give_up && access % ACCESSES == ACCESSES / 2;
}

/*
 * In the view that it went to, or where it was moved to since. At times it stays while things
 * change, at one page most of the time: what the processor remembers of that is to be forgotten.
 */
static void stay(struct player *me, uint16_t view, uint64_t entered, struct written *w)
{
    unsigned mostly = (unsigned)random(&me->random, CELLS);
    uint64_t until = random(&me->random, 3) ? 0 : changed + LONG;

    for (unsigned i = 0; (i < ACCESSES || changed < until) && !failures && !ending; i++) {
        uint64_t moved = settled(&move.mark), seen;
        uint16_t here = moved == entered ? view : move.to;

        if (give_up_at(i))
            yield();
        seen = *where_page;
        if (!holds(&move.mark, moved))
            continue;
        if (moved != entered)
            count(me, MOVED);
        if (seen != here)
            WRONG("the view that it is in", here, 0, seen, here);
        if (i == 0)
            read_balloon(me);
        else
            access_some(me, here, random(&me->random, 4) ? mostly : random(&me->random, CELLS),
                        moved, w);
        if (here && look(&views[here].mark) % 2 == 0 && !views[here].there &&
            holds(&move.mark, moved))
            WRONG("a view that somebody is in was destroyed", here, 0, 0, 1);
    }
}

static void judge_entry(struct player *me, uint16_t view, bool there, int vector)
{
    count(me, there ? ENTERED : REFUSED);
    if (vector != (there ? VEC_NONE : VEC_UD))
        WRONG(there ? "VMFUNC refused" : "VMFUNC to a view that is hidden or gone", view, 0,
              (uint64_t)vector, (uint64_t)(there ? VEC_NONE : VEC_UD));
}

static void look_at_written(struct player *me, const struct written *w, uint64_t moved)
{
    uint64_t got;

    if (!w->mark)
        return;
    got = *w->at;
    if (!holds(w->mark, w->seen) || !holds(&move.mark, moved))
        return;
    count(me, WRITTEN);
    if (got != w->value)
        WRONG("what was written", 0, 0, got, w->value);
}

static void play(struct player *me)
{
    uint16_t view = (uint16_t)random(&me->random, VIEWS);
    struct written w = {.value = me->judged << 8};
    uint64_t moved = look(&move.mark), seen = look(&views[view].mark);
    bool there = views[view].there && views[view].shown;
    int vector = enter(me, view);

    if (holds(&views[view].mark, seen)) {
        judge_entry(me, view, there, vector);
        if (vector == VEC_NONE && holds(&move.mark, moved))
            stay(me, view, moved, &w);
    }
    moved = look(&move.mark);
    if (enter(me, 0) != VEC_NONE)
        WRONG("VMFUNC to view 0", 0, 0, 0, 0);
    if (holds(&move.mark, moved))
        look_at_written(me, &w, moved);
}

/* With interrupts on: while a guest has them off, Bochs 2.7 keeps kicks from its processor, and
 * each change waits for an NMI. */
static void run_player(unsigned vcpu)
{
    interrupts_on();
    while (!ending && !failures) {
        play(&players[vcpu]);
        if (give_up)
            yield();
    }
    __atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
    for (;;)
        vcpu_op(VCPUOP_down, vcpu, NULL);
}

/* ---- the director ---- */

/* Until each player has judged a few things since. No PAUSE at first, which is another's turn. */
static void let_play(void)
{
    uint64_t goals[VCPUS];

    for (unsigned i = 1; i < vcpus; i++)
        goals[i] = players[i].judged + 3;
    for (unsigned i = 1, looks = 0; i < vcpus && !failures;) {
        if (players[i].judged >= goals[i]) {
            i++;
        } else if (++looks > LOOKS) {
            give_up = true;
            yield();
            pause();
        }
    }
    give_up = false;
}

static void stamp(struct shown_page *p)
{
    uint32_t value = (uint32_t)++stamps;

    p->stamp = value;
    p->code[0] = 0xb8; /* mov $value, %eax */
    *(uint32_t *)(p->code + 1) = value;
    p->code[5] = 0xc3; /* ret */
}

static uint64_t some(uint64_t below)
{
    return random(&seed, below);
}

static void create_one(void)
{
    unsigned there = 0;
    uint16_t id, got;

    for (unsigned i = 0; i < VIEWS; i++)
        there += views[i].there;
    if (there == VIEWS)
        return;
    for (id = 1; views[id].there; id++)
        ;
    begin(&views[id].mark);
    expect(altp2m_create(ACCESS_RWX, &got), 0);
    need(got == id, "the next view has number %u and not %u", got, id);
    expect(altp2m_change_gfn(id, gfn_of(where_page), gfn_of(where_page) + id), 0);
    for (unsigned i = 0; i < CELLS; i++) {
        views[id].cells[i].stamp = pages[i].stamp;
        views[id].cells[i].not_stamp = false;
        views[id].cells[i].access = ACCESS_RWX;
        views[id].cells[i].target = TARGETS;
    }
    views[id].there = views[id].shown = true;
    end(&views[id].mark);
}

static void destroy(uint16_t id)
{
    long rc;

    begin(&views[id].mark);
    rc = altp2m_destroy(id);
    if (rc == 0)
        views[id].there = false;
    else
        expect(rc, -XEN_EBUSY);
    end(&views[id].mark);
}

static void show(uint16_t id, bool shown)
{
    begin(&views[id].mark);
    expect(altp2m_set_visibility(id, shown), 0);
    views[id].shown = shown;
    end(&views[id].mark);
}

static void restrict_page(uint16_t id, unsigned cell)
{
    static const uint16_t accesses[] = {ACCESS_N, ACCESS_R, ACCESS_RX, ACCESS_RW, ACCESS_RWX};
    struct cell *c = &views[id].cells[cell];
    uint16_t access = accesses[some(ARRAY_SIZE(accesses))];
    uint64_t gfn = gfn_of(&pages[cell]);

    /* Who does not wait for the processor hears of what it may not. */
    expect(altp2m_set_suppress_ve(id, gfn, 0), 0);
    begin(&c->mark);
    expect(altp2m_set_access(id, gfn, access), 0);
    c->access = access;
    end(&c->mark);
}

static void remap(uint16_t id, unsigned cell)
{
    struct cell *c = &views[id].cells[cell];
    uint64_t gfn = gfn_of(&pages[cell]);
    uint16_t target = (uint16_t)some(TARGETS + 1), access;

    if (target == BALLOON && !balloon.stamp)
        target = TARGETS;
    begin(&c->mark);
    if (c->target != TARGETS || target == TARGETS)
        expect(altp2m_change_gfn(id, gfn, GFN_ALL_ONES), 0);
    if (target != TARGETS)
        expect(altp2m_change_gfn(id, gfn, gfn_of(&targets[target])), 0);
    expect(altp2m_get_access(id, gfn, &access), 0);
    expect(access, ACCESS_RWX);
    c->target = target;
    c->access = access;
    c->stamp = target == TARGETS ? pages[cell].stamp : targets[target].stamp;
    c->not_stamp = false;
    end(&c->mark);
}

/* All that show the page that comes and goes. */
static void each_showing(void (*what)(uint16_t id, unsigned cell))
{
    for (uint16_t id = 1; id < VIEWS; id++)
        for (unsigned i = 0; i < CELLS; i++)
            if (views[id].there && views[id].cells[i].target == BALLOON)
                what(id, i);
}

static void begin_cell(uint16_t id, unsigned cell)
{
    begin(&views[id].cells[cell].mark);
}

static void end_given_back(uint16_t id, unsigned cell)
{
    views[id].cells[cell].not_stamp = true;
    end(&views[id].cells[cell].mark);
}

static void revert(uint16_t id, unsigned cell)
{
    struct cell *c = &views[id].cells[cell];

    begin(&c->mark);
    expect(altp2m_change_gfn(id, gfn_of(&pages[cell]), GFN_ALL_ONES), 0);
    c->target = TARGETS;
    c->access = ACCESS_RWX;
    c->stamp = pages[cell].stamp;
    c->not_stamp = false;
    end(&c->mark);
}

static long reserve(unsigned what)
{
    xen_pfn_t gfn = gfn_of(&targets[BALLOON]);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &gfn);
    return memory_op(what, &r);
}

static void give_back(void)
{
    begin(&balloon.mark);
    each_showing(begin_cell);
    expect(reserve(XENMEM_decrease_reservation), 1);
    balloon.stamp = 0;
    each_showing(end_given_back);
    end(&balloon.mark);
    let_play();
    each_showing(revert);
}

static void get_again(void)
{
    begin(&balloon.mark);
    expect(reserve(XENMEM_populate_physmap), 1);
    stamp(&targets[BALLOON]);
    balloon.stamp = targets[BALLOON].stamp;
    end(&balloon.mark);
}

static void move_all(uint16_t id)
{
    if (!views[id].shown)
        return;
    begin(&move.mark);
    expect(altp2m_switch(id), 0);
    move.to = id;
    end(&move.mark);
    let_play();
    begin(&move.mark);
    expect(altp2m_switch(0), 0);
    move.to = 0;
    end(&move.mark);
}

static void change(void)
{
    uint16_t id = (uint16_t)(1 + some(VIEWS - 1));
    unsigned cell = (unsigned)some(CELLS);
    uint64_t what = some(16);

    if (what == 0)
        create_one();
    else if (what == 1)
        balloon.stamp ? give_back() : get_again();
    else if (!views[id].there)
        create_one();
    else if (what == 2)
        destroy(id);
    else if (what == 3)
        move_all(id);
    else if (what < 7)
        show(id, !views[id].shown);
    else if (what < 10)
        remap(id, cell);
    else
        restrict_page(id, cell);
}

/* ---- cases ---- */

static uint64_t given(const char *key, uint64_t otherwise)
{
    char word[16];
    uint64_t value = 0;

    if (!cmdline_get(key, word, sizeof(word)))
        return otherwise;
    for (const char *c = word; *c >= '0' && *c <= '9'; c++)
        value = value * 10 + (uint64_t)(*c - '0');
    return value;
}

static void set_up_memory(void)
{
    pages = page_alloc(CELLS, 1);
    targets = page_alloc(TARGETS, 1);
    where_page = page_alloc(VIEWS, 1);
    for (unsigned i = 0; i < VIEWS; i++)
        where_page[i * PAGE / sizeof(*where_page)] = i;
    for (unsigned i = 0; i < CELLS; i++) {
        stamp(&pages[i]);
        views[0].cells[i].stamp = pages[i].stamp;
        views[0].cells[i].access = ACCESS_RWX;
        views[0].cells[i].target = TARGETS;
    }
    for (unsigned i = 0; i < TARGETS; i++)
        stamp(&targets[i]);
    balloon.stamp = targets[BALLOON].stamp;
    views[0].there = views[0].shown = true;
}

static void start(void)
{
    seed = 0x9e3779b97f4a7c15 * (given("seed", 1) + 1);
    vcpus = (unsigned)given("vcpus", VCPUS);
    need(vcpus > 1 && vcpus <= VCPUS, "vcpus=%u", vcpus);
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    trap_handle(VEC_VE, caught);
    trap_handle(VEC_UD, caught);
    set_up_memory();
    for (unsigned i = 1; i < vcpus; i++) {
        long rc;

        players[i].info = page_alloc(1, 1);
        players[i].random = seed + i;
        rc = altp2m_enable_notify(i, gfn_of(players[i].info));
        if (rc == -XEN_EOPNOTSUPP)
            skip("altp2m with #VE");
        expect(rc, 0);
    }
    for (unsigned i = 1; i < VIEWS; i++)
        create_one();
    for (unsigned i = 1; i < vcpus; i++)
        expect(smp_start(i, run_player), 0);
    up = !test_is_failing();
}

static void changes(void)
{
    static const char *const names[] = {"granted", "denied",     "entered", "refused",
                                        "moved",   "given back", "written"};
    uint64_t wanted = given("changes", CHANGES);

    if (!up)
        skip("other vCPUs");
    for (unsigned i = 0; i < wanted && !failures && !test_is_failing(); i++) {
        change();
        changed = i + 1;
        let_play();
    }
    ending = true;
    while (ended < vcpus - 1)
        yield();
    for (unsigned what = 0; what < JUDGED; what++) {
        uint64_t sum = 0;

        for (unsigned i = 1; i < vcpus; i++)
            sum += judged[i][what];
        say("%s: %lu\n", names[what], sum);
        check(sum > 0 || test_is_failing(), "never judged: %s", names[what]);
    }
}

TEST_CASES(CASE(start), CASE(changes))
