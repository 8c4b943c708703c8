/* log.h: the way to the host's log callback. Lines are cut at 255 bytes. A log
 * without a callback costs one branch. */
#ifndef WSH_BASE_LOG_H
#define WSH_BASE_LOG_H

#include "base/check.h"

struct wsh_log {
    void (*write)(int level, const char *text, void *user); /* NULL: nowhere */
    void *user;
};

/* level: ws_hub_log_level. Control characters in the text become '.'. */
void wsh_log(const struct wsh_log *log, int level, const char *format, ...)
    WSH_PRINTF(3, 4);

#endif
