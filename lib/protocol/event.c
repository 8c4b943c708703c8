/*
 * event.c: JSON events of the server.
 * Owns: nothing; every function appends to the caller's buffer, or puts it back
 * as it was. Thread: any, one per buffer.
 */
#include "protocol/event.h"

#include <stdio.h>
#include <string.h>
#include <ws_hub/error.h>

/* ---- values ---- */

static bool must_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

static int append_escaped(struct wsh_buf *to, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letter[] = "\"\\bfnrt";
    const char *found = byte ? strchr(plain, byte) : NULL;
    char text[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};

    if (!found)
        return wsh_buf_append(to, text, sizeof text);
    text[1] = letter[found - plain];
    return wsh_buf_append(to, text, 2);
}

static int append_string(struct wsh_buf *to, const char *text, size_t len)
{
    const char *end = text + len;
    int error = wsh_buf_append(to, "\"", 1);

    while (!error && text < end) {
        const char *run = text;

        while (text < end && !must_escape((uint8_t)*text))
            text++;
        error = wsh_buf_append(to, run, (size_t)(text - run));
        if (!error && text < end)
            error = append_escaped(to, (uint8_t)*text++);
    }
    return error ? error : wsh_buf_append(to, "\"", 1);
}

int wsh_json_string(struct wsh_buf *to, const char *text, size_t len)
{
    size_t before = to->len;
    int error =
        len > 0 ? append_string(to, text, len) : wsh_buf_append(to, "\"\"", 2);

    if (error)
        to->len = before;
    return error;
}

/* Three bytes (the missing ones zero) to four digits. */
static void base64_group(uint8_t to[4], const uint8_t *from, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)from[0] << 16;

    if (len > 1)
        bits |= (uint32_t)from[1] << 8;
    if (len > 2)
        bits |= from[2];
    to[0] = (uint8_t)digits[bits >> 18];
    to[1] = (uint8_t)digits[bits >> 12 & 63];
    to[2] = (uint8_t)(len > 1 ? digits[bits >> 6 & 63] : '=');
    to[3] = (uint8_t)(len > 2 ? digits[bits & 63] : '=');
}

int wsh_json_base64(struct wsh_buf *to, const void *data, size_t len)
{
    const uint8_t *from = data;
    uint8_t *at;

    if (len > SIZE_MAX / 2 || wsh_buf_reserve(to, (len + 2) / 3 * 4 + 2))
        return WS_HUB_ENOMEM;
    at = to->data + to->len;
    *at++ = '"';
    while (len > 0) {
        size_t n = len < 3 ? len : 3;

        base64_group(at, from, n);
        at += 4;
        from += n;
        len -= n;
    }
    *at++ = '"';
    to->len = (size_t)(at - to->data);
    return 0;
}

/* ---- objects ---- */

/* An event under construction; the first error ends it. */
struct event {
    struct wsh_buf *to;
    size_t before;
    int error;
};

static void put(struct event *event, const char *text, size_t len)
{
    if (!event->error)
        event->error = wsh_buf_append(event->to, text, len);
}

static void put_cstr(struct event *event, const char *text)
{
    put(event, text, strlen(text));
}

/* `name` is the text before a member's value: ,"name": */
static void put_string(struct event *event, const char *name,
                       struct wsh_view value)
{
    if (!value.data)
        return;
    put_cstr(event, name);
    if (!event->error)
        event->error = wsh_json_string(event->to, value.data, value.len);
}

static void put_cstr_value(struct event *event, const char *name,
                           const char *value)
{
    if (value)
        put_string(event, name, (struct wsh_view){value, strlen(value)});
}

static void put_id(struct event *event, struct wsh_view id)
{
    if (id.len == 0)
        return;
    put_cstr(event, ",\"id\":");
    put(event, id.data, id.len);
}

static struct event begin(struct wsh_buf *to, const char *op)
{
    struct event event = {to, to->len, 0};

    put_cstr_value(&event, "{\"op\":", op);
    return event;
}

static int end(struct event *event, const char *text)
{
    put_cstr(event, text);
    if (event->error)
        event->to->len = event->before;
    return event->error;
}

int wsh_event_welcome(struct wsh_buf *to, uint64_t conn, const char *server,
                      unsigned ping_ms)
{
    struct event event = begin(to, "welcome");
    char text[40];

    snprintf(text, sizeof text, "%016llx", (unsigned long long)conn);
    put_cstr_value(&event, ",\"conn\":", text);
    put_cstr_value(&event, ",\"server\":", server);
    snprintf(text, sizeof text, ",\"ping_ms\":%u}", ping_ms);
    return end(&event, text);
}

int wsh_event_subscribed(struct wsh_buf *to, struct wsh_view channel,
                         struct wsh_view id, bool degraded)
{
    struct event event = begin(to, "subscribed");

    put_string(&event, ",\"channel\":", channel);
    put_id(&event, id);
    return end(&event, degraded ? ",\"degraded\":true}" : "}");
}

int wsh_event_unsubscribed(struct wsh_buf *to, struct wsh_view channel,
                           struct wsh_view id)
{
    struct event event = begin(to, "unsubscribed");

    put_string(&event, ",\"channel\":", channel);
    put_id(&event, id);
    return end(&event, "}");
}

int wsh_event_published(struct wsh_buf *to, struct wsh_view id, bool degraded)
{
    struct event event = begin(to, "published");

    put_id(&event, id);
    return end(&event, degraded ? ",\"degraded\":true}" : "}");
}

int wsh_event_pong(struct wsh_buf *to, struct wsh_view id)
{
    struct event event = begin(to, "pong");

    put_id(&event, id);
    return end(&event, "}");
}

int wsh_event_error(struct wsh_buf *to, const char *error,
                    struct wsh_view channel, struct wsh_view id,
                    const char *detail)
{
    struct event event = begin(to, "error");

    put_cstr_value(&event, ",\"error\":", error);
    put_string(&event, ",\"channel\":", channel);
    put_id(&event, id);
    put_cstr_value(&event, ",\"detail\":", detail);
    return end(&event, "}");
}

int wsh_event_gap(struct wsh_buf *to, struct wsh_view channel, int64_t missed,
                  const char *reason)
{
    struct event event = begin(to, "gap");
    char text[40] = "null";

    put_string(&event, ",\"channel\":", channel);
    if (missed >= 0)
        snprintf(text, sizeof text, "%lld", (long long)missed);
    put_cstr(&event, ",\"missed\":");
    put_cstr(&event, text);
    put_cstr_value(&event, ",\"reason\":", reason);
    return end(&event, "}");
}

int wsh_event_message_head(struct wsh_buf *to, struct wsh_view channel)
{
    struct event event = begin(to, "message");

    put_string(&event, ",\"channel\":", channel);
    return end(&event, ",\"data\":");
}
