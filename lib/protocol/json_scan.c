/*
 * json_scan.c: looks at JSON text without building anything.
 * Owns: nothing. Thread: any.
 */
#include "protocol/json_scan.h"

#include <string.h>
#include "base/check.h"

/* `at` is behind the opening quote; returns behind the closing one, or end. */
static const char *skip_string(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end ? at + 1 : end;
}

enum wsh_scan_result wsh_json_scan(const char *text, size_t len,
                                   const struct wsh_command_limits *limits)
{
    const char *at = text;
    const char *end = text + len;
    size_t values = 0;
    size_t depth = 0;

    if (len > limits->max_bytes)
        return WSH_SCAN_BYTES;
    while (at < end) {
        char byte = *at++;

        switch (byte) {
        case '"':
            at = skip_string(at, end);
            continue;
        case '{':
        case '[':
            if (++depth > limits->max_depth)
                return WSH_SCAN_DEPTH;
            break;
        case '}':
        case ']':
            depth -= depth > 0; /* one too many: the parser refuses it */
            continue;
        case ',':
            break;
        default:
            continue;
        }
        if (++values > limits->max_values)
            return WSH_SCAN_VALUES;
    }
    return WSH_SCAN_OK;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end &&
           (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Behind the value that begins at `at`: the place of the comma or brace that
 * ends it, or of the white space before that. */
static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;

    while (at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at + 1, end);
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            if (depth == 0) /* of the object around a plain value */
                return at;
            depth--;
            at++;
            break;
        case ',':
        case ' ':
        case '\t':
        case '\n':
        case '\r':
            if (depth == 0)
                return at;
            at++;
            continue;
        default:
            at++;
            continue;
        }
        /* A string or a closing bracket may have been the end of it. */
        if (depth == 0)
            return at;
    }
    return at;
}

struct wsh_view wsh_json_member(const char *text, size_t len, const char *key)
{
    size_t key_len = strlen(key);
    const char *end = text + len;
    const char *at = skip_space(text, end) + 1; /* behind the brace */

    while (at < end) {
        const char *name, *name_end, *value;

        at = skip_space(at, end);
        if (at == end || *at != '"') /* the closing brace */
            break;
        name = at + 1;
        at = skip_string(name, end);
        name_end = at - 1;
        at = skip_space(at, end) + 1; /* behind the colon */
        value = skip_space(WSH_MIN(at, end), end);
        at = skip_value(value, end);
        if ((size_t)(name_end - name) == key_len &&
            memcmp(name, key, key_len) == 0)
            return (struct wsh_view){value, (size_t)(at - value)};
        at = skip_space(at, end) + 1; /* behind the comma */
    }
    return (struct wsh_view){0};
}
