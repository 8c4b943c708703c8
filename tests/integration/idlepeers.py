#!/usr/bin/env python3
"""idlepeers.py: many clients that do nothing but answer pings, a process of its
own, driven by lines on stdin; each is answered by one line of JSON.

    connect HOST PORT COUNT   all of them, with their handshakes
    say                       each sends a frame (a pong) at the same moment;
                              times count from here
    report                    how many are open, how many pings came, and when:
                              a list of seconds
"""

import json
import os
import select
import socket
import sys
import time

from wsclient import PONG, frame, request

WINDOW = 200  # handshakes under way


class Peer:
    def __init__(self, family, address):
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.connect(address)
        self.sock.sendall(request('/idle'))
        self.sock.setblocking(False)
        self.inbox = b''
        self.joined = False

    def take(self):
        """Pings that came; None at the end of the connection."""
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return 0
        except OSError:
            return None
        if not data:
            return None
        self.inbox += data
        if not self.joined:
            head, found, rest = self.inbox.partition(b'\r\n\r\n')
            if not found:
                return 0
            assert head.startswith(b'HTTP/1.1 101 '), head
            self.joined, self.inbox = True, rest
        pings = 0
        while len(self.inbox) >= 2:
            assert self.inbox[1] == 0, self.inbox[:16]  # empty control frames
            pings += self.inbox[0] == 0x89
            self.inbox = self.inbox[2:]
        return pings


class Crowd:
    def __init__(self):
        self.epoll = select.epoll()
        self.peers = {}
        self.closed = 0
        self.times = []
        self.began = time.monotonic()
        self.pong = frame(PONG, b'')

    def turn(self, seconds):
        for fd, _ in self.epoll.poll(seconds):
            if fd == 0:
                return True
            pings = self.peers[fd].take()
            if pings is None:
                self.epoll.unregister(fd)
                self.peers.pop(fd).sock.close()
                self.closed += 1
            elif pings:
                self.times += [time.monotonic() - self.began] * pings
                self.peers[fd].sock.send(self.pong)
        return False

    def joined(self):
        return sum(peer.joined for peer in self.peers.values())

    def connect(self, host, port, count):
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        begun = len(self.peers)
        for i in range(int(count)):
            peer = Peer(found[0], found[4])
            self.peers[peer.sock.fileno()] = peer
            self.epoll.register(peer.sock.fileno(), select.EPOLLIN)
            while i % WINDOW == 0 and self.joined() < begun + i - WINDOW:
                self.turn(0.1)
        while self.joined() < len(self.peers):
            self.turn(0.1)
        return {'open': len(self.peers)}

    def say(self):
        self.times = []
        self.began = time.monotonic()
        for peer in self.peers.values():
            peer.sock.send(self.pong)
        return {'seconds': time.monotonic() - self.began}

    def report(self):
        return {'open': len(self.peers), 'closed': self.closed,
                'pings': len(self.times), 'times': self.times}


def lines(crowd):
    """Lines of stdin, while the crowd lives on."""
    crowd.epoll.register(0, select.EPOLLIN)
    rest = b''
    while True:
        if not crowd.turn(1):
            continue
        data = os.read(0, 4096)
        if not data:
            return
        rest += data
        *whole, rest = rest.split(b'\n')
        yield from whole


def main():
    crowd = Crowd()
    print(json.dumps({'begun': os.getpid()}), flush=True)
    for line in lines(crowd):
        verb, *words = line.decode().split()
        print(json.dumps(getattr(crowd, verb)(*words)), flush=True)


if __name__ == '__main__':
    sys.exit(main())
