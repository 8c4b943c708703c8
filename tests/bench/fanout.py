#!/usr/bin/env python3
"""Compare the example relay with the floor: CPU per delivery and per connect.

usage: fanout.py [--quick] [--cells NAME,..] [--runs N] [--seconds N]
                 [--relay PROGRAM] BUILD_DIR

For each cell the servers run in turn, several times: the floor (floor.c: bare
epoll and one send() per client), relay with its io_uring sender, relay with its
write sender. Every run is a new server process and a new load generator
(load.c), which checks each message. A ratio is taken within one turn, between
runs that are seconds apart, so that slow drifts of the machine cancel out; the
median over the turns is what counts.

The CPU of a server is that of its threads. The kernel may do the receiving half
of loopback sends in ksoftirqd instead, more so for io_uring batches; a server
is not charged for that, and no network has it, so it has columns of its own.

The server is pinned to the first core and the generator to the second. Needs
Linux, two cores, 20 000 descriptors (fewer: smaller cells, said in the output)
and a machine that does nothing else. Only 127.0.0.0/8 is used.
Ends with 0, or 1 if a run failed: figures that miss a target do not fail it.
"""
import argparse
import os
import resource
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

START_S = 10
STOP_S = 30
SPARE_DESCRIPTORS = 200
PAIRS = 10000

# Name, channels, subscribers of each, burst, targets: server CPU per delivery
# as a multiple of the floor's, io_uring sender and write sender.
CELLS = [
    ("1k-b1", 1, 1000, 1, 0.75, 1.10),
    ("1k-b16", 1, 1000, 16, 0.75, 1.10),
    ("15k-b1", 1, 15000, 1, 0.75, 1.10),
    ("15k-b16", 1, 15000, 16, 0.75, 1.10),
    ("pairs", PAIRS, 2, 1, 1.10, 1.10),
]
CONNECT_TARGET = 1.6    # CPU per connect, multiple of the floor's, 15 000
LAST_TARGET = 1.3       # CPU of the last thousand connects / of the first
RSS_TARGET = 2048       # bytes per idle connection
SERVERS = ["floor", "uring", "write"]


class RunFailed(Exception):
    pass


class Server:
    """One server process; a context manager that leaves nothing behind."""

    def __init__(self, command, core):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.errors,
            preexec_fn=lambda: pin(core))
        self.command = command

    def wait_ready(self):
        """Read `listening on ws://HOST:PORT`; returns the port."""
        fd, text = self.process.stdout.fileno(), b""
        deadline = time.monotonic() + START_S
        while b"\n" not in text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise self.failed("not listening after %d s" % START_S)
            more = os.read(fd, 4096)
            if not more:
                raise self.failed("ended at start")
            text += more
        line = text.decode(errors="replace").split("\n")[0]
        port = line.rpartition(":")[2].strip("/ ")
        if not line.startswith("listening on ws://") or not port.isdigit():
            raise self.failed("said %r" % line)
        return int(port)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise self.failed("still running %d s after SIGTERM" % STOP_S)
        if status != 0:
            raise self.failed("exit status %d" % status)

    def failed(self, what):
        self.errors.seek(0)
        tail = self.errors.read().decode(errors="replace")[-2000:]
        return RunFailed("%s: %s\n%s" % (" ".join(self.command), what, tail))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def pin(core):
    if core is not None:
        os.sched_setaffinity(0, {core})


def cores():
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        print("note: one core only, nothing is pinned: figures are void")
        return None, None
    return free[0], free[1]


def softirq_thread(core):
    """Process id of ksoftirqd on this core, 0 if it cannot be seen."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as f:
                if f.read().strip() == "ksoftirqd/%s" % core:
                    return int(pid)
        except OSError:
            pass
    return 0


def descriptors():
    """Raise the soft limit to the hard one; returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def server_command(options, server, connections):
    if server == "floor":
        return [options.floor, "--host", "127.0.0.1", "--port", "0"]
    # No heartbeat falls into a run.
    return [options.relay, "--host", "127.0.0.1", "--port", "0", "--loops", "1",
            "--max-connections", str(connections + 50),
            "--heartbeat-ms", "4294967295", "--log-level", "warn",
            "--sender", server]


def run_load(options, server, cell, port):
    """Drive one server; returns the generator's figures by name."""
    _, channels, subscribers, burst, _, _ = cell
    command = [options.load, "--port", str(port),
               "--server-pid", str(server.process.pid),
               "--channels", str(channels), "--subscribers", str(subscribers),
               "--burst", str(burst), "--size", "128",
               "--softirq-pid", str(options.softirq_pid),
               "--seconds", str(options.seconds)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: pin(options.load_core))
    try:
        out, errors = process.communicate(timeout=120 + 2 * options.seconds)
    except subprocess.TimeoutExpired:
        raise RunFailed("%s: no end" % " ".join(command))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        if server.process.poll() is not None:
            errors += "and the server has ended\n"
        raise server.failed("load failed\n" + errors)
    return {name: float(value) for name, value in
            (line.split("=", 1) for line in out.splitlines())}


def run(options, name, cell):
    command = server_command(options, name, cell[1] * cell[2])
    with Server(command, options.server_core) as server:
        figures = run_load(options, server, cell, server.wait_ready())
        server.stop()
    return figures


def run_cell(options, cell):
    """All turns of a cell: {server: [figures of turn 0, 1, ..]}."""
    results = {name: [] for name in options.servers}
    for turn in range(options.runs):
        # Every other turn backwards: nobody is always first.
        for name in options.servers[::-1 if turn % 2 else 1]:
            figures = run(options, name, cell)
            results[name].append(figures)
            print("  %-8s turn %d  %-5s  %8.3f us/delivery  %7.1f us/connect"
                  % (cell[0], turn + 1, name, figures["cpu_us_per_delivery"],
                     figures["connect_cpu_us_all"]), flush=True)
    return results


def figures_of(results, name, figure):
    return [figures[figure] for figures in results[name]]


def ratios(results, name, figure, base="floor"):
    return [a[figure] / b[figure]
            for a, b in zip(results[name], results[base])]


def spread(values, digits):
    return "%.*f (%.*f..%.*f)" % (digits, statistics.median(values),
                                  digits, min(values), digits, max(values))


def verdict(value, target):
    return "<= %g %s" % (target, "yes" if value <= target else "NO")


def print_table(head, rows):
    widths = [max(len(row[i]) for row in [head] + rows)
              for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(text.ljust(width)
                        for text, width in zip(row, widths)).rstrip())


def with_softirq(results):
    """The same runs with ksoftirqd charged to the server."""
    return {name: [dict(f, cpu_us_per_delivery=f["cpu_us_per_delivery"] +
                        f["softirq_us_per_delivery"]) for f in runs]
            for name, runs in results.items()}


def delivery_row(options, cell, name, results):
    figure = "cpu_us_per_delivery"
    row = [cell[0], name, spread(figures_of(results, name, figure), 3), "", ""]
    if name != "floor":
        ratio = ratios(results, name, figure)
        target = cell[SERVERS.index(name) + 3]
        row[3:] = [spread(ratio, 2), verdict(statistics.median(ratio), target)]
    if options.softirq_pid:
        softirq = figures_of(results, name, "softirq_us_per_delivery")
        both = ratios(with_softirq(results), name, figure)
        row += ["%.3f" % statistics.median(softirq),
                "" if name == "floor" else "%.2f" % statistics.median(both)]
    return row


def print_deliveries(options, table):
    head = ["cell", "server", "us/delivery", "x floor", "target"]
    if options.softirq_pid:
        head += ["ksoftirqd us", "x floor with it"]
    print("\nServer CPU per delivery, 128 bytes: median (least..most)")
    print_table(head, [delivery_row(options, cell, name, results)
                       for cell, results in table for name in options.servers])


def by_connections(options, table):
    """Cells with as many connections tell the same about connecting."""
    groups = {}
    for cell, results in table:
        group = groups.setdefault(cell[1] * cell[2],
                                  {name: [] for name in options.servers})
        for name in options.servers:
            group[name] += results[name]
    return groups


def connect_row(connections, name, results):
    last = [f["connect_cpu_us_last_thousand"] /
            f["connect_cpu_us_first_thousand"] for f in results[name]]
    ratio = ratios(results, name, "connect_cpu_us_all")
    rss = figures_of(results, name, "rss_bytes_per_connection")
    further = figures_of(results, name, "rss_bytes_per_further_connection")
    targets = ["", "", ""]
    if name != "floor":
        targets = [" " + verdict(statistics.median(ratio), CONNECT_TARGET),
                   " " + verdict(statistics.median(last), LAST_TARGET),
                   " " + verdict(statistics.median(rss), RSS_TARGET)]
    rate = ["%.0f" % statistics.median(figures_of(results, name, figure))
            for figure in ("connect_rate_first_thousand",
                           "connect_rate_last_thousand")]
    return [str(connections), name,
            spread(figures_of(results, name, "connect_cpu_us_all"), 1),
            spread(ratio, 2) + targets[0], spread(last, 2) + targets[1],
            " / ".join(rate),
            spread(rss, 0) + targets[2], "%.0f" % statistics.median(further)]


def print_connects(options, table):
    rows = [connect_row(connections, name, results)
            for connections, results in by_connections(options, table).items()
            if connections >= 2000
            for name in options.servers]
    if not rows:
        return
    print("\nConnecting (server CPU) and idle memory (VmRSS growth): "
          "median (least..most)")
    print_table(["clients", "server", "us/connect", "x floor",
                 "last 1000 / first 1000", "connects/s first / last 1000",
                 "RSS bytes/client", "after the first 1000"], rows)


def fit(cell, limit):
    """The cell with as many channels as there are descriptors for, or None."""
    name, channels, subscribers, burst, uring, write = cell
    most = limit - SPARE_DESCRIPTORS
    if channels * subscribers <= most:
        return cell
    channels = most // subscribers
    if channels == 0:
        print("note: %s left out: %d descriptors" % (name, limit))
        return None
    print("note: %s: %d channels instead of %d fit into %d descriptors" % (
        name, channels, cell[1], limit))
    return (name, channels, subscribers, burst, uring, write)


def parse():
    parser = argparse.ArgumentParser(
        description="Compare relay with the floor (see the top of this file).")
    parser.add_argument("build_dir")
    parser.add_argument("--quick", action="store_true",
                        help="3 turns of 1 s; for a look, not for a record")
    parser.add_argument("--cells", default=",".join(c[0] for c in CELLS))
    parser.add_argument("--servers", default="uring,write",
                        help="senders of relay to run beside the floor")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=int, help="measured, each run")
    parser.add_argument("--relay", help="default BUILD_DIR/examples/relay")
    options = parser.parse_args()
    known = [c[0] for c in CELLS]
    names = options.cells.split(",")
    senders = options.servers.split(",")
    if not set(names) <= set(known):
        parser.error("cells are " + ",".join(known))
    if not set(senders) <= set(SERVERS[1:]):
        parser.error("servers are " + ",".join(SERVERS[1:]))
    options.cells = [c for c in CELLS if c[0] in names]
    options.servers = ["floor"] + senders
    options.runs = options.runs or (3 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.relay = options.relay or os.path.join(options.build_dir,
                                                  "examples", "relay")
    bench = os.path.join(options.build_dir, "tests", "bench")
    options.floor = os.path.join(bench, "floor")
    options.load = os.path.join(bench, "load")
    for program in (options.floor, options.load, options.relay):
        if not os.access(program, os.X_OK):
            parser.error("not built: " + program)
    return options


def main():
    options = parse()
    # Through the `with` and `finally` of whatever runs, not past them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    limit = descriptors()
    options.server_core, options.load_core = cores()
    options.softirq_pid = softirq_thread(options.server_core)
    table, failures = [], 0
    for cell in filter(None, [fit(c, limit) for c in options.cells]):
        try:
            table.append((cell, run_cell(options, cell)))
        except RunFailed as failure:
            failures += 1
            print("FAILED %s: %s" % (cell[0], failure), file=sys.stderr)
    if table:
        print_deliveries(options, table)
        print_connects(options, table)
    print("\n%d runs of %d s each, load average %.2f at the end" % (
        options.runs, options.seconds, os.getloadavg()[0]))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
