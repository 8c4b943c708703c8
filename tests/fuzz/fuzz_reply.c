/* Any bytes from a Redis server: read whole and in pieces they are the same
 * replies with the same end, and no string is longer than the limit. The first
 * byte is the size of the pieces. */
#include <string.h>
#include "broker/redis/reply.h"
#include "fuzz.h"

enum { LIMIT = 64, SEEN_MAX = 4096 };

/* What was read, flattened: enough to tell two readings apart. */
struct seen {
    unsigned char bytes[SEEN_MAX];
    size_t len;
    bool failed;
};

static void put(struct seen *seen, const void *bytes, size_t len)
{
    if (len > SEEN_MAX - seen->len)
        len = SEEN_MAX - seen->len;
    if (len)
        memcpy(seen->bytes + seen->len, bytes, len);
    seen->len += len;
}

static void flatten(struct seen *seen, const struct wsr_reply *reply)
{
    unsigned char type = (unsigned char)reply->type;

    put(seen, &type, 1);
    if (reply->text) {
        if (reply->type == WSR_STRING)
            MUST_HOLD(reply->len <= LIMIT);
        MUST_HOLD(reply->text[reply->len] == '\0');
        put(seen, reply->text, reply->len);
    }
    put(seen, &reply->integer, sizeof reply->integer);
    for (size_t i = 0; i < reply->count; i++)
        flatten(seen, &reply->items[i]);
}

static void read_all(const uint8_t *data, size_t len, size_t piece,
                     struct seen *seen)
{
    struct wsr_reader *reader = wsr_reader_create(LIMIT);
    const struct wsr_reply *reply = NULL;

    MUST_HOLD(reader != NULL);
    while (len > 0 && !seen->failed) {
        size_t part = len < piece ? len : piece;

        seen->failed = !wsr_reader_feed(reader, (const char *)data, part);
        while (!seen->failed) {
            seen->failed = !wsr_reader_next(reader, &reply);
            if (!reply)
                break;
            flatten(seen, reply);
        }
        data += part;
        len -= part;
    }
    MUST_HOLD(seen->failed == (*wsr_reader_error(reader) != '\0'));
    wsr_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct seen whole, pieces;

    if (len < 2)
        return 0;
    whole.len = pieces.len = 0;
    whole.failed = pieces.failed = false;
    read_all(data + 1, len - 1, len - 1, &whole);
    read_all(data + 1, len - 1, data[0] ? data[0] : 1, &pieces);
    MUST_HOLD(whole.failed == pieces.failed);
    MUST_HOLD(whole.len == pieces.len);
    MUST_HOLD(memcmp(whole.bytes, pieces.bytes, whole.len) == 0);
    return 0;
}
