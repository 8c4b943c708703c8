#!/usr/bin/env python3
"""Read meson's testlog.json files: print the logs of failing tests, then one
line "N passed, N failed, N skipped" that counts TAP cases.

usage: report.py TESTLOG...

A test that breaks off, times out or fails outside of its cases counts as one
failed case more. With CI=true a skip that tests/allowed-skips.txt does not list
is a failure.
"""
import fnmatch
import json
import os
import pathlib
import re
import sys

CASE = re.compile(r"(not )?ok\b(?: +\d+)?(?: +- )?(.*)")
SKIP = re.compile(r"(.*)# *SKIP\b(.*)", re.I)


def cases_of(test):
    """(name, "passed" | "failed" | "skipped") of every case of one test."""
    found = []
    for line in test.get("stdout", "").splitlines():
        match = CASE.match(line)
        if not match:
            continue
        skip = SKIP.match(match.group(2))
        if skip:  # cmocka puts the name behind the word, others the reason
            found.append((skip.group(1).strip() or skip.group(2).strip(), "skipped"))
        else:
            found.append((match.group(2).strip(), "failed" if match.group(1) else "passed"))
    return found


def judge(test):
    """The cases, and one more for what the cases do not tell."""
    name, result = test["name"].split(" / ")[-1], test["result"]
    cases = [(f"{name}/{case}", state) for case, state in cases_of(test)]
    if result == "SKIP" and not cases:
        cases.append((name, "skipped"))
    elif result in ("OK", "EXPECTEDFAIL") and not cases:
        cases.append((name, "passed"))
    elif result not in ("OK", "EXPECTEDFAIL", "SKIP") and all(state != "failed" for _, state in cases):
        cases.append((f"{name} ({result.lower()})", "failed"))
    return cases


def allowed_skips():
    path = pathlib.Path(__file__).with_name("allowed-skips.txt")
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def print_log(log, test):
    print(f"\n==== {test['name']}: {test['result']} ({log}) ====")
    for stream in ("stdout", "stderr"):
        text = test.get(stream, "").rstrip()
        if text:
            print(f"---- {stream} ----\n{text}")


def load(log):
    path = pathlib.Path(log)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main():
    strict = os.environ.get("CI") == "true"
    allowed = allowed_skips()
    count = {"passed": 0, "failed": 0, "skipped": 0}
    remarks, cases = [], []
    for log in sys.argv[1:]:
        tests = load(log)
        if not tests:
            cases.append((f"{log}: no test ran", "failed"))
        for test in tests:
            found = judge(test)
            cases += found
            if any(state == "failed" for _, state in found):
                print_log(log, test)
    # What one build skips and another runs has been run.
    ran = {name for name, state in cases if state != "skipped"}
    for name, state in cases:
        if state == "skipped":
            if name in ran:
                continue
            if strict and not any(fnmatch.fnmatch(name, pattern) for pattern in allowed):
                state = "failed"
                remarks.append(f"skipped, which CI does not allow: {name}")
            else:
                remarks.append(f"skipped: {name}")
        elif state == "failed":
            remarks.append(f"failed: {name}")
        count[state] += 1
    print("", *remarks, sep="\n")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()
