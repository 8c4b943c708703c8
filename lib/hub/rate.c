#include "hub/rate.h"

#include "base/check.h"

enum { SECOND_US = 1000000 };

bool wsh_rate_take(struct wsh_rate *rate, uint32_t max_messages,
                   uint32_t max_bytes, uint64_t len, uint64_t now_us)
{
    float messages = (float)max_messages, bytes = (float)max_bytes;
    float want = WSH_MIN((float)len, bytes), seconds;

    if (rate->last_us == 0) {
        rate->messages = messages;
        rate->bytes = bytes;
        rate->last_us = now_us;
    }
    seconds = (float)(now_us - rate->last_us) / 1e6f;
    rate->messages = WSH_MIN(rate->messages + seconds * messages, messages);
    rate->bytes = WSH_MIN(rate->bytes + seconds * bytes, bytes);
    rate->last_us = now_us;
    if (rate->messages < 1 || rate->bytes < want)
        return false;
    rate->messages -= 1;
    rate->bytes -= want;
    return true;
}

bool wsh_rate_refused(struct wsh_rate *rate, uint64_t now_us, uint64_t grace_us)
{
    if (rate->refused_us == 0 || now_us - rate->refused_us >= SECOND_US)
        rate->over_us = now_us;
    rate->refused_us = now_us;
    return now_us - rate->over_us >= grace_us;
}
