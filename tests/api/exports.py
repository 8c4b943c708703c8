#!/usr/bin/env python3
"""The shared library exports what the headers declare, and nothing else.

usage: exports.py LIBRARY LEAST_FUNCTIONS HEADER...
"""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap


def declared(headers):
    """Names of the functions that carry WS_HUB_API."""
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", pathlib.Path(header).read_text(), flags=re.S)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        for declaration in re.findall(r"\bWS_HUB_API\b([^;]*);", text):
            names.add(re.search(r"(\w+)\s*\(", declaration).group(1))
    return names


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library],
                         check=True, text=True, capture_output=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def main():
    library, least, *headers = sys.argv[1:]
    have, want = exported(library), declared(headers)

    def prefix():
        foreign = sorted(name for name in have if not name.startswith("ws_hub_"))
        assert not foreign, f"exported but not ws_hub_*: {foreign}"

    def complete():
        assert want <= have, f"declared but not exported: {sorted(want - have)}"

    def nothing_more():
        assert have <= want, f"exported but not declared: {sorted(have - want)}"

    def not_empty():
        assert len(want) >= int(least), f"only {len(want)} declarations found"

    tap.run([("test_exports_names_have_the_prefix", prefix),
             ("test_exports_headers_declare_functions", not_empty),
             ("test_exports_every_declaration_is_exported", complete),
             ("test_exports_nothing_is_exported_undeclared", nothing_more)])


if __name__ == "__main__":
    main()
