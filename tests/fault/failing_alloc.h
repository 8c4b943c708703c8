/*
 * failing_alloc.h: the allocator of a program that is linked with
 *
 *   --wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup,
 *   --wrap=free
 *
 * It counts what code inside the library allocates and lets the n-th one fail,
 * alone or with all that follow. A thread is inside, unless it says that it is
 * in the test's code: callbacks and stand-ins say so on entry and take it back
 * on return. What is allocated and not freed is counted on both sides.
 *
 * Thread: any; fail_at and stop while nothing else runs, or after it has begun
 * to fail.
 */
#ifndef WSH_TEST_FAILING_ALLOC_H
#define WSH_TEST_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Begin to count; allocation n fails, and with `onwards` all after it. 0: none.
 */
void alloc_fail_at(unsigned long n, bool onwards);
/* Nothing fails any more, nothing is counted. */
void alloc_stop(void);

unsigned long alloc_seen(void);   /* since fail_at */
unsigned long alloc_failed(void); /* since fail_at */
long alloc_live(void);            /* allocated and not freed, ever */
long alloc_live_lws(void);        /* the same of libwebsockets */

/* This thread runs the test's code: what it allocates does not fail. Returns
 * what it was before. */
bool alloc_outside(bool outside);

#define IN_LIBRARY(...)                                                        \
    do {                                                                       \
        bool outside_before = alloc_outside(false);                            \
                                                                               \
        __VA_ARGS__;                                                           \
        (void)alloc_outside(outside_before);                                   \
    } while (0)

/* Whose allocations are counted and fail: ours, if nothing else is said. */
enum alloc_whose { ALLOC_OURS, ALLOC_LWS, ALLOC_NOBODYS };
void alloc_only(enum alloc_whose whose);

/* For json_set_alloc_funcs(): as if they were ours; for lws_set_allocator(). */
void *alloc_json(size_t size);
void alloc_json_free(void *memory);
void *alloc_lws(void *memory, size_t size, const char *reason);

#endif
