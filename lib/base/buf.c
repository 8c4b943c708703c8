/*
 * buf.c: growable bytes.
 * Owns: the memory of one buffer. Invariant: len <= cap; cap 0 has no memory.
 * Thread: none of its own.
 */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <ws_hub/error.h>
#include "base/check.h"

enum { FIRST_CAP = 64 };

int wsh_buf_reserve_max(struct wsh_buf *buf, size_t more, size_t max)
{
    size_t need, cap;
    uint8_t *data;

    WSH_ASSERT(buf->len <= buf->cap);
    if (more <= buf->cap - buf->len)
        return 0;
    if (more > SIZE_MAX - buf->len)
        return WS_HUB_ENOMEM;
    need = buf->len + more;
    cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    cap = WSH_MAX(cap, (size_t)FIRST_CAP);
    cap = WSH_MAX(WSH_MIN(cap, max), need);
    data = realloc(buf->data, cap);
    if (!data)
        return WS_HUB_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int wsh_buf_reserve(struct wsh_buf *buf, size_t more)
{
    return wsh_buf_reserve_max(buf, more, SIZE_MAX);
}

int wsh_buf_append(struct wsh_buf *buf, const void *data, size_t len)
{
    if (len == 0) /* data may be NULL, which memcpy must not see */
        return 0;
    if (wsh_buf_reserve(buf, len))
        return WS_HUB_ENOMEM;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int wsh_buf_append_cstr(struct wsh_buf *buf, const char *text)
{
    return wsh_buf_append(buf, text, strlen(text));
}

void wsh_buf_fini(struct wsh_buf *buf)
{
    free(buf->data);
    *buf = (struct wsh_buf){0};
}
