/* The incremental validator against the naive one, whole and in two parts. */
#include "fuzz.h"
#include "naive_utf8.h"
#include "protocol/utf8.h"

static int verdict(uint8_t state)
{
    return state == WSH_UTF8_OK    ? NAIVE_OK
           : state == WSH_UTF8_BAD ? NAIVE_BAD
                                   : NAIVE_CUT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int want = naive_utf8(data, len);
    size_t cut = len > 0 ? data[0] % (len + 1) : 0;
    uint8_t half = wsh_utf8_feed(WSH_UTF8_OK, data, cut);

    MUST_HOLD(verdict(wsh_utf8_feed(WSH_UTF8_OK, data, len)) == want);
    MUST_HOLD(verdict(half) == naive_utf8(data, cut));
    MUST_HOLD(verdict(wsh_utf8_feed(half, data + cut, len - cut)) == want);
    MUST_HOLD(wsh_utf8_valid(data, len) == (want == NAIVE_OK));
    return 0;
}
