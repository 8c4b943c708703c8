"""crowd.py: hundreds of JSON clients (ws_hub.v1) in one thread, on epoll.

Members speak only when told to, and remember what they hear: messages by
channel, gaps, answers. Nothing is waited for without a deadline. Conformance of
single frames is checked elsewhere (wsclient.py); here a frame that is not as it
must be, an error event, or the end of a connection fails the case at once.
"""

import json
import select
import socket
import time

import wsclient
from wsclient import BINARY, CLOSE, CONT, PING, PONG, SUBPROTOCOL, TEXT, Fail

READ = 1 << 18
ZERO_MASK = b'\0\0\0\0'  # the payload goes out as it is, which is quick


def encode(op, **members):
    """A command, framed: it can be sent any number of times."""
    data = json.dumps(dict(op=op, **members)).encode()
    return wsclient.frame(TEXT, data, mask=ZERO_MASK)


class Member:
    """One client. Its answers are handed out by the id of the command."""

    def __init__(self, crowd, server, name):
        self.crowd, self.server, self.name = crowd, server, name
        self.got = {}       # channel: what was published, in order
        self.gaps = {}      # channel: gap events
        self.answers = {}   # id: event
        self.asked = 0
        self.degraded = set()  # channels subscribed with "degraded"
        self.welcome = None
        self.on_message = None  # (channel, data), instead of `got`
        self.on_answer = None   # (event): true if it is to be forgotten
        self.on_error = None    # (event): true if that is all right
        self.inbox, self.outbox = b'', b''
        self.parts = None
        self.upgraded = False
        self.sock = socket.socket(server.family, socket.SOCK_STREAM)
        self.sock.settimeout(wsclient.DEADLINE)
        self.sock.connect(server.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)

    def __str__(self):
        return 'client %s of %s' % (self.name, self.server.name)

    # Out.

    def write(self, data):
        """Octets, now or when there is room."""
        if not self.outbox:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                pass
            except OSError as error:
                raise Fail('%s: %s' % (self, error))
        if data:
            self.outbox += data
            self.crowd.want_room(self)

    def flush(self):
        data, self.outbox = self.outbox, b''
        self.write(data)
        return not self.outbox

    def ask(self, op, **members):
        """Send a command; returns its id, by which the answer comes."""
        self.asked += 1
        self.write(encode(op, id=self.asked, **members))
        return self.asked

    # In.

    def read(self):
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise Fail('%s: %s' % (self, error))
        if not data:
            raise Fail('%s: closed by the server' % self)
        data = self.inbox + data
        at = 0 if self.upgraded else self._upgrade(data)
        while True:
            size, first, payload = next_frame(data, at)
            if not size:
                break
            at += size
            self._frame(first, payload)
        self.inbox = data[at:]

    def _upgrade(self, data):
        end = data.find(b'\r\n\r\n')
        if end < 0:
            return 0
        if not data.startswith(b'HTTP/1.1 101 '):
            raise Fail('%s: refused: %r' % (self, data[:60]))
        self.upgraded = True
        return end + 4

    def _frame(self, first, payload):
        opcode, fin = first & 15, first >> 7
        if opcode == PING:
            self.write(wsclient.frame(PONG, payload))
        elif opcode == CLOSE:
            raise Fail('%s: close %r' % (self, payload))
        elif opcode == CONT and self.parts is not None:
            self.parts.append(payload)
            if fin:
                whole, self.parts = b''.join(self.parts), None
                self._event(json.loads(whole))
        elif opcode == TEXT and self.parts is None:
            if fin:
                self._event(json.loads(payload))
            else:
                self.parts = [payload]
        elif opcode in (CONT, TEXT, BINARY):
            raise Fail('%s: unexpected frame %02x' % (self, first))

    def _event(self, event):
        op = event['op']
        if op == 'message':
            channel, data = event['channel'], event['data']
            if self.on_message:
                self.on_message(channel, data)
            else:
                self.got.setdefault(channel, []).append(data)
        elif op == 'gap':
            self.gaps.setdefault(event['channel'], []).append(event)
        elif op == 'welcome':
            self.welcome = event
        elif op == 'error':
            if not (self.on_error and self.on_error(event)):
                raise Fail('%s: %s' % (self, event))
        else:
            if op == 'subscribed' and event.get('degraded'):
                self.degraded.add(event['channel'])
            if not (self.on_answer and self.on_answer(event)):
                self.answers[event.get('id')] = event


def next_frame(data, at):
    """(size, first octet, payload) of the frame there; size 0: not whole."""
    left = len(data) - at
    if left < 2:
        return 0, 0, b''
    length, head = data[at + 1], 2
    if length == 126:
        head = 4
    elif length == 127:
        head = 10
    elif length > 127:
        raise Fail('a masked frame of the server')
    if head > 2:
        length = int.from_bytes(data[at + 2:at + head], 'big')
    if left < head + length:
        return 0, 0, b''
    return head + length, data[at], data[at + head:at + head + length]


class Crowd:
    def __init__(self):
        self.epoll = select.epoll()
        self.members = {}

    def close(self):
        for member in self.members.values():
            member.sock.close()
        self.members = {}
        self.epoll.close()

    def want_room(self, member):
        self.epoll.modify(member.sock, select.EPOLLIN | select.EPOLLOUT)

    def join(self, server, names):
        """Connect a member for each name, and wait for the welcomes."""
        members = []
        for name in names:
            member = Member(self, server, name)
            self.members[member.sock.fileno()] = member
            self.epoll.register(member.sock, select.EPOLLIN)
            member.write(wsclient.request(Sec_WebSocket_Protocol=SUBPROTOCOL))
            members.append(member)
        self.until(lambda: all(m.welcome for m in members),
                   'not every client got a welcome')
        return members

    def leave(self, members):
        """Closed in an instant, as a crashed client is."""
        for member in members:
            del self.members[member.sock.fileno()]
            member.sock.close()

    def pump(self, seconds):
        """Handle what there is; waits so long if there is nothing."""
        events = self.epoll.poll(seconds)
        for fd, what in events:
            member = self.members.get(fd)
            if not member:
                continue
            if what & ~select.EPOLLOUT:
                member.read()
            if what & select.EPOLLOUT and member.flush():
                self.epoll.modify(fd, select.EPOLLIN)
        return len(events)

    def until(self, condition, what, patience=1.0, every=None):
        """Pump until the condition holds; returns the seconds it took. every:
        called beside it, when nothing came for a moment."""
        begin = time.monotonic()
        end = begin + wsclient.DEADLINE * patience
        while not condition():
            if not self.pump(0.02) and every:
                every()
            if time.monotonic() > end:
                raise Fail(what() if callable(what) else what)
        return time.monotonic() - begin

    def answered(self, questions, what):
        """Wait for answers to (member, id) pairs; returns the events."""
        self.until(lambda: all(ident in member.answers
                               for member, ident in questions), what)
        return [member.answers.pop(ident) for member, ident in questions]

    def ask(self, pairs, op):
        """Each (member, channel) says op, and waits for the answer."""
        return self.answered(
            [(member, member.ask(op, channel=channel))
             for member, channel in pairs], 'no answer to every ' + op)

    def settle(self):
        """Every answer of the hubs to what was sent before has come."""
        self.answered([(member, member.ask('ping'))
                       for member in self.members.values()], 'no pong')
