/* The protocol without memory: each allocation of a case fails once, the case
 * ends well or says so. The wrappers come in by the linker's --wrap; jansson's
 * allocator is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <ws_hub/error.h>
#include <ws_hub/metrics.h>
#include "protocol/command.h"
#include "protocol/decoder.h"
#include "protocol/event.h"

static int countdown; /* 1: the next allocation fails */

void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* Not the heap's own pointers: whoever mixes up the two is found out. */
static void *json_memory(size_t size)
{
    char *memory = fails() ? NULL : __real_malloc(size + 16);

    return memory ? memory + 16 : NULL;
}

static void json_release(void *memory)
{
    if (memory)
        free((char *)memory - 16);
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

static bool ignore(void *arg, enum wsh_opcode opcode, uint8_t *data, size_t len)
{
    return true;
}

static void test_decoder_without_memory_says_so(void **state)
{
    const struct wsh_decoder_limits limits = {1000, 10};
    const struct wsh_decoder_sink sink = {ignore, ignore};
    uint8_t wire[] = "\x02\x83\0\0\0\0abc\x80\x80\0\0\0";
    struct wsh_decoder decoder;

    wsh_decoder_init(&decoder);
    countdown = 1;
    assert_int_equal(wsh_decoder_feed(&decoder, &limits, wire, 9, &sink, NULL),
                     WSH_DECODE_NO_MEMORY);
    assert_int_equal(
        wsh_decoder_feed(&decoder, &limits, wire + 9, 6, &sink, NULL),
        WSH_DECODE_NO_MEMORY);
    wsh_decoder_fini(&decoder);
}

static void test_event_without_memory_leaves_the_buffer(void **state)
{
    char name[100];
    const struct wsh_view channel = {name, sizeof name};
    const struct wsh_view id = {"7", 1};
    int n, error;

    memset(name, '\n', sizeof name);
    for (n = 1;; n++) {
        struct wsh_buf buf = {0};

        assert_int_equal(wsh_buf_append_cstr(&buf, "before"), 0);
        countdown = n;
        error = wsh_event_error(&buf, "limit", channel, id, "detail");
        if (error) {
            assert_int_equal(error, WS_HUB_ENOMEM);
            assert_int_equal(buf.len, 6);
        }
        countdown = 0;
        wsh_buf_fini(&buf);
        if (!error)
            break;
    }
    assert_true(n > 2);
}

static void test_command_survives_each_failing_allocation(void **state)
{
    static const char text[] =
        "{\"op\":\"publish\",\"id\":1,\"channel\":\"c\",\"d\\u0061ta\":[1,2]}";
    const struct wsh_command_limits limits = {1000, 10, 100};
    int n, result;

    json_set_alloc_funcs(json_memory, json_release);
    for (n = 1;; n++) {
        struct wsh_command command;
        const char *detail;

        countdown = n;
        result =
            wsh_command_decode(&command, text, strlen(text), &limits, &detail);
        if (result >= 0)
            assert_non_null(detail);
        wsh_command_fini(&command);
        if (countdown > 0) /* no allocation was left to fail */
            break;
    }
    countdown = 0;
    assert_int_equal(result, -1);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoder_without_memory_says_so),
        cmocka_unit_test(test_event_without_memory_leaves_the_buffer),
        cmocka_unit_test(test_command_survives_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
