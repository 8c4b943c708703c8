/* Any bytes from a broker: views stay inside of them, and what is taken for an
 * envelope is what writing it again gives. */
#include <string.h>
#include "fuzz.h"
#include "ws_hub/broker.h"
#include "ws_hub/error.h"

static void check_view(const uint8_t *data, size_t len, const void *view,
                       size_t view_len)
{
    const uint8_t *begin = view;

    if (view_len)
        MUST_HOLD(begin >= data && begin + view_len <= data + len);
}

static void check_again(const uint8_t *data, size_t len,
                        const ws_hub_broker_message *message)
{
    uint8_t head[WS_HUB_ENVELOPE_MAX];
    size_t head_len = ws_hub_envelope_write(message, head);

    MUST_HOLD(head_len + message->len == len);
    if (message->published_us) /* else writing fills it in */
        MUST_HOLD(memcmp(head, data, head_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    ws_hub_broker_message message;
    int error = ws_hub_envelope_read(data, len, &message);

    MUST_HOLD(error == 0 || error == WS_HUB_EINVAL);
    check_view(data, len, message.data, message.len);
    check_view(data, len, message.key, message.key_len);
    if (!error && message.type != WS_HUB_DETECT)
        check_again(data, len, &message);
    return 0;
}
