#!/usr/bin/env python3
"""What README.md says is what the sources say.

usage: readme.py SOURCE_ROOT
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap
from exports import declared


def option_members(header):
    """Member name -> default as its comment has it, or None. A comment stands
    before its member, or behind it if it starts with "/**<"."""
    body = re.search(r"typedef struct ws_hub_options \{(.*?)\n\} ws_hub_options;", header, re.S).group(1)
    comments, before, last = {}, "", None
    for token in re.findall(r"/\*.*?\*/|[^;/]+;", body, re.S):
        if token.startswith("/**<"):
            comments[last] = token
        elif token.startswith("/*"):
            before = token
        else:
            last = re.search(r"(\w+);$", token).group(1)
            comments[last], before = before, ""
    del comments["struct_size"]
    defaults = {}
    for name, comment in comments.items():
        text = " ".join(re.sub(r"\*/|\n\s*\* ", " ", comment).split())
        found = re.search(r"default:? (.+)", text, re.I)
        defaults[name] = found.group(1) if found else None
    return defaults


def table_rows(readme):
    """Option name -> default cell of its row."""
    section = re.search(r"\n## Options\n(.*?)\n## ", readme, re.S).group(1)
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+)`", cells[0]):
            rows[name] = cells[1]
    return rows


def main():
    root = pathlib.Path(sys.argv[1])
    readme = (root / "README.md").read_text()
    members = option_members((root / "include/ws_hub/options.h").read_text())
    rows = table_rows(readme)

    def embedding():
        blocks = re.findall(r"```c\n(.*?)```", readme, re.S)
        assert blocks and blocks[0] == (root / "examples/embed.c").read_text(), \
            "the first C block is not examples/embed.c"

    def options_named():
        assert len(members) > 25, f"only {len(members)} members found in options.h"
        assert set(rows) == set(members), \
            f"missing: {sorted(set(members) - set(rows))}, unknown: {sorted(set(rows) - set(members))}"

    def options_defaults():
        wrong = [f"{name}: README has '{rows.get(name)}', options.h '{default}'"
                 for name, default in members.items()
                 if default and not re.match(re.escape(rows.get(name, "?")) + r"(?!\w)", default)]
        assert not wrong, "\n".join(wrong)

    def functions():
        names = declared(sorted((root / "include/ws_hub").glob("*.h")) + [root / "include/ws_hub/version.h.in"])
        threads = re.search(r"\n## Threads\n(.*?)\n## ", readme, re.S).group(1)
        named = re.findall(r"`(ws_hub_\w+)`", threads)
        assert sorted(named) == sorted(names), \
            f"missing: {sorted(names - set(named))}, too many: {sorted(n for n in named if n not in names or named.count(n) > 1)}"

    def links():
        gone = [link for link in re.findall(r"\]\(([^)#]+)\)", readme)
                if "://" not in link and not (root / link).exists()]
        assert not gone, f"no such file: {gone}"

    tap.run([("test_readme_embedding_example_is_the_file", embedding),
             ("test_readme_option_table_names_every_member", options_named),
             ("test_readme_option_defaults_are_those_of_the_header", options_defaults),
             ("test_readme_thread_table_names_every_function_once", functions),
             ("test_readme_links_point_to_files", links)])


main()
