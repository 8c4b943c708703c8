#!/usr/bin/env python3
"""Real failures of a real Redis, one after the other, under running traffic.

Two hubs share the server; their clients publish all the time, and every
`published` says what happened to the message. What must hold in every case:

- published without "degraded" before the fault or after the recovery: every
  subscriber of both hubs gets it, exactly once;
- published with "degraded": every subscriber of the same hub gets it, once, at
  once; so local delivery goes on while Redis is away;
- in between (sent to a Redis that may be dying): at most once;
- within RECOVERY of the end of the fault, Redis has exactly the channels that
  have listeners, one subscription for each hub;
- every client that was affected is told of a gap on every channel of its own.

WSH_TEST_REDIS_STOP_S: how long the server is stopped with SIGSTOP; the default
is short, with quicker probes, 20 is with the default options of a hub.
"""

import collections
import signal
import time

import netns
import tap
from redisserver import Resp
from redisstage import RECOVERY, RedisContext, Stage, listening_hubs, number
from wsclient import Fail

suite = tap.Suite(RedisContext, Stage)

CLIENTS, CHANNELS, EACH = 15, 40, 8  # of each hub; in all; of each client
TICK = 0.01  # seconds between two rounds of publishes, about
QUICK = ('--probe-ms', '500')

Sent = collections.namedtuple('Sent', 'number hub channel degraded')


class Traffic:
    """Two hubs, their clients, and a publisher on each that never rests."""

    def __init__(self, context, redis, arguments=(), urls=None):
        self.context, self.crowd, self.redis = context, context.crowd, redis
        self.sent = []
        self.waiting = {}  # (publisher, id): (number, channel)
        self.count = 0
        self.next_tick = 0
        self.hubs = [self._hub(i, arguments, urls) for i in range(2)]
        self.by_hub = [self.crowd.join(hub, range(CLIENTS))
                       for hub in self.hubs]
        self.publishers = [self.crowd.join(hub, ['publisher'])[0]
                           for hub in self.hubs]
        for publisher in self.publishers:
            publisher.on_answer = (
                lambda event, p=publisher: self._published(p, event))
        # Hub 1 has all of the channels, hub 0 the first three quarters.
        self.subscriptions = [
            (member, 'room %d' % ((i * 3 + k * 5) % (CHANNELS * (3 + h) // 4)))
            for h, members in enumerate(self.by_hub)
            for i, member in enumerate(members) for k in range(EACH)]
        self.subscriptions = sorted(set(self.subscriptions), key=lambda s: (
            s[0].server.name, s[0].name, s[1]))

    def _hub(self, index, arguments, urls):
        if urls:
            return self.context.hub(*arguments, '--redis', urls[index])
        return self.context.hub(*arguments, redis=self.redis)

    def wanted(self):
        return listening_hubs(self.subscriptions)

    def subscribe(self):
        self.crowd.ask(self.subscriptions, 'subscribe')

    # Publishing.

    def tick(self):
        """One message from each publisher, if it is time."""
        now = time.monotonic()
        if now < self.next_tick:
            return
        self.next_tick = now + TICK
        for publisher in self.publishers:
            self.count += 1
            channel = 'room %d' % (self.count * 7 % CHANNELS)
            ident = publisher.ask('publish', channel=channel, data=self.count)
            self.waiting[publisher, ident] = (self.count, channel)

    def _published(self, publisher, event):
        if event['op'] != 'published':
            return False
        count, channel = self.waiting.pop((publisher, event['id']))
        self.sent.append(Sent(count, publisher.server.name, channel,
                              bool(event.get('degraded'))))
        return True

    def run(self, condition, what, patience=None):
        """Publish until the condition holds; returns the seconds."""
        begin = time.monotonic()
        end = begin + RECOVERY if patience is None else begin + patience
        while not condition():
            self.tick()
            self.crowd.pump(0.01)
            if time.monotonic() > end:
                raise Fail(what() if callable(what) else what)
        return time.monotonic() - begin

    def run_for(self, rounds):
        """So many messages from each publisher, and their answers."""
        end = self.count + 2 * rounds
        self.run(lambda: self.count >= end, 'too slow')

    def all_answered(self):
        self.crowd.until(lambda: not self.waiting, lambda: '%d publishes '
                         'without an answer' % len(self.waiting))

    def degraded(self, hub, since=0):
        """The last that this hub answered, of what was sent since then, was
        degraded."""
        for sent in reversed(self.sent):
            if sent.hub == hub.name and sent.number > since:
                return sent.degraded
        return False

    # What must hold.

    def local_delivery(self, hubs):
        """Each of these hubs has noticed; what is published now arrives on it,
        although Redis is away."""
        since = self.count
        taken = self.run(lambda: all(self.degraded(hub, since)
                                     for hub in hubs),
                         'publishing is not degraded')
        tap.say('noticed after %.2f s' % taken)
        before = len(self.sent)
        self.run_for(40)
        self.all_answered()
        fresh = [s for s in self.sent[before:]
                 if s.hub in [hub.name for hub in hubs]]
        if not all(s.degraded for s in fresh):
            raise Fail('a publish was not degraded during the outage')
        self.arrive(fresh, lambda s, member: member.server.name == s.hub,
                    'local delivery')

    def arrive(self, sent, expected, what):
        """These have come to all subscribers that `expected` says."""
        by_channel = collections.defaultdict(list)
        for member, channel in self.subscriptions:
            by_channel[channel].append(member)
        missing = [(s, member) for s in sent for member in by_channel[s.channel]
                   if expected(s, member)]

        def come():
            got = {}
            still = []
            for s, member in missing:
                key = member, s.channel
                if key not in got:
                    got[key] = set(member.got.get(s.channel, ()))
                if s.number not in got[key]:
                    still.append((s, member))
            missing[:] = still
            return not still

        self.crowd.until(come, lambda: '%s: %d missing, first: %s at %s' % (
            what, len(missing), missing[0][0], missing[0][1]))

    def gaps_told(self, hubs, but=()):
        """Every client of these hubs knows of the gap on each channel."""
        names = [hub.name for hub in hubs]
        affected = [(member, channel)
                    for member, channel in self.subscriptions
                    if member.server.name in names and
                    (member, channel) not in but]

        def untold():
            return [(m, c) for m, c in affected
                    if not any(gap['reason'] == 'broker'
                               for gap in m.gaps.get(c, ()))]

        return self.run(lambda: not untold(), lambda: 'no gap told: %s (%d of '
                        '%d)' % (untold()[0][0], len(untold()), len(affected)))

    def recovered(self, hubs):
        """From the end of the fault on."""
        begin = time.monotonic()
        self.run(self.redis_has_all, lambda: 'not subscribed again in %d s' %
                 RECOVERY)
        tap.say('subscribed again after %.2f s' % (time.monotonic() - begin))
        self.gaps_told(hubs)
        self.run(lambda: not any(map(self.degraded, self.hubs)),
                 'publishing stays degraded')
        tap.say('recovered after %.2f s' % (time.monotonic() - begin))
        self.all_answered()

    def redis_has_all(self):
        try:
            return self.redis.listeners(self.redis.channels()) == self.wanted()
        except OSError:
            return False

    def healthy(self):
        """A stretch without faults: everything reaches everybody."""
        before = len(self.sent)
        self.run_for(40)
        self.all_answered()
        fresh = self.sent[before:]
        if any(s.degraded for s in fresh):
            raise Fail('degraded while Redis is healthy')
        self.arrive(fresh, lambda s, member: True, 'delivery')

    def judge(self):
        """The whole story: nothing twice, each publisher's in its order, and
        nothing degraded was lost."""
        self.crowd.settle()
        self.by_number = {s.number: s for s in self.sent}
        for member, channel in self.subscriptions:
            self._judge_one(member, channel)
        self.arrive([s for s in self.sent if s.degraded],
                    lambda s, member: member.server.name == s.hub,
                    'degraded publishes')
        if self.redis.patterns():
            raise Fail('a pattern is subscribed')
        tap.say('%d published, %d of them degraded' % (
            len(self.sent), sum(s.degraded for s in self.sent)))

    def _judge_one(self, member, channel):
        last = {}
        for number in member.got.get(channel, []):
            sent = self.by_number.get(number)
            if not sent:  # of a newcomer
                continue
            if number <= last.get(sent.hub, 0):
                raise Fail('%s: %s after number %d' % (
                    member, sent, last[sent.hub]))
            last[sent.hub] = number


def outage(context, redis, begin, end, arguments=QUICK, urls=None):
    """A fault that lasts: begin() makes it, end() ends it."""
    traffic = Traffic(context, redis, arguments, urls)
    traffic.subscribe()
    traffic.healthy()
    begin(traffic)
    traffic.local_delivery(traffic.hubs)
    newcomers(traffic)
    end(traffic)
    traffic.recovered(traffic.hubs)
    traffic.healthy()
    context.subscribed_exactly(redis, traffic.wanted())
    traffic.judge()


def newcomers(traffic):
    """Who subscribes during the outage is told so, and served as the others:
    it hears its own hub, and of the gap when Redis is back."""
    fresh = [(members[0], 'late %s' % members[0].server.name)
             for members in traffic.by_hub]
    for event in traffic.crowd.ask(fresh, 'subscribe'):
        if not event.get('degraded'):
            raise Fail('subscribed without Redis, and not degraded: %s' % event)
    for member, channel in fresh:
        member.ask('publish', channel=channel, data='local')
    traffic.crowd.until(
        lambda: all(m.got.get(c) == ['local'] for m, c in fresh),
        'no local delivery to a new subscriber')
    traffic.subscriptions += fresh


@suite.case('killed', 'SIGKILL and a new start')
def killed(context):
    redis = context.redis()
    outage(context, redis, lambda traffic: redis.kill(),
           lambda traffic: redis.start())


@suite.case('held', 'messages held for Redis: who has got them already does not '
            'get them twice')
def held(context):
    redis = context.redis()
    outage(context, redis, lambda traffic: redis.kill(),
           lambda traffic: redis.start(),
           arguments=QUICK + ('--outage-hold', '100000'))


@suite.case('flapping', 'killed and started again five times in a row')
def flapping(context):
    redis = context.redis()
    traffic = Traffic(context, redis, QUICK)
    traffic.subscribe()
    traffic.healthy()
    for _ in range(5):
        redis.kill()
        traffic.run_for(10)
        redis.start()
        # The next time just when all is there, seen from Redis.
        traffic.run(traffic.redis_has_all, 'not subscribed again')
    traffic.recovered(traffic.hubs)
    traffic.healthy()
    traffic.judge()


@suite.case('stopped', 'SIGSTOP: connections stay and nothing answers')
def stopped(context):
    redis = context.redis()
    seconds = number('WSH_TEST_REDIS_STOP_S', 0)
    begun = []

    def begin(traffic):
        begun.append(time.monotonic())
        redis.stop()

    def end(traffic):
        left = begun[0] + seconds - time.monotonic()
        if left > 0:
            traffic.run(lambda: time.monotonic() > begun[0] + seconds, '',
                        left + RECOVERY)
        redis.cont()

    outage(context, redis, begin, end, () if seconds else QUICK)


@suite.case('packet_drop', 'packets vanish in both directions')
def packet_drop(context):
    with netns.private_network():
        redis = context.redis()
        outage(context, redis,
               lambda traffic: netns.drop_packets(redis.port),
               lambda traffic: netns.pass_packets())


@suite.case('clients_killed', 'CLIENT KILL TYPE pubsub, while everything else '
            'goes on')
def clients_killed(context):
    redis = context.redis()
    traffic = Traffic(context, redis, QUICK)
    traffic.subscribe()
    for _ in range(3):
        traffic.healthy()
        for members in traffic.by_hub:
            for member in members:
                member.gaps.clear()
        if redis.drop_clients('pubsub') < 2:
            raise Fail('there was nothing to kill')
        traffic.recovered(traffic.hubs)
    traffic.healthy()
    context.subscribed_exactly(redis, traffic.wanted())
    traffic.judge()


@suite.case('publishers_killed', 'CLIENT KILL TYPE normal: the links that '
            'publish')
def publishers_killed(context):
    redis = context.redis()
    traffic = Traffic(context, redis, QUICK)
    traffic.subscribe()
    traffic.healthy()
    if redis.drop_clients('normal') < 2:
        raise Fail('there was nothing to kill')
    # Whether subscriptions are given up with it is the adapter's affair.
    traffic.run_for(50)
    traffic.run(lambda: not any(map(traffic.degraded, traffic.hubs)),
                'publishing stays degraded')
    traffic.run(traffic.redis_has_all, 'not subscribed again')
    traffic.all_answered()
    traffic.healthy()
    traffic.judge()


@suite.case('maxclients', 'Redis is full and refuses every connection')
def maxclients(context):
    redis = context.redis()
    refused = []

    def begin(traffic):
        refused.append(redis.info('rejected_connections'))
        redis.call('CONFIG', 'SET', 'maxclients', '1')
        redis.drop_clients('pubsub', 'normal')

    def end(traffic):
        traffic.run(lambda: redis.info('rejected_connections') >
                    refused[0] + 2, 'nobody was refused')
        redis.call('CONFIG', 'SET', 'maxclients', '1000')

    outage(context, redis, begin, end)


@suite.case('auth_wrong', 'the password does not fit any more')
def auth_wrong(context):
    redis = context.redis(password='right')

    def refusals():
        return len(redis.call('ACL', 'LOG'))

    def begin(traffic):
        redis.call('CONFIG', 'SET', 'requirepass', 'other')
        redis.drop_clients('pubsub', 'normal')

    def end(traffic):
        traffic.run(refusals, 'nobody was refused')
        redis.call('CONFIG', 'SET', 'requirepass', 'right')

    outage(context, redis, begin, end)


@suite.case('auth_from_start', 'a hub that starts with a wrong password serves '
            'its own clients')
def auth_from_start(context):
    redis = context.redis(password='right')
    traffic = Traffic(context, redis, QUICK, urls=[redis.url('wrong')] * 2)
    traffic.subscribe()
    if not all(member.degraded for member, _ in traffic.subscriptions):
        raise Fail('a subscription without Redis is not degraded')
    traffic.local_delivery(traffic.hubs)
    redis.call('CONFIG', 'SET', 'requirepass', 'wrong')
    traffic.recovered(traffic.hubs)
    traffic.healthy()
    traffic.judge()


@suite.case('loading', 'Redis comes back and loads its data for a while')
def loading(context):
    redis = context.redis()
    link = Resp(redis.socket)
    link.pipeline(('SET', 'key %d' % n, 'x' * 100) for n in range(3000))
    link.call('SAVE')
    link.close()

    def end(traffic):
        # 3 000 keys at 1 ms; events are looked at in between.
        redis.start(wait=False, key_load_delay=1000,
                    loading_process_events_interval_bytes=1024)
        seen = []

        def loaded():
            try:
                seen.append(redis.info('loading'))
            except OSError:
                return False
            return seen[-1] == 0

        traffic.run(loaded, 'Redis does not end loading')
        if 1 not in seen:
            raise Fail('Redis was not seen loading')

    outage(context, redis, lambda traffic: redis.kill(), end)


@suite.case('output_limit', 'Redis gives up a hub that does not read')
def output_limit(context):
    redis = context.redis(
        client_output_buffer_limit='normal 0 0 0 pubsub 1mb 0 0')
    traffic = Traffic(context, redis, QUICK)
    traffic.subscribe()
    slow = traffic.hubs[0]
    (reader,) = context.crowd.join(slow, ['flood'])
    reader.on_message = lambda channel, data: None
    context.crowd.ask([(reader, 'flood')], 'subscribe')
    traffic.healthy()
    flood_stopped_hub(traffic, redis, slow)
    traffic.subscriptions.append((reader, 'flood'))
    traffic.recovered([slow])
    traffic.healthy()
    context.subscribed_exactly(redis, traffic.wanted())
    traffic.judge()
    for member in traffic.by_hub[1]:
        if member.gaps:
            raise Fail('the other hub told of a gap: %s' % member.gaps)


def flood_stopped_hub(traffic, redis, slow):
    """Publish to it until Redis has had enough of it."""
    publisher = traffic.publishers.pop(0)  # gets no answers meanwhile
    slow.process.send_signal(signal.SIGSTOP)
    try:
        link = redis.connect()
        big = '"%s"' % ('x' * 100000)

        def given_up():
            return link.call('PUBLISH', 'flood', big) == 0

        # Nobody hears of the other hub's clients less for it.
        before = len(traffic.sent)
        traffic.run(given_up, 'Redis goes on with a hub that does not read')
        traffic.run_for(20)
        traffic.crowd.until(
            lambda: not any(p is not publisher for p, _ in traffic.waiting),
            'the other hub does not answer')
        traffic.arrive(traffic.sent[before:],
                       lambda s, m: m.server is not slow, 'the other hub')
        link.close()
    finally:
        slow.process.send_signal(signal.SIGCONT)
    traffic.publishers.insert(0, publisher)


if __name__ == '__main__':
    suite.main()
