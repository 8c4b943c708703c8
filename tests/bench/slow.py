#!/usr/bin/env python3
"""What slow clients cost: CPU per healthy delivery, and memory.

usage: slow.py [--runs N] [--seconds N] [--healthy N] [--size N] [--memory N,..]
               [--memory-healthy N] [--memory-seconds N] [--mode json|raw] [--policy NAME] BUILD_DIR

Runs slow (slow.c: its own server and clients, which check every message) in
turn without and with slow clients, a tenth of all, who stop reading at the
start: the healthy ones are the same number in both. A ratio is taken within one
turn; the median over the turns is what counts. Then the growth of the server's
memory beside the number of slow clients.

Needs Linux, two cores (the server is pinned to the first, the clients to the
second) and a machine that does nothing else. Ends with 0, or 1 if a run failed:
figures that miss a target do not fail it.
"""
import argparse
import os
import statistics
import subprocess
import sys

CPU_TARGET = 1.15       # CPU per healthy delivery, multiple of a run without
POLICIES = ["drop_newest", "drop_oldest", "conflate"]
BLOCKS = 2              # most allocated / used bytes of a block that grew
MARK = 2 * 32           # most bytes of book-keeping per message
ENTRY = 24              # of a queue entry, and what it is charged with


class RunFailed(Exception):
    pass


def run(options, healthy, slow, seconds):
    """One run; its figures by name."""
    command = [os.path.join(options.build_dir, "tests", "bench", "slow"),
               "--healthy", str(healthy), "--slow", str(slow),
               "--seconds", str(seconds), "--size", str(options.size),
               "--json", str(int(options.mode == "json")),
               "--policy", str(POLICIES.index(options.policy) + 1),
               "--keys", str(options.keys if options.policy == "conflate" else 0)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        out, errors = process.communicate(timeout=seconds + 300)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RunFailed("%s: %d: %s" % (" ".join(command), process.returncode,
                                        errors))
    return {name: float(value) for name, value in
            (line.split("=", 1) for line in out.splitlines())}


def cpu(options):
    slow, ratios = options.healthy // 9, []
    for turn in range(options.runs):
        figures = {}
        for count in [(0, slow), (slow, 0)][turn % 2]:
            figures[count] = run(options, options.healthy, count,
                                 options.seconds)
            print("  turn %d  %4d slow  %.4f us/delivery  %7.0f messages/s  "
                  "%9.0f lost in %.0f gaps, each exact" %
                  (turn + 1, count,
                   figures[count]["cpu_us_per_healthy_delivery"],
                   figures[count]["messages_per_second"],
                   figures[count]["lost"], figures[count]["gaps"]), flush=True)
        ratios.append(figures[slow]["cpu_us_per_healthy_delivery"] /
                      figures[0]["cpu_us_per_healthy_delivery"])
    ratio = statistics.median(ratios)
    print("CPU per healthy delivery, %d healthy, %d slow / 0 slow: "
          "%.2f (%.2f..%.2f), target <= %g %s" %
          (options.healthy, slow, ratio, min(ratios), max(ratios), CPU_TARGET,
           "yes" if ratio <= CPU_TARGET else "NO"))


def bound(figures):
    """The documented bound (README, Measured), in KiB: the blocks of one queue,
    once, and a ring of entries for each client."""
    slow = figures["slow"]
    if not slow:
        return 0
    queued, messages = figures["pending_bytes"] / slow, figures["pending"] / slow
    # Most entries that fit send_limit with these messages: one each.
    rings = 2 * ENTRY * messages * slow
    return (BLOCKS * queued + MARK * messages + rings) / 1024


def memory(options):
    print("\nslow clients  waiting KiB  RSS growth KiB  per client  bound KiB")
    for count in [0] + [int(n) for n in options.memory.split(",")]:
        figures = run(options, options.memory_healthy, count,
                      options.memory_seconds)
        print("%12d  %11.0f  %14.0f  %10.1f  %9.0f%s" %
              (count, figures["pending_bytes"] / 1024, figures["rss_growth_kb"],
               figures["rss_growth_kb"] / count if count else 0, bound(figures),
               "" if figures["slow"] == count else
               "  (only %.0f were slow by then)" % figures["slow"]), flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description="What slow clients cost (see the top of this file).")
    parser.add_argument("build_dir")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--healthy", type=int, default=900)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--mode", choices=["json", "raw"], default="json")
    parser.add_argument("--policy", choices=POLICIES, default=POLICIES[0])
    parser.add_argument("--keys", type=int, default=100,
                        help="different keys, policy conflate")
    parser.add_argument("--memory", default="1,10,100,500",
                        help="numbers of slow clients; empty: none")
    parser.add_argument("--memory-healthy", type=int, default=100,
                        help="beside them; few, so that queues fill soon")
    parser.add_argument("--memory-seconds", type=int, default=10)
    return parser.parse_args()


def main():
    options = parse()
    try:
        if options.runs:
            cpu(options)
        if options.memory:
            memory(options)
    except RunFailed as failure:
        print("FAILED " + str(failure), file=sys.stderr)
        return 1
    print("load average %.2f at the end" % os.getloadavg()[0])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
