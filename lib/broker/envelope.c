/* envelope.c: see envelope.h. Reading trusts nothing: it comes from a broker
 * that others write to. Thread: any; no state. */
#include "broker/envelope.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "ws_hub/broker.h"
#include "ws_hub/error.h"

static const uint8_t magic[6] = {0xFF, 0, 'w', 's', 'h', 0xFE};

_Static_assert(WSH_ENVELOPE_HEAD + WSH_ENVELOPE_KEY <= WS_HUB_ENVELOPE_MAX,
               "the longest head fits what adapters reserve for it");

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8)
        to[i] = (uint8_t)value;
}

static uint64_t take(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static uint64_t wall_us(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now))
        return 0;
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

size_t ws_hub_envelope_write(const ws_hub_broker_message *message,
                             uint8_t head[WS_HUB_ENVELOPE_MAX])
{
    size_t key_len = WSH_MIN(message->key_len, (size_t)WSH_ENVELOPE_KEY);

    memcpy(head, magic, sizeof magic);
    head[6] = WSH_ENVELOPE_VERSION;
    head[7] = (uint8_t)message->type;
    head[8] = (uint8_t)message->cls;
    head[9] = (uint8_t)key_len;
    put(head + 10, message->flags, 2);
    put(head + 12, message->len, 4);
    put(head + 16, message->origin, 8);
    put(head + 24, message->exclude.id, 8);
    put(head + 32, message->published_us ? message->published_us : wall_us(),
        8);
    if (key_len)
        memcpy(head + WSH_ENVELOPE_HEAD, message->key, key_len);
    return WSH_ENVELOPE_HEAD + key_len;
}

/* Does every length fit, and is every number one that we know? */
static bool head_valid(const uint8_t *head, size_t len)
{
    return len >= WSH_ENVELOPE_HEAD && head[6] == WSH_ENVELOPE_VERSION &&
           head[7] <= WS_HUB_JSON && head[8] <= WS_HUB_CLASS_VOLATILE &&
           len - WSH_ENVELOPE_HEAD == head[9] + take(head + 12, 4);
}

int ws_hub_envelope_read(const void *bytes, size_t len,
                         ws_hub_broker_message *message)
{
    const uint8_t *head = bytes;

    *message = (ws_hub_broker_message){.struct_size = sizeof *message};
    if (len < sizeof magic || memcmp(head, magic, sizeof magic) != 0) {
        message->type = WS_HUB_DETECT;
        message->data = bytes;
        message->len = len;
        return 0;
    }
    if (!head_valid(head, len))
        return WS_HUB_EINVAL;
    message->type = (ws_hub_type)head[7];
    message->cls = (ws_hub_class)head[8];
    message->key_len = head[9];
    if (message->key_len)
        message->key = (const char *)head + WSH_ENVELOPE_HEAD;
    message->flags = (unsigned)take(head + 10, 2);
    message->len = (size_t)take(head + 12, 4);
    message->data = head + WSH_ENVELOPE_HEAD + message->key_len;
    message->origin = take(head + 16, 8);
    message->exclude.id = take(head + 24, 8);
    message->published_us = take(head + 32, 8);
    return 0;
}
