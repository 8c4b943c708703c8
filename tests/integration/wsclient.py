"""wsclient.py: a WebSocket client that can lie.

Every bit of a frame and every octet of the handshake is the caller's; what the
server sends is checked strictly (RFC 6455 section 5) and kept for the report of
a failing case. Standard library only.

Nothing here waits without a deadline. PAUSE separates writes where a test wants
the server to see separate pieces; whether it does never decides the result.
"""

import base64
import collections
import hashlib
import os
import random
import re
import select
import socket
import struct
import time

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {CONT: 'continuation', TEXT: 'text', BINARY: 'binary', CLOSE: 'close',
         PING: 'ping', PONG: 'pong'}
GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
SUBPROTOCOL = 'ws_hub.v1'

# Slow machines and valgrind: multiply every deadline.
PATIENCE = float(os.environ.get('WSH_TEST_PATIENCE', '1'))
DEADLINE = 20.0 * PATIENCE
PAUSE = 0.001

Frame = collections.namedtuple('Frame', 'fin opcode payload')

rng = random.Random(6455)  # the same masks in every run


class Fail(Exception):
    """The server did not do what it must."""


class Skip(Exception):
    """The case cannot be decided here."""


def short(data, limit=64):
    """Octets for a report."""
    data = bytes(data)
    if len(data) <= limit:
        return repr(data)
    return '%r... (%d octets)' % (data[:limit], len(data))


def apply_mask(data, key):
    """XOR with the repeated key; one big integer, as 16 MiB must be quick."""
    if not data or key == b'\0\0\0\0':
        return bytes(data)
    whole = (key * (len(data) // 4 + 1))[:len(data)]
    mixed = int.from_bytes(data, 'big') ^ int.from_bytes(whole, 'big')
    return mixed.to_bytes(len(data), 'big')


def frame(opcode, payload=b'', fin=1, rsv=0, mask=None, masked=True,
          length=None, form=None):
    """One client frame. length: what is announced, default the truth; form: 7,
    16 or 64 bits of it, default the shortest; mask: default random."""
    if isinstance(payload, str):
        payload = payload.encode()
    if length is None:
        length = len(payload)
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    bit = 0x80 if masked else 0
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if form == 7:
        head += bytes([bit | length])
    elif form == 16:
        head += bytes([bit | 126]) + struct.pack('>H', length)
    else:
        head += bytes([bit | 127]) + struct.pack('>Q', length)
    if not masked:
        return head + payload
    if mask is None:
        mask = struct.pack('>I', rng.getrandbits(32))
    return head + mask + apply_mask(payload, mask)


def text(payload, **how):
    return frame(TEXT, payload, **how)


def ping(payload=b'', **how):
    return frame(PING, payload, **how)


def close(code=None, reason=b'', **how):
    """A close frame; no code: no payload."""
    head = b'' if code is None else struct.pack('>H', code)
    return frame(CLOSE, head + reason, **how)


def fragments(opcode, pieces, last=True):
    """The frames of one message; last=False leaves it open."""
    out = []
    for i, piece in enumerate(pieces):
        fin = 1 if last and i == len(pieces) - 1 else 0
        out.append(frame(CONT if i else opcode, piece, fin=fin))
    return out


def pieces_of(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)] or [data]


def request(target='/', key=b'dGhlIHNhbXBsZSBub25jZQ==', host='localhost',
            extra=(), drop=(), **change):
    """An upgrade request. change: values by name with '_' for '-'; drop: names
    left out; extra: more (name, value) pairs."""
    fields = {'Host': host, 'Upgrade': 'websocket', 'Connection': 'Upgrade',
              'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13'}
    for name, value in change.items():
        fields[name.replace('_', '-')] = value
    lines = [b'GET ' + as_octets(target) + b' HTTP/1.1']
    for name, value in list(fields.items()) + list(extra):
        if name not in drop:
            lines.append(as_octets(name) + b': ' + as_octets(value))
    return b'\r\n'.join(lines) + b'\r\n\r\n'


def as_octets(value):
    return value.encode() if isinstance(value, str) else value


def accept_value(key):
    """Sec-WebSocket-Accept of a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(as_octets(key) + GUID).digest())


class Response:
    """An HTTP answer head."""

    def __init__(self, head):
        lines = head.split(b'\r\n')
        match = re.match(rb'HTTP/1\.1 (\d\d\d) [ -~]*$', lines[0])
        if not match:
            raise Fail('not an HTTP/1.1 status line: ' + short(lines[0]))
        self.status = int(match.group(1))
        self.fields = []
        for line in lines[1:]:
            match = re.match(rb'([!-9;-~]+):[ \t]*(.*?)[ \t]*$', line)
            if not match:
                raise Fail('not a header field: ' + short(line))
            self.fields.append((match.group(1).lower().decode(),
                                match.group(2).decode('latin-1')))

    def all(self, name):
        return [value for n, value in self.fields if n == name.lower()]

    def one(self, name):
        """The value of a field that must not come twice; None if absent."""
        values = self.all(name)
        if len(values) > 1:
            raise Fail('%s came %d times' % (name, len(values)))
        return values[0] if values else None


class Client:
    """One connection. Its story is in `seen`, for reports."""

    def __init__(self, server, rcvbuf=None, deadline=None):
        self.deadline = DEADLINE if deadline is None else deadline
        self.seen = []
        self.inbox = bytearray()
        self.ended = None  # 'eof' or 'reset'
        self.parts = None  # opcode and payloads of the message under way
        self.sent = 0
        self.cut_off = False  # a write met a closed connection
        self.sock = socket.socket(server.family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(self.deadline)
        self.sock.connect(server.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.poll = select.poll()

    # Octets.

    def send(self, data, chop=0, pause=PAUSE, read=True):
        """Send all of it, in pieces of chop octets if given. What arrives
        meanwhile is taken in, so that big echoes cannot lock up both sides.
        Ends early if the server has closed: what it said is what counts."""
        if not chop:
            return self._send(memoryview(data), read)
        for at in range(0, len(data), chop):
            self._send(memoryview(data)[at:at + chop], read)
            if pause:
                time.sleep(pause)

    def _send(self, view, read):
        end = time.monotonic() + self.deadline
        while view and not self.ended:
            try:
                count = self.sock.send(view)
                self.sent += count
                view = view[count:]
                continue
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                self.cut_off = True
                return
            want = select.POLLOUT | (select.POLLIN if read else 0)
            ready = self._wait(want, end, 'the server took no more octets')
            if read and ready & (select.POLLIN | select.POLLHUP):
                self._take(1 << 18)

    def _wait(self, want, end, what):
        self.poll.register(self.sock, want)
        left = max(0, end - time.monotonic())
        ready = self.poll.poll(left * 1000)
        if not ready:
            raise Fail('%s within %g s' % (what, self.deadline))
        return ready[0][1]

    def _take(self, limit):
        try:
            data = self.sock.recv(limit)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.ended = 'reset'
            return
        self.inbox += data
        if not data:
            self.ended = 'eof'

    def fill(self, limit=1 << 18, end=None):
        """Take in more octets; False at the end of the connection."""
        if self.ended:
            return False
        if end is None:
            end = time.monotonic() + self.deadline
        self._wait(select.POLLIN, end, 'nothing (more) came')
        self._take(limit)
        return not self.ended

    def pending(self):
        """Is there anything to read, right now?"""
        self.poll.register(self.sock, select.POLLIN)
        return bool(self.inbox or self.ended or self.poll.poll(0))

    def shut(self):
        """FIN: no more octets from here."""
        self.sock.shutdown(socket.SHUT_WR)

    def vanish(self):
        """RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack('ii', 1, 0))
        self.sock.close()

    def drop(self):
        self.sock.close()

    # HTTP.

    def response(self):
        """Read an answer's head."""
        end = time.monotonic() + self.deadline
        while b'\r\n\r\n' not in self.inbox:
            if len(self.inbox) > 65536 or not self.fill(end=end):
                raise Fail('no HTTP answer: %s, then %s' %
                           (short(self.inbox), self.ended))
        head, _, rest = bytes(self.inbox).partition(b'\r\n\r\n')
        self.seen.append('HTTP ' + short(head, 300))
        self.inbox = bytearray(rest)
        return Response(head)

    def upgrade(self, data=None, **how):
        """Handshake with this request; anything but 101 is a failure."""
        self.send(request(**how) if data is None else data)
        answer = self.response()
        if answer.status != 101:
            raise Fail('the handshake was answered with %d' % answer.status)
        return answer

    # Frames.

    def next_frame(self, limit=1 << 18):
        """The next frame, None at the end of the connection."""
        end = time.monotonic() + self.deadline
        while True:
            size, got = parse_frame(self.inbox)
            if got:
                del self.inbox[:size]
                self._note(got)
                return got
            if not self.fill(limit, end):
                if self.inbox:
                    raise Fail('the connection ended (%s) inside a frame: %s' %
                               (self.ended, short(self.inbox)))
                self.seen.append('end: ' + self.ended)
                return None

    def _note(self, got):
        # A big echo has a thousand frames; both ends of the story will do.
        self.seen.append('%s%s %s' % (NAMES[got.opcode],
                                      '' if got.fin else ' (FIN 0)',
                                      short(got.payload, 120)))
        if len(self.seen) > 60:
            self.seen[30:-20] = ['...']

    def next_event(self):
        """The next whole message or control frame: (kind, octets), ('close',
        code or None, reason) or ('end', how). Pings are answered, not told."""
        while True:
            got = self.next_frame()
            if got is None:
                return ('end', self.ended)
            if got.opcode == PING:
                self.send(frame(PONG, got.payload))
            elif got.opcode == PONG:
                return ('pong', got.payload)
            elif got.opcode == CLOSE:
                return close_event(got.payload)
            elif self._gather(got):
                opcode, parts = self.parts
                self.parts = None
                return (NAMES[opcode], b''.join(parts))

    def _gather(self, got):
        if (got.opcode == CONT) != (self.parts is not None):
            raise Fail('%s frame out of order' % NAMES[got.opcode])
        if self.parts is None:
            self.parts = (got.opcode, [])
        self.parts[1].append(got.payload)
        return got.fin

    def expect(self, *wanted):
        """These events and no others. A close is ('close', code): code may be a
        tuple of codes that will do, None is no code."""
        for want in wanted:
            got = self.next_event()
            if not matches(want, got):
                raise Fail('wanted %s, got %s' %
                           (event_text(want), event_text(got)))

    def expect_mixed(self, *wanted):
        """These messages in this order, these pongs in this order; a pong may
        come before messages that were asked for earlier (section 5.5)."""
        got = [self.next_event() for _ in wanted]
        for pongs in (True, False):
            for want, have in zip(
                    [e for e in wanted if (e[0] == 'pong') == pongs],
                    [e for e in got if (e[0] == 'pong') == pongs] +
                    [('none of these', b'')] * len(wanted)):
                if not matches(want, have):
                    raise Fail('wanted %s, got %s' %
                               (event_text(want), event_text(have)))

    def expect_end(self, code=None):
        """A close frame with that code if given, then the end of the connection
        without any help of ours."""
        if code is not None:
            self.expect(('close', code))
        got = self.next_event()
        if got[0] != 'end':
            raise Fail('wanted the end, got ' + event_text(got))

    def expect_all_taken(self):
        """The server has read on to the end: octets that it leaves unread turn
        its FIN into an RST, which can destroy its last words on their way."""
        for _ in range(20):  # an RST that is behind the FIN
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error or self.cut_off or self.ended == 'reset':
                raise Fail('the server did not read to the end: reset')
            time.sleep(PAUSE)

    def finish(self, code=1000):
        """Close handshake begun here."""
        self.send(close(code))
        self.expect_end(code)

    def idle(self):
        """Nothing may be here to read but pings, which are answered."""
        while self.pending():
            got = self.next_frame()
            if got is None or got.opcode != PING:
                raise Fail('an uninvolved client got %r' % (got,))
            self.send(frame(PONG, got.payload))


def parse_frame(data):
    """(size, Frame) of a whole frame at the start, else (0, None); what section
    5 forbids a server is a failure."""
    if len(data) < 2:
        return 0, None
    fin, rsv, opcode = data[0] >> 7, data[0] >> 4 & 7, data[0] & 15
    masked, length = data[1] >> 7, data[1] & 127
    if rsv or masked or opcode not in NAMES:
        raise Fail('the server sent a bad frame: ' + short(data, 16))
    if opcode >= 8 and (not fin or length > 125):
        raise Fail('the server sent a bad control frame: ' + short(data, 16))
    at = {126: 4, 127: 10}.get(length, 2)
    if len(data) < at:
        return 0, None
    if length >= 126:
        floor = 126 if length == 126 else 65536
        length = int.from_bytes(data[2:at], 'big')
        if length < floor or length >> 63:
            raise Fail('the server sent a bad length: ' + short(data, 16))
    if len(data) < at + length:
        return 0, None
    return at + length, Frame(fin, opcode, bytes(data[at:at + length]))


def close_event(payload):
    if not payload:
        return ('close', None, b'')
    if len(payload) == 1:
        raise Fail('the server sent a close frame of one octet')
    return ('close', struct.unpack('>H', payload[:2])[0], payload[2:])


def matches(want, got):
    if want[0] != got[0]:
        return False
    if want[0] != 'close':
        return want[1] == got[1]
    codes = want[1] if isinstance(want[1], tuple) else (want[1],)
    return got[1] in codes and (len(want) < 3 or want[2] == got[2])


def event_text(event):
    if event[0] == 'end':
        return 'the end (%s)' % event[1]
    if event[0] == 'close':
        return 'close %s' % (event[1:],)
    return '%s %s' % (event[0], short(event[1]))
