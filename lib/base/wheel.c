/*
 * wheel.c: hierarchical timer wheel.
 *
 * A slot of level l covers 64^l ticks. A timer lies at the level of its
 * distance when it was set, in the slot of its deadline. When time enters a
 * slot of level 1..3, its timers move down (cascade); when time reaches a slot
 * of level 0, they are due. Cancelling leaves the slot's bit set, it is cleared
 * when time passes.
 *
 * Invariants between calls: the current slot of level 0 holds only timers that
 * are due already (set for the past); the current slots of higher levels were
 * cascaded when they were entered, so what lies there is one lap away.
 */
#include "base/wheel.h"

enum { BITS = 6, MASK = WSH_WHEEL_SLOTS - 1 };

#define HORIZON ((uint64_t)1 << (BITS * WSH_WHEEL_LEVELS)) /* ticks */

void wsh_wheel_init(struct wsh_wheel *wheel, uint64_t now_ms)
{
    unsigned level, slot;

    for (level = 0; level < WSH_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (slot = 0; slot < WSH_WHEEL_SLOTS; slot++)
            wsh_list_init(&wheel->slot[level][slot]);
    }
    wheel->now_tick = now_ms / WSH_WHEEL_TICK_MS;
    wheel->count = 0;
}

void wsh_timer_init(struct wsh_timer *timer)
{
    wsh_list_init(&timer->node);
    timer->at_ms = 0;
}

bool wsh_timer_armed(const struct wsh_timer *timer)
{
    return !wsh_list_empty(&timer->node);
}

/* Rounded up: a timer is never early. */
static uint64_t deadline_tick(const struct wsh_timer *timer)
{
    return timer->at_ms / WSH_WHEEL_TICK_MS +
           (timer->at_ms % WSH_WHEEL_TICK_MS != 0);
}

/* Put a detached timer into its slot. Beyond the horizon it goes as far as the
 * wheel reaches and is placed again when time gets there. */
static void place(struct wsh_wheel *wheel, struct wsh_timer *timer)
{
    uint64_t tick = WSH_MAX(deadline_tick(timer), wheel->now_tick);
    uint64_t distance = WSH_MIN(tick - wheel->now_tick, HORIZON - 1);
    unsigned level = 0;
    unsigned slot;

    tick = wheel->now_tick + distance;
    while (distance >> (BITS * (level + 1)))
        level++;
    slot = (unsigned)(tick >> (BITS * level)) & MASK;
    wsh_list_push(&wheel->slot[level][slot], &timer->node);
    wheel->occupied[level] |= (uint64_t)1 << slot;
}

void wsh_wheel_set(struct wsh_wheel *wheel, struct wsh_timer *timer,
                   uint64_t at_ms)
{
    wsh_wheel_cancel(wheel, timer);
    timer->at_ms = at_ms;
    place(wheel, timer);
    wheel->count++;
}

void wsh_wheel_cancel(struct wsh_wheel *wheel, struct wsh_timer *timer)
{
    if (!wsh_timer_armed(timer))
        return;
    WSH_ASSERT(wheel->count > 0);
    wsh_list_remove(&timer->node);
    wheel->count--;
}

/* Tick at which time enters the slot next. The current slot means "now" at
 * level 0 and a lap later above. */
static uint64_t slot_tick(const struct wsh_wheel *wheel, unsigned level,
                          unsigned slot)
{
    uint64_t base = wheel->now_tick >> (BITS * level);
    uint64_t ahead = (slot - base) & MASK;

    if (ahead == 0 && level > 0)
        ahead = WSH_WHEEL_SLOTS;
    return (base + ahead) << (BITS * level);
}

/* The first tick with something to do at a level: its slots in the order in
 * which time will enter them. */
static uint64_t level_tick(const struct wsh_wheel *wheel, unsigned level,
                           bool skip_empty)
{
    uint64_t base = wheel->now_tick >> (BITS * level);
    unsigned first = (unsigned)(level > 0 ? base + 1 : base) & MASK;
    uint64_t bits = wheel->occupied[level];

    if (first > 0) /* bit 0 is now slot `first` */
        bits = bits >> first | bits << (WSH_WHEEL_SLOTS - first);
    for (; bits; bits &= bits - 1) {
        unsigned slot = (first + (unsigned)__builtin_ctzll(bits)) & MASK;

        if (!skip_empty || !wsh_list_empty(&wheel->slot[level][slot]))
            return slot_tick(wheel, level, slot);
    }
    return UINT64_MAX;
}

static uint64_t first_tick(const struct wsh_wheel *wheel, bool skip_empty)
{
    uint64_t first = UINT64_MAX;
    unsigned level;

    for (level = 0; level < WSH_WHEEL_LEVELS; level++) {
        uint64_t tick = level_tick(wheel, level, skip_empty);

        first = WSH_MIN(first, tick);
    }
    return first;
}

static void take_slot(struct wsh_wheel *wheel, unsigned level,
                      struct wsh_list *to)
{
    unsigned slot = (unsigned)(wheel->now_tick >> (BITS * level)) & MASK;

    wsh_list_take(to, &wheel->slot[level][slot]);
    wheel->occupied[level] &= ~((uint64_t)1 << slot);
}

static void cascade(struct wsh_wheel *wheel, unsigned level)
{
    struct wsh_list list;

    take_slot(wheel, level, &list);
    while (!wsh_list_empty(&list)) {
        struct wsh_timer *timer = WSH_LIST_FIRST(&list, struct wsh_timer, node);

        wsh_list_remove(&timer->node);
        place(wheel, timer);
    }
}

/* Move time to a tick where something is to do, and what is due there to the
 * end of `due`. A timer that cascades is placed by its distance, so it never
 * lands in the current slot of a level above 0: the order of levels is free. */
static void enter_tick(struct wsh_wheel *wheel, uint64_t tick,
                       struct wsh_list *due)
{
    bool entered = tick > wheel->now_tick; /* else cascaded already */
    struct wsh_list list;
    unsigned level;

    wheel->now_tick = tick;
    for (level = 1; entered && level < WSH_WHEEL_LEVELS; level++) {
        if (tick & (((uint64_t)1 << (BITS * level)) - 1))
            break; /* in the middle of this slot, and of those above */
        cascade(wheel, level);
    }
    take_slot(wheel, 0, &list);
    while (!wsh_list_empty(&list)) {
        struct wsh_list *node = list.next;

        wsh_list_remove(node);
        wsh_list_push(due, node);
    }
}

void wsh_wheel_advance(struct wsh_wheel *wheel, uint64_t now_ms,
                       void (*fire)(struct wsh_timer *timer, void *arg),
                       void *arg)
{
    uint64_t target = now_ms / WSH_WHEEL_TICK_MS;
    struct wsh_list due;
    uint64_t tick;

    WSH_ASSERT(target >= wheel->now_tick);
    wsh_list_init(&due);
    while ((tick = first_tick(wheel, false)) <= target)
        enter_tick(wheel, tick, &due);
    wheel->now_tick = target;
    /* Only now call out: what fire() sets lands in slots behind this advance,
     * and what it cancels or sets again leaves `due` by itself. */
    while (!wsh_list_empty(&due)) {
        struct wsh_timer *timer = WSH_LIST_FIRST(&due, struct wsh_timer, node);

        wsh_wheel_cancel(wheel, timer);
        fire(timer, arg);
    }
}

uint64_t wsh_wheel_next(const struct wsh_wheel *wheel)
{
    uint64_t tick;

    if (wheel->count == 0)
        return UINT64_MAX;
    tick = first_tick(wheel, true);
    return tick > UINT64_MAX / WSH_WHEEL_TICK_MS ? UINT64_MAX
                                                 : tick * WSH_WHEEL_TICK_MS;
}

static uint64_t check_slot(const struct wsh_wheel *wheel, unsigned level,
                           unsigned slot)
{
    const struct wsh_list *head = &wheel->slot[level][slot];
    uint64_t start = slot_tick(wheel, level, slot);
    const struct wsh_list *node;
    uint64_t count = 0;

    WSH_ASSERT(wsh_list_empty(head) || (wheel->occupied[level] >> slot & 1));
    for (node = head->next; node != head; node = node->next) {
        const struct wsh_timer *timer =
            (const struct wsh_timer *)(const void *)node;
        uint64_t tick = WSH_MAX(deadline_tick(timer), wheel->now_tick);

        WSH_ASSERT(node->next->prev == node);
        WSH_ASSERT(level == 0 ? start == tick : start <= tick);
        (void)tick;
        count++;
    }
    (void)start;
    return count;
}

void wsh_wheel_check(const struct wsh_wheel *wheel)
{
    uint64_t count = 0;
    unsigned level, slot;

    for (level = 0; level < WSH_WHEEL_LEVELS; level++)
        for (slot = 0; slot < WSH_WHEEL_SLOTS; slot++)
            count += check_slot(wheel, level, slot);
    WSH_ASSERT(count == wheel->count);
    (void)count;
}
