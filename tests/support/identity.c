#include "support/identity.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t sum(const uint64_t values[32])
{
    uint64_t total = 0;

    for (int i = 0; i < 32; i++)
        total += values[i];
    return total;
}

static void equal(const char *what, uint64_t left, uint64_t right)
{
    if (left == right)
        return;
    fprintf(stderr, "identity broken: %s: %llu != %llu\n", what,
            (unsigned long long)left, (unsigned long long)right);
    abort();
}

void check_identity(const ws_hub *hub, int stopped)
{
    ws_hub_stats_data s = {.struct_size = sizeof s};

    if (ws_hub_stats(hub, &s))
        abort();
    equal("offered = delivered + dropped + pending", s.offered,
          s.delivered + sum(s.dropped) + s.pending);
    equal("accepted = opened + http + rejected + handshaking", s.accepted,
          s.opened + s.http + sum(s.rejected) + s.handshaking);
    equal("opened = open + closed", s.opened, s.open + sum(s.closed));
    if (!stopped)
        return;
    equal("pending at the end", s.pending, 0);
    equal("pending bytes at the end", s.pending_bytes, 0);
    equal("open at the end", s.open, 0);
    equal("handshaking at the end", s.handshaking, 0);
    equal("subscriptions at the end", s.subscriptions, 0);
    equal("channels at the end", s.channels, 0);
}
