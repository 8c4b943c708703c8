"""rfc6455_utf8.py: text is UTF-8, and wrong text is refused at the first octet
that cannot be right (RFC 6455 section 8.1; Autobahn group 6).

The sequences are those of Markus Kuhn's "UTF-8 decoder capability and stress
test", as Autobahn sends them.
"""

import time

from tap import Suite
from wsclient import (BINARY, CONT, PAUSE, PONG, TEXT, fragments, frame, ping,
                      pieces_of, text)

SUITE = Suite()
HELLO = 'Hello-µ@ßöäüàá-UTF-8!!'.encode()
KOSME = bytes.fromhex('cebae1bdb9cf83cebcceb5')
# One to four octets per character, and both ends of what there is.
MIXED = 'a\0é€\ud7ff\ue000\ufffd\uffff😀\U0010ffff~'.encode()


def valid(ctx, payload):
    ws = ctx.connect()
    ws.send(text(payload))
    ws.expect(('text', payload))
    ws.finish()


def invalid(ctx, payload):
    ws = ctx.connect()
    ws.send(text(payload))
    ws.expect_end(1007)


def octets(spec):
    """'ed a0 80' as bytes."""
    return bytes.fromhex(spec)


def split_up(*specs):
    return [octets(spec) for spec in specs]


def lonely(values):
    """Each of these octets followed by a space, in one text."""
    return b''.join(bytes([v]) + b' ' for v in values)


# 6.1: nothing. 6.2: valid text in pieces.

for number, parts in ((2, [b'', b'', b'']), (3, [b'', b'middle', b''])):
    @SUITE.case('6.1.%d' % number, '%d octets between empty fragments' %
                len(parts[1]))
    def _(ctx, parts=parts):
        ws = ctx.connect()
        ws.send(b''.join(fragments(TEXT, parts)))
        ws.expect(('text', b''.join(parts)))
        ws.finish()
SUITE.add('6.1.1', 'empty text', valid, b'')
SUITE.add('6.2.1', 'valid text', valid, HELLO)


def fragmented(ctx, parts, chop):
    ws = ctx.connect()
    ws.send(b''.join(fragments(TEXT, parts)), chop=chop)
    ws.expect(('text', b''.join(parts)))
    ws.finish()


SUITE.add('6.2.2', 'valid text, cut between characters', fragmented,
          [HELLO[:13], HELLO[13:]], 0)
SUITE.add('6.2.3', 'valid text, a fragment per octet', fragmented,
          pieces_of(HELLO, 1), 0)
SUITE.add('6.2.4', 'valid text of many kinds, a fragment per octet',
          fragmented, pieces_of(MIXED + KOSME, 1), 0)
SUITE.add('6.2.octets', 'the same, octet by octet', fragmented,
          pieces_of(MIXED + KOSME, 1), 1)
SUITE.add('6.3.1', 'a surrogate within text', invalid,
          KOSME + octets('eda080') + b'edited')


@SUITE.case('6.3.2', 'a surrogate within text, a fragment per octet')
def _(ctx):
    ws = ctx.connect()
    ws.send(b''.join(fragments(TEXT, pieces_of(
        KOSME + octets('eda080') + b'edited', 1))))
    ws.expect_end(1007)


# 6.4: fail fast. The rest of the message is never sent.

def fail_between(ctx, good, bad):
    """Good so far (a pong comes), then a fragment that cannot be."""
    ws = ctx.connect()
    ws.send(frame(TEXT, good, fin=0) + ping(b'still well'))
    ws.expect(('pong', b'still well'))
    ws.send(frame(CONT, bad, fin=0))
    ws.expect_end(1007)


def fail_inside(ctx, good, bad):
    """The same inside of one frame whose end is never sent."""
    ws = ctx.connect()
    whole = text(good + bad + b'never sent')
    head = len(whole) - len(good + bad + b'never sent')
    ws.send(whole[:head + len(good)])
    time.sleep(PAUSE)
    ws.send(whole[head + len(good):head + len(good) + len(bad)])
    ws.expect_end(1007)


SUITE.add('6.4.1', 'beyond U+10FFFF, in a fragment of its own', fail_between,
          KOSME, octets('f4908080'))
SUITE.add('6.4.2', 'F4, then 90, in two fragments', fail_between,
          KOSME + octets('f4'), octets('90'))
SUITE.add('6.4.3', 'beyond U+10FFFF, inside of a frame', fail_inside,
          KOSME, octets('f4908080'))
SUITE.add('6.4.4', 'F4, then 90, inside of a frame', fail_inside,
          KOSME + octets('f4'), octets('90'))

IMPOSSIBLE = [
    ('', '80'), ('', 'bf'), ('', 'c0'), ('', 'c1'), ('', 'f5'), ('', 'f8'),
    ('', 'fc'), ('', 'fe'), ('', 'ff'), ('c2', '20'), ('c2', 'c2'),
    ('df', 'c0'), ('e0', '80'), ('e0', '9f'), ('e0a0', '20'), ('e1', '7f'),
    ('ec80', 'c0'), ('ed', 'a0'), ('ed', 'bf'), ('ed9f', 'c0'), ('ee80', '00'),
    ('ef', 'c0'), ('efbf', '7f'), ('f0', '80'), ('f0', '8f'), ('f090', '41'),
    ('f09080', 'c0'), ('f1', '7f'), ('f380bf', '7f'), ('f4', '90'),
    ('f4', 'bf'), ('f48f', 'c0'), ('f48fbf', '20'),
]
for prefix, bad in IMPOSSIBLE:
    what = '%s after %s' % (bad, prefix or 'a whole character')
    SUITE.add('6.4.between.%s%s' % (prefix, bad), what, fail_between,
              b'ok' + octets(prefix), octets(bad))
    SUITE.add('6.4.inside.%s%s' % (prefix, bad), what + ', inside of a frame',
              fail_inside, b'ok' + octets(prefix), octets(bad))


# 6.5 to 6.23: single messages.

def table(group, check, payloads):
    what = 'valid: ' if check is valid else 'invalid: '
    for number, payload in enumerate(payloads, 1):
        name = payload.hex() if len(payload) < 24 else (
            payload[:10].hex() + '...')
        SUITE.add('6.%s.%d' % (group, number), what + (name or 'empty'), check,
                  payload)


def is_text(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


PREFIXES = [KOSME[:n] for n in range(1, len(KOSME) + 1)]
table('5', valid, [p for p in PREFIXES if is_text(p)])
table('6', invalid, [p for p in PREFIXES if not is_text(p)])
table('7', valid, split_up('00', 'c280', 'e0a080', 'f0908080'))
table('8', invalid, split_up('f888808080', 'fc8480808080'))
table('9', valid, split_up('7f', 'dfbf', 'efbfbf', 'f48fbfbf'))
table('10', invalid, split_up('f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf'))
table('11', valid, split_up('ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf'))
table('11.beyond', invalid, split_up('f4908080'))
table('12', invalid, [octets('80'), octets('bf')] +
      [octets(('80bf' * 3)[:2 * n]) for n in range(2, 7)] +
      [bytes(range(0x80, 0xc0))])
STARTS = (0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xfe)
table('13', invalid, [lonely(range(first, beyond))
                      for first, beyond in zip(STARTS, STARTS[1:])])
CUT = split_up('c0', 'e080', 'f08080', 'f8808080', 'fc80808080', 'df', 'efbf',
               'f7bfbf', 'fbbfbfbf', 'fdbfbfbfbf')
table('14', invalid, CUT)
table('15', invalid, [b''.join(CUT)])
table('16', invalid, split_up('fe', 'ff', 'fefeffff'))
table('17', invalid, split_up('c0af', 'e080af', 'f08080af', 'f8808080af',
                              'fc80808080af'))
table('18', invalid, split_up('c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf',
                              'fc83bfbfbfbf'))
table('19', invalid, split_up('c080', 'e08080', 'f0808080', 'f880808080',
                              'fc8080808080'))
table('20', invalid, split_up('eda080', 'edadbf', 'edae80', 'edafbf', 'edb080',
                              'edbe80', 'edbfbf'))
table('21', invalid, [octets(a + b) for a in ('eda080', 'edadbf', 'edae80',
                                              'edafbf')
                      for b in ('edb080', 'edbfbf')])
# Noncharacters are characters here (Unicode corrigendum 9), in every plane.
table('22', valid, [chr(plane << 16 | last).encode() for plane in range(17)
                    for last in (0xfffe, 0xffff)] +
      [chr(code).encode() for code in (0xfdd0, 0xfdef)])
table('23', valid, [chr(code).encode() for code in range(0xfff9, 0xfffe)])


# Every split point.

@SUITE.case('6.split.fragments', 'valid text, two fragments, every cut')
def _(ctx):
    ws = ctx.connect()
    whole = MIXED + KOSME
    for at in range(len(whole) + 1):
        ws.send(b''.join(fragments(TEXT, [whole[:at], whole[at:]])))
        ws.expect(('text', whole))
    ws.finish()


@SUITE.case('6.split.pong', 'a pong that is not UTF-8 at every cut')
def _(ctx):
    ws = ctx.connect()
    whole = MIXED + KOSME
    for at in range(len(whole) + 1):
        first, last = fragments(TEXT, [whole[:at], whole[at:]])
        ws.send(first + frame(PONG, b'\xff\xc3') + ping(b'\xed\xa0') + last)
        ws.expect(('pong', b'\xed\xa0'), ('text', whole))
    ws.finish()


@SUITE.case('6.split.writes', 'valid text, one frame in two writes, every cut')
def _(ctx):
    ws = ctx.connect()
    whole = text(MIXED + KOSME)
    for at in range(1, len(whole)):
        ws.send(whole[:at])
        time.sleep(PAUSE)
        ws.send(whole[at:])
        ws.expect(('text', MIXED + KOSME))
    ws.finish()


@SUITE.case('6.split.invalid', 'every invalid sequence, two fragments, every '
                               'cut')
def _(ctx):
    payloads = [arguments[0] for _, _, check, arguments in SUITE.cases
                if check is invalid]
    for payload in payloads:
        for at in range(len(payload) + 1):
            ws = ctx.connect()
            ws.send(b''.join(fragments(TEXT, [payload[:at], payload[at:]])))
            ws.expect_end(1007)
            ctx.clients.remove(ws)
            ws.drop()


@SUITE.case('6.long', 'a wrong octet anywhere in 70 of ASCII, one frame')
def _(ctx):
    for at in range(70):
        ws = ctx.connect()
        ws.send(text(b'a' * at + b'\xff' + b'a' * (69 - at)))
        ws.expect_end(1007)
        ctx.clients.remove(ws)
        ws.drop()


@SUITE.case('6.open.empty', 'a character left open by an empty last fragment')
def _(ctx):
    ws = ctx.connect()
    ws.send(b''.join(fragments(TEXT, [b'ok\xc3', b''])))
    ws.expect_end(1007)


@SUITE.case('6.binary', 'binary and control frames need not be UTF-8')
def _(ctx):
    ws = ctx.connect()
    ws.send(text(b'a') + frame(BINARY, b'\xff\xfe') + ping(b'\xff') +
            frame(PONG, b'\xc3') +
            b''.join(fragments(BINARY, [b'\xed', b'\xa0\x80'])) + text(b'b'))
    ws.expect_mixed(('text', b'a'), ('binary', b'\xff\xfe'), ('pong', b'\xff'),
                    ('binary', b'\xed\xa0\x80'), ('text', b'b'))
    ws.finish()


@SUITE.case('6.masked', 'the mask is off before the check, at all four offsets')
def _(ctx):
    ws = ctx.connect()
    for shift in range(4):
        payload = b'x' * shift + MIXED
        ws.send(text(payload, mask=b'\xc0\x80\xff\xed'))
        ws.expect(('text', payload))
    ws.finish()
