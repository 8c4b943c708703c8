#!/bin/sh
# Build and run every test: with ASan and UBSan in build-asan/, and in build/ those
# that look at the library as users get it: the suite "release", and the suite
# "integration" once more, which judges memory only without a sanitizer.
# The last line is "N passed, N failed, N skipped"; the status is 0 if none failed.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/tests/packages.sh"

# shellcheck disable=SC2086 # lists
need_packages $BUILD_PACKAGES $TEST_PACKAGES

# CI refuses warnings; a user's newer compiler may have more of them.
werror=false
[ "${CI:-}" != true ] || werror=true

# build DIRECTORY OPTION...: configure (anew) and compile.
build() {
    directory=$1
    shift
    again=
    [ ! -f "$directory/build.ninja" ] || again=--reconfigure
    meson setup $again "$directory" "$root" -Dtests=true -Dexamples=true -Dwerror=$werror "$@"
    ninja -C "$directory"
    rm -f "$directory/meson-logs/testlog.json"
}

# What meson's status would say is in the logs, which the report reads.
run() {
    directory=$1
    shift
    meson test -C "$directory" --no-rebuild "$@" || :
}

build "$root/build-asan" -Db_sanitize=address,undefined -Db_lundef=false
build "$root/build"
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
run "$root/build-asan" --no-suite release --timeout-multiplier 3
run "$root/build" --suite release --suite integration
exec python3 "$root/tests/report.py" "$root/build-asan/meson-logs/testlog.json" \
    "$root/build/meson-logs/testlog.json"
