/*
 * fleet_private.h: between fleet.c (members) and fleet_channels.c (what they
 * carry). Thread: the loop's.
 */
#ifndef WSR_FLEET_PRIVATE_H
#define WSR_FLEET_PRIVATE_H

#include "fleet.h"

/* All channels of a member that is not up any more: silently, or telling the
 * host of each that is wanted. */
void wsr_fleet_forget_channels(struct wsr_member *member);
void wsr_fleet_drop_channels(struct wsr_member *member, const char *why);

/* Events of server.h; user is the member. */
void wsr_fleet_on_subscribed(void *user, const char *name, size_t len,
                             int status);
void wsr_fleet_on_unsubscribed(void *user, const char *name, size_t len);
void wsr_fleet_on_message(void *user, const char *name, size_t len,
                          const void *bytes, size_t bytes_len);
void wsr_fleet_on_redirect(void *user, const struct wsr_redirect *redirect);
void wsr_fleet_on_publish_failed(void *user, const char *text);
void wsr_fleet_on_counted(void *user, const char *name, size_t len,
                          uint64_t listeners);
void wsr_fleet_on_room(void *user);

#endif
