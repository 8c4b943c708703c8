/*
 * torture_sockets.c: a hub with real sockets, from create to destroy.
 *
 * Loop threads are in the library; this thread is outside of it, but for the
 * calls. What the threads do to each other differs from run to run, and with it
 * the number of allocations.
 */
#include "fault/torture_sockets.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "fault/rig.h"
#include "support/crowd.h"
#include "support/identity.h"
#include "ws_hub.h"

enum { CLIENTS = 4, FRESH = 2 };

struct session {
    ws_hub *hub;
    uv_loop_t *host; /* NULL: threads */
    bool fail_lws;   /* its allocations fail once the hub runs */
    atomic_uint opened, closed, subscribed, stopped, connected;
};

/* Callbacks, on loop threads. */

static void check_memory(int error)
{
    RIG_CHECK(!error || (alloc_failed() && error == WS_HUB_ENOMEM));
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct session *session = user;
    int error = ws_hub_subscribe(hub, conn, "news", 4);

    (void)request;
    check_memory(error);
    atomic_fetch_add(&session->opened, 1);
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    int error = ws_hub_send(hub, conn, type, data, len);

    (void)user;
    RIG_CHECK(!error || (alloc_failed() &&
                         (error == WS_HUB_ENOMEM || error == WS_HUB_ENOENT)));
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t len, int status, void *user)
{
    struct session *session = user;

    (void)hub;
    (void)conn;
    (void)channel;
    (void)len;
    if (!status)
        atomic_fetch_add(&session->subscribed, 1);
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct session *session = user;

    (void)hub;
    (void)conn;
    (void)info;
    atomic_fetch_add(&session->closed, 1);
}

static void on_stopped(ws_hub *hub, void *user)
{
    struct session *session = user;

    check_identity(hub, 1);
    atomic_fetch_add(&session->stopped, 1);
}

static void on_heard(ws_hub *hub, const char *channel, size_t channel_len,
                     ws_hub_type type, const void *data, size_t len, void *user)
{
    (void)hub;
    (void)channel;
    (void)channel_len;
    (void)type;
    (void)data;
    (void)len;
    (void)user;
}

static const ws_hub_callbacks callbacks = {
    .struct_size = sizeof callbacks,
    .on_open = on_open,
    .on_message = on_message,
    .on_subscribed = on_subscribed,
    .on_close = on_close,
    .on_stopped = on_stopped,
};

/* The hub. */

static int create(struct session *session)
{
    const char *urls[] = {"tcp://127.0.0.1:0", "unix:/tmp/ws_hub_torture.sock"};
    ws_hub_options options;
    int error;

    ws_hub_options_init(&options);
    options.bind_urls = urls;
    options.bind_count = 2;
    options.loops = session->host ? 1 : 2;
    options.uv_loop = session->host;
    options.server_id = "torture";
    options.callbacks = &callbacks;
    options.user = session;
    options.max_connections_per_ip = 100;
    options.handshake_timeout_ms = 2000;
    options.close_timeout_ms = 1000;
    IN_LIBRARY(error = ws_hub_create(&session->hub, &options));
    RIG_CHECK(!error == (session->hub != NULL));
    check_memory(error);
    return error;
}

static void run_host_once(void *arg)
{
    IN_LIBRARY((void)uv_run(arg, UV_RUN_NOWAIT));
}

static void finish_host(struct session *session)
{
    if (session->host)
        IN_LIBRARY((void)uv_run(session->host, UV_RUN_DEFAULT));
}

static int start(struct session *session)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};
    const ws_hub_conn nobody = {UINT64_C(1) << 56 | 1};
    int error;

    IN_LIBRARY(error = ws_hub_start(session->hub));
    check_memory(error);
    if (!error)
        return 0;
    /* It can only be destroyed, but may be asked. */
    error = ws_hub_send(session->hub, nobody, WS_HUB_TEXT, "", 0);
    RIG_CHECK(!error || error == WS_HUB_ENOENT);
    RIG_CHECK(!ws_hub_conn_user(session->hub, nobody));
    RIG_CHECK(ws_hub_publish(session->hub, "x", 1, "", 0, NULL) ==
              WS_HUB_ESTATE);
    RIG_CHECK(ws_hub_stats(session->hub, &stats) == 0);
    IN_LIBRARY(ws_hub_destroy(session->hub));
    finish_host(session);
    return WS_HUB_ENOMEM;
}

static void stop(struct session *session)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    IN_LIBRARY(RIG_CHECK(ws_hub_stop(session->hub) == 0));
    if (session->host)
        finish_host(session);
    else
        RIG_CHECK(ws_hub_run(session->hub) == 0);
    check_identity(session->hub, 1);
    RIG_CHECK(ws_hub_stats(session->hub, &stats) == 0);
    RIG_CHECK(stats.accepted == atomic_load(&session->connected));
    RIG_CHECK(session->stopped == 1);
    RIG_CHECK(session->opened == session->closed);
    IN_LIBRARY(ws_hub_destroy(session->hub));
    finish_host(session);
}

/* Clients. */

static struct crowd *connect_crowd(struct session *session, unsigned count)
{
    struct crowd *crowd = crowd_create(ws_hub_port(session->hub, 0), count);

    if (session->host)
        crowd_on_idle(crowd, run_host_once, session->host);
    crowd_connect(crowd, "/torture", 1, NULL);
    atomic_fetch_add(&session->connected, count);
    return crowd;
}

/* The hub may have closed it. */
static void send_frame(struct crowd_client *client, uint8_t opcode,
                       const void *data, size_t len)
{
    struct wsh_buf frame = {0};

    if (client->fd < 0)
        return;
    ws_peer_frame(&frame, true, opcode, 1, data, len);
    (void)send(client->fd, frame.data, frame.len, MSG_NOSIGNAL);
    wsh_buf_fini(&frame);
}

static bool all_ponged(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < CLIENTS; i++)
        if (crowd_client(crowd, i)->fd >= 0 &&
            !crowd_client(crowd, i)->ws.pongs)
            return false;
    return true;
}

static void talk(struct session *session)
{
    struct crowd *crowd = connect_crowd(session, CLIENTS);
    int error;

    for (unsigned i = 0; i < 3; i++) {
        IN_LIBRARY(error =
                       ws_hub_publish(session->hub, "news", 4, "x", 1, NULL));
        check_memory(error);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        send_frame(crowd_client(crowd, i), 1, "echo", 4);
        send_frame(crowd_client(crowd, i), 9, "ping", 4);
    }
    crowd_until(crowd, all_ponged, crowd);
    for (unsigned i = 0; i < CLIENTS; i++)
        send_frame(crowd_client(crowd, i), 8, NULL, 0);
    crowd_until_closed(crowd);
    crowd_destroy(crowd);
}

struct fresh {
    struct session *session;
    struct crowd *crowd;
};

static bool all_subscribed(void *arg)
{
    return ((struct fresh *)arg)->session->subscribed == FRESH;
}

static bool all_heard(void *arg)
{
    struct fresh *fresh = arg;

    for (unsigned i = 0; i < FRESH; i++)
        if (crowd_client(fresh->crowd, i)->ws.messages != 1)
            return false;
    return true;
}

/* With memory again, a client on every loop gets what it should. */
static void talk_fresh(struct session *session)
{
    struct fresh fresh = {session, NULL};

    atomic_store(&session->subscribed, 0);
    fresh.crowd = connect_crowd(session, FRESH);
    RIG_CHECK(crowd_open_count(fresh.crowd) == FRESH);
    crowd_until(fresh.crowd, all_subscribed, &fresh);
    RIG_CHECK(ws_hub_publish(session->hub, "news", 4, "fresh", 5, NULL) == 0);
    crowd_until(fresh.crowd, all_heard, &fresh);
    crowd_destroy(fresh.crowd);
}

static void run_session(struct session *session)
{
    ws_hub_listener *listener;
    int error;

    if (create(session) || start(session))
        return;
    if (session->fail_lws)
        alloc_only(ALLOC_LWS);
    IN_LIBRARY(error = ws_hub_listen(session->hub, "news", 4, on_heard, NULL,
                                     &listener));
    check_memory(error);
    talk(session);
    alloc_stop();
    talk_fresh(session);
    ws_hub_unlisten(session->hub, listener);
    stop(session);
}

/* Descriptors that libraries keep are opened by the first run. */
static void check_descriptors(void)
{
    static unsigned before;
    unsigned now = count_descriptors();

    RIG_CHECK(!before || now == before);
    before = now;
}

void torture_create(void)
{
    struct session session = {.hub = NULL};

    if (create(&session) == 0)
        IN_LIBRARY(ws_hub_destroy(session.hub));
}

void torture_threads(void)
{
    struct session session = {.hub = NULL};

    run_session(&session);
    check_descriptors();
}

void torture_host_loop(void)
{
    uv_loop_t loop;
    struct session session = {.host = &loop};

    RIG_CHECK(uv_loop_init(&loop) == 0);
    run_session(&session);
    RIG_CHECK(uv_loop_close(&loop) == 0);
    check_descriptors();
}

void torture_lws(void)
{
    struct session session = {.fail_lws = true};

    alloc_only(ALLOC_NOBODYS);
    run_session(&session);
    alloc_only(ALLOC_OURS);
}
