"""ownservers.py: for cases that start servers and helpers of their own, look at
the server's counters, and at how it ends."""

import json
import resource
import subprocess
import sys

import tap
import wsclient
from serverprocess import Server
from wsclient import Client, Fail

STATS = '/stats'


class Helper:
    """A program of this directory: lines in, lines of JSON out."""

    def __init__(self, command, descriptors=4096):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: allow(descriptors))
        self.pid = self.process.pid

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise Fail('%s has ended' % self.process.args)
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        self.process.stdin.flush()
        return self.hear()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


def allow(descriptors):
    """As many as that, if the hard limit lets us."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        descriptors = min(descriptors, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))


class OwnContext(tap.Context):
    def __init__(self, server):
        super().__init__(server)
        self.servers = []
        self.helpers = []

    def start(self, *arguments, descriptors=4096):
        """A server with more arguments, and counters to look at."""
        command = ['prlimit', '--nofile=%d:' % descriptors] + \
            self.server.command + ['--stats-path', STATS] + list(arguments)
        server = Server(command)
        self.servers.append(server)
        return server

    def helper(self, *command, descriptors=4096, prefix=()):
        helper = Helper(list(prefix) + [sys.executable] + list(command),
                        descriptors)
        self.helpers.append(helper)
        return helper

    def join(self, server, path, **how):
        client = Client(server, **how)
        self.clients.append(client)
        client.upgrade(wsclient.request(path))
        return client

    def after(self):
        for helper in self.helpers:
            helper.kill()
        for client in self.clients:
            client.drop()
        for server in self.servers:
            tap.until(lambda: at_rest(stats(server)),
                      'the accounts do not agree: %s' % stats(server))
            server.terminate()
        for server in self.servers:
            status = server.wait()
            if server.complaint or status != 0:
                raise Fail('%s ended with %s: %s' % (
                    server.command, status, list(server.output)[-15:]))

    def drop_all(self):
        super().drop_all()
        for helper in self.helpers:
            helper.kill()
        for server in self.servers:
            server.kill()

    def report(self):
        super().report()
        for server in self.servers:
            for line in list(server.output)[-15:]:
                tap.say('own server: ' + line)


def stats(server):
    """The server's counters, by GET."""
    client = Client(server)
    try:
        client.send(wsclient.request(STATS, drop=(
            'Upgrade', 'Connection', 'Sec-WebSocket-Key',
            'Sec-WebSocket-Version')))
        answer = client.response()
        if answer.status != 200:
            raise Fail('stats: answered with %d' % answer.status)
        while client.fill():
            pass
        return json.loads(bytes(client.inbox))
    finally:
        client.drop()


def at_rest(s):
    """M27, exact when nothing moves. The one that asks is among them."""
    return (s['offered'] == s['delivered'] + sum(s['dropped'].values()) +
            s['pending'] and
            s['opened'] == s['open'] + sum(s['closed'].values()) and
            s['accepted'] == s['opened'] + s['http'] + s['handshaking'] +
            sum(s['rejected'].values()))
