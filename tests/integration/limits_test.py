#!/usr/bin/env python3
"""Limits on connections, from outside: capacity, descriptors, time, the end.

Every case starts servers of its own, with options of its own. `echo` and
`relay` both do: each client is the only one on its path, so that what it says
comes back to it alone.

    limits_test.py SERVER [ARGUMENT...] [--only REGEX] [--list]
"""

import os
import resource
import time

import tap
from serverprocess import Server
from tap import Suite, until
from wsclient import (CLOSE, PATIENCE, PING, PONG, Client, Fail, close, frame,
                      ping, request, text)

# Options of the hub that the examples leave at their defaults, seconds.
HANDSHAKE_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0


class LimitsContext(tap.Context):
    """Starts servers, and looks at how they end."""

    def __init__(self, server):
        super().__init__(server)
        self.servers = []
        self.paths = 0

    def start(self, *arguments, limit=None):
        """A server with more arguments; limit: of descriptors."""
        command = self.server.command + list(arguments)
        if limit:
            command = ['prlimit', '--nofile=%d' % limit] + command
        server = Server(command)
        self.servers.append(server)
        return server

    def tcp_to(self, server):
        client = Client(server)
        self.clients.append(client)
        return client

    def path(self):
        self.paths += 1
        return '/limits/%d' % self.paths

    def knock(self, server):
        """(client, answer head) of an upgrade, whatever it is."""
        client = self.tcp_to(server)
        client.send(request(self.path()))
        return client, client.response()

    def join(self, server):
        """An established connection."""
        client, answer = self.knock(server)
        if answer.status != 101:
            raise Fail('the handshake was answered with %d' % answer.status)
        return client

    def join_in_the_end(self, server):
        """As join, while the server has yet to see that others are gone."""
        found = []

        def joined():
            client, answer = self.knock(server)
            found.append(client)
            if answer.status not in (101, 503):
                raise Fail('answered with %d' % answer.status)
            return answer.status == 101

        until(joined, 'nobody gets in any more')
        return found[-1]

    def after(self):
        self.drop_all_clients()
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.stop()

    def drop_all_clients(self):
        for client in self.clients:
            client.drop()

    def drop_all(self):
        self.drop_all_clients()
        for server in self.servers:
            server.kill()

    def report(self):
        super().report()
        for server in self.servers:
            for line in list(server.output)[-15:]:
                tap.say('own server: ' + line)


SUITE = Suite(LimitsContext)


def lives(*clients):
    """What each says comes back."""
    for i, client in enumerate(clients):
        client.send(text(b'%d' % i))
    for i, client in enumerate(clients):
        client.expect(('text', b'%d' % i))


def refused(client, answer=None):
    """503 with Retry-After, readable to its end, and then a FIN."""
    answer = answer or client.response()
    if answer.status != 503:
        raise Fail('wanted 503, got %d' % answer.status)
    if int(answer.one('Retry-After') or 0) < 1:
        raise Fail('no Retry-After: %r' % answer.fields)
    while client.fill():
        pass
    length = int(answer.one('Content-Length'))
    if length != len(client.inbox):
        raise Fail('Content-Length %d, but %d octets' %
                   (length, len(client.inbox)))
    client.expect_all_taken()
    client.drop()


# Capacity.

@SUITE.case('capacity.one-more', 'connection N+1 is refused, N live, and one '
            'that leaves makes room for one')
def _(ctx):
    server = ctx.start('--max-connections', '5')
    inside = [ctx.join(server) for _ in range(5)]
    for _ in range(3):
        refused(*ctx.knock(server))
        lives(*inside)
    inside[2].finish()
    inside.pop(2).drop()
    inside.append(ctx.join_in_the_end(server))
    refused(*ctx.knock(server))
    lives(*inside)


@SUITE.case('capacity.heard', 'the refusal is read, whatever the client sends')
def _(ctx):
    server = ctx.start('--max-connections', '1')
    inside = ctx.join(server)
    refused(ctx.tcp_to(server))  # listens only
    late = ctx.tcp_to(server)
    late.fill()
    late.send(request())  # behind the answer
    refused(late)
    loud = ctx.tcp_to(server)
    loud.send(b'x' * 100000)
    refused(loud)
    chatty = ctx.tcp_to(server)
    chatty.send(request(), chop=1)
    refused(chatty)
    lives(inside)


@SUITE.case('capacity.storm', '40 at once for 10 places')
def _(ctx):
    server = ctx.start('--max-connections', '10')
    clients = [ctx.tcp_to(server) for _ in range(40)]
    for client in clients:
        client.send(request(ctx.path()))
    answers = [client.response() for client in clients]
    inside = [c for c, a in zip(clients, answers) if a.status == 101]
    if len(inside) != 10:
        raise Fail('%d got in' % len(inside))
    for client, answer in zip(clients, answers):
        if answer.status != 101:
            refused(client, answer)
    lives(*inside)


@SUITE.case('capacity.handshakes', 'a connection counts from its first moment')
def _(ctx):
    server = ctx.start('--max-connections', '3')
    silent = [ctx.tcp_to(server) for _ in range(3)]
    refused(*ctx.knock(server))
    silent[0].drop()
    ctx.join_in_the_end(server)


# Descriptors.

def cpu_seconds(server):
    with open('/proc/%d/stat' % server.pid) as stat:
        fields = stat.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def allow_descriptors(server, more):
    """The running server may open so many more: the limit is on numbers, of
    which lower ones may be free."""
    used = {int(name) for name in os.listdir('/proc/%d/fd' % server.pid)}
    limit = 0
    while more:
        more -= limit not in used
        limit += 1
    hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))


def starve(server, seconds, inside):
    """So long no processor time to speak of, few log lines, good service."""
    began, used = time.monotonic(), cpu_seconds(server)
    lines = len(server.output)
    while time.monotonic() < began + seconds:
        lives(*inside)
        time.sleep(0.1)
    share = (cpu_seconds(server) - used) / (time.monotonic() - began)
    if share > 0.2:
        raise Fail('%d %% of a core without descriptors' % (share * 100))
    if len(server.output) > lines + 20:
        raise Fail('%d log lines in %g s' %
                   (len(server.output) - lines, seconds))


def let_in(client):
    """True: it got 101. False: 503, or, as without descriptors no socket can
    linger, a reset that may have destroyed the 503."""
    try:
        answer = client.response()
    except Fail:
        if client.ended != 'reset':
            raise
        return False
    if answer.status not in (101, 503):
        raise Fail('answered with %d' % answer.status)
    return answer.status == 101


def leave(clients):
    for client in clients:
        client.finish()
        client.drop()


@SUITE.case('descriptors.gone', 'the limit falls while it runs: 5 more fit, '
            '40 knock')
def _(ctx):
    server = ctx.start()
    allow_descriptors(server, 5)
    inside = [ctx.join(server) for _ in range(5)]
    outside = [ctx.tcp_to(server) for _ in range(40)]
    for client in outside:
        client.send(request(ctx.path()))
    starve(server, 1.5, inside)
    waiting = [client for client in outside if not client.pending()]
    if not waiting:
        raise Fail('all were refused before the measurement ended')
    for client in outside:
        if client not in waiting and let_in(client):
            raise Fail('one more than fits was let in')
    leave(inside)
    # Their places are for those who waited, and then for others.
    if not any([let_in(client) for client in waiting]):
        raise Fail('nobody who waited was let in')
    for client in waiting:
        client.drop()
    lives(ctx.join_in_the_end(server))


@SUITE.case('descriptors.few', 'RLIMIT_NOFILE of 64 from the start: those who '
            'are let in have what they need')
def _(ctx):
    server = ctx.start(limit=64)
    knocking = [ctx.tcp_to(server) for _ in range(60)]
    for client in knocking:
        client.send(request(ctx.path()))
    inside = [client for client in knocking if let_in(client)]
    if not 8 <= len(inside) < 60:
        raise Fail('%d got in' % len(inside))
    lives(*inside)
    leave(inside)
    for _ in range(8):
        lives(ctx.join_in_the_end(server))


# Time.

class Slow:
    """A client that does not finish its handshake: sends `head` at once, then
    `rest` octet by octet."""

    def __init__(self, client, name, head, rest=b''):
        self.client, self.name, self.rest = client, name, rest
        self.began = time.monotonic()
        self.client.send(head)

    def step(self):
        """Seconds that it lived, None while it does."""
        if self.client.pending():
            self.client.fill()
        if self.client.ended or self.client.cut_off:
            if self.client.inbox:
                raise Fail('%s got %r' % (self.name, self.client.inbox))
            return time.monotonic() - self.began
        self.client.send(self.rest[:1])
        self.rest = self.rest[1:]
        return None


@SUITE.case('time.handshake', 'silent, partial and dribbled handshakes end '
            'after 10 s, and nobody else')
def _(ctx):
    server = ctx.start()
    inside = ctx.join(server)
    held = server.descriptors()
    head = request()
    slow = [Slow(ctx.tcp_to(server), *how) for how in (
        ('silent', b''),
        ('a method', b'GE'),
        ('all but the last octet', head[:-1]),
        ('dribbled', b'', head[:-1]),
        ('dribbled fields', head[:-2], b'X-Dribble: ' + b'x' * 1000))]
    while slow:
        for one in list(slow):
            lived = one.step()
            if lived is None:
                if time.monotonic() > one.began + HANDSHAKE_TIMEOUT + \
                        2 * PATIENCE:
                    raise Fail('%s is still there' % one.name)
                continue
            if lived < HANDSHAKE_TIMEOUT - 0.5:
                raise Fail('%s ended after %.2f s' % (one.name, lived))
            slow.remove(one)
        time.sleep(0.1)
    lives(inside)
    until(lambda: server.descriptors() <= held, 'descriptors are held')


class Beating:
    """A client under heartbeat: answers pings with `answer`, if any."""

    def __init__(self, client, answer):
        self.client, self.answer = client, answer
        self.pings = 0
        self.began = time.monotonic()
        self.lived = None

    def step(self):
        while self.lived is None and self.client.pending():
            got = self.client.next_frame()
            if got is None:
                self.lived = time.monotonic() - self.began
            elif got.opcode == PING:
                self.pings += 1
                if self.answer:
                    self.client.send(self.answer(got.payload))
            elif got.opcode == CLOSE:
                raise Fail('closed: %r' % (got,))


@SUITE.case('time.heartbeat', 'silence after a ping is the end; a pong, data, '
            'a ping and half a frame are life')
def _(ctx):
    interval, patience = 0.3, 1.0 * PATIENCE
    server = ctx.start('--heartbeat-ms', str(int(interval * 1000)),
                       '--heartbeat-timeout-ms', str(int(patience * 1000)))
    half = iter(text(b'x' * 1000))
    living = [Beating(ctx.join(server), answer) for answer in (
        lambda payload: frame(PONG, payload), lambda _: text(b'here'),
        lambda _: ping(b'and you?'), lambda _: bytes([next(half)]))]
    mute = Beating(ctx.join(server), None)
    end = time.monotonic() + 2 * (interval + patience) + 0.5
    while time.monotonic() < end:
        for one in living + [mute]:
            one.step()
        time.sleep(0.01)
    for number, one in enumerate(living):
        if one.lived is not None:
            raise Fail('client %d ended after %.2f s' % (number, one.lived))
        if one.pings < 3:
            raise Fail('client %d got %d pings' % (number, one.pings))
    if mute.lived is None:
        raise Fail('the mute client lives')
    if mute.pings != 1 or mute.lived < interval / 2 + patience - 0.1:
        raise Fail('the mute client ended after %.2f s and %d pings' %
                   (mute.lived, mute.pings))


# The end.

@SUITE.case('end.term', 'SIGTERM: 200 clients hear 1001; 20 that do not answer '
            'it, and one in its handshake, hold nothing up')
def _(ctx):
    server = ctx.start()
    clients = [ctx.join(server) for _ in range(200)]
    silent = ctx.tcp_to(server)
    lives(*clients)
    began = time.monotonic()
    server.terminate()
    for client in clients:
        client.expect(('close', 1001))
    for client in clients[20:]:
        client.send(close(1001))
    for client in clients[20:]:
        client.expect_end()
    if time.monotonic() - began > CLOSE_TIMEOUT:
        raise Fail('those who answered had to wait for those who did not')
    status = server.wait()
    took = time.monotonic() - began
    if status != 0 or took > CLOSE_TIMEOUT + 1 * PATIENCE:
        raise Fail('status %s after %.2f s' % (status, took))
    while silent.fill():
        pass


if __name__ == '__main__':
    SUITE.main()
