#!/usr/bin/env python3
"""When pings come to thousands of idle connections, and what they cost.

usage: heartbeat.py [--connections N] [--heartbeat-ms N] [--intervals N]
                    [--relay PROGRAM] BUILD_DIR

Connects all to the example relay, lets each say something at one moment, and
counts the pings in each 100 ms of some intervals after the first; each ping is
answered. Prints a histogram, the largest bucket as a multiple of the mean, and
the server's CPU share. Server and clients are pinned to a core each.

Needs Linux, two cores, as many descriptors as connections (twice) and a machine
that does nothing else. Ends with 0, or 1 if a run failed: figures do not fail
it.
"""
import argparse
import os
import signal
import subprocess
import sys

import fanout

TARGET = 3.0
SAY_S = 1


def run(options):
    """The generator's figures by name, as text."""
    interval = -(-options.heartbeat_ms // 1000)
    seconds = options.intervals * options.heartbeat_ms // 1000
    command = [options.relay, "--host", "127.0.0.1", "--port", "0",
               "--max-connections", str(options.connections + 50),
               "--heartbeat-ms", str(options.heartbeat_ms),
               "--log-level", "warn"]
    with fanout.Server(command, options.server_core) as server:
        port = server.wait_ready()
        load = [options.load, "--port", str(port), "--subscribers",
                str(options.connections), "--server-pid",
                str(server.process.pid), "--idle-skip", str(interval + SAY_S),
                "--idle-seconds", str(max(1, seconds))]
        done = subprocess.run(
            load, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=120 + 2 * seconds,
            preexec_fn=lambda: fanout.pin(options.load_core))
        if done.returncode != 0:
            raise server.failed("load failed\n" + done.stderr)
        server.stop()
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def main():
    parser = argparse.ArgumentParser(description="See the top of this file.")
    parser.add_argument("build_dir")
    parser.add_argument("--connections", type=int, default=15000)
    parser.add_argument("--heartbeat-ms", type=int, default=5000)
    parser.add_argument("--intervals", type=int, default=3)
    parser.add_argument("--relay")
    options = parser.parse_args()
    options.relay = options.relay or os.path.join(options.build_dir,
                                                  "examples", "relay")
    options.load = os.path.join(options.build_dir, "tests", "bench", "load")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options.connections = min(options.connections, fanout.descriptors() -
                              fanout.SPARE_DESCRIPTORS)
    options.server_core, options.load_core = fanout.cores()
    figures = run(options)
    buckets = [int(count) for count in figures["buckets"].split(",")]
    width = max(buckets) / 60 or 1
    for number, count in enumerate(buckets):
        print("%5.1f s %6d %s" % (number / 10, count,
                                  "#" * round(count / width)))
    mean = float(figures["pings_per_bucket"])
    print("%d connections, heartbeat %d ms: all spoke within %s ms; %s pings, "
          "%.0f per 100 ms, most %d = x %.2f (target %.0f); server %.1f %% of "
          "a core" % (options.connections, options.heartbeat_ms,
                      figures["say_ms"], figures["pings"], mean, max(buckets),
                      max(buckets) / mean, TARGET,
                      float(figures["cpu_share"]) * 100))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except fanout.RunFailed as failure:
        sys.exit(str(failure))
