#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "hub/registry.h"

static const uint64_t seed[2] = {1, 2};

static void test_registry_knows_who_joined(void **state)
{
    struct wsh_registry registry;

    (void)state;
    wsh_registry_init(&registry, seed);
    assert_int_equal(wsh_registry_shards(&registry, "a", 1), 0);
    assert_int_equal(wsh_registry_join(&registry, "a", 1, 0), 0);
    assert_int_equal(wsh_registry_join(&registry, "a", 1, 63), 0);
    assert_true(wsh_registry_shards(&registry, "a", 1) ==
                (1 | UINT64_C(1) << 63));
    wsh_registry_leave(&registry, "a", 1, 0);
    assert_true(wsh_registry_shards(&registry, "a", 1) == UINT64_C(1) << 63);
    wsh_registry_leave(&registry, "a", 1, 63);
    assert_int_equal(wsh_registry_shards(&registry, "a", 1), 0);
    wsh_registry_fini(&registry);
}

static void test_registry_keeps_channels_apart(void **state)
{
    struct wsh_registry registry;
    char name[16];

    (void)state;
    wsh_registry_init(&registry, seed);
    for (unsigned i = 0; i < 5000; i++) {
        sprintf(name, "c%u", i);
        assert_int_equal(
            wsh_registry_join(&registry, name, strlen(name), i % 64), 0);
    }
    for (unsigned i = 0; i < 5000; i++) {
        sprintf(name, "c%u", i);
        assert_true(wsh_registry_shards(&registry, name, strlen(name)) ==
                    UINT64_C(1) << i % 64);
        wsh_registry_leave(&registry, name, strlen(name), i % 64);
    }
    wsh_registry_fini(&registry);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_registry_knows_who_joined),
        cmocka_unit_test(test_registry_keeps_channels_apart),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
