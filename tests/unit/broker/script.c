#include "broker/script.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ws_hub/error.h"

static void note(struct notes *notes, const char *text, size_t len)
{
    assert_true(notes->len + len + 2 < sizeof notes->text);
    memcpy(notes->text + notes->len, text, len);
    notes->len += len;
    notes->text[notes->len++] = ';';
    notes->text[notes->len] = 0;
}

static bool is_probe(const char *channel, size_t len)
{
    return len > 8 && memcmp(channel, "$ws_hub.", 8) == 0;
}

static bool is_away(const struct fixture *f, const char *channel, size_t len)
{
    return f->away && strlen(f->away) == len &&
           memcmp(f->away, channel, len) == 0;
}

/* The adapter. */

static int a_open(void *self, const ws_hub_broker_host *host)
{
    struct fixture *f = self;

    f->opens++;
    f->host = host;
    if (!f->open_result && f->ready_at_open)
        host->ready(host);
    return f->open_result;
}

static int a_subscribe(void *self, const char *channel, size_t len)
{
    struct fixture *f = self;

    if (!f->quiet)
        note(&f->asked, channel, len);
    if (is_probe(channel, len))
        f->probes_subscribed++;
    else
        f->subscribes++;
    if (is_away(f, channel, len))
        return WS_HUB_EAGAIN;
    if (!f->subscribe_result && f->answers)
        f->host->subscribed(f->host, channel, len, 0);
    return f->subscribe_result;
}

static int a_unsubscribe(void *self, const char *channel, size_t len)
{
    struct fixture *f = self;

    f->unsubscribes++;
    note(&f->left, channel, len);
    return 0;
}

static int a_publish(void *self, const char *channel, size_t len,
                     const ws_hub_broker_message *message)
{
    struct fixture *f = self;

    if (is_away(f, channel, len))
        return WS_HUB_EBROKER;
    if (f->publish_result)
        return f->publish_result;
    f->flags_published = message->flags;
    f->origin_published = message->origin;
    if (is_probe(channel, len)) {
        f->probes_published++;
    } else {
        f->publishes++;
        note(&f->sent, message->data, message->len);
    }
    if (f->echoes)
        (void)f->host->message(f->host, channel, len, message);
    return 0;
}

static void a_close(void *self)
{
    struct fixture *f = self;

    f->closes++;
    f->host->stopped(f->host);
}

static size_t a_probe_channel(void *self, unsigned link, char *name)
{
    const struct fixture *f = self;

    if (link >= f->links)
        return 0;
    return (size_t)snprintf(name, SCRIPT_TEXT, "$ws_hub.%llu.%u.%u",
                            (unsigned long long)f->host->instance, f->topology,
                            link);
}

static void a_suspect(void *self, const char *channel, size_t len)
{
    struct fixture *f = self;

    f->suspects++;
    note(&f->suspected, channel, len);
    if (f->suspect_is_lost)
        f->host->lost(f->host, "suspect");
    else
        f->host->dropped(f->host, channel, len, "suspect");
}

static int a_audit(void *self, const char *channel, size_t len)
{
    struct fixture *f = self;

    f->audits++;
    if (!f->quiet)
        note(&f->audited, channel, len);
    return f->audit_result;
}

static const ws_hub_broker_ops adapter = {
    .struct_size = sizeof adapter,
    .name = "scripted",
    .open = a_open,
    .subscribe = a_subscribe,
    .unsubscribe = a_unsubscribe,
    .publish = a_publish,
    .close = a_close,
    .probe_channel = a_probe_channel,
    .suspect = a_suspect,
    .audit = a_audit,
};

/* The hub. */

static void h_live(void *hub, const char *channel, size_t len, unsigned shard,
                   int status, bool degraded)
{
    struct fixture *f = hub;
    void (*in_live)(struct fixture *) = f->in_live;

    (void)channel;
    (void)len;
    f->live++;
    f->degraded += degraded;
    f->status = status;
    f->live_shards |= UINT64_C(1) << shard;
    f->in_live = NULL;
    if (in_live)
        in_live(f);
}

static void h_gap(void *hub, const char *channel, size_t len, uint64_t shards)
{
    struct fixture *f = hub;

    (void)channel;
    (void)len;
    f->gaps++;
    f->gap_shards |= shards;
}

static int h_message(void *hub, const char *channel, size_t len,
                     const ws_hub_broker_message *message)
{
    struct fixture *f = hub;
    void (*in_message)(struct fixture *) = f->in_message;

    (void)channel;
    (void)len;
    f->messages++;
    f->exclude = message->exclude.id;
    note(&f->delivered, message->data, message->len);
    f->in_message = NULL;
    if (in_message)
        in_message(f);
    return 0;
}

/* Life. */

static void make(struct fixture *f,
                 void (*change)(struct wsh_driver_config *config))
{
    struct wsh_driver_config config = {
        .ops = &adapter,
        .self = f,
        .loop = fake_loop_handle(&f->loop),
        .loop_ops = fake_loop_ops(),
        .server_id = "test",
        .instance = SCRIPT_INSTANCE,
        .linger_ms = 1000,
        .hold_bytes = 1 << 20,
        .seed = {1, 2},
        .events = {f, h_live, h_gap, h_message, &f->counts},
        .log = &f->log,
    };

    if (change)
        change(&config);
    assert_int_equal(wsh_driver_create(&f->driver, &config), 0);
    f->feed = wsh_driver_feed(f->driver);
}

int script_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    fake_loop_init(&f->loop);
    f->ready_at_open = true;
    make(f, NULL);
    *state = f;
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void unmake(struct fixture *f)
{
    wsh_driver_close(f->driver, nothing, NULL);
    wsh_driver_destroy(f->driver);
    assert_true(wsh_list_empty(&f->loop.timers));
}

int script_tear_down(void **state)
{
    unmake(*state);
    free(*state);
    return 0;
}

struct fixture *opened(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(wsh_driver_open(f->driver), 0);
    return f;
}

struct fixture *script_reopen(void **state,
                              void (*change)(struct wsh_driver_config *config))
{
    struct fixture *f = *state;

    unmake(f);
    make(f, change);
    return opened(state);
}

/* Steps. */

void want(struct fixture *f, const char *name, unsigned shard)
{
    f->feed.want(f->driver, name, strlen(name), shard);
}

void unwant(struct fixture *f, const char *name, unsigned shard)
{
    f->feed.unwant(f->driver, name, strlen(name), shard);
}

void confirm(struct fixture *f, const char *name, int status)
{
    f->host->subscribed(f->host, name, strlen(name), status);
}

void live(struct fixture *f, const char *name)
{
    want(f, name, 0);
    confirm(f, name, 0);
}

void drop(struct fixture *f, const char *name)
{
    f->host->dropped(f->host, name, strlen(name), "test");
}

void audited(struct fixture *f, const char *name, uint64_t listeners)
{
    f->host->audited(f->host, name, strlen(name), listeners);
}

void after(struct fixture *f, uint64_t ms)
{
    fake_loop_advance(&f->loop, f->loop.now_ms + ms);
}

int publish(struct fixture *f, const char *channel, const char *text)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .data = text,
                                     .len = strlen(text),
                                     .origin = SCRIPT_INSTANCE};

    return f->feed.publish(f->driver, channel, strlen(channel), &message);
}

void arrive(struct fixture *f, const char *channel, uint64_t origin,
            unsigned flags, uint64_t exclude)
{
    ws_hub_broker_message message = {.struct_size = sizeof message,
                                     .data = "in",
                                     .len = 2,
                                     .origin = origin,
                                     .flags = flags,
                                     .exclude = {exclude}};

    (void)f->host->message(f->host, channel, strlen(channel), &message);
}

uint64_t counted(const struct fixture *f, ws_hub_broker_event event)
{
    return atomic_load(&f->counts.event[event]);
}
