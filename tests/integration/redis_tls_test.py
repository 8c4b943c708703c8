#!/usr/bin/env python3
"""Hubs that reach a real Redis over TLS, and every way in which they must not."""

import tap
from rediscerts import Authority, TlsCluster, TlsRedis
from redisstage import RECOVERY, RedisContext, Stage, listening_hubs
from wsclient import Fail

CLIENTS, CHANNELS = 20, 10  # of each hub
LARGE = 60000  # octets of a message: several records


class TlsContext(RedisContext):
    def __init__(self, stage):
        super().__init__(stage)
        self.authorities = []

    def authority(self):
        self.authorities.append(Authority())
        return self.authorities[-1]

    def tls_hub(self, authority, redis, *arguments):
        """With a certificate, unless it is said otherwise."""
        cert, key = authority.sign('hub')
        return self.hub('--redis-ca', authority.ca, '--redis-cert', cert,
                        '--redis-key', key, *arguments, redis=redis)

    def drop_all(self):
        super().drop_all()
        for authority in self.authorities:
            authority.close()


suite = tap.Suite(TlsContext, Stage)


def subscribed(context, hubs):
    """Clients of these hubs on all channels: (member, channel)."""
    pairs = [(member, 'room %d' % (i % CHANNELS)) for hub in hubs
             for i, member in enumerate(context.crowd.join(hub,
                                                           range(CLIENTS)))]
    context.crowd.ask(pairs, 'subscribe')
    return pairs


def talk(context, pairs, what):
    """Each says something small and something large on its channel; all on the
    channel get all of it, once, and in one order."""
    before = {member: len(member.got.get(channel, []))
              for member, channel in pairs}
    wanted = {}
    for member, channel in pairs:
        for data in ([what, str(member)],
                     [what, str(member), 'x' * LARGE]):
            wanted.setdefault(channel, []).append(data)
            member.ask('publish', channel=channel, data=data)
    context.crowd.settle()
    context.crowd.until(
        lambda: all(len(member.got.get(channel, [])) - before[member] >=
                    len(wanted[channel]) for member, channel in pairs),
        'messages are missing')
    orders = {}
    for member, channel in pairs:
        got = member.got[channel][before[member]:]
        if sorted(got) != sorted(wanted[channel]):
            raise Fail('%s: not what was sent on %s' % (member, channel))
        if orders.setdefault(channel, got) != got:
            raise Fail('%s: another order of %s' % (member, channel))


@suite.case('messages', 'small and large messages between two hubs, and after a '
            'restart')
def messages(context):
    authority = context.authority()
    redis = context.redis(lambda: TlsRedis(authority))
    pairs = subscribed(context, [context.tls_hub(authority, redis)
                                 for _ in range(2)])
    context.subscribed_exactly(redis, listening_hubs(pairs))
    talk(context, pairs, 'first')
    redis.kill()
    redis.start()
    context.subscribed_exactly(redis, listening_hubs(pairs),
                               patience=RECOVERY)
    talk(context, pairs, 'second')


@suite.case('host_name', 'a name in the URL, a name that is given, and no '
            'certificate where none is asked for')
def host_name(context):
    authority = context.authority()
    redis = context.redis(lambda: TlsRedis(authority, ('DNS:localhost',),
                                           tls_auth_clients='no'))
    by_name = context.hub('--redis-ca', authority.ca, '--redis',
                          redis.url().replace('127.0.0.1', 'localhost'))
    given = context.hub('--redis-ca', authority.ca, '--redis-name', 'localhost',
                        redis=redis)
    pairs = subscribed(context, [by_name, given])
    context.subscribed_exactly(redis, listening_hubs(pairs))
    talk(context, pairs, 'by name')


@suite.case('cluster', 'a cluster whose nodes speak TLS')
def cluster(context):
    authority = context.authority()
    nodes = context.redis(lambda: TlsCluster(authority))
    cert, key = authority.sign('hub')
    hubs = [context.hub('--redis-ca', authority.ca, '--redis-cert', cert,
                        '--redis-key', key, '--redis-cluster', nodes.urls())
            for _ in range(2)]
    talk(context, subscribed(context, hubs), 'cluster')


def refused(context, hub, text):
    """It says why, and its own clients are served."""
    context.crowd.until(lambda: any(text in line for line in hub.output),
                        lambda: 'no "%s" in: %s' % (text, hub.output))
    talk(context, subscribed(context, [hub]), 'alone')


@suite.case('wrong_authority', 'a certificate of an authority that is not ours')
def wrong_authority(context):
    authority, other = context.authority(), context.authority()
    redis = context.redis(lambda: TlsRedis(authority))
    cert, key = authority.sign('hub')
    hub = context.hub('--redis-ca', other.ca, '--redis-cert', cert,
                      '--redis-key', key, redis=redis)
    refused(context, hub, 'TLS: self')  # -signed: the authority that the server sends along


@suite.case('wrong_name', 'a certificate for somebody else')
def wrong_name(context):
    authority = context.authority()
    redis = context.redis(lambda: TlsRedis(authority, ('DNS:elsewhere',)))
    refused(context, context.tls_hub(authority, redis),
            'TLS: IP address mismatch')
    refused(context, context.tls_hub(authority, redis, '--redis-name', 'redis'),
            'TLS: hostname mismatch')


@suite.case('no_certificate', 'Redis asks for a certificate and gets none')
def no_certificate(context):
    authority = context.authority()
    redis = context.redis(lambda: TlsRedis(authority))
    refused(context, context.hub('--redis-ca', authority.ca, redis=redis),
            'certificate required')


@suite.case('mixed_up', 'TLS to a plain port, and plain to a port with TLS')
def mixed_up(context):
    authority = context.authority()
    redis = context.redis(lambda: TlsRedis(authority))
    refused(context, context.hub('--redis-ca', authority.ca, '--redis',
                                 redis.plain_url().replace('redis:',
                                                           'rediss:')),
            'no end of the TLS handshake')
    refused(context, context.hub('--redis', redis.url().replace('rediss:',
                                                                'redis:')),
            'redis 127.0.0.1')


if __name__ == '__main__':
    suite.main()
