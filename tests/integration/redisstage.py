"""redisstage.py: what a case with Redis runs on: servers and hubs that it asks
for, a crowd of clients, and what must hold between them.

The stage takes the place of the one server that tap.py knows; everything on it
is the case's own, and ends with it.
"""

import collections
import os

import tap
import wsclient
from crowd import Crowd
from redisserver import Redis
from serverprocess import Server
from wsclient import Fail

# Every case may take this long to have its channels back: the longest back-off
# is 10 s, a connect and a command may take as long as their deadlines (3 s and
# 5 s), and a probe is silent twice (5 s each) before a link is given up.
RECOVERY = 30.0 * wsclient.PATIENCE


class Hub(Server):
    """One process of the example server."""

    def __init__(self, command, name):
        super().__init__(command + ['--server-id', name])
        self.name = name


class Stage:
    """Stands where tap.py has a server; alive as long as every hub is."""

    def __init__(self, command):
        self.command = command
        self.hubs = []
        self.servers = []
        self.crowd = None
        self.process = None  # of the hub that ended, for the report

    @property
    def complaint(self):
        return next((h.complaint for h in self.hubs if h.complaint), None)

    @complaint.setter
    def complaint(self, none):
        for hub in self.hubs:
            hub.complaint = none

    @property
    def output(self):
        return ['%s: %s' % (hub.name, line) for hub in self.hubs
                for line in list(hub.output)[-8:]][-15:]

    def alive(self):
        for hub in self.hubs:
            if not hub.alive():
                self.process = hub.process
                return False
        return True

    def stop(self):
        """Each hub in order, which looks at its accounts."""
        for hub in self.hubs:
            hub.stop()

    def kill(self):
        """Everything, however it is."""
        if self.crowd:
            self.crowd.close()
        for hub in self.hubs:
            hub.kill()
        for server in self.servers:
            server.close()
        self.hubs, self.servers, self.crowd = [], [], None


class RedisContext(tap.Context):
    """What the cases use."""

    def __init__(self, stage):
        super().__init__(stage)
        self.stage = stage
        stage.crowd = self.crowd = Crowd()

    def redis(self, kind=Redis, **options):
        server = kind(**options)
        self.stage.servers.append(server)
        return server

    def hub(self, *arguments, redis=None):
        """A hub, on this server if there is one."""
        name = 'hub%d' % len(self.stage.hubs)
        if redis:
            arguments += ('--redis', redis.url())
        hub = Hub(self.stage.command + list(arguments), name)
        self.stage.hubs.append(hub)
        return hub

    def after(self):
        """A hub that has been through the case ends as it should; under a
        sanitizer that is when leaks are told."""
        self.crowd.close()  # or every hub waits for close handshakes
        self.stage.crowd = None
        for hub in self.stage.hubs:
            hub.terminate()
        for hub in self.stage.hubs:
            status = hub.wait()
            if status != 0:
                raise Fail('%s: exit status %s after SIGTERM' %
                           (hub.name, status))
        complaint = self.stage.complaint
        self.stage.hubs = []
        if complaint:
            raise Fail(complaint)

    def drop_all(self):
        super().drop_all()
        self.stage.kill()

    def report(self):
        super().report()
        for server in self.stage.servers:
            for line in server.log_tail().splitlines()[-6:]:
                tap.say('redis: ' + line)

    # What must hold.

    def subscribed_exactly(self, redis, wanted, patience=1.0):
        """Redis comes to have the hubs' channels with as many subscribers as
        there are hubs that want each, nothing else, and no pattern. wanted:
        {channel: hubs}; returns the seconds it took."""
        state = {}

        def same():
            try:
                state.clear()
                state.update(redis.listeners(redis.channels()))
            except OSError:  # stopped, or away
                return False
            return state == wanted

        taken = self.crowd.until(same, lambda: difference(wanted, state),
                                 patience)
        if redis.patterns():
            raise Fail('a pattern is subscribed')
        return taken


def difference(wanted, state):
    """Some of what differs."""
    wrong = sorted((name, wanted.get(name, 0), state.get(name, 0))
                   for name in set(wanted) | set(state)
                   if wanted.get(name, 0) != state.get(name, 0))
    return '%d of %d channels: (name, wanted, in Redis) %s' % (
        len(wrong), len(wanted), wrong[:10])


def listening_hubs(subscriptions):
    """{channel: hubs with a listener} of (member, channel) pairs."""
    hubs = collections.defaultdict(set)
    for member, channel in subscriptions:
        hubs[channel].add(member.server.name)
    return {channel: len(names) for channel, names in hubs.items()}


def number(name, default):
    """A number from the environment: the size of a long variant."""
    return float(os.environ.get(name, default))
