#!/usr/bin/env python3
"""Heartbeats of many: no bursts of pings, and an end for those who vanish.

The whole test runs in a network namespace of its own (unshare), so that nothing
of it is seen outside or left behind; the peers that vanish are in a second one
that a packet filter cuts off. That needs the rights of root (CAP_SYS_ADMIN,
CAP_NET_ADMIN), without which the cases are skipped.

    heartbeat_test.py SERVER [ARGUMENT...] [--only REGEX] [--list]
"""

import os
import subprocess
import sys
import time

import ownservers
import tap
from ownservers import OwnContext, stats
from tap import Suite
from wsclient import DEADLINE, PATIENCE, Fail, Skip

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = 1000
INSIDE = 'WSH_TEST_IN_NAMESPACE'
NEAR, FAR = '10.89.0.1', '10.89.0.2'

SUITE = Suite(OwnContext)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Fail('%s: %s' % (' '.join(command), done.stdout))


def need_namespace():
    if os.environ.get(INSIDE) != 'yes':
        raise Skip('no right to make a network namespace')


def idle_peers(ctx, prefix=()):
    helper = ctx.helper(os.path.join(HERE, 'idlepeers.py'), prefix=prefix)
    helper.hear()
    return helper


def connect_namespace(pid):
    """A cable from here to the namespace of that process."""
    def there(*command):
        run('nsenter', '--target', str(pid), '--net', *command)
    run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far')
    run('ip', 'link', 'set', 'far', 'netns', str(pid))
    run('ip', 'address', 'add', NEAR + '/24', 'dev', 'near')
    run('ip', 'link', 'set', 'near', 'up')
    there('ip', 'address', 'add', FAR + '/24', 'dev', 'far')
    there('ip', 'link', 'set', 'far', 'up')
    return there


def cut_off(there):
    """Every packet is dropped, in both directions: no FIN, no RST."""
    there('nft', 'add table inet gone; '
          'add chain inet gone in '
          '{ type filter hook input priority 0; policy drop; }; '
          'add chain inet gone out '
          '{ type filter hook output priority 0; policy drop; }')


@SUITE.case('vanish', '1 000 peers behind a cut cable are dropped as '
            'heartbeat_timeout; 1 000 others live')
def _(ctx):
    need_namespace()
    interval, patience = 2.0, 1.0 * PATIENCE
    server = ctx.start('--host', '0.0.0.0', '--heartbeat-ms',
                       str(int(interval * 1000)), '--heartbeat-timeout-ms',
                       str(int(patience * 1000)))
    port = server.address[1]
    living = idle_peers(ctx)
    gone = idle_peers(ctx, prefix=('unshare', '--net'))
    there = connect_namespace(gone.pid)
    living.ask('connect', '127.0.0.1', port, PEERS)
    gone.ask('connect', NEAR, port, PEERS)
    began = time.monotonic()
    cut_off(there)

    def dropped():
        return stats(server)['closed']['heartbeat_timeout']

    while dropped() < PEERS:
        # The figure is interval + patience + 1; a busy machine gets more.
        if time.monotonic() > began + interval + patience + DEADLINE:
            raise Fail('%d of %d are dropped' % (dropped(), PEERS))
        time.sleep(0.02)
    took = time.monotonic() - began
    tap.say('the last of %d was dropped after %.2f s (interval %g s, timeout '
            '%g s)' % (PEERS, took, interval, patience))
    if took < interval / 2 + patience - 0.1:
        raise Fail('too early')
    # One more round for those who answer.
    pings = stats(server)['pings']
    tap.until(lambda: stats(server)['pings'] >= pings + 2 * PEERS,
              'the living are not pinged')
    found = living.ask('report')
    if found['open'] != PEERS or stats(server)['open'] != PEERS:
        raise Fail('%d of the living are left' % found['open'])


def largest_share(times, cycle, interval, bucket=0.1):
    """Of the pings of one interval, those in its fullest bucket."""
    counts = {}
    for at in times:
        if cycle * interval <= at < (cycle + 1) * interval:
            counts[int(at / bucket)] = counts.get(int(at / bucket), 0) + 1
    return max(counts.values()) / sum(counts.values()) if counts else 1.0


@SUITE.case('spread', '1 000 that fall silent at the same moment are not '
            'pinged at the same moment')
def _(ctx):
    interval, cycles = 2.0, 3
    server = ctx.start('--heartbeat-ms', str(int(interval * 1000)))
    peers = idle_peers(ctx)
    peers.ask('connect', server.address[0], server.address[1], PEERS)
    peers.ask('say')
    pings = stats(server)['pings']
    tap.until(lambda: stats(server)['pings'] >= pings + cycles * PEERS,
              'pings do not come')
    times = peers.ask('report')['times']
    shares = [largest_share(times, cycle, interval) for cycle in range(cycles)]
    tap.say('the fullest 100 ms of an interval have %s of its pings (0.10 if '
            'spread evenly over its second half)' %
            ', '.join('%.3f' % share for share in shares))
    # A machine that stands still makes bursts of its own: one interval will do.
    if min(shares) > 0.4:
        raise Fail('pings come in bursts')


def enter_namespace():
    """Run again inside, if that is allowed."""
    again = ['unshare', '--net', '--'] + [sys.executable] + sys.argv
    if INSIDE not in os.environ:
        allowed = subprocess.run(
            ['unshare', '--net', 'ip', 'link', 'set', 'lo', 'up'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if allowed.returncode == 0:
            os.environ[INSIDE] = 'entering'
            os.execvp(again[0], again)
    elif os.environ[INSIDE] == 'entering':
        run('ip', 'link', 'set', 'lo', 'up')
        os.environ[INSIDE] = 'yes'


if __name__ == '__main__':
    enter_namespace()
    ownservers.allow(4096)
    SUITE.main()
