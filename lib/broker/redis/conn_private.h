/* conn_private.h: the connection, for conn.c, conn_io.c and conn_start.c. */
#ifndef WSR_CONN_PRIVATE_H
#define WSR_CONN_PRIVATE_H

#include "conn.h"
#include "resolve.h"
#include "tls.h"

enum wsr_conn_state {
    WSR_CLOSED,
    WSR_RESOLVING,
    WSR_CONNECTING,
    WSR_SECURING,
    WSR_GREETING,
    WSR_UP,
    WSR_FAILED
};

enum { WSR_WHY_MAX = 200, WSR_SCRATCH = 64 * 1024 };

struct wsr_conn {
    const struct wsr_url *url;
    const struct wsr_settings *settings;
    const struct wsr_conn_events *events;
    void *user;

    enum wsr_conn_state state;
    unsigned epoch; /* changes when a connection ends: stale loops see it */
    unsigned depth; /* callbacks of ours that are running */
    bool doomed;    /* destroyed inside a callback */
    char why[WSR_WHY_MAX];

    const ws_hub_broker_host *host; /* not CLOSED: set, as all below */
    ws_hub_timer *deadline;         /* of the start, then of answers */
    ws_hub_timer *soon;             /* flush, room, or report a failure */
    bool deadline_set, soon_set;

    struct wsr_resolve *resolve;
    struct wsr_addresses addresses;
    unsigned next_address;

    int fd;              /* -1: none */
    struct wsr_tls *tls; /* NULL: plain, or not that far */
    ws_hub_watch *watch;
    bool blocked; /* the socket took no more: WRITABLE is watched */
    bool wants_room;
    struct wsr_output output;
    struct wsr_pendings pendings;
    uint64_t heard_ms; /* when bytes came last */

    struct wsr_reader *reader;
    struct wsr_reader *reading; /* in use further up the stack: not freed */
    char scratch[WSR_SCRATCH];
};

/* conn_start.c: from host to GREETING; and the greeting. */
int wsr_conn_start(struct wsr_conn *conn);
void wsr_conn_connected(struct wsr_conn *conn);
void wsr_conn_secure(struct wsr_conn *conn);
/* Fail with what the server said; `what` it was about. */
void wsr_conn_refused(struct wsr_conn *conn, const char *what,
                      const struct wsr_reply *reply);

/* conn_io.c */
void wsr_conn_on_events(ws_hub_watch *watch, int events, void *user);
/* Send what waits; fails the connection, calls nobody. */
void wsr_conn_flush(struct wsr_conn *conn);
void wsr_conn_read(struct wsr_conn *conn);

/* conn.c */
void wsr_conn_enter(struct wsr_conn *conn);
void wsr_conn_leave(struct wsr_conn *conn);
void wsr_conn_set_soon(struct wsr_conn *conn);
void wsr_conn_is_greeted(struct wsr_conn *conn);
/* Says "room" if it is time to. */
void wsr_conn_check_room(struct wsr_conn *conn);
/* A command whatever the state and the bound. 0 or WS_HUB_ENOMEM. */
int wsr_conn_queue(struct wsr_conn *conn, const struct wsr_arg *args,
                   size_t count, bool joined, wsr_command_cb cb, void *user);

#endif
