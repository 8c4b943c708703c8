/*
 * settings.h: options after defaults, checks and copying; immutable from create
 * to destroy, so every thread reads them without a lock.
 */
#ifndef WSH_HUB_SETTINGS_H
#define WSH_HUB_SETTINGS_H

#include "base/log.h"
#include "ws_hub/options.h"

struct wsh_settings {
    ws_hub_options o; /* defaults filled in; pointers own their copies */
    ws_hub_callbacks callbacks;
};

/* Copy and check. 0, WS_HUB_EINVAL (logged through the options' own callback),
 * WS_HUB_ENOTSUP, WS_HUB_ENOMEM. On error there is nothing to free. */
int wsh_settings_init(struct wsh_settings *settings,
                      const ws_hub_options *options);
/* Safe on zeroed memory. */
void wsh_settings_fini(struct wsh_settings *settings);

/*
 * The rule for structures that grow: copy min(size, known) bytes over the
 * defaults in `to`; a larger structure is accepted only if the rest is zero.
 * 0, WS_HUB_EINVAL (size 0), WS_HUB_ENOTSUP.
 */
int wsh_struct_copy(void *to, size_t known, const void *from, size_t size);

#endif
