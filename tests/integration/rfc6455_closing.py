"""rfc6455_closing.py: the end of a connection (RFC 6455 sections 5.5.1 and 7;
Autobahn group 7)."""

import time

from tap import Suite
from wsclient import (CLOSE, PAUSE, PATIENCE, TEXT, Fail, close, fragments,
                      frame, ping, text)

SUITE = Suite()
HELLO = b'Hello World!'
LARGE = b'BAsd7&jh23' * 26215  # 256 KiB and a little
# A close without a code may be answered with none or with 1000.
PLAIN = (None, 1000)


def conversation(ctx, frames, *events):
    """Send frames in one write, get these events and the end."""
    ws = ctx.connect()
    ws.send(b''.join(frames))
    ws.expect(*events)
    ws.expect_end()


SUITE.add('7.1.1', 'text, then close', conversation,
          [text(HELLO), close(1000)], ('text', HELLO), ('close', 1000))
SUITE.add('7.1.2', 'two close frames', conversation,
          [close(1000), close(1000)], ('close', 1000))
SUITE.add('7.1.3', 'a ping after close is not answered', conversation,
          [close(1000), ping(b'late')], ('close', 1000))
SUITE.add('7.1.4', 'a text after close is not answered', conversation,
          [close(1000), text(HELLO)], ('close', 1000))
SUITE.add('7.1.5', 'close inside of a message', conversation,
          [frame(TEXT, b'fragment1', fin=0), close(1000),
           frame(0, b'fragment2')], ('close', 1000))
SUITE.add('7.1.6', 'a large text, a text, close, ping', conversation,
          [text(LARGE), text(HELLO), close(1000), ping()],
          ('text', LARGE), ('text', HELLO), ('close', 1000))
SUITE.add('7.1.bad', 'garbage after close changes nothing', conversation,
          [close(1000), text(HELLO, rsv=7), b'\xff' * 40], ('close', 1000))


@SUITE.case('7.1.later', 'frames in writes of their own after close')
def _(ctx):
    ws = ctx.connect()
    ws.send(close(1000))
    ws.expect(('close', 1000))
    for late in (text(HELLO), ping(b'late'), close(1000)):
        ws.send(late)
        time.sleep(PAUSE)
    ws.expect_end()


def opened_by(payload, want, reason=None):
    """A close frame with this payload gets that code."""
    def run(ctx):
        ws = ctx.connect()
        ws.send(frame(CLOSE, payload))
        ws.expect(('close', want) if reason is None else
                  ('close', want, reason))
        ws.expect_end()
    return run


def coded(code, reason=b''):
    return code.to_bytes(2, 'big') + reason


CENT = ('€' * 41).encode()  # 123 octets
for number, title, payload, want in (
        ('7.3.1', 'no payload', b'', PLAIN),
        ('7.3.2', 'a payload of one octet', b'a', 1002),
        ('7.3.3', 'a code', coded(1000), 1000),
        ('7.3.4', 'a code and a reason', coded(1000, b'Hello World!'), 1000),
        ('7.3.5', 'a reason of 123 octets', coded(1000, b'*' * 123), 1000),
        ('7.3.5.utf8', 'a reason of 41 euro signs', coded(1000, CENT), 1000),
        ('7.3.6', 'a reason of 124 octets', coded(1000, b'*' * 124), 1002),
        ('7.3.6.long', 'a payload of 65536 octets', coded(1000, b'*' * 65534),
         1002)):
    SUITE.add(number, 'close with ' + title, opened_by(payload, want))


@SUITE.case('7.3.octets', 'close with a code and a reason, octet by octet')
def _(ctx):
    ws = ctx.connect()
    ws.send(close(3000, CENT), chop=1)
    ws.expect_end(3000)


# 7.5: reasons are UTF-8. 1007 is right, and so is a dropped connection.

@SUITE.case('7.5.1', 'a reason that is not UTF-8')
def _(ctx):
    for bad in (b'\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80e',
                b'\xff', b'ok\xc3', b'\xc0\x80', b'\xf4\x90\x80\x80'):
        ws = ctx.connect()
        ws.send(close(1000, bad))
        got = ws.next_event()
        if got[0] == 'close':
            if got[1] != 1007:
                raise Fail('wanted 1007 or the end, got %r' % (got,))
            ws.expect_end()
        elif got[0] != 'end':
            raise Fail('wanted 1007 or the end, got %r' % (got,))


# 7.7, 7.9, 7.13: codes. Valid ones are given back as they came.

VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000,
         4999, 1012, 1013, 1014)
INVALID = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
for number, code in enumerate(VALID, 1):
    SUITE.add('7.7.%d' % number, 'code %d is given back' % code,
              opened_by(coded(code), code))
    SUITE.add('7.7.%d.reason' % number, 'code %d with a reason' % code,
              opened_by(coded(code, b'because'), code))
for number, code in enumerate(INVALID, 1):
    SUITE.add('7.9.%d' % number, 'code %d is refused' % code,
              opened_by(coded(code), 1002))
    SUITE.add('7.9.%d.reason' % number, 'code %d with a reason' % code,
              opened_by(coded(code, b'because'), 1002))


@SUITE.case('7.9.all', 'codes of all hundreds')
def _(ctx):
    for code in range(50, 65536, 100):
        ws = ctx.connect()
        ws.send(close(code))
        ws.expect_end(code if 3000 <= code < 5000 else 1002)
        ctx.clients.remove(ws)
        ws.drop()


# Beyond Autobahn.

# Under the server's close timeout of 5 s: that must not be what ends it.
PROMPT = 3.0 * PATIENCE


def prompt(ctx, frames, code):
    """The server closes TCP by itself and at once, with FIN, not RST."""
    ws = ctx.connect()
    ws.send(b''.join(frames))
    ws.expect(('close', code))
    ws.deadline = PROMPT
    ws.expect_end()
    ws.expect_all_taken()


SUITE.add('close.prompt', 'TCP is closed at once after the close handshake',
          prompt, [close(1000)], 1000)
SUITE.add('close.prompt.open', 'the same inside of a message', prompt,
          fragments(TEXT, [b'a', b'b'], last=False) + [close(1001)], 1001)
SUITE.add('close.prompt.1002', 'TCP is closed at once after a protocol error',
          prompt, [text(HELLO, rsv=1)], 1002)
SUITE.add('close.prompt.1007', 'TCP is closed at once after wrong UTF-8',
          prompt, [text(b'\xff')], 1007)


def still_sending(ctx, bad, code):
    """The close frame arrives safely although the client has more to say."""
    ws = ctx.connect()
    ws.send(bad + b'\x82' * (1 << 20), read=False)
    ws.expect_end(code)
    ws.expect_all_taken()


SUITE.add('close.flood.1002', '1 MiB behind a protocol error', still_sending,
          text(HELLO, rsv=1), 1002)
SUITE.add('close.flood.1007', '1 MiB behind wrong UTF-8', still_sending,
          text(b'\xff'), 1007)
SUITE.add('close.flood.1000', '1 MiB behind a close', still_sending,
          close(1000), 1000)


@SUITE.case('close.masks', 'a close frame under 50 masks')
def _(ctx):
    for i in range(50):
        ws = ctx.connect()
        ws.send(close(3000 + i, b'reason'))
        ws.expect_end(3000 + i)


@SUITE.case('close.echo', 'everything that is queued comes before the close')
def _(ctx):
    big = bytes(range(256)) * (4 << 12)
    ws = ctx.connect(rcvbuf=65536)
    ws.send(frame(2, big) + close(1000), read=False)
    time.sleep(PAUSE)
    ws.expect(('binary', big), ('close', 1000))
    ws.expect_end()
