/* stats.c: the accounts of the hub as JSON, for a GET of --stats-path. */
#include "common.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Process-wide because callbacks get the program's own pointer, if any. */
static const char *stats_path;

struct text {
    char data[8192];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text,
                                                      const char *format, ...)
{
    size_t room = sizeof(text->data) - text->len;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text->data + text->len, room, format, args);
    va_end(args);
    if (len > 0)
        text->len += (size_t)len < room ? (size_t)len : room - 1;
}

static const char *cause_name(int i)
{
    return ws_hub_cause_name((ws_hub_cause)i);
}

static const char *drop_name(int i)
{
    return ws_hub_drop_name((ws_hub_drop)i);
}

static const char *reject_name(int i)
{
    return ws_hub_reject_name((ws_hub_reject)i);
}

static const char *refuse_name(int i)
{
    return ws_hub_refuse_name((ws_hub_refuse)i);
}

static void add_labels(struct text *text, const char *name,
                       const uint64_t *values, int count,
                       const char *(*label)(int))
{
    add(text, ",\"%s\":{", name);
    for (int i = 0; i < count; i++)
        add(text, "%s\"%s\":%" PRIu64, i ? "," : "", label(i), values[i]);
    add(text, "}");
}

static void write_stats(struct text *text, const ws_hub_stats_data *s)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"accepted", s->accepted},
        {"handshaking", s->handshaking},
        {"opened", s->opened},
        {"open", s->open},
        {"http", s->http},
        {"published", s->published},
        {"fanned", s->fanned},
        {"no_subscriber", s->no_subscriber},
        {"offered", s->offered},
        {"delivered", s->delivered},
        {"pending", s->pending},
        {"pending_bytes", s->pending_bytes},
        {"received", s->received},
        {"received_bytes", s->received_bytes},
        {"sent_bytes", s->sent_bytes},
        {"sends", s->sends},
        {"channels", s->channels},
        {"subscriptions", s->subscriptions},
        {"slow", s->slow},
        {"slowed", s->slowed},
        {"gaps", s->gaps},
        {"mailbox_refused", s->mailbox_refused},
        {"close_timeouts", s->close_timeouts},
        {"pings", s->pings},
        {"broker_rejected", s->broker_rejected},
    };

    add(text, "{\"uring\":%d", s->uring);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        add(text, ",\"%s\":%" PRIu64, numbers[i].name, numbers[i].value);
    add_labels(text, "rejected", s->rejected, WS_HUB_REJECT_COUNT, reject_name);
    add_labels(text, "closed", s->closed, WS_HUB_CAUSE_COUNT, cause_name);
    add_labels(text, "dropped", s->dropped, WS_HUB_DROP_COUNT, drop_name);
    add_labels(text, "refused", s->refused, WS_HUB_REFUSE_COUNT, refuse_name);
    add(text, "}\n");
}

void example_set_stats_path(const char *path)
{
    stats_path = path;
}

void example_stats(ws_hub *hub, const ws_hub_request *request,
                   ws_hub_response *response, void *user)
{
    ws_hub_stats_data stats = {.struct_size = sizeof(stats)};
    struct text text = {.len = 0};
    size_t len;
    const char *path = ws_hub_request_path(request, &len);

    (void)user;
    if (!stats_path || strlen(stats_path) != len ||
        memcmp(path, stats_path, len) != 0)
        return;
    ws_hub_stats(hub, &stats);
    write_stats(&text, &stats);
    ws_hub_respond(response, 200, "Content-Type: application/json\r\n",
                   text.data, text.len);
}
