"""redisserver.py: real redis-server processes of a test's own: a free port and
a unix socket each, a directory that is removed, a small RESP client. Standard
library only. Everything that is started is ended by its process id.

The unix socket is the test's own way in: it goes on working when the network
between the hub and Redis is broken on purpose.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import wsclient
from wsclient import Fail

# What the hub subscribes to for its own use (probes) begins so.
SERVICE = b'$ws_hub.'


class RedisError(Exception):
    """An error reply."""


def free_port():
    """A port that nobody listens on, outside of the range that the kernel gives
    to outgoing connections: it is still free when a server is started again."""
    with open('/proc/sys/net/ipv4/ip_local_port_range') as ports:
        low = int(ports.read().split()[0])
    for _ in range(200):
        # Room above it: a cluster node's bus has its port plus 10000.
        port = random.SystemRandom().randrange(2000, max(low - 10000, 12000))
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(('127.0.0.1', number))
        except OSError:
            continue
        return port
    raise Fail('no free port')


class Resp:
    """A blocking connection with a deadline; replies are octets, integers,
    None, lists, and RedisError objects inside of lists and pipelines."""

    def __init__(self, address, password=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(wsclient.DEADLINE)
        self.inbox = b''
        self.at = 0
        try:
            self.sock.connect(address)
            if password:
                self.call('AUTH', password)
        except BaseException:
            self.sock.close()
            raise

    def close(self):
        self.sock.close()

    def send(self, *words):
        self.sock.sendall(encode(words))

    def call(self, *words):
        self.send(*words)
        reply = self.read()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipeline(self, commands):
        """All of them in one write, then all replies."""
        commands = list(commands)
        self.sock.sendall(b''.join(encode(words) for words in commands))
        return [self.read() for _ in commands]

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b'+':
            return rest
        if kind == b'-':
            return RedisError(rest.decode('utf-8', 'replace'))
        if kind == b':':
            return int(rest)
        if kind == b'$':
            return self._bulk(int(rest))
        if kind == b'*':
            count = int(rest)
            return None if count < 0 else [self.read() for _ in range(count)]
        raise Fail('not a reply of Redis: %r' % line[:80])

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError('Redis closed the connection')
        self.inbox = self.inbox[self.at:] + data
        self.at = 0

    def _line(self):
        while True:
            end = self.inbox.find(b'\r\n', self.at)
            if end >= 0:
                line = self.inbox[self.at:end]
                self.at = end + 2
                return line
            self._more()

    def _bulk(self, size):
        if size < 0:
            return None
        while len(self.inbox) - self.at < size + 2:
            self._more()
        data = self.inbox[self.at:self.at + size]
        self.at += size + 2
        return data


def encode(words):
    out = [b'*%d\r\n' % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        out.append(b'$%d\r\n%s\r\n' % (len(word), word))
    return b''.join(out)


class Redis:
    """One redis-server. options: directives by name with '_' for '-'."""

    def __init__(self, password=None, **options):
        self.process = self.control = None
        self.password = password
        self.stopped = False
        # Not below TMPDIR: the name of a unix socket has 107 bytes at most.
        self.directory = tempfile.mkdtemp(prefix='wsh-', dir='/tmp')
        self.socket = os.path.join(self.directory, 'socket')
        self.options = options
        self.port = None
        try:
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise

    def _start_on_free_port(self):
        for attempt in range(5):
            self.port = free_port()
            try:
                return self.start()
            except Fail:  # somebody else was quicker
                if attempt == 4:
                    raise

    def url(self, password=None):
        password = password or self.password
        return 'redis://%s127.0.0.1:%d' % (
            ':%s@' % password if password else '', self.port)

    def unix_url(self):
        return 'redis+unix://' + self.socket

    def start(self, wait=True, **more):
        """Start it (again), on the same port. more: options of this time."""
        command = ['redis-server', '--bind', '127.0.0.1',
                   '--port', str(self.port), '--unixsocket', self.socket,
                   '--dir', self.directory, '--save', '', '--appendonly', 'no',
                   '--daemonize', 'no', '--logfile', '']
        if self.password:
            command += ['--requirepass', self.password]
        for name, value in {**self.options, **more}.items():
            command += ['--' + name.replace('_', '-'), str(value)]
        self._forget_control()
        with open(self._log_name(), 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if wait:
            self._wait(lambda: self.call('PING') == b'PONG')

    def _wait(self, ready):
        end = time.monotonic() + wsclient.DEADLINE
        while True:
            try:
                if ready():
                    return
            except (OSError, RedisError):  # not there yet, or loading
                self._forget_control()
            if self.process.poll() is not None or time.monotonic() > end:
                log = self.log_tail()
                self.kill()
                raise Fail('redis-server does not run: ' + log)
            time.sleep(0.01)

    def _log_name(self):
        return os.path.join(self.directory, 'log')

    def log_tail(self):
        with open(self._log_name(), 'rb') as log:
            return log.read()[-600:].decode('utf-8', 'replace')

    def call(self, *words):
        """A command on the test's own connection."""
        if not self.control:
            self.control = Resp(self.socket, self.password)
        try:
            return self.control.call(*words)
        except OSError:
            self._forget_control()
            raise

    def connect(self):
        """A connection of its own, over TCP."""
        return Resp(('127.0.0.1', self.port), self.password)

    def _forget_control(self):
        if self.control:
            self.control.close()
        self.control = None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL: nothing is said to anybody."""
        self._forget_control()
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process, self.stopped = None, False

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def cont(self):
        self.process.send_signal(signal.SIGCONT)
        self.stopped = False

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # What it knows of the hubs.

    def info(self, name):
        """A number of INFO."""
        for line in self.call('INFO', 'everything').split(b'\r\n'):
            key, _, value = line.partition(b':')
            if key == name.encode():
                return int(value)
        raise Fail('INFO has no ' + name)

    def channels(self):
        """Names that somebody is subscribed to, without the hubs' own."""
        return {name.decode() for name in self.call('PUBSUB', 'CHANNELS')
                if not name.startswith(SERVICE)}

    def listeners(self, names):
        """{name: subscribers}"""
        names = list(names)
        if not names:
            return {}
        flat = self.call('PUBSUB', 'NUMSUB', *names)
        return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}

    def patterns(self):
        return self.call('PUBSUB', 'NUMPAT')

    def clients(self, kind):
        """Connections of this kind: 'pubsub', 'normal' (ours is one)."""
        return len(self.call('CLIENT', 'LIST', 'TYPE', kind).splitlines())

    def drop_clients(self, *kinds):
        """End the connections of others; how many there were."""
        return sum(self.call('CLIENT', 'KILL', 'TYPE', kind, 'SKIPME', 'yes')
                   for kind in kinds)


class Cluster:
    """Three masters and their replicas."""

    def __init__(self, masters=3, replicas=1, **options):
        self.nodes = []
        options.setdefault('cluster_node_timeout', 2000)
        try:
            for _ in range(masters * (1 + replicas)):
                self.nodes.append(Redis(cluster_enabled='yes', **options))
            self._join(replicas)
        except BaseException:
            self.close()
            raise

    def _address(self, node):
        return '127.0.0.1:%d' % node.port

    def _command(self):
        return ['redis-cli']

    def _join(self, replicas):
        made = subprocess.run(
            self._command() + ['--cluster', 'create',
                               *map(self._address, self.nodes),
                               '--cluster-replicas', str(replicas),
                               '--cluster-yes'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=120 * wsclient.PATIENCE)
        if made.returncode:
            raise Fail('no cluster: ' + made.stdout[-600:].decode())
        for node in self.nodes:
            node._wait(lambda: self._complete(node))

    def _complete(self, node):
        state = node.call('CLUSTER', 'INFO')
        known = b'cluster_known_nodes:%d\r\n' % len(self.nodes)
        return b'cluster_state:ok\r\n' in state and known in state

    def urls(self):
        return ','.join(node.url() for node in self.nodes)

    def close(self):
        for node in self.nodes:
            node.close()
