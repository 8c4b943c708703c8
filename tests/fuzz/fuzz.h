/* fuzz.h: what every target shares. A property that does not hold traps, which
 * libFuzzer and the replay both report. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define MUST_HOLD(condition) ((condition) ? (void)0 : __builtin_trap())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
