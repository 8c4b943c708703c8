"""rfc6455_beyond.py: what the Autobahn suite does not try: masks, forms of the
length, control frames inside of echoes, peers that vanish, the server's end."""

import time

import tap
from tap import Suite
from wsclient import (BINARY, CLOSE, CONT, NAMES, PAUSE, PING, PONG, TEXT, Fail,
                      Frame, close, fragments, frame, ping, request, text)

SUITE = Suite()
HELLO = b'Hello, world!'
MIB = 1 << 20


def refused(ctx, frames, code, *before):
    ws = ctx.connect()
    ws.send(b''.join(frames))
    ws.expect(*before, ('close', code))
    ws.expect_end()


# Masks (section 5.1 and 5.3).

for opcode in NAMES:
    first = [frame(TEXT, b'a', fin=0)] if opcode == CONT else []
    for payload in (b'', b'\x03\xe8' if opcode == CLOSE else HELLO):
        SUITE.add('mask.none.%s.%d' % (NAMES[opcode], len(payload)),
                  '%s of %d octets without a mask' % (NAMES[opcode],
                                                      len(payload)),
                  refused, first + [frame(opcode, payload, masked=False)], 1002)
SUITE.add('mask.none.later', 'the second frame has no mask', refused,
          [text(HELLO), text(HELLO, masked=False)], 1002, ('text', HELLO))
SUITE.add('mask.none.long', 'no mask, refused at the header', refused,
          [frame(BINARY, b'', length=65536, masked=False)], 1002)


@SUITE.case('mask.keys', 'mask keys of all kinds, 0 among them')
def _(ctx):
    ws = ctx.connect()
    payload = bytes(range(256)) * 3
    for key in (b'\0\0\0\0', b'\xff' * 4, b'\0\0\0\1', b'\x80\0\0\0', b'Hell'):
        for size in (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65, 768):
            ws.send(frame(BINARY, payload[:size], mask=key))
            ws.expect(('binary', payload[:size]))
        ws.send(ping(payload[:125], mask=key))
        ws.expect(('pong', payload[:125]))
    ws.finish()


@SUITE.case('mask.offsets', 'frames of 1 to 40 octets cut at every octet')
def _(ctx):
    # The mask's phase has to survive every cut.
    ws = ctx.connect()
    payload = bytes(range(1, 41))
    for size in (1, 3, 8, 40):
        whole = frame(BINARY, payload[:size])
        for at in range(1, len(whole)):
            ws.send(whole[:at])
            time.sleep(PAUSE)
            ws.send(whole[at:])
            ws.expect(('binary', payload[:size]))
    ws.finish()


# Lengths (section 5.2: "the minimal number of bytes MUST be used").

for opcode in (TEXT, BINARY, CONT):
    first = [frame(TEXT, b'a', fin=0)] if opcode == CONT else []
    for form, sizes in ((16, (0, 1, 125)), (64, (0, 125, 126, 65535))):
        for size in sizes:
            SUITE.add('length.%s.%d.%d' % (NAMES[opcode], form, size),
                      '%s of %d octets with a length of %d bits' %
                      (NAMES[opcode], size, form), refused,
                      first + [frame(opcode, b'a' * size, form=form)], 1002)
for opcode in (PING, PONG, CLOSE):
    for form in (16, 64):
        SUITE.add('length.%s.%d' % (NAMES[opcode], form),
                  '%s of 2 octets with a length of %d bits' % (NAMES[opcode],
                                                               form),
                  refused, [frame(opcode, b'\x03\xe8', form=form)], 1002)
for opcode in (TEXT, BINARY):
    for length in (1 << 63, (1 << 64) - 1, 1 << 63 | 5):
        SUITE.add('length.%s.%x' % (NAMES[opcode], length),
                  '%s with a length of %#x' % (NAMES[opcode], length),
                  refused, [frame(opcode, HELLO, length=length)], 1002)


@SUITE.case('length.edges', 'each form of the length at its ends')
def _(ctx):
    ws = ctx.connect()
    for size in (0, 1, 125, 126, 127, 65534, 65535, 65536, 65537):
        payload = b'\xaa' * size
        ws.send(frame(BINARY, payload))
        ws.expect(('binary', payload))
    ws.finish()


# Control frames inside of what the server sends.

@SUITE.case('interleave.pong', 'a pong comes inside of a 16 MiB echo')
def _(ctx):
    ws = ctx.connect(rcvbuf=65536)
    big = bytes(range(251)) * (16 * MIB // 251)
    ws.send(frame(BINARY, big), read=False)
    first = ws.next_frame(limit=16384)
    if first.fin:
        raise Fail('the echo came as one frame: no pong can come inside')
    ws.send(ping(b'now'), read=False)
    parts, pongs = [first.payload], 0
    while True:
        got = ws.next_frame(limit=65536)
        if got == Frame(1, PONG, b'now'):
            pongs += 1
            continue
        if not got or got.opcode != CONT:
            raise Fail('wanted a fragment of the echo, got %.80r' % (got,))
        parts.append(got.payload)
        if got.fin:
            break
        if not pongs:
            time.sleep(PAUSE)
    if b''.join(parts) != big:
        raise Fail('the echo is not what was sent')
    if pongs != 1:
        raise Fail('%d pongs came inside of the echo' % pongs)
    ws.finish()


@SUITE.case('interleave.order', 'messages keep their order around a large one')
def _(ctx):
    ws = ctx.connect(rcvbuf=65536)
    big = b'\xab' * (8 * MIB)
    ws.send(text(b'before') + frame(BINARY, big) + text(b'after'))
    ws.expect(('text', b'before'), ('binary', big), ('text', b'after'))
    ws.finish()


# Peers that vanish.

def well(ctx, ws):
    ws.send(text(HELLO))
    ws.expect(('text', HELLO))


STAGES = [('in the request', request()[:40], False)]
STAGES += [(name, part, True) for name, part in (
    ('after the handshake', b''),
    ('after one octet', frame(BINARY, HELLO)[:1]),
    ('in the length', frame(BINARY, b'', length=65536)[:5]),
    ('in the mask', frame(BINARY, HELLO)[:4]),
    ('in the payload', frame(BINARY, HELLO)[:10]),
    ('in a large payload', frame(BINARY, b'x' * 100000, length=MIB)),
    ('between fragments', frame(TEXT, HELLO, fin=0)),
    ('in a control frame in a message', frame(TEXT, HELLO, fin=0) +
     ping(HELLO)[:8]),
    ('in a close frame', close(1000)[:7]),
    ('with an echo under way', frame(BINARY, b'x' * (4 * MIB))))]


def gone(ctx, part, upgraded, how):
    """Five peers go; a bystander notices nothing, nothing stays open."""
    bystander = ctx.connect()
    well(ctx, bystander)
    base = ctx.server.descriptors()
    for _ in range(5):
        ws = ctx.connect() if upgraded else ctx.tcp()
        ws.send(part, read=False)
        if how == 'RST':
            ws.vanish()
        else:
            ws.drop()
        well(ctx, bystander)
    tap.until(lambda: ctx.server.descriptors() <= base,
              'the server keeps the sockets of peers that are gone')
    bystander.finish()


for number, (name, part, upgraded) in enumerate(STAGES, 1):
    for how in ('RST', 'FIN'):
        SUITE.add('gone.%d.%s' % (number, how), 'peers go with %s %s' %
                  (how, name), gone, part, upgraded, how)


@SUITE.case('gone.half', 'after the FIN of a client the server closes, too')
def _(ctx):
    for part in (b'', frame(BINARY, HELLO)[:10], frame(TEXT, HELLO, fin=0)):
        ws = ctx.connect()
        ws.send(part)
        ws.shut()
        event = ws.next_event()
        while event[0] == 'close':
            event = ws.next_event()
        if event[0] != 'end':
            raise Fail('wanted the end, got %r' % (event,))


# Cases of one connection must not reach another.

@SUITE.case('apart', 'one client breaks every rule, the other notices nothing')
def _(ctx):
    bystander = ctx.connect()
    for bad in (text(HELLO, rsv=1), text(b'\xff'), frame(3), frame(CONT),
                ping(b'x' * 126), text(HELLO, masked=False), close(1005),
                frame(BINARY, b'', length=1 << 62), close(1000, b'\xff')):
        ws = ctx.connect()
        ws.send(bad)
        while ws.next_event()[0] != 'end':
            pass
        well(ctx, bystander)
    bystander.finish()


@SUITE.case('many', '200 clients at once, each with its own messages')
def _(ctx):
    clients = [ctx.connect() for _ in range(200)]
    for turn in range(5):
        for i, ws in enumerate(clients):
            ws.send(text(b'%d of %d' % (turn, i)))
        for i, ws in enumerate(clients):
            ws.expect(('text', b'%d of %d' % (turn, i)))
    for ws in clients:
        ws.finish()


# The end of the server.

SUITE.add('end.descriptors', 'nothing is left open after all of this',
          tap.descriptors_come_back)


@SUITE.case('end.stop', 'SIGTERM: clients get 1001, the server ends with 0')
def stop(ctx):
    clients = [ctx.connect() for _ in range(3)]
    clients[1].send(frame(TEXT, HELLO, fin=0))
    clients[2].send(text(HELLO))
    clients[2].expect(('text', HELLO))
    ctx.server.terminate()
    for ws in clients:
        ws.expect(('close', 1001))
        ws.send(close(1001))
        ws.expect_end()
    status = ctx.server.wait()
    if status != 0:
        raise Fail('the server ended with status %s' % status)


stop.ends_server = True
