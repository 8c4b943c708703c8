#!/usr/bin/env python3
"""Three hubs on one Redis: what clients of different hubs see of a channel, and
what Redis sees of the hubs."""

import json
import random
import subprocess

import redisstage
import tap
from redisstage import RedisContext, Stage, listening_hubs
from wsclient import Fail

suite = tap.Suite(RedisContext, Stage)

HUBS, CLIENTS, CHANNELS, EACH = 3, 300, 30, 3
MESSAGES = 4  # of each client to each of its channels


def crowd_of(context, redis, hubs=HUBS, clients=CLIENTS):
    """Hubs and clients, evenly; returns the clients of each hub."""
    return [context.crowd.join(context.hub(redis=redis),
                               range(clients // hubs))
            for _ in range(hubs)]


def spread(by_hub):
    """(member, channel): EACH channels of CHANNELS for everyone, so that each
    has listeners on every hub."""
    return [(member, 'room %d' % ((i + k * 7) % CHANNELS))
            for members in by_hub for i, member in enumerate(members)
            for k in range(EACH)]


def publish_all(context, subscriptions, rng):
    """Every client publishes to each of its channels, all at the same time.
    Returns {channel: set of what was published}."""
    sent = {}
    turns = [(member, channel, n) for n in range(MESSAGES)
             for member, channel in subscriptions]
    for at in range(0, len(turns), len(subscriptions)):
        part = turns[at:at + len(subscriptions)]
        rng.shuffle(part)
        for member, channel, n in part:
            data = [member.server.name, member.name, n]
            sent.setdefault(channel, set()).add(tuple(data))
            member.ask('publish', channel=channel, data=data)
            context.crowd.pump(0)
    return sent


def end_of_channels(context, redis, subscriptions):
    """A last message on each channel: what Redis ordered before it has come
    when it comes, so nothing can be under way any more."""
    channels = sorted({channel for _, channel in subscriptions})
    link = redis.connect()
    link.pipeline(('PUBLISH', channel, '"end"') for channel in channels)
    link.close()
    context.crowd.until(
        lambda: all(member.got.get(channel, [None])[-1] == 'end'
                    for member, channel in subscriptions),
        lambda: 'not here: ' + lagging(subscriptions))


def lagging(subscriptions):
    return ', '.join(
        '%s: %s (%d)' % (member, channel, len(member.got.get(channel, [])))
        for member, channel in subscriptions
        if member.got.get(channel, [None])[-1] != 'end')[:400]


def check_channel(channel, members, sent):
    """Everyone the same, everything once, each publisher's in its order."""
    seen = members[0].got[channel]
    for member in members:
        if member.got[channel] != seen:
            raise Fail('%s and %s saw %s differently: %s' % (
                members[0], member, channel,
                first_difference(seen, member.got[channel])))
    seen = [tuple(data) for data in seen[:-1]]
    if len(seen) != len(set(seen)):
        raise Fail('%s: a message twice' % channel)
    if set(seen) != sent:
        raise Fail('%s: %d messages lost, %d never sent' % (
            channel, len(sent - set(seen)), len(set(seen) - sent)))
    last = {}
    for hub, name, n in seen:
        if n <= last.get((hub, name), -1):
            raise Fail('%s: %s of %s out of order' % (channel, n, name))
        last[hub, name] = n


def first_difference(a, b):
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return 'at %d %s and %s' % (i, x, y)
    return '%d and %d messages' % (len(a), len(b))


@suite.case('three_hubs', 'all clients of a channel see one order, nothing is '
            'lost, nothing comes twice')
def three_hubs(context):
    redis = context.redis()
    subscriptions = spread(crowd_of(context, redis))
    context.crowd.ask(subscriptions, 'subscribe')
    sent = publish_all(context, subscriptions, random.Random(4))
    context.crowd.settle()
    end_of_channels(context, redis, subscriptions)
    by_channel = {}
    for member, channel in subscriptions:
        by_channel.setdefault(channel, []).append(member)
    for channel, members in by_channel.items():
        check_channel(channel, members, sent[channel])
    tap.say('%d messages, %d deliveries' % (
        sum(map(len, sent.values())),
        sum(len(sent[channel]) * len(members)
            for channel, members in by_channel.items())))


@suite.case('confirmed', 'what is published after "subscribed" arrives')
def confirmed(context):
    redis = context.redis()
    (member,) = context.crowd.join(context.hub(redis=redis), ['a'])
    link = redis.connect()
    for n in range(50):
        context.crowd.ask([(member, 'new %d' % n)], 'subscribe')
        if link.call('PUBLISH', 'new %d' % n, str(n)) != 1:
            raise Fail('subscription %d is not in Redis yet' % n)
    link.close()
    context.crowd.until(
        lambda: member.got == {'new %d' % n: [n] for n in range(50)},
        lambda: 'got %s' % member.got)


@suite.case('one_subscription', 'Redis has one subscription for each hub and '
            'channel with listeners, and no pattern')
def one_subscription(context):
    redis = context.redis()
    by_hub = crowd_of(context, redis, clients=90)
    # Channel n: clients of n % 3 + 1 hubs, ten of each.
    subscriptions = [(member, 'room %d' % n) for n in range(CHANNELS)
                     for members in by_hub[:n % HUBS + 1]
                     for member in members[n % 3 * 10:][:10]]
    context.crowd.ask(subscriptions, 'subscribe')
    wanted = listening_hubs(subscriptions)
    state = redis.listeners(redis.channels())
    if state != wanted:  # at once: every answer has come
        raise Fail(redisstage.difference(wanted, state))
    if redis.patterns():
        raise Fail('a pattern is subscribed')
    if redis.clients('pubsub') != HUBS:
        raise Fail('%d subscribing connections' % redis.clients('pubsub'))


@suite.case('last_listener', 'a channel leaves Redis with its last listener, '
            'and not before')
def last_listener(context):
    redis = context.redis()
    (members,) = crowd_of(context, redis, hubs=1, clients=20)
    subscriptions = [(member, 'room %d' % n) for n in range(CHANNELS)
                     for member in members]
    context.crowd.ask(subscriptions, 'subscribe')
    # Half of the clients leave all channels, everyone leaves the odd ones.
    leaving = [(member, channel) for i, (member, channel)
               in enumerate(subscriptions)
               if i % 2 or int(channel.split()[1]) % 2]
    context.crowd.ask(leaving, 'unsubscribe')
    staying = set(subscriptions) - set(leaving)
    context.subscribed_exactly(redis, listening_hubs(staying))
    # Clients that are gone without a word count like those that said it.
    context.crowd.leave(members)
    context.subscribed_exactly(redis, {})


@suite.case('plain', 'messages of other programs arrive: JSON as it is, text '
            'as a string, anything else as base64')
def plain(context):
    redis = context.redis()
    by_hub = crowd_of(context, redis, clients=6)
    members = [member for members in by_hub for member in members]
    context.crowd.ask([(member, 'room') for member in members], 'subscribe')
    messages = [b'{"x":1}', b'[1,2,{"a":"\\u00e9"}]', b'17', b'"text"',
                b'plain "text"', 'grüße'.encode(), b'{"x":', b'',
                b'\xff\xfe\x00\x01', b'null']
    wanted = [{'x': 1}, [1, 2, {'a': 'é'}], 17, 'text', 'plain "text"',
              'grüße', '{"x":', '', '//4AAQ==', None]
    link = redis.connect()
    for message in messages:
        if link.call('PUBLISH', 'room', message) != HUBS:
            raise Fail('not every hub is subscribed')
    link.close()
    context.crowd.until(
        lambda: all(len(m.got.get('room', ())) >= len(wanted)
                    for m in members),
        lambda: '%s got %s' % (members[0], members[0].got))
    for member in members:
        if member.got != {'room': wanted}:
            raise Fail('%s got %s' % (member, json.dumps(member.got)))


@suite.case('redis_cli', "redis-cli PUBLISH room '{\"x\":1}' reaches clients")
def with_redis_cli(context):
    redis = context.redis()
    (member,) = context.crowd.join(context.hub(redis=redis), ['a'])
    context.crowd.ask([(member, 'room')], 'subscribe')
    subprocess.run(['redis-cli', '-p', str(redis.port), 'PUBLISH', 'room',
                    '{"x":1}'], check=True, stdout=subprocess.DEVNULL)
    context.crowd.until(lambda: member.got == {'room': [{'x': 1}]},
                        lambda: 'got %s' % member.got)


@suite.case('no_echo', '"echo":false spares the sender and nobody else')
def no_echo(context):
    redis = context.redis()
    members = [member for members in crowd_of(context, redis, clients=9)
               for member in members]
    context.crowd.ask([(member, 'room') for member in members], 'subscribe')
    for i, member in enumerate(members):
        context.crowd.answered(
            [(member, member.ask('publish', channel='room', data=i,
                                 echo=False))], 'not published')
    end_of_channels(context, redis, [(m, 'room') for m in members])
    for i, member in enumerate(members):
        wanted = [k for k in range(len(members)) if k != i]
        if sorted(member.got['room'][:-1]) != wanted:
            raise Fail('%s got %s' % (member, member.got))


if __name__ == '__main__':
    suite.main()
