/* Commands: what is accepted keeps its promises, and what the search finds in
 * the text is what jansson made of it. */
#include <jansson.h>
#include <string.h>
#include <ws_hub/metrics.h>
#include "fuzz.h"
#include "protocol/channel_name.h"
#include "protocol/command.h"
#include "protocol/event.h"
#include "protocol/json_scan.h"

static const struct wsh_command_limits limits = {4096, 16, 256};
/* An event is larger than the command it answers, and its depth is one. */
static const struct wsh_command_limits wide = {1 << 20, 64, 4096};

static void check_event(const struct wsh_command *command, const char *detail)
{
    const struct wsh_view id = {command->id, command->id_len};
    struct wsh_buf buf = {0};

    MUST_HOLD(wsh_event_error(&buf, "limit", command->channel, id, detail) ==
              0);
    MUST_HOLD(wsh_json_valid(buf.data, buf.len, &wide));
    wsh_buf_fini(&buf);
    if (!command->data.data)
        return;
    MUST_HOLD(wsh_event_message_head(&buf, command->channel) == 0);
    MUST_HOLD(wsh_buf_append(&buf, command->data.data, command->data.len) == 0);
    MUST_HOLD(wsh_buf_append_cstr(&buf, WSH_EVENT_MESSAGE_TAIL) == 0);
    MUST_HOLD(wsh_json_valid(buf.data, buf.len, &wide));
    wsh_buf_fini(&buf);
}

static void check_command(const uint8_t *data, size_t len)
{
    struct wsh_command command;
    const char *detail;
    int result = wsh_command_decode(&command, data, len, &limits, &detail);

    MUST_HOLD(result >= -1 && result < WS_HUB_REFUSE_COUNT);
    if (result == -1 && command.op != WSH_CMD_PING)
        MUST_HOLD(
            wsh_channel_name_valid(command.channel.data, command.channel.len) &&
            !wsh_channel_name_reserved(command.channel.data,
                                       command.channel.len));
    if (result == -1 && command.op == WSH_CMD_PUBLISH)
        MUST_HOLD(wsh_json_valid(command.data.data, command.data.len, &wide));
    check_event(&command, detail);
    wsh_command_fini(&command);
}

static void check_members(const char *text, size_t len)
{
    json_t *root;
    const char *key;
    json_t *value;

    if (wsh_json_scan(text, len, &limits) != WSH_SCAN_OK)
        return;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(root)) {
        json_object_foreach(root, key, value)
        {
            struct wsh_view view = wsh_json_member(text, len, key);
            json_t *again = view.data ? json_loadb(view.data, view.len,
                                                   JSON_DECODE_ANY, NULL)
                                      : NULL;

            MUST_HOLD(!view.data || json_equal(again, value));
            MUST_HOLD(view.data || memchr(text, '\\', len));
            json_decref(again);
        }
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check_command(data, len);
    check_members((const char *)data, len);
    wsh_json_valid(data, len, &limits);
    return 0;
}
