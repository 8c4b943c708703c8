#!/usr/bin/env python3
"""floods.py: clients that do too much of one thing, a process of its own.

usage: floods.py KIND HOST PORT [--seconds N] [--clients N] [--again]

Runs against the example relay; all clients are on the channel /flood. Ends when
every client has been shown out (with --again: they come back at once) or the
time is over, and prints one JSON object: octets sent, connections made, and how
they ended: by close code, HTTP status, "end" (neither) or "left" (still there).
"""

import argparse
import collections
import errno
import json
import select
import socket
import sys
import time

from wsclient import SUBPROTOCOL, TEXT, CONT, close, frame, ping, request, text
from wsclient import PONG

NO_MASK = b'\0\0\0\0'
RCVBUF = 4096
# As much of what came as tells how it ended.
TAIL = 4096


def times(data, size=1 << 16):
    return data * (size // len(data))


def said(op, channel):
    command = json.dumps({'op': op, 'channel': channel})
    return text(command, mask=NO_MASK)


class Kind:
    """What a client sends: `first`, then `rest` again and again."""

    def __init__(self, rest, first=b'', subprotocol=None, reads=True, chop=0,
                 upgrade=True, rcvbuf=None):
        self.first, self.rest, self.subprotocol = first, rest, subprotocol
        self.reads, self.chop, self.upgrade = reads, chop, upgrade
        self.rcvbuf = rcvbuf

    def head(self):
        if not self.upgrade:
            return request('/flood')[:-2] + b'X-Never: ends'
        offer = {}
        if self.subprotocol:
            offer['Sec_WebSocket_Protocol'] = self.subprotocol
        return request('/flood', **offer)


# Channels in turn, so that each is made and forgotten again.
CHURN = b''.join(said('subscribe', 'flood%d' % i) +
                 said('unsubscribe', 'flood%d' % i) for i in range(100))

KINDS = {
    'ping': Kind(times(ping(b'', mask=NO_MASK))),
    'pong': Kind(times(frame(PONG, b'', mask=NO_MASK))),
    'close': Kind(times(close(1000, mask=NO_MASK))),
    'subscribe': Kind(times(CHURN, 1 << 17), subprotocol=SUBPROTOCOL),
    'publish': Kind(times(text(b'0123456789', mask=NO_MASK))),
    'fragments': Kind(times(frame(CONT, b'', fin=0, mask=NO_MASK)),
                      first=frame(TEXT, b'', fin=0, mask=NO_MASK)),
    'dribble': Kind(text(b'octet by octet', mask=NO_MASK), chop=1),
    'never-reads': Kind(times(text(b'x' * 1000, mask=NO_MASK)), reads=False,
                        rcvbuf=RCVBUF),
    'deaf': Kind(b'', reads=False, rcvbuf=RCVBUF),
    'handshakes': Kind(b'', upgrade=False),
}


class Flooder:
    def __init__(self, kind, address, family, source):
        self.kind, self.address, self.family = kind, address, family
        self.source = source
        self.octets = self.made = 0
        self.ends = collections.Counter()
        self.sock = None

    def begin(self):
        self.sock = socket.socket(self.family, socket.SOCK_STREAM)
        if self.kind.rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                 self.kind.rcvbuf)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.source:
            self.sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # port at connect
            self.sock.bind((self.source, 0))
        self.sock.connect(self.address)
        self.sock.setblocking(False)
        self.tail = b''
        self.out = memoryview(self.kind.head() + self.kind.first)
        self.made += 1

    def events(self):
        out = select.EPOLLOUT if self.out else 0
        return out | (select.EPOLLIN if self.kind.reads else select.EPOLLRDHUP)

    def write(self):
        chop = self.kind.chop or len(self.out)
        try:
            count = self.sock.send(self.out[:chop])
        except BlockingIOError:
            return
        except OSError:  # it has been shown out: reading tells how
            self.out = memoryview(b'')
            return
        self.octets += count
        self.out = self.out[count:]
        if not self.out:
            self.out = memoryview(self.kind.rest)

    def read(self):
        """False at the end of the connection."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.tail = (self.tail + data)[-TAIL:]
        return bool(data)

    def end(self):
        self.ends[self.ending()] += 1
        self.sock.close()
        self.sock = None

    def ending(self):
        if self.tail[-4:-2] == b'\x88\x02':
            return str(int.from_bytes(self.tail[-2:], 'big'))
        if self.tail.startswith(b'HTTP/1.1 ') and self.tail[9:12] != b'101':
            return self.tail[9:12].decode()
        return 'end'


class Flood:
    def __init__(self, kind, address, family, clients, again):
        self.epoll = select.epoll()
        self.again = again
        self.by_fd = {}
        # A source address has 28 000 ports.
        self.idle = [Flooder(kind, address, family,
                             '127.0.1.%d' % (i // 10000 + 1)
                             if address[0] == '127.0.0.1' else None)
                     for i in range(clients)]
        self.all = list(self.idle)

    def begin(self):
        """A few at a time, so that those who are there go on."""
        for _ in range(min(64, len(self.idle))):
            flooder = self.idle.pop()
            try:
                flooder.begin()
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.ECONNRESET,
                                       errno.EADDRNOTAVAIL):
                    raise
                flooder.ends['refused'] += 1
                self.idle.append(flooder)
                return
            self.by_fd[flooder.sock.fileno()] = flooder
            self.epoll.register(flooder.sock.fileno(), flooder.events())

    def turn(self):
        self.begin()
        for fd, events in self.epoll.poll(0.05 if not self.idle else 0):
            flooder = self.by_fd[fd]
            alive = True
            if events & select.EPOLLIN:
                alive = flooder.read()
            elif events & (select.EPOLLRDHUP | select.EPOLLHUP |
                           select.EPOLLERR):
                # It does not read, but is gone: now it may look.
                while flooder.read():
                    pass
                alive = False
            if alive and events & select.EPOLLOUT:
                flooder.write()
            if alive:
                self.epoll.modify(fd, flooder.events())
            else:
                self.leave(fd, flooder)

    def leave(self, fd, flooder):
        self.epoll.unregister(fd)
        del self.by_fd[fd]
        flooder.end()
        if self.again:
            self.idle.append(flooder)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self.by_fd or self.idle):
            self.turn()

    def report(self):
        ends = collections.Counter()
        for flooder in self.all:
            ends.update(flooder.ends)
        if self.by_fd:
            ends['left'] = len(self.by_fd)
        return {'octets': sum(f.octets for f in self.all),
                'connections': sum(f.made for f in self.all),
                'ends': dict(ends)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('kind', choices=sorted(KINDS))
    parser.add_argument('host')
    parser.add_argument('port', type=int)
    parser.add_argument('--seconds', type=float, default=5)
    parser.add_argument('--clients', type=int, default=1)
    parser.add_argument('--again', action='store_true')
    options = parser.parse_args()
    family, _, _, _, address = socket.getaddrinfo(
        options.host, options.port, type=socket.SOCK_STREAM)[0]
    flood = Flood(KINDS[options.kind], address, family, options.clients,
                  options.again)
    print('begun', flush=True)
    flood.run(options.seconds)
    json.dump(flood.report(), sys.stdout)
    print(flush=True)


if __name__ == '__main__':
    main()
