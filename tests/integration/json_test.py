#!/usr/bin/env python3
"""The JSON protocol ws_hub.v1 on the wire, against the example `chat`: every
command and its answers, and what becomes of input that is wrong.

In every case two more clients are connected, one publishing, one subscribed:
the latter gets everything in order and notices nothing else (chatclient.py).

    json_test.py CHAT [ARGUMENT...] [--only REGEX] [--list]
"""

import re

import json_abuse
import tap
from chatclient import ChatContext, command
from tap import Suite
from wsclient import Fail, text

SUITE = Suite(ChatContext)
CHANNEL = 'room'


@SUITE.case('welcome', 'the first message')
def _(ctx):
    seen = set()
    for _ in range(3):
        ws = ctx.chat()
        welcome = ws.welcome
        for name, kind in (('conn', str), ('server', str), ('ping_ms', int)):
            if not isinstance(welcome.get(name), kind):
                raise Fail('%s is no %s in %s' % (name, kind, welcome))
        seen.add(welcome['conn'])
        ws.lives()
    if len(seen) != 3:
        raise Fail('conn is not unique: %s' % seen)


@SUITE.case('welcome.default', 'a client that offers no subprotocol')
def _(ctx):
    ws = ctx.connect()  # chat's default mode is JSON
    event = ws.next_event()
    if event[0] != 'text' or b'"welcome"' not in event[1]:
        raise Fail('wanted a welcome, got %r' % (event,))
    ws.finish()


@SUITE.case('ping', 'ping, pong')
def _(ctx):
    ws = ctx.chat()
    ws.say(command('ping'))
    if 'id' in ws.want('pong'):
        raise Fail('an id that nobody gave')
    ws.ask('ping', id=7)


@SUITE.case('pubsub', 'subscribe, publish, unsubscribe')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel=CHANNEL, id=1)
    ws.say(command('publish', channel=CHANNEL, data={'a': [1, 'x', None]}))
    ws.want('message', channel=CHANNEL, data={'a': [1, 'x', None]})
    ws.ask('unsubscribe', channel=CHANNEL, id=2)
    ws.ask('publish', channel=CHANNEL, data=0, id=3)
    ws.lives()


@SUITE.case('publish.both', 'published and the message come once each')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel=CHANNEL, id=1)
    ws.say(command('publish', channel=CHANNEL, data=5, id='p'))
    events = {event['op']: event for event in (ws.next(), ws.next())}
    if set(events) != {'published', 'message'}:
        raise Fail('wanted published and message, got %s' % events)
    if events['published'].get('id') != 'p' or events['message']['data'] != 5:
        raise Fail('got %s' % events)
    ws.lives()


@SUITE.case('publish.echo', '"echo":false spares the sender only')
def _(ctx):
    sender, other = ctx.chat(), ctx.chat()
    for ws in (sender, other):
        ws.ask('subscribe', channel=CHANNEL, id=1)
    for data, echo in ((1, True), (2, False), (3, True)):
        sender.say(command('publish', channel=CHANNEL, data=data, echo=echo))
    for data in (1, 2, 3):
        other.want('message', data=data)
    for data in (1, 3):
        sender.want('message', data=data)
    sender.lives()
    other.lives()


@SUITE.case('publish.apart', 'a message reaches its channel and no other')
def _(ctx):
    clients = {name: ctx.chat() for name in ('a', 'b', 'A', 'a ', 'ab')}
    for name, ws in clients.items():
        ws.ask('subscribe', channel=name, id=1)
    for name in clients:
        clients['a'].ask('publish', channel=name, data=name, id=2, echo=False)
    for name, ws in clients.items():
        if name != 'a':
            ws.want('message', channel=name, data=name)
        ws.lives()


@SUITE.case('publish.order', '3 writers, 300 messages each, in order')
def _(ctx):
    reader, writers = ctx.chat(), [ctx.chat() for _ in range(3)]
    reader.ask('subscribe', channel=CHANNEL, id=1)
    for i in range(300):
        for number, ws in enumerate(writers):
            ws.say(command('publish', channel=CHANNEL, data=[number, i]))
    last = [-1] * 3
    for _ in range(900):
        number, i = reader.want('message', channel=CHANNEL)['data']
        if i != last[number] + 1:
            raise Fail('writer %d: %d came after %d' % (number, i,
                                                        last[number]))
        last[number] = i
    reader.lives()


@SUITE.case('publish.class', 'classes, keys')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel=CHANNEL, id=1)
    for members in ({'class': 'normal'}, {'class': 'volatile'}, {'key': 'k'},
                    {'class': 'normal', 'key': ''}):
        ws.say(command('publish', channel=CHANNEL, data=1, **members))
        ws.want('message', data=1)
    # The host grants nobody "critical" here.
    ws.say(command('publish', channel=CHANNEL, data=1, id=9,
                   **{'class': 'critical'}))
    ws.want_error('forbidden', id=9)
    ws.lives()


@SUITE.case('subscribe.twice', 'a second subscribe is answered, messages come '
                               'once')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel=CHANNEL, id=1)
    ws.ask('subscribe', channel=CHANNEL, id=2)
    ws.say(command('publish', channel=CHANNEL, data=1))
    ws.want('message', data=1)
    ws.ask('unsubscribe', channel=CHANNEL, id=3)
    ws.say(command('unsubscribe', channel=CHANNEL, id=4))
    ws.want_error('not_subscribed', id=4)
    ws.lives()


def collect(ws, ids):
    """One answer for each id, in any order: their ops by id."""
    answers = {}
    while len(answers) < len(ids):
        try:
            event = ws.next()
        except Fail as why:
            raise Fail('%s; never answered: %s' %
                       (why, sorted(set(ids) - set(answers))))
        if event.get('id') not in ids or event['id'] in answers:
            raise Fail('a second answer, or an unknown id: %s' % event)
        answers[event['id']] = event['op']
    return answers


@SUITE.case('subscribe.pairs', 'subscribe and unsubscribe in one write')
def _(ctx):
    # An unsubscribe may overtake a subscribe that waits for the broker, but no
    # command is left without its one answer.
    for turn in range(10):
        ws, name = ctx.chat(), 'pairs-%d' % turn
        ws.send(b''.join(text(command(op, channel=name, id=i))
                         for i in range(1, 21)
                         for op, i in (('subscribe', i), ('unsubscribe', -i))))
        answers = collect(ws, [i for i in range(-20, 21) if i])
        wrong = {i: op for i, op in answers.items() if op not in (
            ('subscribed', 'error') if i > 0 else ('unsubscribed',))}
        if wrong:
            raise Fail('answers by id: %s' % wrong)
        ws.lives()


@SUITE.case('subscribe.limit', '128 channels, one more is refused')
def _(ctx):
    ws = ctx.chat()
    for i in range(128):
        ws.ask('subscribe', channel='many-%d' % i, id=i)
    ws.say(command('subscribe', channel='one-more', id='more'))
    ws.want_error('limit', id='more')
    ws.ask('unsubscribe', channel='many-0', id='less')
    ws.ask('subscribe', channel='one-more', id='again')
    ws.lives()


@SUITE.case('presence', 'presence is answered, or refused by name')
def _(ctx):
    ws = ctx.chat()
    ws.say(command('presence', channel=CHANNEL, id=1))
    event = ws.next()
    if event.get('id') != 1 or not (
            event['op'] == 'presence' and isinstance(event['members'], list) or
            event['op'] == 'error' and
            event['error'] in ('unknown_op', 'forbidden')):
        raise Fail('got %s' % event)
    ws.lives()


# Ids come back as they came, octet for octet.

IDS = ['0', '-1', '1', '9007199254740993', '12345678901234567',
       '-9223372036854775808', '9223372036854775807', '""', '"a"',
       '"\\"\\\\"', '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"\\n\\u0001"',
       '"%s"' % ('x' * 64), '"%s"' % ('é' * 32), '"null"', '"1"']
FORMS = {
    'ping': ('{"op":"ping","id":%s}', 'pong'),
    'subscribe': ('{"op":"subscribe","channel":"c","id":%s}', 'subscribed'),
    'unsubscribe': ('{"id":%s,"op":"unsubscribe","channel":"c"}',
                    'unsubscribed'),
    'publish': ('{"op":"publish","id": %s ,"channel":"c","data":0}',
                'published'),
    'error': ('{"op":"nonsense","id":%s}', 'error'),
}


def ids_of(ctx, form, answer):
    ws = ctx.chat()
    for ident in IDS:
        if answer == 'unsubscribed':
            ws.ask('subscribe', channel='c')
        ws.say(form % ident)
        raw = ws.next_text()
        if '"op":"%s"' % answer not in raw or (
                '"id":%s' % ident) not in raw.replace(': ', ':'):
            raise Fail('id %s: got %s' % (ident, raw))
    ws.lives()


for op, (form, answer) in FORMS.items():
    SUITE.add('id.' + op, 'ids of ' + op, ids_of, form, answer)


# Data arrives as the very text that was sent.

DATA = ['0.1', '12345678901234567', '1.0', '1e2', '1E+2', '-0', '-0.0', '0',
        '0.30000000000000004', '123456789.123456789123456789', '1e-7',
        '100000000000000000000.0', '9223372036854775807', '5e-324',
        '1.7976931348623157e308', 'null', 'true', 'false', '""', '"a"', '[]',
        '{}', '[[],{}]', '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"\\/"',
        '"</script>"', '"\\u2028"', '[1,2.50,"3",{"four":[4.0]}]',
        '{"b":1,"a":2,"":3}', '"\\b\\f\\n\\r\\t\\"\\\\"', '[0.1,1.0,1e2]',
        '{ "spaced" : [ 1 , 2 ] }', '"%s"' % ('x' * 60000)]


@SUITE.case('data.text', 'numbers and strings keep their text')
def _(ctx):
    sender, reader = ctx.chat(), ctx.chat()
    reader.ask('subscribe', channel=CHANNEL, id=1)
    for data in DATA:
        sender.say('{"op":"publish","channel":"room","data":%s}' % data)
        raw = reader.next_text()
        found = re.match(r'\{"op":"message","channel":"room","data":(.*?)'
                         r'(,"seq":\d+)?\}$', raw, re.S)
        if not found or found.group(1) != data:
            raise Fail('sent %.100s, got %.200s' % (data, raw))
    sender.lives()


@SUITE.case('data.first', 'data before op, members in any order, spaces')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel=CHANNEL, id=1)
    for form in ('{"data":0.10,"op":"publish","channel":"room"}',
                 ' { "data" : 0.10 , "channel" : "room" , "op":"publish" } ',
                 '{"x":{"data":1},"channel":"room","data":0.10,"op":"publish"}',
                 '{"x":"\\"data\\":2","op":"publish","data":0.10,'
                 '"channel":"room"}',
                 '\n{"op":"publish",\t"channel":"room",\r\n"data":0.10}\n'):
        ws.say(form)
        raw = ws.next_text()
        if '"data":0.10' not in raw:
            raise Fail('sent %s, got %s' % (form, raw))
    ws.lives()


@SUITE.case('members.unknown', 'unknown members are ignored')
def _(ctx):
    ws = ctx.chat()
    ws.say({'op': 'ping', 'id': 1, 'x': None, 'ID': 2, 'Op': 'a', '': [{}],
            'data': 1, 'channel': 7, 'echo': 'yes'})
    ws.want('pong', id=1)
    ws.ask('subscribe', channel=CHANNEL, id=2, data=[], foo={'bar': [1]})
    ws.lives()


@SUITE.case('fragments', 'a command in fragments and with a ping between')
def _(ctx):
    ws = ctx.chat()
    whole = command('ping', id='é').encode()
    for at in range(len(whole)):
        ws.send(text(whole[:at], fin=0) + bytes([0x89, 0x80, 1, 2, 3, 4]))
        ws.expect(('pong', b''))
        ws.send(bytes([0x80, 0x80 | len(whole) - at, 0, 0, 0, 0]) + whole[at:])
        ws.want('pong', id='é')


@SUITE.case('pipeline', '500 commands in one write are answered in order')
def _(ctx):
    ws = ctx.chat()
    ws.send(b''.join(text(command('ping', id=i)) for i in range(500)))
    for i in range(500):
        ws.want('pong', id=i)


@SUITE.case('gone', 'a subscriber that vanishes')
def _(ctx):
    stays, writer = ctx.chat(), ctx.chat()
    stays.ask('subscribe', channel=CHANNEL, id=1)
    for i in range(30):
        leaves = ctx.chat()
        leaves.ask('subscribe', channel=CHANNEL, id=1)
        leaves.vanish()
        writer.ask('publish', channel=CHANNEL, data=i, id=i)
        stays.want('message', data=i)
        ctx.clients.remove(leaves)
    stays.lives()


SUITE.extend(json_abuse.SUITE)


@SUITE.case('end.descriptors', 'nothing is left open after all of this')
def _(ctx):
    ctx.server.descriptors_at_start += 2  # the reader and the writer
    tap.descriptors_come_back(ctx)


@SUITE.case('end.stop', 'SIGTERM: clients get 1001, the server ends with 0')
def stop(ctx):
    clients = [ctx.reader, ctx.writer, ctx.chat()]
    clients[2].ask('subscribe', channel=CHANNEL, id=1)
    ctx.server.terminate()
    for ws in clients:
        ws.expect(('close', 1001))
        ws.send(b'\x88\x82\0\0\0\0\x03\xe9')
        ws.expect_end()
    status = ctx.server.wait()
    if status != 0:
        raise Fail('the server ended with status %s' % status)


stop.ends_server = True

if __name__ == '__main__':
    SUITE.main()
