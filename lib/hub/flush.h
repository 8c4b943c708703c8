/* flush.h: how much is gathered for the writes of one flush. */
#ifndef WSH_HUB_FLUSH_H
#define WSH_HUB_FLUSH_H

enum {
    WSH_ARENA_BYTES = 4 << 20, /* touched only as far as it is used */
    WSH_GATHER_BELOW = 16384   /* a longer first entry is sent from its block */
};

#endif
