/* The label texts of every enum in the public headers. */
#include "ws_hub/error.h"
#include "ws_hub/metrics.h"

#include "base/check.h"

static const char *pick(const char *const *names, size_t count, size_t index)
{
    return index < count ? names[index] : "unknown";
}

const char *ws_hub_error_name(int error)
{
    switch (error) {
    case WS_HUB_OK:
        return "WS_HUB_OK";
    case WS_HUB_DEGRADED:
        return "WS_HUB_DEGRADED";
#define NAME(name, number, text)                                               \
    case number:                                                               \
        return "WS_HUB_" #name;
        WS_HUB_ERROR_MAP(NAME)
#undef NAME
    default:
        return "WS_HUB_EUNKNOWN";
    }
}

const char *ws_hub_error_text(int error)
{
    switch (error) {
    case WS_HUB_OK:
        return "no error";
    case WS_HUB_DEGRADED:
        return "the broker is away: own subscribers only";
#define TEXT(name, number, text)                                               \
    case number:                                                               \
        return text;
        WS_HUB_ERROR_MAP(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}

const char *ws_hub_cause_name(ws_hub_cause cause)
{
#define TEXT(name, side, text) text,
    static const char *const names[] = {WS_HUB_CAUSE_MAP(TEXT)};
#undef TEXT
    return pick(names, WSH_COUNT(names), cause);
}

#define TEXT(name, text) text,

const char *ws_hub_drop_name(ws_hub_drop drop)
{
    static const char *const names[] = {WS_HUB_DROP_MAP(TEXT)};

    return pick(names, WSH_COUNT(names), drop);
}

const char *ws_hub_reject_name(ws_hub_reject reject)
{
    static const char *const names[] = {WS_HUB_REJECT_MAP(TEXT)};

    return pick(names, WSH_COUNT(names), reject);
}

const char *ws_hub_refuse_name(ws_hub_refuse refuse)
{
    static const char *const names[] = {WS_HUB_REFUSE_MAP(TEXT)};

    return pick(names, WSH_COUNT(names), refuse);
}

const char *ws_hub_broker_event_name(ws_hub_broker_event event)
{
    static const char *const names[] = {WS_HUB_BROKER_EVENT_MAP(TEXT)};

    return pick(names, WSH_COUNT(names), event);
}
