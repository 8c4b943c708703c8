/* buf.h: growable bytes. Zeroed memory is a valid empty buffer. Growth doubles;
 * a failed growth leaves the buffer as it was. */
#ifndef WSH_BASE_BUF_H
#define WSH_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct wsh_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

/* Room for `more` bytes after len. 0 or WS_HUB_ENOMEM. */
int wsh_buf_reserve(struct wsh_buf *buf, size_t more);
/* As reserve, but doubling ends at `max` bytes (unless len + more is above it):
 * for buffers whose largest size is known. */
int wsh_buf_reserve_max(struct wsh_buf *buf, size_t more, size_t max);
int wsh_buf_append(struct wsh_buf *buf, const void *data, size_t len);
int wsh_buf_append_cstr(struct wsh_buf *buf, const char *text);
/* Frees and zeroes. */
void wsh_buf_fini(struct wsh_buf *buf);

#endif
