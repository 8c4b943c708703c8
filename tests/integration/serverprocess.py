"""serverprocess.py: the server under test: start, look at from outside, end."""

import collections
import os
import re
import signal
import socket
import subprocess
import threading

import wsclient
from wsclient import Fail


# What a server under test never says.
COMPLAINTS = ('runtime error:', 'Sanitizer:', 'accounts do not balance')


class Server:
    """The process under test; it picks its port and says so."""

    def __init__(self, command):
        self.command = command
        self.complaint = None  # of a sanitizer, or about its accounts
        self.output = collections.deque(maxlen=200)
        self.listening = threading.Event()
        self.address = self.family = None
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.listening.wait(wsclient.DEADLINE) or not self.address:
            self.kill()
            raise Fail('%s did not say "listening on ws://HOST:PORT": %s' %
                       (command, list(self.output)))
        self.descriptors_at_start = self.descriptors()

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode('utf-8', 'replace').rstrip()
            self.output.append(line)
            if any(sign in line for sign in COMPLAINTS):
                self.complaint = line
            match = re.search(r'listening on ws://(\[.*\]|[^:/]+):(\d+)', line)
            if match and not self.address:
                self._found(match.group(1).strip('[]'), int(match.group(2)))
        self.listening.set()  # ended: do not let anybody wait

    def _found(self, host, port):
        host = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.family, self.address = found[0], found[4]
        self.listening.set()

    def alive(self):
        return self.process.poll() is None

    def descriptors(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def rss(self):
        """Resident octets."""
        with open('/proc/%d/statm' % self.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def sanitized(self):
        """ASan's shadow is mapped: freed memory stays resident by design."""
        with open('/proc/%d/maps' % self.pid) as maps:
            return any(line.startswith('7fff8000-') or 'libasan' in line
                       for line in maps)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """Exit status, None if it does not end."""
        try:
            status = self.process.wait(wsclient.DEADLINE)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(wsclient.DEADLINE)
        return status

    def stop(self):
        """End it in order: what it says to that is its last word."""
        self.terminate()
        status = self.wait()
        if status != 0 or self.complaint:
            raise Fail('%s, stopped, ended with %s: %s' % (
                self.command, status, self.complaint or list(self.output)[-15:]))

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()
