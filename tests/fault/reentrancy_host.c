#include "fault/reentrancy_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/identity.h"

struct session *current_session;

static const char *const callback_names[] = {
#define NAME(name) #name,
    CALLBACKS(NAME)
#undef NAME
};

static const char *const action_names[] = {
#define NAME(name) #name,
    ACTIONS(NAME)
#undef NAME
};

_Noreturn void fail_session(const char *what, int line)
{
    fprintf(stderr, "%s in %s, mode %d: line %d: %s\n",
            action_names[current_session->action],
            callback_names[current_session->callback],
            (int)current_session->mode, line, what);
    abort();
}

/* What a callback does. */

static ws_hub_conn handle(uint64_t id)
{
    ws_hub_conn conn = {id};

    return conn;
}

static void act(struct session *s, ws_hub_conn self)
{
    ws_hub_conn other = handle(atomic_load(&s->other));
    ws_hub_publish_options options = {.struct_size = sizeof options};

    switch (s->action) {
    case DO_publish:
        /* Slow clients get it as well. */
        options.cls = WS_HUB_CLASS_CRITICAL;
        REQUIRE(ws_hub_publish(s->hub, "news", 4, "x", 1, &options) == 0);
        break;
    case DO_send:
        (void)ws_hub_send(s->hub, self, WS_HUB_TEXT, "self", 4);
        REQUIRE(ws_hub_send(s->hub, other, WS_HUB_TEXT, "other", 5) == 0);
        break;
    case DO_subscribe:
        (void)ws_hub_subscribe(s->hub, self, "own", 3);
        (void)ws_hub_subscribe(s->hub, self, "more", 4);
        break;
    case DO_unsubscribe:
        (void)ws_hub_unsubscribe(s->hub, self, "own", 3);
        (void)ws_hub_unsubscribe(s->hub, self, "news", 4);
        (void)ws_hub_unsubscribe(s->hub, self, "json", 4);
        break;
    case DO_close_self:
        (void)ws_hub_close(s->hub, self, 1000, "enough", 6);
        break;
    case DO_close_self_at_once:
        (void)ws_hub_close(s->hub, self, 0, NULL, 0);
        break;
    case DO_close_other:
        REQUIRE(ws_hub_close(s->hub, other, 4000, NULL, 0) == 0);
        break;
    case DO_close_other_at_once:
        REQUIRE(ws_hub_close(s->hub, other, 0, NULL, 0) == 0);
        break;
    case DO_stop:
        REQUIRE(ws_hub_stop(s->hub) == 0);
        break;
    case DO_destroy:
        ws_hub_destroy(s->hub);
        break;
    case ACTION_COUNT:
        break;
    }
}

/* Every callback comes here; the first of the kind under test acts. self {0}:
 * the callback has none, the raw client's serves. */
static void enter(struct session *s, enum callback callback, ws_hub_conn self)
{
    if (callback != s->callback || !atomic_load(&s->armed) ||
        self.id == atomic_load(&s->other) || atomic_exchange(&s->acting, true))
        return;
    if (!self.id)
        self = handle(atomic_load(&s->raw));
    act(s, self);
    atomic_store(&s->fired, true); /* last: the session may be over */
}

/* What a callback was given is its until it returns, whatever it does: ASan
 * sees it if not. */
static void touch(const void *data, size_t len)
{
    const volatile char *bytes = data;

    for (size_t i = 0; i < len; i++)
        (void)bytes[i];
}

/* Callbacks. */

static bool path_is(const ws_hub_request *request, const char *path)
{
    size_t len;
    const char *at = ws_hub_request_path(request, &len);

    return len == strlen(path) && memcmp(at, path, len) == 0;
}

static int may_connect(ws_hub *hub, ws_hub_conn conn,
                       const ws_hub_request *request, void *user)
{
    (void)hub;
    enter(user, IN_may_connect, conn);
    (void)path_is(request, "/raw");
    return 0;
}

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    struct session *s = user;
    bool gone = s->callback == IN_on_open && s->action == DO_destroy &&
                !path_is(request, "/other");

    atomic_fetch_add(&s->opened, 1);
    if (path_is(request, "/other"))
        atomic_store(&s->other, conn.id);
    else if (path_is(request, "/raw"))
        atomic_store(&s->raw, conn.id);
    else if (path_is(request, "/fresh"))
        atomic_store(&s->fresh, conn.id);
    enter(s, IN_on_open, conn);
    (void)path_is(request, "/raw");
    /* One channel of its own, and one that others are on. */
    if (!gone && conn.id != atomic_load(&s->other))
        (void)ws_hub_subscribe(hub, conn, "own", 3);
    if (!gone)
        (void)ws_hub_subscribe(hub, conn, "news", 4);
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    static const char filler[600];
    struct session *s = user;

    (void)type;
    enter(s, IN_on_message, conn);
    touch(data, len);
    if (s->callback == IN_on_message && s->action == DO_destroy)
        return;
    /* Three that do not fit together: a gap. */
    for (unsigned i = 0; len == 5 && i < 3; i++)
        (void)ws_hub_publish(hub, "news", 4, filler, sizeof filler, NULL);
    if (conn.id == atomic_load(&s->fresh))
        (void)ws_hub_publish(hub, "news", 4, "fresh", 5, NULL);
}

static void on_subscribed(ws_hub *hub, ws_hub_conn conn, const char *channel,
                          size_t len, int status, void *user)
{
    struct session *s = user;
    bool on_news = !status && len == 4 && memcmp(channel, "news", 4) == 0;

    (void)hub;
    if (on_news && conn.id == atomic_load(&s->other))
        atomic_store(&s->other_subscribed, true);
    if (on_news && conn.id == atomic_load(&s->fresh))
        atomic_store(&s->fresh_subscribed, true);
    enter(s, IN_on_subscribed, conn);
    touch(channel, len);
}

static void on_close(ws_hub *hub, ws_hub_conn conn,
                     const ws_hub_close_info *info, void *user)
{
    struct session *s = user;

    (void)hub;
    atomic_fetch_add(&s->closed, 1);
    enter(s, IN_on_close, conn);
    touch(info->reason, info->reason_len);
}

static int may_subscribe(ws_hub *hub, ws_hub_conn conn, const char *channel,
                         size_t len, void *user)
{
    (void)hub;
    enter(user, IN_may_subscribe, conn);
    touch(channel, len);
    return 0;
}

static int may_publish(ws_hub *hub, ws_hub_conn conn, const char *channel,
                       size_t len, const void *data, size_t data_len,
                       void *user)
{
    (void)hub;
    enter(user, IN_may_publish, conn);
    touch(channel, len);
    touch(data, data_len);
    return 0;
}

static void on_http(ws_hub *hub, const ws_hub_request *request,
                    ws_hub_response *response, void *user)
{
    (void)hub;
    enter(user, IN_on_http, handle(0));
    (void)path_is(request, "/page");
    (void)ws_hub_respond(response, 200, NULL, "page", 4);
}

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t len, uint64_t missed, void *user)
{
    (void)hub;
    (void)missed;
    enter(user, IN_on_gap, conn);
    touch(channel, len);
}

static ws_hub_policy policy_of(ws_hub *hub, const char *channel, size_t len,
                               void *user)
{
    (void)hub;
    enter(user, IN_policy_of, handle(0));
    touch(channel, len);
    return WS_HUB_POLICY_DEFAULT;
}

void reentrancy_heard(ws_hub *hub, const char *channel, size_t len,
                      ws_hub_type type, const void *data, size_t data_len,
                      void *user)
{
    (void)hub;
    (void)type;
    enter(user, IN_listener, handle(0));
    touch(channel, len);
    touch(data, data_len);
}

static void on_stopped(ws_hub *hub, void *user)
{
    struct session *s = user;
    ws_hub_stats_data stats = {.struct_size = sizeof stats};

    check_identity(hub, 0);
    REQUIRE(ws_hub_stats(hub, &stats) == 0);
    REQUIRE(stats.open == 0 && stats.handshaking == 0 && stats.pending == 0);
    REQUIRE(atomic_load(&s->opened) == atomic_load(&s->closed));
    atomic_fetch_add(&s->stopped, 1);
}

const ws_hub_callbacks reentrancy_callbacks = {
    .struct_size = sizeof reentrancy_callbacks,
    .may_connect = may_connect,
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .may_subscribe = may_subscribe,
    .may_publish = may_publish,
    .on_subscribed = on_subscribed,
    .on_http = on_http,
    .on_gap = on_gap,
    .policy_of = policy_of,
    .on_stopped = on_stopped,
};
