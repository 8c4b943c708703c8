#!/usr/bin/env python3
"""What a well-behaved client feels while others flood the server.

usage: flood.py [--seconds N] [--turns N] [--kinds NAME,..] [--relay PROGRAM]
                [--priority] BUILD_DIR

One client of the example relay publishes a message, waits until it comes back,
and says the next one 2 ms later; others flood the same server, one kind after
the other, none of them limited by an option. Prints the client's median and
99th percentile in the quiet and during each flood, and their ratio within one
turn; the median over the turns counts. The server is pinned to the first core;
the second is the client's, and what it leaves is the flooders' (SCHED_IDLE).

Needs Linux, two cores, 20 000 descriptors and a machine that does nothing else.
Ends with 0, or 1 if the client was not served: figures do not fail it.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.join(HERE, os.pardir, "integration")
sys.path.insert(0, INTEGRATION)
import fanout  # noqa: E402
import wsclient  # noqa: E402

PACE_S = 0.002
TARGET = 2.0
# Kind and clients.
FLOODS = [("ping", 1), ("pong", 1), ("close", 1), ("subscribe", 1),
          ("publish", 1), ("fragments", 1), ("dribble", 10),
          ("never-reads", 1), ("never-reads", 10), ("handshakes", 10000)]


class Address:
    """What wsclient.Client asks of a server."""

    def __init__(self, port):
        import socket
        self.family, self.address = socket.AF_INET, ("127.0.0.1", port)


def p(values, share):
    """A percentile of sorted seconds, microseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1e6


def latencies(port, seconds):
    """Seconds from say to hear, sorted."""
    client = wsclient.Client(Address(port))
    client.upgrade(wsclient.request("/quiet"))
    client.sock.setblocking(True)
    client.sock.settimeout(wsclient.DEADLINE)
    message = wsclient.text(b"x" * 30)
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PACE_S)
        began = time.perf_counter()
        client.sock.sendall(message)
        got = b""
        while len(got) < 32:
            more = client.sock.recv(4096)
            if not more:
                raise fanout.RunFailed("the client lost its connection")
            got += more
            if got[0] == 0x89:  # a heartbeat
                client.sock.sendall(wsclient.frame(wsclient.PONG))
                got = got[2:]
        found.append(time.perf_counter() - began)
    client.drop()
    return sorted(found)


def start_flood(options, kind, clients, port, seconds):
    def pin():
        fanout.pin(options.load_core)
        if options.priority:
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        else:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    process = subprocess.Popen(
        [sys.executable, os.path.join(INTEGRATION, "floods.py"), kind,
         "127.0.0.1", str(port), "--clients", str(clients), "--again",
         "--seconds", str(seconds)], stdout=subprocess.PIPE, preexec_fn=pin)
    process.stdout.readline()
    return process


def measure(options, kind, clients):
    """(latencies, what the flooders did)."""
    command = [options.relay, "--host", "127.0.0.1", "--port", "0",
               "--log-level", "error"]
    with fanout.Server(command, options.server_core) as server:
        port = server.wait_ready()
        if options.priority:
            os.setpriority(os.PRIO_PROCESS, server.process.pid, -20)
        if not kind:
            found, did = latencies(port, options.seconds), None
        else:
            flood = start_flood(options, kind, clients, port,
                                options.seconds + 2)
            try:
                time.sleep(0.5)  # under way
                found = latencies(port, options.seconds)
                did = json.loads(flood.communicate(timeout=60)[0])
            finally:
                if flood.poll() is None:
                    flood.kill()
                    flood.wait()
        server.stop()
    return found, did


def run_turn(options, turn, table):
    quiet, _ = measure(options, None, 0)
    print("turn %d  %-17s p50 %7.0f us  p99 %7.0f us" % (
        turn, "quiet", p(quiet, .5), p(quiet, .99)), flush=True)
    for kind, clients in FLOODS:
        if options.kinds and kind not in options.kinds.split(","):
            continue
        found, did = measure(options, kind, clients)
        label = kind if clients == 1 else "%s x%d" % (kind, clients)
        table.setdefault(label, []).append(
            (p(found, .5) / p(quiet, .5), p(found, .99) / p(quiet, .99)))
        print("turn %d  %-17s p50 %7.0f us  p99 %7.0f us  %d MB, "
              "%d connections, %s" % (
                  turn, label, p(found, .5), p(found, .99),
                  did["octets"] / 1e6, did["connections"], did["ends"]),
              flush=True)


def main():
    parser = argparse.ArgumentParser(
        description="See the top of this file.")
    parser.add_argument("build_dir")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds")
    parser.add_argument("--relay")
    parser.add_argument("--priority", action="store_true",
                        help="as root, on a machine that is not quiet: before "
                        "its other processes")
    options = parser.parse_args()
    options.relay = options.relay or os.path.join(options.build_dir,
                                                  "examples", "relay")
    fanout.descriptors()
    options.server_core, options.load_core = fanout.cores()
    fanout.pin(options.load_core)
    if options.priority:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    table = {}
    for turn in range(options.turns):
        run_turn(options, turn + 1, table)
    print("\nLatency of a client beside each flood, as a multiple of the quiet "
          "(median of %d turns)" % options.turns)
    for kind, rows in table.items():
        print("%-17s p50 x %5.2f  p99 x %5.2f (target %.0f)" % (
            kind, statistics.median(r[0] for r in rows),
            statistics.median(r[1] for r in rows), TARGET))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except fanout.RunFailed as failure:
        sys.exit(str(failure))
