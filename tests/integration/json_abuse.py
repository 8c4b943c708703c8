"""json_abuse.py: JSON that is wrong, huge, deep or meant to hurt. Every piece
of it gets one error by name, the connection lives, and the server's memory is
as before after a thousand of them."""

import json

from chatclient import ChatContext, command
from tap import Suite
from wsclient import Fail, Skip, short, text

SUITE = Suite(ChatContext)
KIB = 1 << 10
MAX_JSON = 64 * KIB  # ws_hub_options.max_json_bytes
REPEAT = 1000
# Resident octets; what one round may add to a server at rest.
SLACK = 512 * KIB


def refused(ctx, message, *names, binary=False, **members):
    """One error of that name, and the connection lives."""
    ws = ctx.chat()
    for _ in range(2):
        ws.say_binary(message) if binary else ws.say(message)
        ws.want_error(*names, **members)
        ws.lives()


def add(ident, title, message, *names, **members):
    SUITE.add(ident, title, lambda ctx: refused(ctx, message, *names,
                                                **members))


INVALID = 'invalid_message'


def publish_of(data):
    return '{"op":"publish","channel":"room","data":%s,"id":"x"}' % data


# Not JSON, or not an object.

for name, message in (
        ('empty', ''), ('space', ' \n'), ('word', 'hello'), ('open', '{'),
        ('shut', '}'), ('cut', '{"op":"ping"'), ('comma', '{"op":"ping",}'),
        ('quotes', "{'op':'ping'}"), ('bare', '{op:"ping"}'),
        ('comment', '{"op":"ping"/**/}'), ('two', '{"op":"ping"}{"op":"ping"}'),
        ('trail', '{"op":"ping"} x'), ('array', '[{"op":"ping"}]'),
        ('string', '"ping"'), ('number', '1'), ('null', 'null'),
        ('nan', publish_of('NaN')), ('infinity', publish_of('-Infinity')),
        ('plus', publish_of('+1')), ('zero', publish_of('01')),
        ('dot', publish_of('1.')), ('hex', publish_of('0x10')),
        ('tab', publish_of('"a\tb"')), ('newline', publish_of('"a\nb"')),
        ('escape', publish_of('"\\x41"')),
        ('unescape', publish_of('"\\u12g4"')),
        ('bom', '\ufeff{"op":"ping"}'), ('open.string', '{"op":"ping'),
        ('backslash', '{"op":"ping\\'), ('colon', '{"op" "ping"}'),
        ('closers', ']' * 1000), ('mixed', '{"a":[}]')):
    add('json.' + name, 'not a JSON object: ' + short(message.encode(), 40),
        message, INVALID)

# Strings.

for name, message in (
        ('nul.raw', '{"op":"ping\0"}'), ('nul.raw.end', '{"op":"ping"}\0'),
        ('nul.op', '{"op":"ping\\u0000"}'), ('nul.key', '{"\\u0000":1}'),
        ('nul.data', publish_of('"a\\u0000b"')),
        ('nul.channel', '{"op":"subscribe","channel":"a\\u0000b"}'),
        ('lone.high', publish_of('"\\ud800"')),
        ('lone.low', publish_of('"\\udc00"')),
        ('lone.pair', publish_of('"\\udc00\\ud800"')),
        ('lone.key', publish_of('{"\\ud83d":1}')),
        ('lone.channel', '{"op":"subscribe","channel":"\\ud800"}'),
        ('twice.op', '{"op":"ping","op":"ping"}'),
        ('twice.id', '{"op":"ping","id":1,"id":2}'),
        ('twice.escaped', '{"op":"ping","id":1,"\\u0069d":2}'),
        ('twice.data', publish_of('{"a":1,"a":1}')),
        ('twice.channel', '{"op":"subscribe","channel":"a","channel":"b"}')):
    add('string.' + name, 'refused: ' + short(message.encode(), 50), message,
        INVALID)

# Numbers out of range.

for name, number in (('1e999', '1e999'), ('-1e999', '-1e999'),
                     ('digits', '1' + '0' * 400), ('2^63', str(1 << 63)),
                     ('2^64', str(1 << 64)), ('long', '9' * 60000),
                     ('fraction', '1' * 400 + '.5'),
                     ('exponent', '1e' + '9' * 1000)):
    add('number.' + name, 'a number out of range in data: ' + number[:20],
        publish_of(number), INVALID)
    add('number.id.' + name, 'the same as an id',
        '{"op":"ping","id":%s}' % number, INVALID)

# Wrong types.

KINDS = [None, True, 1, 1.5, 'x', [], ['x'], {}, {'x': 1}]


def wrong(member, good, *names, base):
    for value in KINDS:
        if isinstance(value, good) and not (good is int and value is True):
            continue
        message = json.dumps(dict(base, **{member: value}))
        add('type.%s.%s' % (member, json.dumps(value).replace(' ', '')),
            message, message, *names)


wrong('op', str, INVALID, base={})
wrong('id', (str, int), INVALID, base={'op': 'ping'})
wrong('channel', str, INVALID, 'bad_channel', base={'op': 'subscribe'})
wrong('echo', bool, INVALID, base={'op': 'publish', 'channel': 'c', 'data': 1})
wrong('key', str, INVALID, base={'op': 'publish', 'channel': 'c', 'data': 1})
wrong('class', (), INVALID, base={'op': 'publish', 'channel': 'c', 'data': 1})
add('type.id.true', 'an id that is true', '{"op":"ping","id":true}', INVALID)
add('type.id.65', 'an id of 65 octets',
    '{"op":"ping","id":"%s"}' % ('x' * 65), INVALID)
for op in ('subscribe', 'unsubscribe', 'publish', 'presence'):
    add('missing.channel.' + op, op + ' without a channel',
        command(op, data=1, id=3), INVALID, 'bad_channel', id=3)
add('missing.data', 'publish without data', command('publish', channel='c'),
    INVALID)
add('missing.op', 'no op', '{"id":4}', INVALID, id=4)
for op in ('', 'Ping', 'ping ', 'SUBSCRIBE', 'welcome', 'message', 'x' * 60000,
           'é', '\x7f'):
    add('op.' + (op[:20] or 'empty').strip().encode('unicode_escape').decode() +
        ('.space' if op.endswith(' ') else ''), 'unknown op',
        command(op, id='u'), 'unknown_op', id='u')

# Channel names.

LONGEST = ['x' * 255, 'é' * 127 + 'x', '€' * 85, '😀' * 63 + 'abc']
BAD = ['', 'x' * 256, 'é' * 128, 'x' * 60000, '$', '$sys', '$ws_hub/probe',
       'a\x01', '\n', 'a\r\nb', '\t', '\x1f', '\x7f', 'a\u0080', '\u0085',
       '\u009f']


@SUITE.case('channel.longest', 'names of exactly 255 octets, and odd ones')
def _(ctx):
    ws = ctx.chat()
    for name in LONGEST + [' ', '*', 'a$', '{a}', 'a.b/c:d', '"\\', '\u00a0',
                           '\u200b', '?', '[ab]', 'h\u0301']:
        ws.ask('subscribe', channel=name, id=1)
        ws.say(command('publish', channel=name, data=name))
        ws.want('message', channel=name, data=name)
        ws.ask('unsubscribe', channel=name, id=2)
    ws.lives()


for op in ('subscribe', 'unsubscribe', 'publish', 'presence'):
    for name in BAD:
        add('channel.%s.%s' % (op, (name[:14] or 'empty').encode(
            'unicode_escape').decode() + ('' if len(name) < 99 else '.%d' %
                                          len(name.encode()))),
            'bad channel', command(op, channel=name, data=1, id=5),
            'bad_channel', id=5)

# Size and depth.

add('depth.100000', '100 000 deep', publish_of('[' * 100000 + ']' * 100000),
    'too_large')
add('depth.open', '100 000 opened, none closed', '[' * 100000, 'too_large')
for name, message in (
        ('arrays', publish_of('[' * 30000 + ']' * 30000)),
        ('objects', '{"a":' * 13000 + '1'),
        ('33', publish_of('[' * 33 + ']' * 33)),
        ('brackets', '[' * 65000)):
    add('depth.' + name, 'deep, within the size', message, INVALID)
add('size.key', 'a key of 1 MB', '{"%s":1,"op":"ping"}' % ('k' * 1000000),
    'too_large')
add('size.value', 'an op of 1 MB', '{"op":"%s"}' % ('k' * 1000000), 'too_large')
add('size.space', '1 MB of nothing', ' ' * 1000000, 'too_large')


@SUITE.case('depth.fair', 'depth that people use')
def _(ctx):
    ws = ctx.chat()
    ws.ask('subscribe', channel='room', id=1)
    ws.say(publish_of('[' * 20 + ']' * 20).replace(',"id":"x"', ''))
    ws.want('message', channel='room')


@SUITE.case('size.exact', 'exactly 64 KiB, and one octet more')
def _(ctx):
    ws = ctx.chat()
    for size in (MAX_JSON - 1, MAX_JSON, MAX_JSON + 1):
        message = '{"op":"ping","pad":"%s"}'
        ws.say(message % ('p' * (size - len(message) + 2)))
        if size > MAX_JSON:
            ws.want_error('too_large')
        else:
            ws.want('pong')
    ws.lives()


@SUITE.case('size.message', 'over the size of a message: 1009')
def _(ctx):
    ws = ctx.chat()
    ws.say('{"op":"ping","pad":"%s"}' % ('p' * (2 << 20)))
    ws.expect_end(1009)


FLOODS = {
    'objects': '[' + '{},' * 19900 + '{}]', 'arrays': '[' + '[],' * 19900 +
    '[]]', 'zeros': '[' + '0,' * 29900 + '0]', 'strings': '[' + '"",' * 19900 +
    '""]', 'keys': '{' + ','.join('"%x":0' % i for i in range(7000)) + '}',
    'escapes': '"' + '\\u20ac' * 9900 + '"'}


def flood(ctx, message):
    """Taken or refused by name: one answer, and life goes on."""
    ws = ctx.chat()
    ws.say(message)
    event = ws.next()
    if event['op'] != 'published' and event.get('error') not in (INVALID,
                                                                 'limit'):
        raise Fail('got %.300s' % event)
    ws.lives()


for name, data in FLOODS.items():
    SUITE.add('flood.' + name, 'as many %s as fit' % name, flood,
              publish_of(data))


# Frames.

add('binary', 'a binary frame', b'\x00\xff', INVALID, binary=True)
add('binary.json', 'JSON in a binary frame', b'{"op":"ping"}', INVALID,
    binary=True)
add('binary.empty', 'an empty binary frame', b'', INVALID, binary=True)


@SUITE.case('utf8', 'text that is not UTF-8: 1007')
def _(ctx):
    for bad in (b'{"op":"ping","id":"\xff"}', b'\xff', b'{"\xc3":1}',
                b'{"op":"subscribe","channel":"\xed\xa0\x80"}'):
        ws = ctx.chat()
        ws.send(text(bad))
        ws.expect_end(1007)


# A thousand of each.

def thousand(ctx, message, binary, error):
    """Memory is as before after 1000 of these. What a first round leaves behind
    is the allocator's; a leak grows in every round."""
    ws = ctx.chat()
    one = frame_of(message, binary)
    answers = repeat(ctx, ws, one, REPEAT // 4)
    if error and answers != {'error'}:
        raise Fail('wanted errors only, got %s' % answers)
    if ctx.server.sanitized():
        repeat(ctx, ws, one, REPEAT)
        raise Skip('memory is not judged under a sanitizer')
    growth = []
    for _ in range(3):
        before = ctx.server.rss()
        repeat(ctx, ws, one, REPEAT)
        growth.append(ctx.server.rss() - before)
        if growth[-1] <= SLACK:
            break
    else:
        raise Fail('%d rounds of %d made the server larger by %s octets' %
                   (len(growth), REPEAT, growth))
    ws.lives()


def frame_of(message, binary):
    if isinstance(message, str):
        message = message.encode()
    # One mask for all: encoding 1000 times would take longer than the server.
    return text(message, mask=b'mask') if not binary else (
        b'\x82' + text(message, mask=b'mask')[1:])


def repeat(ctx, ws, one, count):
    """Send so many, some at a time; count the answers, return their ops."""
    window = max(1, min(50, (256 * KIB) // len(one)))
    ops = set()
    left = count
    while left:
        batch = min(left, window)
        ws.send(one * batch)
        for _ in range(batch):
            ops.add(ws.next()['op'])
        left -= batch
        ctx.idle()
    return ops


for name, message, binary, error in (
        ('ping', command('ping', id='p'), False, False),
        ('garbage', 'hello', False, True),
        ('cut', publish_of('[1,2,{"a":"b"')[:-8], False, True),
        ('unknown', command('nonsense', id=[]), False, True),
        ('deep', publish_of('[' * 30000 + ']' * 30000), False, True),
        ('deeper', '[' * 100000, False, True),
        ('key', '{"%s":1}' % ('k' * 1000000), False, True),
        ('objects', publish_of(FLOODS['objects']), False, False),
        ('zeros', publish_of(FLOODS['zeros']), False, False),
        ('keys', publish_of(FLOODS['keys']), False, False),
        ('taken', publish_of('[' + '{},' * 5000 + '{}]'), False, False),
        ('huge.number', publish_of('9' * 60000), False, True),
        ('1e999', publish_of('1e999'), False, True),
        ('nul', publish_of('"%s\\u0000"' % ('z' * 50000)), False, True),
        ('surrogate', publish_of('"%s\\ud800"' % ('z' * 50000)), False, True),
        ('twice', publish_of('{"a":"%s","a":1}' % ('z' * 50000)), False, True),
        ('channel', command('subscribe', channel='x' * 60000), False, True),
        ('reserved', command('publish', channel='$sys', data='z' * 50000),
         False, True),
        ('binary', b'\xff' * 60000, True, True),
        ('id', '{"op":"ping","id":"%s"}' % ('x' * 60000), False, True)):
    SUITE.add('thousand.' + name, '%d times %s' %
              (REPEAT, short(message if binary else message.encode(), 30)),
              thousand, message, binary, error)


@SUITE.case('thousand.connections', 'memory after 1000 clients came and went')
def _(ctx):
    if ctx.server.sanitized():
        raise Skip('memory is not judged under a sanitizer')
    growth = []
    for _ in range(4):
        before = ctx.server.rss()
        for i in range(REPEAT):
            ws = ctx.chat()
            ws.ask('subscribe', channel='c%d' % (i % 10), id=1)
            if i % 2:
                ws.finish()
            ctx.clients.remove(ws)
            ws.drop()
        ctx.idle()
        growth.append(ctx.server.rss() - before)
        if growth[-1] <= SLACK:
            return
    raise Fail('rounds of %d clients made the server larger by %s octets' %
               (REPEAT, growth))
