"""tap.py: cases, and running them against one server with TAP on stdout.

A case is a function of a Context (and arguments); it passes if it returns. A
failing one prints what was received on each of its connections. The server is
started again if it dies, so that each case is judged on its own.

    FILE.py SERVER [SERVER_ARGUMENT...] [--only REGEX] [--list]
"""

import os
import re
import shlex
import sys
import time
import traceback

import wsclient
from serverprocess import Server
from wsclient import Client, Fail, Skip

# Port 0: the server picks one and says which.
DEFAULT_ARGUMENTS = os.environ.get('WSH_TEST_SERVER_ARGS', '--port 0')
# So many failures mean that something basic is broken: stop being patient.
PATIENT_FAILURES = 10


class Context:
    """What a case may use. Connections are dropped when it ends."""

    def __init__(self, server):
        self.server = server
        self.clients = []

    def tcp(self, **how):
        """A connected socket without a handshake."""
        client = Client(self.server, **how)
        self.clients.append(client)
        return client

    def connect(self, subprotocol=None, **how):
        """An established WebSocket connection."""
        client = self.tcp(**how)
        offer = {'Sec_WebSocket_Protocol': subprotocol} if subprotocol else {}
        client.upgrade(**offer)
        return client

    def after(self):
        """Called when the case has passed: may fail it yet."""

    def drop_all(self):
        for client in self.clients:
            client.drop()

    def report(self):
        for i, client in enumerate(self.clients):
            say('connection %d: sent %d octets, received:' % (i, client.sent))
            for line in client.seen or ['nothing']:
                say('  ' + line)
            if client.inbox:
                say('  not decoded: ' + wsclient.short(client.inbox, 200))
            say('  state: ' + (client.ended or 'open'))


def ascii_of(line):
    return line.encode('ascii', 'backslashreplace').decode()


def say(line):
    print('# ' + ascii_of(line).replace('\n', '\n# '))


class Suite:
    """Cases in order. context: what each of them gets; start: makes what they
    run against, from the command."""

    def __init__(self, context=Context, start=Server):
        self.cases = []
        self.context = context
        self.start = start

    def case(self, ident, title):
        def register(function):
            self.add(ident, title, function)
            return function
        return register

    def add(self, ident, title, function, *arguments):
        self.cases.append((ident, title, function, arguments))

    def extend(self, other):
        self.cases.extend(other.cases)

    def main(self, argv=None):
        sys.exit(Run(self, sys.argv if argv is None else argv).all())


class Run:
    def __init__(self, suite, argv):
        self.suite = suite
        self.only, self.list_only, rest = parse(argv[1:])
        if not rest and not self.list_only:
            sys.exit(__doc__)
        self.command = rest[:1] + shlex.split(DEFAULT_ARGUMENTS) + rest[1:]
        self.cases = [case for case in suite.cases
                      if not self.only or re.search(self.only, case[0])]
        self.failed = 0
        self.server = None

    def all(self):
        if self.list_only:
            for ident, title, _, _ in self.cases:
                print(ident, title)
            return 0
        print('1..%d' % (len(self.cases) + 1))
        for number, case in enumerate(self.cases, 1):
            self.one(number, case)
        self.end(len(self.cases) + 1)
        return 1 if self.failed else 0

    def end(self, number):
        """The last case: whatever the others did, the server stops in order
        and its accounts balance. A case that ends the server is told by its
        own result."""
        name = '%d - server.ends the server stops and its accounts balance' % number
        problem = None
        if self.server and self.server.alive():
            try:
                self.server.stop()
            except Fail as why:
                problem = str(why)
            self.server.kill()
        if problem:
            self.failure(name, problem, None)
        else:
            print('ok ' + name)

    def one(self, number, case):
        ident, title, function, arguments = case
        name = ascii_of('%d - %s %s' % (number, ident, title.replace('#', '')))
        context = problem = skipped = None
        began = time.monotonic()
        try:
            if not self.server or not self.server.alive():
                self.server = self.suite.start(self.command)
            context = self.suite.context(self.server)
            function(context, *arguments)
            if self.server.alive():
                context.after()
        except Skip as why:
            skipped = str(why)
        except Fail as why:
            problem = str(why)
        except Exception:  # a broken test is a failed one, and the run goes on
            problem = traceback.format_exc()
        problem = self.judge_server(function, problem)
        if problem:
            self.failure(name, problem, context)
        elif skipped:
            print('ok %s # SKIP %s' % (name, skipped))
        else:
            print('ok ' + name)
        if os.environ.get('WSH_TEST_TIMES'):
            say('%.3f s' % (time.monotonic() - began))
        sys.stdout.flush()
        if context:
            context.drop_all()

    def judge_server(self, function, problem):
        """A case that killed the server, or made a sanitizer speak, has failed,
        whatever it saw."""
        if not self.server:
            return problem
        if not problem and self.server.complaint:
            problem, self.server.complaint = self.server.complaint, None
        if self.server.alive():
            return problem
        if getattr(function, 'ends_server', False) and not problem:
            return None
        return '%s\nthe server ended with status %s' % (
            problem or 'crash', self.server.process.returncode)

    def failure(self, name, problem, context):
        self.failed += 1
        print('not ok ' + name)
        say(problem)
        if context:
            context.report()
        if self.server:
            for line in list(self.server.output)[-15:]:
                say('server: ' + line)
        if self.failed == PATIENT_FAILURES:
            wsclient.DEADLINE = min(wsclient.DEADLINE, 2.0 * wsclient.PATIENCE)
            say('many failures: deadlines are short from now on')


def parse(words):
    """(only, list, the rest)."""
    only, list_only, rest = None, False, []
    words = iter(words)
    for word in words:
        if word == '--only':
            only = next(words)
        elif word == '--list':
            list_only = True
        else:
            rest.append(word)
    return only, list_only, rest


def until(condition, what):
    """Wait for something that is seen from outside only (/proc)."""
    end = time.monotonic() + wsclient.DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise Fail(what)
        time.sleep(0.01)


def descriptors_come_back(context):
    """Everything that earlier cases opened is closed in the server."""
    server = context.server
    slack = 4  # opened once, at first use
    until(lambda: server.descriptors() <= server.descriptors_at_start + slack,
          'descriptors: %d at start, %d after all cases' %
          (server.descriptors_at_start, server.descriptors()))
