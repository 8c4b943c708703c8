"""rfc6455_framing.py: lengths, pings, reserved bits and opcodes, fragmentation
(RFC 6455 section 5; Autobahn groups 1 to 5)."""

import time

from tap import Suite
from wsclient import (BINARY, CLOSE, CONT, NAMES, PAUSE, PING, PONG, TEXT,
                      close, fragments, frame, ping, text)

SUITE = Suite()
HELLO = b'Hello, world!'
RAW = b'\x00\xff\xfe\xfd\xfc\xfb\x00\xff'

# The ways in which the same octets reach the server.
WHOLE, FRAMES, OCTETS = 'in one write', 'frame by frame', 'octet by octet'


def deliver(ws, frames, how):
    if how == WHOLE:
        ws.send(b''.join(frames))
    elif how == OCTETS:
        ws.send(b''.join(frames), chop=1)
    else:
        for one in frames:
            ws.send(one)
            time.sleep(PAUSE)


def exchange(ctx, frames, how, *events):
    """Send frames, get exactly these events; a close among them ends it."""
    ws = ctx.connect()
    deliver(ws, frames, how)
    ws.expect(*events)
    if events and events[-1][0] == 'close':
        ws.expect_end()
    else:
        ws.finish()


# 1: framing.

def echoed(ctx, opcode, size, chop):
    payload = (b'*' if opcode == TEXT else b'\xfe') * size
    ws = ctx.connect()
    ws.send(frame(opcode, payload), chop=chop)
    ws.expect((NAMES[opcode], payload))
    ws.finish()


for group, opcode in ((1, TEXT), (2, BINARY)):
    for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
        SUITE.add('1.%d.%d' % (group, number),
                  '%s of %d octets' % (NAMES[opcode], size),
                  echoed, opcode, size, 0)
    SUITE.add('1.%d.8' % group, '%s of 65536 octets in chops of 997' %
              NAMES[opcode], echoed, opcode, 65536, 997)
    for size in (0, 125, 126, 127, 128):
        SUITE.add('1.%d.octets.%d' % (group, size), '%s of %d, octet by octet' %
                  (NAMES[opcode], size), echoed, opcode, size, 1)
    for size in (65535, 65536):
        SUITE.add('1.%d.chops.%d' % (group, size), '%s of %d in chops of 211' %
                  (NAMES[opcode], size), echoed, opcode, size, 211)


# 2: pings and pongs.

def pinged(ctx, payload, how):
    exchange(ctx, [ping(payload)], how, ('pong', payload))


for number, payload in enumerate((b'', HELLO, RAW, b'\xfe' * 125), 1):
    SUITE.add('2.%d' % number, 'ping with %d octets' % len(payload),
              pinged, payload, WHOLE)
SUITE.add('2.5', 'ping with 126 octets', exchange, [ping(b'\xfe' * 126)],
          WHOLE, ('close', 1002))
SUITE.add('2.6', 'ping with 125 octets, octet by octet', pinged, b'\xfe' * 125,
          OCTETS)
SUITE.add('2.7', 'unsolicited empty pong is ignored', exchange,
          [frame(PONG)], WHOLE)
SUITE.add('2.8', 'unsolicited pong is ignored', exchange,
          [frame(PONG, HELLO)], WHOLE)
SUITE.add('2.9', 'unsolicited pong, then a ping', exchange,
          [frame(PONG, HELLO), ping(b'real')], WHOLE, ('pong', b'real'))


@SUITE.case('2.sizes', 'pings with 0 to 125 octets')
def _(ctx):
    ws = ctx.connect()
    for size in range(126):
        payload = bytes((size * 7 + i) & 255 for i in range(size))
        ws.send(ping(payload))
        ws.expect(('pong', payload))
    ws.finish()


@SUITE.case('2.octets', 'pings with 0 to 16 octets, octet by octet')
def _(ctx):
    ws = ctx.connect()
    for size in range(17):
        ws.send(ping(RAW * 2, length=size)[:6 + size], chop=1)
        ws.expect(('pong', (RAW * 2)[:size]))
    ws.finish()


TEN = [b'payload-%d' % i for i in range(10)]
for number, how in (('2.10', WHOLE), ('2.11', OCTETS)):
    SUITE.add(number, '10 pings %s get 10 pongs in order' % how, exchange,
              [ping(p) for p in TEN], how, *[('pong', p) for p in TEN])
for opcode in (PING, PONG, CLOSE):
    for size in (126, 127, 65535, 65536):
        SUITE.add('2.long.%s.%d' % (NAMES[opcode], size),
                  '%s with %d octets is refused at its header' %
                  (NAMES[opcode], size),
                  exchange, [frame(opcode, b'', length=size)], WHOLE,
                  ('close', 1002))


# 3: reserved bits.

SUITE.add('3.1', 'RSV 1 on a text', exchange,
          [text(HELLO, rsv=1)], WHOLE, ('close', 1002))
SUITE.add('3.2', 'text, text with RSV 2, ping', exchange,
          [text(HELLO), text(HELLO, rsv=2), ping()], WHOLE,
          ('text', HELLO), ('close', 1002))
SUITE.add('3.3', 'text, text with RSV 3, ping, frame by frame', exchange,
          [text(HELLO), text(HELLO, rsv=3), ping()], FRAMES,
          ('text', HELLO), ('close', 1002))
SUITE.add('3.4', 'text, text with RSV 4, ping, octet by octet', exchange,
          [text(HELLO), text(HELLO, rsv=4), ping()], OCTETS,
          ('text', HELLO), ('close', 1002))
SUITE.add('3.5', 'RSV 5 on a binary', exchange,
          [frame(BINARY, RAW, rsv=5)], WHOLE, ('close', 1002))
SUITE.add('3.6', 'RSV 6 on a ping', exchange,
          [ping(HELLO, rsv=6)], WHOLE, ('close', 1002))
SUITE.add('3.7', 'RSV 7 on a close', exchange,
          [close(rsv=7)], WHOLE, ('close', 1002))
for opcode in NAMES:
    for rsv in range(1, 8):
        before = [frame(TEXT, b'a', fin=0)] if opcode == CONT else []
        SUITE.add('3.%s.%d' % (NAMES[opcode], rsv),
                  'RSV %d on a %s' % (rsv, NAMES[opcode]), exchange,
                  before + [frame(opcode, b'', rsv=rsv)], WHOLE,
                  ('close', 1002))


# 4: reserved opcodes.

for group, first in ((1, 3), (2, 11)):
    for i in range(5):
        number, opcode = '4.%d.%d' % (group, i + 1), first + i
        bad = frame(opcode, HELLO if i % 2 else b'')
        if i < 2:
            SUITE.add(number, 'opcode %d' % opcode, exchange, [bad], WHOLE,
                      ('close', 1002))
            continue
        how = (WHOLE, FRAMES, OCTETS)[i - 2]
        SUITE.add(number, 'text, opcode %d, ping, %s' % (opcode, how), exchange,
                  [text(HELLO), bad, ping()], how, ('text', HELLO),
                  ('close', 1002))
        SUITE.add(number + '.open', 'opcode %d inside a message' % opcode,
                  exchange, [frame(TEXT, HELLO, fin=0), bad], WHOLE,
                  ('close', 1002))


# 5: fragmentation.

TWO = [b'fragment1', b'fragment2']
MESSAGE = b''.join(TWO)
WAYS = (FRAMES, WHOLE, OCTETS)

SUITE.add('5.1', 'ping in two fragments', exchange,
          fragments(PING, TWO), WHOLE, ('close', 1002))
SUITE.add('5.2', 'pong in two fragments', exchange,
          fragments(PONG, TWO), WHOLE, ('close', 1002))
SUITE.add('5.1.first', 'a ping with FIN 0, refused without waiting', exchange,
          [ping(HELLO, fin=0)], WHOLE, ('close', 1002))
SUITE.add('5.2.first', 'a pong with FIN 0, refused without waiting', exchange,
          [frame(PONG, HELLO, fin=0)], WHOLE, ('close', 1002))
SUITE.add('5.close', 'close in two fragments', exchange,
          [close(1000, fin=0), frame(CONT)], WHOLE, ('close', 1002))
for i, how in enumerate(WAYS):
    first, second = fragments(TEXT, TWO)
    SUITE.add('5.%d' % (3 + i), 'text in two fragments, ' + how, exchange,
              [first, second], how, ('text', MESSAGE))
    SUITE.add('5.%d' % (6 + i), 'a ping between two fragments, ' + how,
              exchange, [first, ping(b'between'), second], how,
              ('pong', b'between'), ('text', MESSAGE))
    SUITE.add('5.%d.pong' % (6 + i), 'a pong between two fragments, ' + how,
              exchange, [first, frame(PONG, b'between'), second], how,
              ('text', MESSAGE))
    SUITE.add('5.%d' % (9 + i), 'last fragment without a first, ' + how,
              exchange, [frame(CONT, HELLO), text(HELLO)], how, ('close', 1002))
    SUITE.add('5.%d' % (12 + i), 'middle fragment without a first, ' + how,
              exchange, [frame(CONT, HELLO, fin=0), text(HELLO)], how,
              ('close', 1002))
SUITE.add('5.15', 'text in two fragments, a stray fragment, text', exchange,
          fragments(TEXT, TWO) + [frame(CONT, b'stray', fin=0), text(HELLO)],
          WHOLE, ('text', MESSAGE), ('close', 1002))
SUITE.add('5.16', 'a stray middle fragment, then a text of two', exchange,
          [frame(CONT, b'stray', fin=0)] + fragments(TEXT, TWO), FRAMES,
          ('close', 1002))
SUITE.add('5.17', 'a stray last fragment, then a text of two', exchange,
          [frame(CONT, b'stray')] + fragments(TEXT, TWO), FRAMES,
          ('close', 1002))
SUITE.add('5.18', 'both fragments say text', exchange,
          [frame(TEXT, b'fragment1', fin=0), frame(TEXT, b'fragment2')], WHOLE,
          ('close', 1002))
for opcode in (TEXT, BINARY):
    for fin in (0, 1):
        SUITE.add('5.18.%s.%d' % (NAMES[opcode], fin),
                  'new %s with FIN %d inside a message' % (NAMES[opcode], fin),
                  exchange, [frame(BINARY, b'a', fin=0),
                             frame(opcode, b'', fin=fin)], FRAMES,
                  ('close', 1002))


def five_fragments(ctx, pause):
    """Pings between the fragments; the second half comes after the first pong,
    so the server has to answer in the middle of the message."""
    parts = fragments(TEXT, [b'fragment%d' % i for i in range(1, 6)])
    ws = ctx.connect()
    ws.send(parts[0] + parts[1] + ping(b'one'))
    ws.expect(('pong', b'one'))
    time.sleep(pause)
    ws.send(parts[2] + parts[3] + ping(b'two'))
    ws.expect(('pong', b'two'))
    time.sleep(pause)
    ws.send(parts[4])
    ws.expect(('text', b'fragment1fragment2fragment3fragment4fragment5'))
    ws.finish()


SUITE.add('5.19', 'five fragments with pings between', five_fragments, 0)
SUITE.add('5.20', 'the same with pauses of 1 s', five_fragments, 1.0)


@SUITE.case('5.empty', 'empty fragments around and between')
def _(ctx):
    for opcode in (TEXT, BINARY):
        for parts in ([b'', b''], [b'', b'a'], [b'a', b''],
                      [b'', b'', b'a', b'', b'b', b'']):
            exchange(ctx, fragments(opcode, parts), FRAMES,
                     (NAMES[opcode], b''.join(parts)))


@SUITE.case('5.after', 'a message after a fragmented one starts afresh')
def _(ctx):
    frames = fragments(TEXT, TWO) + [frame(BINARY, RAW)]
    frames += fragments(BINARY, [RAW, RAW]) + [text(HELLO)]
    for how in WAYS:
        exchange(ctx, frames, how, ('text', MESSAGE), ('binary', RAW),
                 ('binary', RAW * 2), ('text', HELLO))
