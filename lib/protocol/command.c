/*
 * command.c: JSON commands of clients.
 * Owns: the jansson tree of a command until fini. Thread: any, one per command.
 */
#include "protocol/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <ws_hub/metrics.h>
#include "base/check.h"
#include "protocol/channel_name.h"
#include "protocol/json_scan.h"

enum { ID_TEXT_MAX = 64, ACCEPTED = -1 };

/* What the steps of one decoding share. */
struct parse {
    struct wsh_command *command;
    const char *text;
    size_t len;
    const json_t *root;
    const char **detail;
};

static int refuse(const char **detail, enum ws_hub_refuse code,
                  const char *text)
{
    *detail = text;
    return (int)code;
}

static int invalid(const struct parse *parse, const char *text)
{
    return refuse(parse->detail, WS_HUB_REFUSE_INVALID_MESSAGE, text);
}

static struct wsh_view string_view(const json_t *string)
{
    return (struct wsh_view){json_string_value(string),
                             json_string_length(string)};
}

/* The member's own text, which keeps every digit. A key written with escapes is
 * not found in it: then jansson's idea of the value has to do. */
static struct wsh_view member_text(const struct parse *parse, const char *key)
{
    return wsh_json_member(parse->text, parse->len, key);
}

static int decode_id(const struct parse *parse)
{
    struct wsh_command *command = parse->command;
    const json_t *id = json_object_get(parse->root, "id");
    struct wsh_view text;
    size_t len;

    if (!id)
        return ACCEPTED;
    if (!json_is_integer(id) &&
        !(json_is_string(id) && json_string_length(id) <= ID_TEXT_MAX))
        return invalid(parse, "id: string of at most 64 bytes, or integer");
    text = member_text(parse, "id");
    if (text.data && text.len <= sizeof command->id) {
        memcpy(command->id, text.data, text.len);
        len = text.len;
    } else {
        len = json_dumpb(id, command->id, sizeof command->id, JSON_ENCODE_ANY);
    }
    /* A byte takes six at most (\u00XX), and there are two quotes. */
    WSH_ASSERT(len <= sizeof command->id);
    command->id_len = len;
    return ACCEPTED;
}

static int decode_op(const struct parse *parse)
{
    static const char *const names[] = {
        [WSH_CMD_SUBSCRIBE] = "subscribe",
        [WSH_CMD_UNSUBSCRIBE] = "unsubscribe",
        [WSH_CMD_PUBLISH] = "publish",
        [WSH_CMD_PRESENCE] = "presence",
        [WSH_CMD_PING] = "ping",
    };
    const json_t *op = json_object_get(parse->root, "op");
    size_t i;

    if (!json_is_string(op))
        return invalid(parse, "op: string");
    for (i = 0; i < WSH_COUNT(names); i++)
        if (wsh_view_is(string_view(op), names[i])) {
            parse->command->op = (enum wsh_op)i;
            return ACCEPTED;
        }
    return refuse(parse->detail, WS_HUB_REFUSE_UNKNOWN_OP, NULL);
}

static int decode_channel(const struct parse *parse)
{
    const json_t *channel = json_object_get(parse->root, "channel");
    struct wsh_view name;

    if (!json_is_string(channel))
        return invalid(parse, "channel: string");
    name = string_view(channel);
    if (!wsh_channel_name_valid(name.data, name.len))
        return refuse(parse->detail, WS_HUB_REFUSE_BAD_CHANNEL,
                      "1 to 255 bytes without control characters");
    parse->command->channel = name;
    if (wsh_channel_name_reserved(name.data, name.len))
        return refuse(parse->detail, WS_HUB_REFUSE_BAD_CHANNEL, "reserved");
    return ACCEPTED;
}

/* Into memory of ours: jansson's may come from an allocator of the host. */
static char *dump(const json_t *value, size_t *len)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
    char *text;

    *len = json_dumpb(value, NULL, 0, flags);
    text = *len > 0 ? malloc(*len) : NULL;
    if (text && json_dumpb(value, text, *len, flags) != *len) {
        free(text);
        text = NULL;
    }
    return text;
}

static int decode_data(const struct parse *parse)
{
    struct wsh_command *command = parse->command;
    const json_t *data = json_object_get(parse->root, "data");
    size_t len;

    if (!data)
        return invalid(parse, "data: any value");
    command->data = member_text(parse, "data");
    if (command->data.data)
        return ACCEPTED;
    command->dumped = dump(data, &len);
    if (!command->dumped)
        return refuse(parse->detail, WS_HUB_REFUSE_LIMIT, "out of memory");
    command->data = (struct wsh_view){command->dumped, len};
    return ACCEPTED;
}

static int decode_class(const struct parse *parse)
{
    static const char *const names[] = {"critical", "normal", "volatile"};
    const json_t *cls = json_object_get(parse->root, "class");
    size_t i;

    if (!cls)
        return ACCEPTED;
    for (i = 0; i < WSH_COUNT(names); i++)
        if (json_is_string(cls) && wsh_view_is(string_view(cls), names[i])) {
            parse->command->cls = string_view(cls);
            return ACCEPTED;
        }
    return invalid(parse, "class: critical, normal or volatile");
}

static int decode_publish(const struct parse *parse)
{
    const json_t *echo = json_object_get(parse->root, "echo");
    const json_t *key = json_object_get(parse->root, "key");

    if (echo && !json_is_boolean(echo))
        return invalid(parse, "echo: boolean");
    if (key && !json_is_string(key))
        return invalid(parse, "key: string");
    if (echo)
        parse->command->echo = json_is_true(echo);
    if (key)
        parse->command->key = string_view(key);
    return ACCEPTED;
}

/* The id first: an error about anything else should carry it. */
static int decode_members(const struct parse *parse)
{
    int result = decode_id(parse);

    if (result == ACCEPTED)
        result = decode_op(parse);
    if (result == ACCEPTED && parse->command->op != WSH_CMD_PING)
        result = decode_channel(parse);
    if (result != ACCEPTED || parse->command->op != WSH_CMD_PUBLISH)
        return result;
    result = decode_data(parse);
    if (result == ACCEPTED)
        result = decode_class(parse);
    return result == ACCEPTED ? decode_publish(parse) : result;
}

static int check_bounds(const char *text, size_t len,
                        const struct wsh_command_limits *limits,
                        const char **detail)
{
    switch (wsh_json_scan(text, len, limits)) {
    case WSH_SCAN_OK:
        return ACCEPTED;
    case WSH_SCAN_BYTES:
        return refuse(detail, WS_HUB_REFUSE_TOO_LARGE_OP, NULL);
    case WSH_SCAN_DEPTH:
        return refuse(detail, WS_HUB_REFUSE_INVALID_MESSAGE, "nested too deep");
    case WSH_SCAN_VALUES:
        break;
    }
    return refuse(detail, WS_HUB_REFUSE_INVALID_MESSAGE, "too many values");
}

int wsh_command_decode(struct wsh_command *command, const void *text,
                       size_t len, const struct wsh_command_limits *limits,
                       const char **detail)
{
    struct parse parse = {command, text, len, NULL, detail};
    json_error_t error;
    int result;

    *command = (struct wsh_command){.echo = true, .cls = {"normal", 6}};
    *detail = NULL;
    result = check_bounds(text, len, limits, detail);
    if (result != ACCEPTED)
        return result;
    command->tree = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!command->tree) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return refuse(detail, WS_HUB_REFUSE_LIMIT, "out of memory");
        return invalid(&parse, "not JSON");
    }
    if (!json_is_object((json_t *)command->tree))
        return invalid(&parse, "not an object");
    parse.root = command->tree;
    return decode_members(&parse);
}

void wsh_command_fini(struct wsh_command *command)
{
    json_decref(command->tree);
    free(command->dumped);
    command->tree = NULL;
    command->dumped = NULL;
}

bool wsh_json_valid(const void *text, size_t len,
                    const struct wsh_command_limits *limits)
{
    json_t *tree;

    if (wsh_json_scan(text, len, limits) != WSH_SCAN_OK)
        return false;
    tree =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    json_decref(tree);
    return tree != NULL;
}
