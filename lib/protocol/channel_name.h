/* channel_name.h: which channel names exist (PROTOCOL.md). */
#ifndef WSH_PROTOCOL_CHANNEL_NAME_H
#define WSH_PROTOCOL_CHANNEL_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* 1..255 bytes of UTF-8, no C0, DEL or C1 control characters. */
bool wsh_channel_name_valid(const char *name, size_t len);
/* Starts with '$': only the hub itself may use it; clients get bad_channel. */
bool wsh_channel_name_reserved(const char *name, size_t len);

#endif
