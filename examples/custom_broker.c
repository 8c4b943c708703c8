/*
 * custom_broker: an adapter written against ws_hub/broker.h alone. The broker
 * is a bus inside the process that joins two hubs: what a client of one of them
 * says reaches the clients of both.
 */
#include "common.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { HUBS = EXAMPLE_HUBS_MAX };

/* A message on its way; channel, key and payload lie behind it. */
struct parcel {
    struct parcel *next;
    ws_hub_broker_message message;
    size_t channel_len;
    char bytes[];
};

/* One hub's end of the bus: what the adapter's functions get as `self`. */
struct member {
    struct bus *bus;
    const ws_hub_broker_host *host; /* NULL: not open */
};

/*
 * Whoever publishes delivers to all members, under the lock: so both hubs see
 * one order, and close waits for a delivery under way. The lock is recursive
 * and there is a queue because a listener of a hub may publish from inside of a
 * delivery; its message has to wait until every member has the one before.
 */
struct bus {
    pthread_mutex_t lock;
    int delivering;
    struct parcel *head, **tail;
    struct member member[HUBS];
};

static int bus_open(void *self, const ws_hub_broker_host *host)
{
    struct member *member = self;

    pthread_mutex_lock(&member->bus->lock);
    member->host = host;
    pthread_mutex_unlock(&member->bus->lock);
    host->ready(host); /* there is nothing to connect to */
    return 0;
}

/* Everything is on the bus anyway; a hub drops what none of its clients hears.
 * A broker at the other end of a network would be told here. */
static int bus_subscribe(void *self, const char *channel, size_t channel_len)
{
    struct member *member = self;

    member->host->subscribed(member->host, channel, channel_len, 0);
    return 0;
}

static int bus_unsubscribe(void *self, const char *channel, size_t channel_len)
{
    (void)self, (void)channel, (void)channel_len;
    return 0;
}

static void deliver(struct bus *bus, const struct parcel *parcel)
{
    for (size_t i = 0; i < HUBS; i++) {
        const ws_hub_broker_host *host = bus->member[i].host;

        if (host)
            host->message(host, parcel->bytes, parcel->channel_len,
                          &parcel->message);
    }
}

/* Every member of the message goes along; what it points to is copied. */
static struct parcel *pack(const char *channel, size_t channel_len,
                           const ws_hub_broker_message *message)
{
    struct parcel *parcel =
        malloc(sizeof(*parcel) + channel_len + message->key_len + message->len);
    char *key, *data;

    if (!parcel)
        return NULL;
    *parcel = (struct parcel){NULL, *message, channel_len};
    key = parcel->bytes + channel_len;
    data = key + message->key_len;
    memcpy(parcel->bytes, channel, channel_len);
    if (message->key_len)
        memcpy(key, message->key, message->key_len);
    if (message->len)
        memcpy(data, message->data, message->len);
    parcel->message.key = key;
    parcel->message.data = data;
    return parcel;
}

static int bus_publish(void *self, const char *channel, size_t channel_len,
                       const ws_hub_broker_message *message)
{
    struct bus *bus = ((struct member *)self)->bus;
    struct parcel *parcel = pack(channel, channel_len, message);

    if (!parcel)
        return WS_HUB_ENOMEM;
    pthread_mutex_lock(&bus->lock);
    *bus->tail = parcel;
    bus->tail = &parcel->next;
    while (!bus->delivering && (parcel = bus->head)) {
        bus->delivering = 1;
        deliver(bus, parcel);
        bus->delivering = 0;
        bus->head = parcel->next;
        if (!bus->head)
            bus->tail = &bus->head;
        free(parcel);
    }
    pthread_mutex_unlock(&bus->lock);
    return 0;
}

static void bus_close(void *self)
{
    struct member *member = self;
    const ws_hub_broker_host *host = member->host;

    pthread_mutex_lock(&member->bus->lock);
    member->host = NULL;
    pthread_mutex_unlock(&member->bus->lock);
    host->stopped(host);
}

static const ws_hub_broker_ops bus_ops = {
    .struct_size = sizeof(bus_ops),
    .name = "bus",
    .flags = WS_HUB_BROKER_PUBLISH_ANY_THREAD,
    .open = bus_open,
    .subscribe = bus_subscribe,
    .unsubscribe = bus_unsubscribe,
    .publish = bus_publish,
    .close = bus_close,
};

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    (void)request, (void)user;
    ws_hub_subscribe(hub, conn, "lobby", 5);
}

static void on_message(ws_hub *hub, ws_hub_conn conn, ws_hub_type type,
                       const void *data, size_t len, void *user)
{
    ws_hub_publish_options options = {.struct_size = sizeof(options),
                                      .type = type};
    int status = ws_hub_publish(hub, "lobby", 5, data, len, &options);

    (void)conn;
    if (status)
        example_log(WS_HUB_LOG_WARN, ws_hub_error_text(status), user);
}

int main(int argc, char **argv)
{
    static struct bus bus = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};
    struct example ex;
    ws_hub *hubs[HUBS];
    size_t count;
    int status, end;

    bus.tail = &bus.head;
    example_init(&ex, 9004);
    ex.callbacks.on_open = on_open;
    ex.callbacks.on_message = on_message;
    ex.hub.broker = &bus_ops;
    status = example_parse(&ex, argc, argv,
                           "Two hubs, on --port and the port after it (0: two "
                           "free ones), joined by a broker of our own.");
    if (status >= 0)
        return status;
    for (count = 0; count < HUBS; count++) {
        bus.member[count].bus = &bus;
        ex.hub.broker_self = &bus.member[count];
        status = example_open(&ex, &hubs[count]);
        if (status)
            break;
        example_announce(&ex, hubs[count], "listening on", "ws");
        ex.port += ex.port != 0;
    }
    if (status && count)
        ws_hub_stop(hubs[0]);
    end = example_wait(hubs, count);
    return status ? status : end;
}
