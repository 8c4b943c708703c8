#!/usr/bin/env python3
"""Turn files into a C table: generate.py OUTPUT FILE...

Each file is served as /NAME, index.html as /. The ETag is a digest of the
content, so that a browser's copy is valid exactly as long as the bytes are.
"""
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def entry(index, path):
    data = path.read_bytes()
    etag = hashlib.sha256(data).hexdigest()[:16]
    url = "/" if path.name == "index.html" else "/" + path.name
    array = f"static const unsigned char data_{index}[] = {{\n"
    for at in range(0, len(data), 12):
        array += "    " + "".join(f"{byte}, " for byte in data[at:at + 12]).rstrip() + "\n"
    row = f'    {{"{url}", "{TYPES[path.suffix]}", "\\"{etag}\\"", data_{index}, sizeof(data_{index})}},\n'
    return array + "};\n\n", row


def main():
    output, *names = sys.argv[1:]
    arrays, rows = zip(*(entry(i, pathlib.Path(name)) for i, name in enumerate(names)))
    pathlib.Path(output).write_text(
        '/* Made by generate.py. */\n#include "web/assets.h"\n\n' + "".join(arrays)
        + "const struct web_asset web_assets[] = {\n" + "".join(rows) + "};\n"
        + f"const size_t web_asset_count = {len(rows)};\n")


main()
