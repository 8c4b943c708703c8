#include "metrics/counters.h"

static void add_labels(const struct wsh_counters *counters, unsigned first,
                       unsigned count, uint64_t *to)
{
    for (unsigned i = 0; i < count; i++)
        to[i] += wsh_counted(counters, first + i);
}

void wsh_counters_add(const struct wsh_counters *counters,
                      ws_hub_stats_data *to)
{
    to->accepted += wsh_counted(counters, WSH_C_ACCEPTED);
    to->handshaking += wsh_counted(counters, WSH_C_HANDSHAKING);
    to->opened += wsh_counted(counters, WSH_C_OPENED);
    to->open += wsh_counted(counters, WSH_C_OPEN);
    to->http += wsh_counted(counters, WSH_C_HTTP);
    to->published += wsh_counted(counters, WSH_C_PUBLISHED);
    to->fanned += wsh_counted(counters, WSH_C_FANNED);
    to->no_subscriber += wsh_counted(counters, WSH_C_NO_SUBSCRIBER);
    to->offered += wsh_counted(counters, WSH_C_OFFERED);
    to->delivered += wsh_counted(counters, WSH_C_DELIVERED);
    to->pending += wsh_counted(counters, WSH_C_PENDING);
    to->pending_bytes += wsh_counted(counters, WSH_C_PENDING_BYTES);
    to->received += wsh_counted(counters, WSH_C_RECEIVED);
    to->received_bytes += wsh_counted(counters, WSH_C_RECEIVED_BYTES);
    to->sent_bytes += wsh_counted(counters, WSH_C_SENT_BYTES);
    to->sends += wsh_counted(counters, WSH_C_SENDS);
    to->channels += wsh_counted(counters, WSH_C_CHANNELS);
    to->subscriptions += wsh_counted(counters, WSH_C_SUBSCRIPTIONS);
    to->slow += wsh_counted(counters, WSH_C_SLOW);
    to->slowed += wsh_counted(counters, WSH_C_SLOWED);
    to->gaps += wsh_counted(counters, WSH_C_GAPS);
    to->mailbox_refused += wsh_counted(counters, WSH_C_MAILBOX_REFUSED);
    to->close_timeouts += wsh_counted(counters, WSH_C_CLOSE_TIMEOUTS);
    to->pings += wsh_counted(counters, WSH_C_PINGS);
    to->broker_rejected += wsh_counted(counters, WSH_C_BROKER_REJECTED);
    add_labels(counters, WSH_C_REJECTED, WS_HUB_REJECT_COUNT, to->rejected);
    add_labels(counters, WSH_C_CLOSED, WS_HUB_CAUSE_COUNT, to->closed);
    add_labels(counters, WSH_C_DROPPED, WS_HUB_DROP_COUNT, to->dropped);
    add_labels(counters, WSH_C_REFUSED, WS_HUB_REFUSE_COUNT, to->refused);
}
