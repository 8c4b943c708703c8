#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker/redis/channels.h"

enum { MANY = 5000 };

static struct wsr_channel *find(struct wsr_channels *channels, const char *name)
{
    return wsr_channels_find(channels, name, strlen(name));
}

static void test_channels_are_found_until_removed(void **state)
{
    struct wsr_channels channels;
    char name[16];

    (void)state;
    wsr_channels_init(&channels);
    assert_null(find(&channels, "0"));
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_non_null(wsr_channels_add(&channels, name, strlen(name)));
    }
    assert_int_equal(channels.count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct wsr_channel *channel;

        snprintf(name, sizeof name, "%u", i);
        channel = find(&channels, name);
        assert_non_null(channel);
        assert_int_equal(channel->len, strlen(name));
        assert_memory_equal(channel->name, name, channel->len);
        wsr_channels_remove(&channels, channel);
        assert_null(find(&channels, name));
    }
    assert_int_equal(channels.count, 0);
    wsr_channels_fini(&channels);
}

/* Every length, since the hash takes eight bytes at a time. */
static void test_channels_differ_by_their_last_byte(void **state)
{
    struct wsr_channels channels;
    char name[255];

    (void)state;
    wsr_channels_init(&channels);
    memset(name, 0, sizeof name);
    for (size_t len = 1; len <= sizeof name; len++) {
        struct wsr_channel *one, *other;

        one = wsr_channels_add(&channels, name, len);
        name[len - 1] = 1;
        assert_null(wsr_channels_find(&channels, name, len));
        other = wsr_channels_add(&channels, name, len);
        assert_ptr_equal(wsr_channels_find(&channels, name, len), other);
        name[len - 1] = 0;
        assert_ptr_equal(wsr_channels_find(&channels, name, len), one);
        wsr_channels_remove(&channels, other);
        wsr_channels_remove(&channels, one);
    }
    wsr_channels_fini(&channels);
}

/* Names that collide in one table must not in the next. */
static void test_channels_seed_is_drawn(void **state)
{
    struct wsr_channels one, other;

    (void)state;
    wsr_channels_init(&one);
    wsr_channels_init(&other);
    assert_true(one.seed[0] != other.seed[0]);
    assert_true(one.seed[1] != other.seed[1]);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_channels_are_found_until_removed),
        cmocka_unit_test(test_channels_differ_by_their_last_byte),
        cmocka_unit_test(test_channels_seed_is_drawn),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
