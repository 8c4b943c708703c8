#!/usr/bin/env python3
"""Each public header compiles alone, in C11 and in C++17, and twice in a row.

usage: headers.py --cc CMD [--cxx CMD] --include DIR... HEADER...
"""
import argparse
import pathlib
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap


def compile_alone(command, header, includes):
    # The declaration is there because ISO C forbids an empty unit.
    source = f"#include <{header}>\n" * 2 + "extern int not_empty;\n"
    result = subprocess.run(
        shlex.split(command) + [f"-I{path}" for path in includes] + ["-fsyntax-only", "-"],
        input=source, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cxx", default="")
    parser.add_argument("--include", action="append", required=True)
    parser.add_argument("headers", nargs="+")
    args = parser.parse_args()
    warnings = "-pedantic -Wall -Wextra -Wconversion -Wshadow -Werror"
    languages = [("c", f"{args.cc} -x c -std=c11 -Wstrict-prototypes {warnings}")]
    if args.cxx:
        languages.append(("cxx", f"{args.cxx} -x c++ -std=c++17 {warnings}"))
    cases = []
    for header in args.headers:
        short = pathlib.Path(header).stem
        for language, command in languages:
            cases.append((f"test_header_{short}_alone_compiles_as_{language}",
                          lambda c=command, h=header: compile_alone(c, h, args.include)))
    tap.run(cases)


main()
