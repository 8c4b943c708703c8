"""rfc6455_limits.py: large messages, many fragments, many messages (Autobahn
groups 9 and 10), and the server's own limits."""

from tap import Suite
from wsclient import (BINARY, CONT, NAMES, TEXT, Fail, fragments, frame,
                      pieces_of)

SUITE = Suite()
KIB, MIB = 1 << 10, 1 << 20
MAX_FRAGMENTS = 131072  # ws_hub_options.max_fragments
# Characters of one to four octets: cuts at round sizes go through them.
PATTERN = 'Grüße → 10 € 😀 '.encode()


def payload_of(opcode, size):
    """Exactly so many octets, no two neighbouring kilobytes alike."""
    if opcode == TEXT:
        whole = PATTERN * (size // len(PATTERN))
        return whole + b'*' * (size - len(whole))
    step = bytes(range(251))  # a prime: no power of two hides a shift
    return (step * (size // 251 + 1))[:size]


def said(size):
    return '%d MiB' % (size // MIB) if size >= MIB else '%d KiB' % (size // KIB)


def check(got, opcode, payload):
    """As expect(), without printing megabytes."""
    if got[0] != NAMES[opcode]:
        raise Fail('wanted %s, got %s %s' % (NAMES[opcode], got[0],
                                             repr(got[1])[:100]))
    if got[1] == payload:
        return
    at = next((i for i, (a, b) in enumerate(zip(got[1], payload)) if a != b),
              min(len(got[1]), len(payload)))
    raise Fail('echo of %d octets has %d and differs first at %d: %r' %
               (len(payload), len(got[1]), at, got[1][at:at + 32]))


def echoed(ctx, opcode, size, fragment=0, chop=0):
    payload = payload_of(opcode, size)
    frames = fragments(opcode, pieces_of(payload, fragment or size))
    ws = ctx.connect()
    ws.send(b''.join(frames), chop=chop, pause=0)
    check(ws.next_event(), opcode, payload)
    ws.finish()


for group, opcode in enumerate((TEXT, BINARY), 1):
    name = NAMES[opcode]
    for number, size in enumerate((64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB,
                                   16 * MIB), 1):
        SUITE.add('9.%d.%d' % (group, number), '%s of %s' % (name, said(size)),
                  echoed, opcode, size)
    for number, power in enumerate(range(6, 23, 2), 1):
        SUITE.add('9.%d.%d' % (group + 2, number),
                  '%s of 4 MiB in fragments of %d' % (name, 1 << power),
                  echoed, opcode, 4 * MIB, 1 << power)
    for number, power in enumerate(range(6, 12), 1):
        SUITE.add('9.%d.%d' % (group + 4, number),
                  '%s of 1 MiB in chops of %d' % (name, 1 << power),
                  echoed, opcode, MIB, 0, 1 << power)


def round_trips(ctx, opcode, size):
    ws = ctx.connect()
    payload = payload_of(opcode, size)
    for _ in range(1000):
        ws.send(frame(opcode, payload))
        check(ws.next_event(), opcode, payload)
    ws.finish()


for group, opcode in ((7, TEXT), (8, BINARY)):
    for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
        SUITE.add('9.%d.%d' % (group, number),
                  '1000 round trips with %s of %d' % (NAMES[opcode], size),
                  round_trips, opcode, size)


@SUITE.case('9.pipeline', '2000 messages without waiting, echoed in order')
def _(ctx):
    ws = ctx.connect()
    payloads = [b'%d:' % i + b'.' * (i % 200) for i in range(2000)]
    ws.send(b''.join(frame(BINARY, p) for p in payloads))
    for payload in payloads:
        check(ws.next_event(), BINARY, payload)
    ws.finish()


SUITE.add('10.1.1', 'text of 64 KiB in fragments of 1300', echoed, TEXT,
          64 * KIB, 1300)


# The server's limits.

def fragment_count(ctx, count, last):
    """count frames; the last one is announced only after the others."""
    ws = ctx.connect()
    ws.send(frame(BINARY, b'x', fin=0))
    ws.send(frame(CONT, b'', fin=0, mask=b'abcd') * (count - 2))
    ws.send(frame(CONT, b'y', fin=1 if last else 0))
    return ws


@SUITE.case('limit.fragments.most', 'as many fragments as are allowed')
def _(ctx):
    ws = fragment_count(ctx, MAX_FRAGMENTS, True)
    ws.expect(('binary', b'xy'))
    ws.finish()


@SUITE.case('limit.fragments.more', 'one fragment more is refused with 1008')
def _(ctx):
    fragment_count(ctx, MAX_FRAGMENTS + 1, True).expect_end(1008)


@SUITE.case('limit.fragments.open', 'the same for a message without an end')
def _(ctx):
    fragment_count(ctx, MAX_FRAGMENTS + 1, False).expect_end(1008)


HUGE = (('2^30+1', (1 << 30) + 1), ('2^32', 1 << 32), ('2^62', 1 << 62),
        ('2^63-1', (1 << 63) - 1))
for name, length in HUGE:
    for opcode in (TEXT, BINARY):
        @SUITE.case('limit.length.%s.%s' % (NAMES[opcode], name),
                    '%s of %s octets is refused at its header' %
                    (NAMES[opcode], name))
        def _(ctx, opcode=opcode, length=length):
            ws = ctx.connect()
            ws.send(frame(opcode, b'', length=length))
            ws.expect_end(1009)

    @SUITE.case('limit.length.sum.%s' % name,
                'a fragment that brings the message to %s more' % name)
    def _(ctx, length=length):
        ws = ctx.connect()
        ws.send(frame(BINARY, b'first', fin=0) +
                frame(CONT, b'', length=length))
        ws.expect_end(1009)


@SUITE.case('limit.memory', 'announcing is not having: no memory for a header')
def _(ctx):
    before = ctx.server.rss()
    for _ in range(20):
        ws = ctx.connect()
        ws.send(frame(BINARY, b'', length=32 * MIB))
        ws.send(b'only the first octets')
    # All are read when a later connection has been served.
    ws = ctx.connect()
    ws.send(frame(TEXT, b'after'))
    ws.expect(('text', b'after'))
    grown = ctx.server.rss() - before
    if grown > 64 * MIB:
        raise Fail('20 headers of 32 MiB made the server %d MiB larger' %
                   (grown // MIB))
