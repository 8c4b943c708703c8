#include "fault/failing_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
void __wrap_free(void *memory);

static _Thread_local bool is_outside;
static atomic_bool counting, failing_onwards;
static atomic_uint counted; /* enum alloc_whose */
static atomic_ulong failing_at, seen, failed;
static atomic_long live, live_lws;

long alloc_live_lws(void)
{
    return atomic_load(&live_lws);
}

bool alloc_outside(bool outside)
{
    bool before = is_outside;

    is_outside = outside;
    return before;
}

void alloc_fail_at(unsigned long n, bool onwards)
{
    atomic_store(&failing_at, n);
    atomic_store(&failing_onwards, onwards);
    atomic_store(&seen, 0);
    atomic_store(&failed, 0);
    atomic_store(&counting, true);
}

void alloc_stop(void)
{
    atomic_store(&counting, false);
}

unsigned long alloc_seen(void)
{
    return atomic_load(&seen);
}

unsigned long alloc_failed(void)
{
    return atomic_load(&failed);
}

long alloc_live(void)
{
    return atomic_load(&live);
}

static bool fails(enum alloc_whose whose)
{
    unsigned long at = atomic_load(&failing_at), number;

    if (is_outside || !atomic_load(&counting) || whose != atomic_load(&counted))
        return false;
    number = atomic_fetch_add(&seen, 1) + 1;
    if (!at || number < at || (number > at && !atomic_load(&failing_onwards)))
        return false;
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return true;
}

static void *count_live(void *memory)
{
    if (memory)
        atomic_fetch_add(&live, 1);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails(ALLOC_OURS) ? NULL : count_live(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(ALLOC_OURS) ? NULL : count_live(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails(ALLOC_OURS))
        return NULL;
    if (!memory)
        return count_live(__real_realloc(NULL, size));
    return __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(ALLOC_OURS) ? NULL : count_live(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t most)
{
    return fails(ALLOC_OURS) ? NULL : count_live(__real_strndup(text, most));
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

void alloc_only(enum alloc_whose whose)
{
    atomic_store(&counted, whose);
}

void *alloc_json(size_t size)
{
    return malloc(size);
}

void alloc_json_free(void *memory)
{
    free(memory);
}

void *alloc_lws(void *memory, size_t size, const char *reason)
{
    void *moved;

    (void)reason;
    if (size && fails(ALLOC_LWS))
        return NULL;
    if (!size) {
        atomic_fetch_sub(&live_lws, memory != NULL);
        __real_free(memory);
        return NULL;
    }
    moved = __real_realloc(memory, size);
    atomic_fetch_add(&live_lws, moved && !memory);
    return moved;
}
