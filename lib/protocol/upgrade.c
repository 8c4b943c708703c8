/*
 * upgrade.c: the opening handshake (RFC 6455 section 4.2).
 * Owns: nothing. Thread: any.
 */
#include "protocol/upgrade.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/check.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { KEY_LEN = 24, KEY_DIGITS = 22, ACCEPT_LEN = 28 };

bool wsh_upgrade_wanted(const struct wsh_head *head)
{
    return wsh_head_has_token(head, "Upgrade", "websocket");
}

static bool is_base64_digit(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '+' || byte == '/';
}

/* 22 digits and "==" are 16 bytes and some bits, which nobody reads. */
static bool key_valid(struct wsh_view key)
{
    size_t i;

    if (key.len != KEY_LEN || memcmp(key.data + KEY_DIGITS, "==", 2) != 0)
        return false;
    for (i = 0; i < KEY_DIGITS; i++)
        if (!is_base64_digit(key.data[i]))
            return false;
    return true;
}

static bool has_body(const struct wsh_head *head)
{
    struct wsh_view length = wsh_head_find(head, "Content-Length");

    return wsh_head_times(head, "Transfer-Encoding") > 0 ||
           (length.data && !wsh_view_is(length, "0"));
}

int wsh_upgrade_check(const struct wsh_head *head)
{
    if (!wsh_view_is(head->method, "GET"))
        return 405;
    if (head->minor < 1 || wsh_head_times(head, "Host") != 1 ||
        !wsh_head_has_token(head, "Connection", "upgrade") ||
        !wsh_upgrade_wanted(head) || has_body(head))
        return 400;
    if (wsh_head_times(head, "Sec-WebSocket-Version") != 1)
        return 400;
    if (!wsh_view_is(wsh_head_find(head, "Sec-WebSocket-Version"), "13"))
        return 426;
    if (wsh_head_times(head, "Sec-WebSocket-Key") != 1 ||
        !key_valid(wsh_head_find(head, "Sec-WebSocket-Key")))
        return 400;
    return 0;
}

/* Exact: names of subprotocols are case-sensitive (section 11.5). */
bool wsh_upgrade_offers_json(const struct wsh_head *head)
{
    size_t i;

    for (i = 0; i < head->count; i++) {
        struct wsh_view rest = head->value[i];
        struct wsh_view element;

        if (!wsh_view_is_nocase(head->name[i], "Sec-WebSocket-Protocol"))
            continue;
        while (wsh_view_list_next(&rest, &element))
            if (wsh_view_is(element, WSH_SUBPROTOCOL))
                return true;
    }
    return false;
}

/* Texts of ours that are known to fit. */
WSH_PRINTF(3, 4)
static void add(char to[WSH_ANSWER_MAX], size_t *len, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(to + *len, WSH_ANSWER_MAX - *len, format, args);
    va_end(args);
    WSH_ASSERT(n >= 0 && (size_t)n < WSH_ANSWER_MAX - *len);
    *len += (size_t)n;
}

/* Section 4.2.2, 5.4: base64 of SHA-1 of the key and the GUID. */
static void accept_value(char to[ACCEPT_LEN + 1], struct wsh_view key)
{
    unsigned char text[KEY_LEN + sizeof GUID - 1];
    unsigned char digest[SHA_DIGEST_LENGTH];

    WSH_ASSERT(key.len == KEY_LEN);
    memcpy(text, key.data, KEY_LEN);
    memcpy(text + KEY_LEN, GUID, sizeof GUID - 1);
    SHA1(text, sizeof text, digest);
    EVP_EncodeBlock((unsigned char *)to, digest, sizeof digest);
}

size_t wsh_upgrade_answer(char to[WSH_ANSWER_MAX], const struct wsh_head *head,
                          bool json)
{
    char value[ACCEPT_LEN + 1];
    size_t len = 0;

    accept_value(value, wsh_head_find(head, "Sec-WebSocket-Key"));
    add(to, &len,
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n",
        value);
    if (json)
        add(to, &len, "Sec-WebSocket-Protocol: %s\r\n", WSH_SUBPROTOCOL);
    add(to, &len, "\r\n");
    return len;
}

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *wsh_http_phrase(int status)
{
    size_t i;

    for (i = 0; i < WSH_COUNT(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

size_t wsh_http_refusal(char to[WSH_ANSWER_MAX], int status,
                        unsigned retry_after_s)
{
    const char *phrase = wsh_http_phrase(status);
    size_t len = 0;

    add(to, &len,
        "HTTP/1.1 %d %s\r\n"
        "Connection: close%s\r\n"
        "Content-Type: text/plain\r\n"
        "Content-Length: %zu\r\n",
        status, phrase, status == 426 ? ", Upgrade" : "", strlen(phrase) + 1);
    if ((status == 503 || status == 429) && retry_after_s > 0)
        add(to, &len, "Retry-After: %u\r\n", retry_after_s);
    if (status == 426) /* RFC 9110 section 15.5.22 wants Upgrade as well */
        add(to, &len,
            "Sec-WebSocket-Version: 13\r\n"
            "Upgrade: websocket\r\n");
    if (status == 405)
        add(to, &len, "Allow: GET\r\n");
    add(to, &len, "\r\n%s\n", phrase);
    return len;
}
