/* Request heads as the transport handles them: find the end, parse, upgrade. */
#include <string.h>
#include "fuzz.h"
#include "protocol/upgrade.h"

static const uint8_t *begin, *end;

static void check_view(struct wsh_view view)
{
    static const char root[] = "/";

    if (!view.data || (view.len == 1 && memcmp(view.data, root, 1) == 0))
        return;
    MUST_HOLD((const uint8_t *)view.data >= begin);
    MUST_HOLD((const uint8_t *)view.data + view.len <= end);
}

static void check_head(const struct wsh_head *head)
{
    size_t i;

    MUST_HOLD(head->count <= WSH_HEADERS_MAX);
    MUST_HOLD(head->path.len > 0);
    check_view(head->method);
    check_view(head->target);
    check_view(head->path);
    check_view(head->query);
    for (i = 0; i < head->count; i++) {
        check_view(head->name[i]);
        check_view(head->value[i]);
        MUST_HOLD(!memchr(head->value[i].data, '\n', head->value[i].len));
        MUST_HOLD(!memchr(head->value[i].data, '\0', head->value[i].len));
    }
}

static void answer(const struct wsh_head *head)
{
    char to[WSH_ANSWER_MAX];
    int status = wsh_upgrade_check(head);
    size_t len =
        status ? wsh_http_refusal(to, status, 5)
               : wsh_upgrade_answer(to, head, wsh_upgrade_offers_json(head));

    MUST_HOLD(status == 0 || status == 400 || status == 405 || status == 426);
    MUST_HOLD(len < sizeof to && len == strlen(to));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct wsh_head head;
    size_t size = wsh_head_end(data, len, 0);
    size_t seen;

    /* The end is the same however the bytes came. */
    for (seen = 0; seen < len && seen < size; seen++)
        MUST_HOLD(wsh_head_end(data, seen, seen / 2) == 0 &&
                  wsh_head_end(data, len, seen) == size);
    wsh_head_parse(data, len, &head);
    if (size == 0)
        return 0;
    begin = data;
    end = data + size;
    if (wsh_head_parse(data, size, &head) == 0) {
        check_head(&head);
        answer(&head);
    }
    return 0;
}
