/* A stream means the same however the network cuts it. */
#include "base/rng.h"
#include "wire.h"

static struct record play(const struct wsh_buf *wire, const size_t *cuts,
                          size_t count, enum wsh_decode_error *error)
{
    struct record record = {0};
    struct wsh_decoder decoder;
    size_t from = 0;
    size_t i;

    wsh_decoder_init(&decoder);
    for (i = 0; i <= count; i++) {
        size_t to = i < count ? cuts[i] : wire->len;

        *error = wire_feed(&decoder, &wide_limits, wire->data + from, to - from,
                           &record);
        from = to;
    }
    wsh_decoder_fini(&decoder);
    return record;
}

static void expect_same(const struct wsh_buf *wire, const size_t *cuts,
                        size_t count, const struct record *want,
                        enum wsh_decode_error want_error)
{
    enum wsh_decode_error error;
    struct record got = play(wire, cuts, count, &error);

    assert_int_equal(error, want_error);
    assert_int_equal(got.log.len, want->log.len);
    if (want->log.len > 0)
        assert_memory_equal(got.log.data, want->log.data, want->log.len);
    wsh_buf_fini(&got.log);
}

/* Every kind of frame, every form of length, characters across frames. */
static void representative(struct wsh_buf *wire)
{
    char text[300];

    memset(text, 'z', sizeof text);
    wire_text(wire, FIN | WSH_OP_TEXT,
              "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80");
    wire_text(wire, FIN | WSH_OP_TEXT, "");
    wire_text(wire, FIN | WSH_OP_PING, "are you there");
    wire_text(wire, WSH_OP_TEXT, "\xe2\x82");
    wire_text(wire, FIN | WSH_OP_PONG, "\xff");
    wire_text(wire, WSH_OP_CONT, "");
    wire_text(wire, WSH_OP_CONT, "\xac\xf0\x9f");
    wire_text(wire, FIN | WSH_OP_PING, "");
    wire_text(wire, FIN | WSH_OP_CONT, "\x98\x80 end");
    wire_frame(wire, FIN | WSH_OP_BINARY, text, 126);
    wire_frame(wire, WSH_OP_BINARY, text, sizeof text);
    wire_frame(wire, FIN | WSH_OP_CONT, text, 3);
    wire_text(wire, FIN | WSH_OP_CLOSE, "\x03\xe9going \xe2\x9c\x93");
}

static void test_decoder_one_cut_anywhere_changes_nothing(void **state)
{
    struct wsh_buf wire = {0};
    enum wsh_decode_error error;
    struct record want;
    size_t cut;

    representative(&wire);
    want = play(&wire, NULL, 0, &error);
    assert_int_equal(error, WSH_DECODE_STOPPED);
    assert_int_equal(want.messages, 5);
    assert_int_equal(want.controls, 4);
    for (cut = 0; cut <= wire.len; cut++)
        expect_same(&wire, &cut, 1, &want, error);
    wsh_buf_fini(&want.log);
    wsh_buf_fini(&wire);
}

static void test_decoder_byte_by_byte_changes_nothing(void **state)
{
    struct wsh_buf wire = {0};
    enum wsh_decode_error error;
    struct record want;
    size_t *cuts;
    size_t i;

    representative(&wire);
    want = play(&wire, NULL, 0, &error);
    cuts = calloc(wire.len, sizeof *cuts);
    assert_non_null(cuts);
    for (i = 0; i < wire.len; i++)
        cuts[i] = i;
    expect_same(&wire, cuts, wire.len, &want, error);
    free(cuts);
    wsh_buf_fini(&want.log);
    wsh_buf_fini(&wire);
}

/* ---- random streams ---- */

static void random_control(struct wsh_rng *rng, struct wsh_buf *wire,
                           struct record *want)
{
    bool ping = wsh_rng_below(rng, 2) == 0;
    enum wsh_opcode opcode = ping ? WSH_OP_PING : WSH_OP_PONG;
    size_t len = (size_t)wsh_rng_below(rng, WSH_CONTROL_MAX + 1);
    uint8_t data[WSH_CONTROL_MAX];
    size_t i;

    for (i = 0; i < len; i++)
        data[i] = (uint8_t)wsh_rng_next(rng);
    wire_frame(wire, FIN | (unsigned)opcode, data, len);
    record_control(want, opcode, data, len);
}

/* Valid UTF-8 with characters of every length. */
static size_t random_text(struct wsh_rng *rng, uint8_t *to, size_t chars)
{
    static const char *const some[] = {"a",
                                       "\n",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    size_t len = 0;

    while (chars-- > 0) {
        const char *text = some[wsh_rng_below(rng, WSH_COUNT(some))];

        memcpy(to + len, text, strlen(text));
        len += strlen(text);
    }
    return len;
}

static void random_message(struct wsh_rng *rng, struct wsh_buf *wire,
                           struct record *want)
{
    static const size_t scale[] = {1, 10, 200, 20000};
    static uint8_t data[4 * 20000];
    size_t chars = (size_t)wsh_rng_below(rng, scale[wsh_rng_below(rng, 4)] + 1);
    size_t len = random_text(rng, data, chars);
    unsigned opcode = wsh_rng_below(rng, 2) ? WSH_OP_TEXT : WSH_OP_BINARY;
    unsigned first = opcode;
    size_t at = 0;

    do { /* in pieces with control frames between */
        size_t n = (size_t)wsh_rng_below(rng, len - at + 1);

        if (wsh_rng_below(rng, 2))
            n = len - at;
        wire_frame(wire, first | (at + n == len ? FIN : 0), data + at, n);
        at += n;
        first = WSH_OP_CONT;
        if (at < len && wsh_rng_below(rng, 4) == 0)
            random_control(rng, wire, want);
    } while (at < len);
    record_message(want, opcode, data, len);
}

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;

    return (x > y) - (x < y);
}

static void test_decoder_random_streams_round_trip(void **state)
{
    struct wsh_rng rng = {20240607};
    int stream;

    for (stream = 0; stream < 150; stream++) {
        struct wsh_buf wire = {0};
        struct record want = {0};
        size_t cuts[16];
        size_t i;

        for (i = wsh_rng_below(&rng, 8) + 1; i > 0; i--)
            if (wsh_rng_below(&rng, 3) == 0)
                random_control(&rng, &wire, &want);
            else
                random_message(&rng, &wire, &want);
        for (i = 0; i < WSH_COUNT(cuts); i++)
            cuts[i] = (size_t)wsh_rng_below(&rng, wire.len + 1);
        qsort(cuts, WSH_COUNT(cuts), sizeof *cuts, by_size);
        expect_same(&wire, NULL, 0, &want, WSH_DECODE_OK);
        expect_same(&wire, cuts, WSH_COUNT(cuts), &want, WSH_DECODE_OK);
        wsh_buf_fini(&wire);
        wsh_buf_fini(&want.log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoder_one_cut_anywhere_changes_nothing),
        cmocka_unit_test(test_decoder_byte_by_byte_changes_nothing),
        cmocka_unit_test(test_decoder_random_streams_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
