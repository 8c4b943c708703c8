#!/usr/bin/env python3
"""The rules of the house, read from the #include lines.

usage: layers.py SOURCE_ROOT
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap

# Room (a directory of lib/, less the rooms inside it) -> rooms whose headers it may include, besides its
# own, libc and the public headers. The top, lib/ws_hub*, wires them and may
# include everything.
ROOMS = {
    "base": [],
    "contract": ["base"],
    "protocol": ["base"],
    "metrics": ["base"],
    "hub": ["base", "protocol", "metrics", "contract"],
    "transport": ["base", "contract"],
    "loop": ["base", "contract"],
    "broker": ["base", "contract"],
    # A library of its own, and nobody's neighbour: as if somebody else had
    # written it, it has the public contracts only.
    "broker/redis": [],
}

# Header of a foreign library -> rooms that may name it.
LIBRARIES = {
    r"(libwebsockets|lws_.*)\.h": ["transport"],
    r"uv\.h|uv/.*": ["loop", "transport"],
    r"jansson.*\.h": ["protocol"],
    r"liburing.*": ["transport"],
    r"openssl/.*": ["protocol", "transport", "broker/redis"],
    r"hiredis.*": ["broker/redis"],
    r"cmocka.*": [],
}

# Time and randomness are arguments below the loops.
NO_CLOCK = ["base", "protocol", "hub", "metrics", "contract"]
CLOCK = r"(time|sys/time|sys/timerfd|sys/random)\.h"

LIBC = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal"
    r"|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings"
    r"|threads|time|uchar|wchar|wctype|aio|dirent|dlfcn|endian|byteswap|fcntl|getopt|libgen"
    r"|malloc|net/if|netdb|poll|pthread|sched|semaphore|unistd)\.h"
    r"|(sys|netinet|arpa|linux)/\w+\.h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)


def includes(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return [(mark == "<", name) for mark, name in INCLUDE.findall(text)]


def may_use_library(room, name):
    """None if the header is no foreign library's."""
    for pattern, rooms in LIBRARIES.items():
        if re.fullmatch(pattern, name):
            return room in rooms
    return None


def wrong_include(room, is_system, name, own_files):
    """Why a file of a room may not include a header; None if it may."""
    if name == "ws_hub.h" or name.startswith("ws_hub/"):
        return None
    allowed = may_use_library(room, name)
    if allowed is not None:
        return None if allowed else "not the place for this library"
    if is_system:
        if not LIBC.fullmatch(name):
            return "neither libc's nor a known library's"
        if room in NO_CLOCK and re.fullmatch(CLOCK, name):
            return "time and randomness are arguments here"
        return None
    top = name.split("/")[0]
    if "/" not in name or ".." in name:
        return None if name in own_files else "no such file beside it"
    if top == room or top in ROOMS[room]:
        return None
    return f"{room} may not know {top}"


def violations(room, files):
    """files: (label, text) pairs of one room."""
    own = {label.rsplit("/", 1)[-1] for label, _ in files}
    found = []
    for label, text in files:
        for is_system, name in includes(text):
            why = wrong_include(room, is_system, name, own)
            if why:
                found.append(f"{label}: {name}: {why}")
    return found


def load(root, directory, pattern="**/*.[ch]"):
    return [(str(path.relative_to(root)), path.read_text())
            for path in sorted((root / directory).glob(pattern))]


def check_room(root, room):
    inner = tuple(f"lib/{other}/" for other in ROOMS if other.startswith(room + "/"))
    files = [(label, text) for label, text in load(root, f"lib/{room}") if not label.startswith(inner)]
    assert files, f"lib/{room} is empty"
    found = violations(room, files)
    assert not found, "\n".join(found)


def check_top(root):
    """What has no room has no rule."""
    files = [label for label, _ in load(root, "lib", "*.[ch]")]
    others = [label for label in files if not label.startswith("lib/ws_hub")]
    assert not others, f"beside lib/ws_hub*: {others}"
    rooms = {path.name for path in (root / "lib").iterdir() if path.is_dir()}
    assert rooms <= set(ROOMS), f"no rule for lib/{sorted(rooms - set(ROOMS))}"


def check_public(root):
    found = [f"{label}: {name}" for label, text in load(root, "include")
             for is_system, name in includes(text)
             if not is_system or not (name.startswith("ws_hub/") or name in ("stddef.h", "stdint.h"))]
    assert not found, "\n".join(found)


def check_examples(root):
    """Examples show what a user can do: no private header, no foreign library
    but the host's own loop."""
    found = [f"{label}: {name}" for label, text in load(root, "examples")
             for is_system, name in includes(text)
             if is_system and name != "uv.h" and not name.startswith("ws_hub") and not LIBC.fullmatch(name)
             or not is_system and name not in ("common.h", "web/assets.h")]
    assert not found, "\n".join(found)


def check_itself():
    """Each rule finds what it forbids."""
    bad = [("base", '#include "hub/x.h"'),
           ("protocol", '#include "contract/link.h"'), ("protocol", "#include <time.h>"),
           ("metrics", '#include "protocol/x.h"'), ("hub", '#include "transport/x.h"'),
           ("hub", "#include <uv.h>"), ("hub", "# include <jansson.h>"),
           ("hub", "#include <libwebsockets.h>"), ("transport", '#include "hub/x.h"'),
           ("transport", "#include <jansson.h>"), ("loop", '#include "transport/x.h"'),
           ("loop", "#include <libwebsockets.h>"), ("broker", "#include <uv.h>"),
           ("broker", "#include <hiredis/hiredis.h>"), ("broker", '#include "loop/loop.h"'),
           ("broker", '#include "redis/server.h"'), ("broker/redis", '#include "base/list.h"'),
           ("broker/redis", '#include "broker/driver.h"'), ("broker/redis", "#include <uv.h>"),
           ("base", "#include <glib.h>"), ("hub", '#include "../broker/x.h"')]
    missed = [row for row in bad if not violations(row[0], [("x.c", row[1])])]
    assert not missed, f"not noticed: {missed}"
    good = [("base", "#include <string.h>"), ("base", '#include "base/x.h"'),
            ("hub", '/* #include <uv.h> */\n#include "hub/x.h"'),
            ("transport", "#include <libwebsockets.h>"), ("loop", "#include <uv.h>"),
            ("protocol", "#include <jansson.h>"), ("hub", "#include <ws_hub/conn.h>"),
            ("broker/redis", "#include <hiredis/hiredis.h>"), ("broker/redis", "#include <ws_hub/broker.h>")]
    wrong = [row for row in good if violations(row[0], [("x.c", row[1])])]
    assert not wrong, f"wrongly refused: {wrong}"


def main():
    root = pathlib.Path(sys.argv[1])
    cases = [(f"test_layers_{room.replace('/', '_')}_includes_what_it_may", lambda room=room: check_room(root, room))
             for room in ROOMS]
    cases += [("test_layers_nothing_but_the_top_is_without_a_room", lambda: check_top(root)),
              ("test_layers_public_headers_need_no_other", lambda: check_public(root)),
              ("test_layers_examples_use_public_headers", lambda: check_examples(root)),
              ("test_layers_checker_notices_violations", check_itself)]
    tap.run(cases)


main()
