/*
 * slots.c: hash slots, and the table of their owners. See slots.h.
 *
 * Redis Cluster specification, "Key distribution model", "Hash tags".
 */
#include "slots.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ws_hub/error.h>

/* Bit by bit costs 8 steps a byte; four bits at a time need a table that still
 * fits one's head. Names are at most 255 bytes. */
static uint16_t crc16(const char *text, size_t len)
{
    static const uint16_t nibble[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    uint16_t crc = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];

        crc = (uint16_t)(crc << 4 ^ nibble[crc >> 12 ^ byte >> 4]);
        crc = (uint16_t)(crc << 4 ^ nibble[crc >> 12 ^ (byte & 15)]);
    }
    return crc;
}

unsigned wsr_slot_of(const char *channel, size_t len)
{
    const char *open = memchr(channel, '{', len);

    if (open) {
        const char *tag = open + 1;
        const char *close = memchr(tag, '}', (size_t)(channel + len - tag));

        /* "{}" is no tag: the whole name counts. */
        if (close && close > tag)
            return crc16(tag, (size_t)(close - tag)) % WSR_SLOTS;
    }
    return crc16(channel, len) % WSR_SLOTS;
}

void wsr_slots_init(struct wsr_slots *slots)
{
    memset(slots, 0, sizeof *slots);
    for (unsigned i = 0; i < WSR_SLOTS; i++)
        slots->owner[i] = WSR_NO_NODE;
}

void wsr_slots_fini(struct wsr_slots *slots)
{
    free(slots->nodes);
    slots->nodes = NULL;
    slots->node_count = slots->node_cap = 0;
}

bool wsr_endpoint_equal(const struct wsr_endpoint *a,
                        const struct wsr_endpoint *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

bool wsr_endpoint_set(struct wsr_endpoint *endpoint, const char *host,
                      size_t host_len, long long port)
{
    if (!host_len || host_len >= WSR_HOST_MAX || port < 1 || port > 65535)
        return false;
    for (size_t i = 0; i < host_len; i++) {
        char c = host[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9') && !memchr(".:-_%", c, 5))
            return false;
    }
    memcpy(endpoint->host, host, host_len);
    endpoint->host[host_len] = '\0';
    endpoint->port = (uint16_t)port;
    return true;
}

/* A failed growth leaves the table as it was. */
static int grow(struct wsr_slots *slots)
{
    unsigned cap = slots->node_cap ? slots->node_cap * 2 : 8;
    struct wsr_endpoint *nodes;

    nodes = realloc(slots->nodes, cap * sizeof *nodes);
    if (!nodes)
        return WS_HUB_ENOMEM;
    slots->nodes = nodes;
    slots->node_cap = cap;
    return 0;
}

unsigned wsr_slots_node(struct wsr_slots *slots,
                        const struct wsr_endpoint *node)
{
    for (unsigned i = 0; i < slots->node_count; i++)
        if (wsr_endpoint_equal(&slots->nodes[i], node))
            return i;
    if (slots->node_count == WSR_NODES_MAX ||
        (slots->node_count == slots->node_cap && grow(slots)))
        return WSR_NO_NODE;
    slots->nodes[slots->node_count] = *node;
    return slots->node_count++;
}

bool wsr_slots_assign(struct wsr_slots *slots, long long first, long long last,
                      unsigned node)
{
    if (first < 0 || last < first || last >= WSR_SLOTS)
        return false;
    for (long long slot = first; slot <= last; slot++) {
        if (slots->owner[slot] == WSR_NO_NODE)
            slots->covered++;
        slots->owner[slot] = (uint16_t)node;
    }
    return true;
}

/* One range: first, last, [host, port, ...] of the master, then replicas. */
static int read_range(struct wsr_slots *slots, const struct wsr_reply *range,
                      const char *host)
{
    const struct wsr_reply *master;
    struct wsr_endpoint node;
    size_t host_len = strlen(host);
    unsigned index;

    if (range->type != WSR_ARRAY || range->count < 3 ||
        range->items[0].type != WSR_INTEGER ||
        range->items[1].type != WSR_INTEGER)
        return 0;
    master = &range->items[2];
    if (master->type != WSR_ARRAY || master->count < 2 ||
        master->items[1].type != WSR_INTEGER)
        return 0;
    if (master->items[0].type == WSR_STRING && master->items[0].len) {
        host = master->items[0].text;
        host_len = master->items[0].len;
    }
    if (!wsr_endpoint_set(&node, host, host_len, master->items[1].integer))
        return 0;
    index = wsr_slots_node(slots, &node);
    if (index == WSR_NO_NODE)
        return WS_HUB_ENOMEM;
    (void)wsr_slots_assign(slots, range->items[0].integer,
                           range->items[1].integer, index);
    return 0;
}

int wsr_slots_read(struct wsr_slots *slots, const struct wsr_reply *reply,
                   const char *host)
{
    if (reply->type != WSR_ARRAY)
        return WS_HUB_EINVAL;
    for (size_t i = 0; i < reply->count; i++) {
        int error = read_range(slots, &reply->items[i], host);

        if (error)
            return error;
    }
    return 0;
}

/* Value of a "name:value" line, up to the end of the text. */
static const char *line(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at && (at == text || at[-1] == '\n') ? at + strlen(name) : NULL;
}

bool wsr_view_read(struct wsr_view *view, const struct wsr_reply *reply)
{
    const char *state, *epoch;

    if (reply->type != WSR_STRING || strlen(reply->text) != reply->len)
        return false;
    state = line(reply->text, "cluster_state:");
    epoch = line(reply->text, "cluster_current_epoch:");
    if (!state || !epoch)
        return false;
    view->ok = strncmp(state, "ok", 2) == 0;
    view->epoch = strtoull(epoch, NULL, 10);
    return true;
}
