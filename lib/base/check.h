/* check.h: assertions on our own invariants, and small helpers. Never for
 * arguments, peers, brokers or memory: those are errors, not bugs. */
#ifndef WSH_BASE_CHECK_H
#define WSH_BASE_CHECK_H

#include <assert.h>
#include <stddef.h>

#define WSH_ASSERT(condition) assert(condition)

#define WSH_CONTAINER(pointer, type, member)                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define WSH_MIN(a, b) ((a) < (b) ? (a) : (b))
#define WSH_MAX(a, b) ((a) > (b) ? (a) : (b))
#define WSH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__)
#define WSH_LIKELY(x) __builtin_expect(!!(x), 1)
#define WSH_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WSH_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WSH_LIKELY(x) (x)
#define WSH_UNLIKELY(x) (x)
#define WSH_PRINTF(f, a)
#endif

#endif
