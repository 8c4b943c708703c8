#!/bin/sh
# Build, start the chat, say where it is. Arguments go to the chat: see --help.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/tests/packages.sh"

# shellcheck disable=SC2086 # a list
need_packages $BUILD_PACKAGES

build=$root/build
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$root" -Dtests=false >&2
fi
ninja -C "$build" examples/chat >&2

# The first free port from 8080 on, unless the caller names one.
port=
case " $* " in
    *' --port'*) ;;
    *) port=$(python3 - <<'PYTHON'
import socket

for port in range(8080, 8180):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
) ;;
esac
exec "$build/examples/chat" ${port:+--port "$port"} "$@"
