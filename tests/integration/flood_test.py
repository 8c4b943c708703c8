#!/usr/bin/env python3
"""Clients that do too much of one thing, and one that behaves beside them.

Each flood is a process of its own (floods.py) against a server of its own. It
must end as documented, be counted under its name, and leave memory alone; the
one beside it is served all the time. How fast is printed: as a figure it is the
business of tests/bench/flood.py.

    flood_test.py SERVER [ARGUMENT...] [--only REGEX] [--list]
"""

import os
import resource
import subprocess
import sys
import time

import ownservers
import tap
from ownservers import OwnContext, stats
from tap import Suite
from wsclient import DEADLINE, PATIENCE, Fail, text

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
# Well below what LIMITED allows, on a fast machine as well.
PACE = 0.01
# Nobody waits as long as that, even where others use the machine.
WORST = 5.0 * PATIENCE
LIMITED = ('--max-inbound-messages', '200', '--rate-grace-ms', '1000')
HALF_FINISHED = int(os.environ.get('WSH_TEST_HANDSHAKES', '10000'))

SUITE = Suite(OwnContext)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


class Bystander:
    """Says something, waits until it comes back, and so on."""

    def __init__(self, ctx, server):
        self.client = ctx.join(server, '/quiet')
        self.waits = []
        self.count = 0

    def step(self):
        self.count += 1
        said = b'%d' % self.count
        began = time.monotonic()
        self.client.send(text(said))
        self.client.expect(('text', said))
        self.client.seen.clear()
        self.waits.append(time.monotonic() - began)
        time.sleep(PACE)

    def take(self, what):
        """Report, and begin anew."""
        waits, self.waits = self.waits, []
        if not waits:
            raise Fail('nothing was measured: ' + what)
        tap.say('beside %s: %d waits, median %.2f ms, p99 %.2f ms, most '
                '%.2f ms' % (what, len(waits), percentile(waits, .5),
                             percentile(waits, .99), max(waits) * 1000))
        if max(waits) > WORST:
            raise Fail('it waited for %.2f s' % max(waits))


def held(server):
    """Connections that the server has not done with; it may be a little behind
    what its peers see of their ends."""
    s = stats(server)
    return s['open'] + s['handshaking']


def flood(ctx, server, kind, *arguments, descriptors=4096, memory=32,
          meanwhile=None):
    """Run one flood to its end; what it reports, and the counters then."""
    bystander = Bystander(ctx, server)
    for _ in range(100):
        bystander.step()
    bystander.take('nothing')
    rss, before = server.rss(), held(server)
    host, port = server.address[:2]
    process = ctx.helper(os.path.join(HERE, 'floods.py'), kind, host, str(port),
                         *arguments, descriptors=descriptors)
    process.process.stdout.readline()  # begun
    end = time.monotonic() + 3 * DEADLINE
    most = rss
    while process.process.poll() is None:
        bystander.step()
        most = max(most, server.rss())
        if meanwhile:
            meanwhile()
        if time.monotonic() > end:
            raise Fail('the flood has no end')
    did = process.hear()
    bystander.take(kind)
    tap.say('%s: %s; memory grew by %.1f MiB' % (kind, did,
                                                 (most - rss) / MIB))
    if not server.sanitized() and most > rss + memory * MIB:
        raise Fail('memory grew by %d MiB' % ((most - rss) // MIB))
    tap.until(lambda: held(server) <= before,
              '%s: not all of the connections are gone' % kind)
    return did, stats(server)


def ended(did, **wanted):
    """They ended so, and not otherwise. Names of digits have a leading _."""
    wanted = {name.strip('_'): count for name, count in wanted.items()}
    if did['ends'] != wanted:
        raise Fail('ended %s, wanted %s' % (did['ends'], wanted))


def counted(group, name, least, most=None):
    """Between least and most; least only: exactly."""
    if most is None:
        most = least
    if not least <= group[name] <= most:
        raise Fail('%s: %d, wanted %s..%s' % (name, group[name], least, most))


MANY = 1 << 62


def over_rate(kind, title):
    @SUITE.case('rate.' + kind, title + ': counted as rate, then 1008')
    def _(ctx):
        server = ctx.start(*LIMITED)
        did, s = flood(ctx, server, kind, '--seconds', str(2 * DEADLINE))
        ended(did, _1008=1)
        counted(s['refused'], 'rate', 200, MANY)
        counted(s['closed'], 'rate', 1)
    return _


over_rate('ping', 'a ping flood')
over_rate('pong', 'a flood of pongs that nobody asked for')
over_rate('subscribe', 'subscribe and unsubscribe, on and on')
over_rate('publish', 'a publish flood')


@SUITE.case('unlimited', 'without a rate limit a publish flood goes on, and '
            'the one beside it is served')
def _(ctx):
    server = ctx.start()
    did, s = flood(ctx, server, 'publish', '--seconds', '2')
    ended(did, left=1)
    counted(s, 'published', 1000, MANY)
    counted(s['refused'], 'rate', 0)


@SUITE.case('fragments', 'a message of endless fragments: 1008')
def _(ctx):
    server = ctx.start()
    did, s = flood(ctx, server, 'fragments', '--seconds', str(2 * DEADLINE))
    ended(did, _1008=1)
    counted(s['closed'], 'fragments', 1)


@SUITE.case('close', 'close frames in streams, and back at once: each is '
            'answered once')
def _(ctx):
    server = ctx.start()
    did, s = flood(ctx, server, 'close', '--seconds', '2', '--again')
    if set(did['ends']) - {'1000', 'left'} or not did['ends'].get('1000'):
        raise Fail('ended %s' % did['ends'])
    counted(s['closed'], 'peer_close', did['connections'] - 1,
            did['connections'])


@SUITE.case('dribble', 'frames octet by octet: slow for them only')
def _(ctx):
    server = ctx.start()
    did, s = flood(ctx, server, 'dribble', '--clients', '20', '--seconds', '2')
    ended(did, left=20)
    counted(s, 'received', 20 + 100, MANY)  # and those of the one beside
    counted(s['refused'], 'rate', 0)


@SUITE.case('never-reads', 'publishes at full speed and never reads: its queue '
            'is bounded, its input refused; with a rate it is shown out')
def _(ctx):
    server = ctx.start('--send-limit', '65536', *LIMITED)
    did, s = flood(ctx, server, 'never-reads', '--clients', '5', '--seconds',
                   str(2 * DEADLINE))
    ended(did, end=5)
    counted(s['closed'], 'rate', 5)
    counted(s['dropped'], 'backpressure', 1, MANY)
    counted(s, 'slow', 0)


@SUITE.case('deaf', 'connects and never reads: what others say is dropped for '
            'it, and silence ends it')
def _(ctx):
    server = ctx.start('--send-limit', '65536', '--heartbeat-ms', '2000',
                       '--heartbeat-timeout-ms', '1000')
    loud = ctx.join(server, '/flood')
    said = text(b'x' * 16384)

    def speak():
        loud.send(said)
        loud.expect(('text', b'x' * 16384))
        loud.seen.clear()

    did, s = flood(ctx, server, 'deaf', '--clients', '5', '--seconds', '4',
                   meanwhile=speak)
    # The FIN is behind what the kernel holds for them: they do not see it.
    ended(did, left=5)
    counted(s['dropped'], 'backpressure', 1, MANY)
    tap.until(lambda: stats(server)['closed']['heartbeat_timeout'] == 5,
              'silence does not end them')


def possible(wanted):
    """So many connections, or what descriptors there are for."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, hard - 200)


@SUITE.case('handshakes.timeout', '10 000 half-finished handshakes: held for '
            'no longer than the handshake timeout')
def _(ctx):
    clients = possible(HALF_FINISHED)
    server = ctx.start('--handshake-timeout-ms', '2000',
                       descriptors=clients + 200)
    did, s = flood(ctx, server, 'handshakes', '--clients', str(clients),
                   '--seconds', str(2 * DEADLINE),
                   descriptors=clients + 200, memory=100)
    ended(did, end=clients)
    counted(s['rejected'], 'handshake_timeout', clients)


@SUITE.case('handshakes.per-ip', 'half-finished handshakes of one address: 503 '
            'above its share')
def _(ctx):
    server = ctx.start('--handshake-timeout-ms', '2000',
                       '--max-connections-per-ip', '100')
    did, s = flood(ctx, server, 'handshakes', '--clients', '1000',
                   '--seconds', str(2 * DEADLINE))
    if did['ends'].get('503', 0) < 800:
        raise Fail('ended %s' % did['ends'])
    counted(s['rejected'], 'per_ip', 800, 900)
    counted(s['rejected'], 'handshake_timeout', 100, 200)


if __name__ == '__main__':
    ownservers.allow(4096)
    SUITE.main()
