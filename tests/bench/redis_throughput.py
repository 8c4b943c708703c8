#!/usr/bin/env python3
"""Compare what one server takes from one Redis: CPU per message, messages per
second. 1 000 channels, one local subscriber each, 100 bytes.

usage: redis_throughput.py [--servers NAME,..] [--bursts N,..] [--runs N]
                           [--seconds N] [--channels N] BUILD_DIR

The servers run in turn on the same work, several times: the example relay (with
its io_uring sender, and with write), Node with the packages ws and redis, nginx
with nchan and nchan_redis_url's pub/sub. load.c connects the subscribers,
publishes through Redis with pipelined PUBLISH (feed.c), and checks each message.
A round is so many messages on every channel at once (--bursts); CPU is that of
the server process only, of the measured rounds only. What ksoftirqd does for it
(see fanout.py) has a column of its own.

The server is pinned to the first core, Redis and the generator to the second:
when those are the slower side, the rate of the run is theirs, and "msg/s of a
core" is what the server would do if it was never idle.

Needs Linux, two cores, redis-server; node and npm (the packages are installed
into a temporary directory) and nginx with libnginx-mod-nchan for the others: who
is missing is left out. Ends with 0, or 1 if a run failed: figures that miss a
target do not fail it.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

import fanout  # noqa: E402 (beside this file)
from fanout import RunFailed, Server, print_table, spread  # noqa: E402
from redisserver import Redis, free_port  # noqa: E402

SERVERS = ["uring", "write", "node", "nchan"]
SIZE = 100
NODE_TARGET, NCHAN_TARGET = 3.0, 1.0    # their CPU / ours, at least
NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"

NGINX_CONF = """
load_module %(module)s;
worker_processes 1;
daemon off;
%(user)s
pid %(dir)s/pid;
error_log %(dir)s/error.log warn;
events { worker_connections 16000; }
http {
    access_log off;
    client_body_temp_path %(dir)s/a;
    proxy_temp_path %(dir)s/b;
    fastcgi_temp_path %(dir)s/c;
    uwsgi_temp_path %(dir)s/d;
    scgi_temp_path %(dir)s/e;
    nchan_max_reserved_memory 256m;
    upstream redis {
        nchan_redis_server redis://127.0.0.1:%(redis)d;
        nchan_redis_storage_mode nostore;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location ~ ^(/bench/.*)$ {
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_redis_pass redis;
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 1000;
        }
    }
}
"""


class Nchan(Server):
    """nginx; what is measured is its one worker."""

    def __init__(self, directory, redis, core):
        self.port = free_port()
        conf = os.path.join(directory, "nginx.conf")
        with open(conf, "w") as f:
            f.write(NGINX_CONF % {
                "module": NCHAN_MODULE, "dir": directory, "redis": redis.port,
                "port": self.port,
                "user": "user root;" if os.geteuid() == 0 else ""})
        super().__init__(["nginx", "-p", directory, "-c", conf], core)

    def wait_ready(self):
        end = time.monotonic() + fanout.START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                self.measured_pid()
                break
            except (OSError, IndexError):  # no worker yet
                if time.monotonic() > end or self.process.poll() is not None:
                    raise self.failed("not listening")
                time.sleep(0.05)
        return self.port

    def measured_pid(self):
        path = "/proc/%d/task/%d/children" % ((self.process.pid,) * 2)
        with open(path) as f:
            return int(f.read().split()[0])


def start(options, name, redis):
    if name == "nchan":
        return Nchan(tempfile.mkdtemp(dir=options.directory), redis,
                     options.server_core)
    if name == "node":
        return Server(["node", os.path.join(options.directory, "server.js"),
                       redis.url()], options.server_core)
    return Server([options.relay, "--host", "127.0.0.1", "--port", "0",
                   "--loops", "1", "--heartbeat-ms", "600000", "--log-level",
                   "warn", "--sender", name, "--redis", redis.url()],
                  options.server_core)


def run_load(options, name, server, burst, redis):
    port = server.wait_ready()
    pid = getattr(server, "measured_pid", lambda: server.process.pid)()
    command = [options.load, "--port", str(port), "--server-pid", str(pid),
               "--channels", str(options.channels), "--subscribers", "1",
               "--burst", str(burst), "--size", str(SIZE),
               "--seconds", str(options.seconds),
               "--softirq-pid", str(options.softirq_pid),
               "--redis-port", str(redis.port),
               "--nchan", "1" if name == "nchan" else "0"]
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          timeout=120 + 2 * options.seconds,
                          preexec_fn=lambda: fanout.pin(options.load_core))
    if done.returncode:
        raise server.failed("load failed\n" + done.stderr)
    return {key: float(value) for key, value in
            (line.split("=", 1) for line in done.stdout.splitlines())}


def run(options, name, burst):
    # Nobody is dropped for being slow: that would be another figure.
    redis = Redis(client_output_buffer_limit="pubsub 0 0 0")
    try:
        if options.load_core is not None:
            os.sched_setaffinity(redis.process.pid, {options.load_core})
        with start(options, name, redis) as server:
            figures = run_load(options, name, server, burst, redis)
            server.stop()
        return figures
    finally:
        redis.close()


def run_burst(options, burst):
    """All turns: {server: {turn: figures}}, and how many runs failed. One that
    fails (nchan loses messages now and then) takes nothing from the others."""
    results, failures = {name: {} for name in options.servers}, 0
    for turn in range(options.runs):
        # Every other turn backwards: nobody is always first.
        for name in options.servers[::-1 if turn % 2 else 1]:
            what = "  burst %-3d turn %d  %-5s" % (burst, turn + 1, name)
            try:
                figures = run(options, name, burst)
            except RunFailed as failure:
                failures += 1
                print("%s  FAILED: %s" % (what, failure), flush=True)
                continue
            results[name][turn] = figures
            print("%s  %8.3f us/message  %8.0f msg/s  load average %.1f" % (
                what, figures["cpu_us_per_delivery"],
                figures["deliveries_per_second"], os.getloadavg()[0]),
                flush=True)
    return results, failures


def rows_of(options, burst, results):
    """One for each server; ratios are taken within a turn."""
    first = results[options.servers[0]]
    for name in options.servers:
        runs = [(f, first[turn]) for turn, f in results[name].items()
                if turn in first]
        if not runs:
            yield [str(burst), name] + ["no run"] + [""] * 7
            continue
        us = [f["cpu_us_per_delivery"] for f, _ in runs]
        both = [f["cpu_us_per_delivery"] + f.get("softirq_us_per_delivery", 0)
                for f, _ in runs]
        rate = [f["deliveries_per_second"] for f, _ in runs]
        ratio = [f["cpu_us_per_delivery"] / one["cpu_us_per_delivery"]
                 for f, one in runs]
        yield [str(burst), name, spread(us, 2), spread(ratio, 2),
               verdict(options, name, statistics.median(ratio)),
               "%.2f" % statistics.median(both), spread(rate, 0),
               "%.0f" % (1e6 / statistics.median(us)),
               "%.2f" % statistics.median(u * r / 1e6
                                          for u, r in zip(us, rate)),
               "%d of %d" % (len(runs), options.runs)]


def verdict(options, name, ratio):
    target = {"node": NODE_TARGET, "nchan": NCHAN_TARGET}.get(name)
    if not target or options.servers[0] in ("node", "nchan"):
        return ""
    return ">= %g %s" % (target, "yes" if ratio >= target else "NO")


def install_node(directory):
    shutil.copy(os.path.join(HERE, "redis_node.js"),
                os.path.join(directory, "server.js"))
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent",
                    "--prefix", directory, "ws", "redis"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def present(options, name):
    missing = {"node": not (shutil.which("node") and shutil.which("npm")),
               "nchan": not (shutil.which("nginx") and
                             os.path.exists(NCHAN_MODULE))}.get(name, False)
    if missing:
        print("note: %s is not installed: left out" % name)
    return not missing


def parse():
    parser = argparse.ArgumentParser(
        description="What one server takes from one Redis (see the top).")
    parser.add_argument("build_dir")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--bursts", default="1,50")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--channels", type=int, default=1000)
    options = parser.parse_args()
    options.servers = options.servers.split(",")
    if not set(options.servers) <= set(SERVERS):
        parser.error("servers are " + ",".join(SERVERS))
    options.servers = [s for s in options.servers if present(options, s)]
    options.relay = os.path.join(options.build_dir, "examples", "relay")
    options.load = os.path.join(options.build_dir, "tests", "bench", "load")
    for program in (options.load, options.relay):
        if not os.access(program, os.X_OK):
            parser.error("not built: " + program)
    return options


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    fanout.descriptors()
    options.server_core, options.load_core = fanout.cores()
    options.softirq_pid = fanout.softirq_thread(options.server_core)
    rows, failures = [], 0
    with tempfile.TemporaryDirectory() as options.directory:
        if "node" in options.servers:
            install_node(options.directory)
        for burst in map(int, options.bursts.split(",")):
            results, failed = run_burst(options, burst)
            rows += rows_of(options, burst, results)
            failures += failed
    if rows:
        print("\nFrom Redis to %d channels of one subscriber, %d bytes: median "
              "(least..most)" % (options.channels, SIZE))
        print_table(["burst", "server", "us/message", "x " + options.servers[0],
                     "target", "us with ksoftirqd", "msg/s",
                     "msg/s of a core", "share of it used", "runs"],
                    rows)
    print("\n%d runs of %d s each, load average %.2f at the end" % (
        options.runs, options.seconds, os.getloadavg()[0]))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
