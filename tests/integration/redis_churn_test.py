#!/usr/bin/env python3
"""Subscribing and unsubscribing without end, with publishes all along: in the
end Redis has exactly what the clients have, and who stayed missed nothing.

WSH_TEST_CHURN_S: seconds of it; WSH_TEST_CHURN_RATE: commands a second that are
aimed at. How many there were is printed and not judged: it is the machine's.
"""

import random
import time

import tap
from crowd import encode
from redisstage import RedisContext, Stage, listening_hubs, number
from wsclient import Fail

suite = tap.Suite(RedisContext, Stage)

CHANNELS, CHURNERS, STAYERS = 1000, 100, 10
SECONDS = number('WSH_TEST_CHURN_S', 4)
RATE = number('WSH_TEST_CHURN_RATE', 10000)
OUTSTANDING = 2000  # answers that may be missing before we wait for them
AT_ONCE = 300  # commands of one turn, about; a late one catches up slowly
TURN = 0.01
PUBLISHES = 5  # each turn, from Redis; and as many through the hub


def name(channel):
    return 'room %d' % channel


class Seat:
    """A client's place on one channel: taken or not, and when it changes. The
    quick ones change all the time; the others wait about as long as a hub
    lingers, so that its unsubscribe and the next subscribe meet."""

    commands = {}

    def __init__(self, member, channel, rng):
        self.member, self.channel = member, channel
        self.taken = False
        self.slow = channel % 10 == 0
        self.due = rng.uniform(0, 1)
        for op in ('subscribe', 'unsubscribe'):
            self.commands.setdefault((op, channel),
                                     encode(op, channel=name(channel)))

    def change(self):
        """Returns the command that does it."""
        self.taken = not self.taken
        op = 'subscribe' if self.taken else 'unsubscribe'
        return self.commands[op, self.channel]


class Churn:
    def __init__(self, context):
        self.context, self.crowd = context, context.crowd
        self.rng = random.Random(1000)
        self.redis = context.redis()
        self.hubs = [context.hub(redis=self.redis) for _ in range(2)]
        self.link = self.redis.connect()
        self.asked = self.answered = self.overtaken = self.published = 0
        self._seats()
        self._stayers()
        (self.publisher,) = self.crowd.join(self.hubs[0], ['publisher'])

    def _seats(self):
        """Every channel has two seats; half of the pairs share a hub."""
        members = [self.crowd.join(hub, range(CHURNERS // 2))
                   for hub in self.hubs]
        for member in members[0] + members[1]:
            member.on_answer = self._count
            member.on_error = self._overtaken
            member.on_message = lambda channel, data: None
        self.seats = []
        for channel in range(CHANNELS):
            for k in range(2):
                hub = (channel + k) % 2 if channel % 4 < 2 else channel % 2
                member = members[hub][(channel + k * 7) % (CHURNERS // 2)]
                self.seats.append(Seat(member, channel, self.rng))
        self.slow = [seat for seat in self.seats if seat.slow]
        quick = {}
        for seat in self.seats:
            if not seat.slow:
                quick.setdefault(seat.member, []).append(seat)
        self.quick = list(quick.values())

    def _count(self, event):
        if event['op'] not in ('subscribed', 'unsubscribed'):
            return False
        if event.get('degraded'):
            raise Fail('degraded: %s' % event)
        self.answered += 1
        return True

    def _overtaken(self, event):
        """The answer to a subscribe whose unsubscribe came before Redis had
        confirmed it."""
        if event['error'] != 'not_subscribed':
            return False
        self.answered += 1
        self.overtaken += 1
        return True

    def _stayers(self):
        """Each stays on ten channels, of the quick and of the slow ones."""
        self.stayers = [member for hub in self.hubs for member in
                        self.crowd.join(hub, ['stays %d' % i for i in
                                              range(STAYERS // 2)])]
        self.staying = [(member, name((i * 97 + k * 105) % CHANNELS))
                        for i, member in enumerate(self.stayers)
                        for k in range(10)]
        self.crowd.ask(self.staying, 'subscribe')
        self.watched = sorted({channel for _, channel in self.staying})
        self.expected = {channel: [] for channel in self.watched}

    def run(self):
        begin = now = time.monotonic()
        while now - begin < SECONDS:
            self._turn(now - begin)
            self._publish()
            if self.asked - self.answered > OUTSTANDING:
                self.wait_answers(OUTSTANDING // 2)
            while self.crowd.pump(TURN):
                if time.monotonic() - now > TURN:
                    break
            now = time.monotonic()
        self.wait_answers(0)
        return self.asked / (time.monotonic() - begin)

    def _turn(self, now):
        """The quick seats share the rate; the slow ones have their times."""
        due = min(int(now * RATE) - self.asked, AT_ONCE)
        while due > 0:
            seats = self.rng.choice(self.quick)
            due -= self._change(seats[:self.rng.randint(1, len(seats))])
        late = [seat for seat in self.slow if seat.due <= now]
        for seat in late:
            seat.due = now + self.rng.uniform(0.8, 1.3)
            self._change([seat])

    def _change(self, seats):
        """Seats of one client, in one write; returns how many."""
        self.asked += len(seats)
        seats[0].member.write(b''.join(seat.change() for seat in seats))
        return len(seats)

    def _publish(self):
        """Numbers, to channels that somebody stays on: from Redis and from a
        client of a hub. Each of the two is in order for itself."""
        commands = []
        for _ in range(PUBLISHES):
            for direct in (True, False):
                self.published += 1
                channel = self.rng.choice(self.watched)
                self.expected[channel].append(self.published)
                if direct:
                    commands.append(('PUBLISH', channel, str(self.published)))
                else:
                    self.publisher.ask('publish', channel=channel,
                                       data=self.published)
        self.link.pipeline(commands)

    def wait_answers(self, left):
        self.crowd.until(lambda: self.asked - self.answered <= left,
                         lambda: '%d answers are missing' %
                         (self.asked - self.answered))

    def nothing_missed(self):
        """Who stayed has got every message, once."""
        def come():
            return all(len(member.got.get(channel, ())) >=
                       len(self.expected[channel])
                       for member, channel in self.staying)

        self.crowd.until(come, self._missing)
        for member, channel in self.staying:
            if sorted(member.got.get(channel, [])) != self.expected[channel]:
                raise Fail('%s got something else on %s' % (member, channel))
            if member.gaps:
                raise Fail('%s was told of gaps: %s' % (member, member.gaps))

    def _missing(self):
        return ', '.join(
            '%s on %s: %d of %d' % (member, channel,
                                    len(member.got.get(channel, ())),
                                    len(self.expected[channel]))
            for member, channel in self.staying
            if len(member.got.get(channel, ())) <
            len(self.expected[channel]))[:400]

    def subscriptions(self):
        return self.staying + [(seat.member, name(seat.channel))
                               for seat in self.seats if seat.taken]


@suite.case('churn', 'subscribing and unsubscribing all the time')
def churn(context):
    test = Churn(context)
    rate = test.run()
    tap.say('%d commands, %.0f/s, %d overtaken; %d messages to %d who stay' % (
        test.asked, rate, test.overtaken, test.published, len(test.staying)))
    context.crowd.settle()
    test.nothing_missed()
    wanted = listening_hubs(test.subscriptions())
    taken = context.subscribed_exactly(test.redis, wanted)
    tap.say('Redis is as the hubs after %.2f s; it saw %s' % (
        taken, subscribes(test.redis)))
    final_deliveries(test, wanted)
    leave_all(test)


def subscribes(redis):
    """How many of the changes came as far as Redis."""
    lines = redis.call('INFO', 'commandstats').decode().splitlines()
    return ', '.join(line.split(',')[0][8:] for line in lines
                     if 'subscribe' in line)


def final_deliveries(test, wanted):
    """What PUBLISH reaches is what the clients have, channel by channel."""
    got = {}
    for seat in test.seats:
        seat.member.on_message = (
            lambda channel, data, m=seat.member: got.setdefault(
                (m, channel), []).append(data))
    replies = test.link.pipeline(
        ('PUBLISH', name(channel), '"final"') for channel in range(CHANNELS))
    reached = {name(channel): replies[channel] for channel in range(CHANNELS)
               if replies[channel]}
    if reached != wanted:
        raise Fail('PUBLISH reaches %d channels, %d have listeners' % (
            len(reached), len(wanted)))
    taken = {(seat.member, name(seat.channel))
             for seat in test.seats if seat.taken}
    test.crowd.until(lambda: len(got) >= len(taken),
                     lambda: '%d of %d got the last message' % (
                         len(got), len(taken)))
    test.crowd.settle()
    if set(got) != taken or any(len(data) != 1 for data in got.values()):
        raise Fail('the last message reached others, or twice')


def leave_all(test):
    test.link.close()
    test.crowd.leave(list(test.crowd.members.values()))
    test.context.subscribed_exactly(test.redis, {})


@suite.case('linger', 'leaving and coming back around the end of the linger '
            'never loses a subscription')
def linger(context):
    """A hub unsubscribes about a second after the last listener has left. Come
    back then, again and again, each channel at its own moment; whoever has been
    told `subscribed` gets what is published next."""
    redis = context.redis()
    hub = context.hub(redis=redis)
    (member,) = context.crowd.join(hub, ['a'])
    link = redis.connect()
    channels = [name(n) for n in range(100)]
    pairs = [(member, channel) for channel in channels]
    for turn in range(2):
        context.crowd.ask(pairs, 'subscribe')
        context.crowd.ask(pairs, 'unsubscribe')
        left = time.monotonic()
        asked = []
        for n, channel in enumerate(channels):
            # From 0.9 s to 1.1 s after leaving, however late we are.
            moment = left + 0.9 + n * 0.002
            while time.monotonic() < moment:
                context.crowd.pump(moment - time.monotonic())
            asked.append((member, member.ask('subscribe', channel=channel)))
        context.crowd.answered(asked, 'not subscribed')
        replies = link.pipeline(('PUBLISH', channel, str(turn))
                                for channel in channels)
        if replies != [1] * len(channels):
            raise Fail('%d of %d are not in Redis' % (
                replies.count(0), len(channels)))
        context.crowd.until(
            lambda: all(member.got.get(channel, [])[-1:] == [turn]
                        for channel in channels), 'a message was lost')
        context.crowd.ask(pairs, 'unsubscribe')
    context.subscribed_exactly(redis, {})
    link.close()


if __name__ == '__main__':
    suite.main()
