/*
 * echo: every message goes back to its sender, text as text, binary as binary.
 */
#include "common.h"

/* Whole messages are gathered before they go back. */
enum { MESSAGE_MAX = 64 << 20 };

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    static const char reason[] = "reads too slowly";

    (void)user;
    /* An echo that leaves something out is none: better to say so and go. */
    if (ws_hub_send(hub, conn, type, data, len) == WS_HUB_ELIMIT)
        ws_hub_close(hub, conn, 1013, reason, sizeof(reason) - 1);
}

int main(int argc, char **argv)
{
    struct example ex;
    ws_hub *hub;
    int status;

    example_init(&ex, 9001);
    ex.callbacks.on_message = on_message;
    ex.callbacks.on_http = example_stats;
    ex.hub.max_message_bytes = MESSAGE_MAX;
    ex.hub.send_limit = MESSAGE_MAX;
    status = example_parse(&ex, argc, argv, "WebSocket echo server.");
    if (status >= 0)
        return status;
    status = example_open(&ex, &hub);
    if (status)
        return status;
    example_announce(&ex, hub, "listening on", "ws");
    return example_wait(&hub, 1);
}
