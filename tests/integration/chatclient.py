"""chatclient.py: a JSON mode client (subprotocol ws_hub.v1), and the two
uninvolved ones that stand beside every case of json_test.py."""

import json

import tap
from wsclient import BINARY, SUBPROTOCOL, Client, Fail, frame, short, text

NEWS = 'news'


def command(op, **members):
    """JSON text of a command."""
    return json.dumps(dict(op=op, **members))


class Chat(Client):
    """A connected client that has had its welcome."""

    def __init__(self, server, **how):
        super().__init__(server, **how)
        answer = self.upgrade(Sec_WebSocket_Protocol=SUBPROTOCOL)
        if answer.one('Sec-WebSocket-Protocol') != SUBPROTOCOL:
            raise Fail('the subprotocol was not accepted')
        self.welcome = self.want('welcome')

    def say(self, message):
        """Send a text: octets or str as they are, anything else as JSON."""
        if not isinstance(message, (bytes, str)):
            message = json.dumps(message)
        self.send(text(message))

    def say_binary(self, data):
        self.send(frame(BINARY, data))

    def next_text(self):
        event = self.next_event()
        if event[0] != 'text':
            raise Fail('wanted a text, got %r' % (event,))
        return event[1].decode()

    def next(self):
        """The next event of the server, parsed as strictly as can be."""
        raw = self.next_text()
        event = json.loads(raw, object_pairs_hook=unique)
        if not isinstance(event, dict) or not isinstance(event.get('op'), str):
            raise Fail('not an event: ' + short(raw.encode()))
        return event

    def want(self, op, **members):
        """The next event has this op and at least these members."""
        event = self.next()
        wanted = dict(op=op, **members)
        wrong = [name for name in wanted
                 if not same(event.get(name), wanted[name])]
        if wrong:
            raise Fail('wanted %s, got %.300s' % (wanted, event))
        return event

    def want_error(self, *names, **members):
        event = self.want('error', **members)
        if event.get('error') not in names:
            raise Fail('wanted error %s, got %.300s' % (names, event))
        if 'detail' in event and not isinstance(event['detail'], str):
            raise Fail('detail is no string: %.300s' % event)
        return event

    def ask(self, op, **members):
        """Send a command, get the answer to it."""
        answers = {'subscribe': 'subscribed', 'unsubscribe': 'unsubscribed',
                   'publish': 'published', 'ping': 'pong'}
        self.say(command(op, **members))
        expected = {name: members[name] for name in ('id', 'channel')
                    if name in members and (name == 'id' or
                                            'subscribe' in op)}
        return self.want(answers[op], **expected)

    def lives(self):
        """Nothing is left to read, and a ping is answered."""
        self.ask('ping', id='lives')


def unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Fail('an event has a member twice: %s' % pairs)
    return found


def same(a, b):
    """Equal and of one kind: 1, 1.0 and True differ."""
    return type(a) is type(b) and a == b


class ChatContext(tap.Context):
    """Beside every case: a reader that was there before, and a writer. After
    the case the reader has got exactly what the writer wrote, in order."""

    reader = writer = None
    count = 0

    def __init__(self, server):
        super().__init__(server)
        cls = type(self)
        if not cls.reader or cls.reader.server is not server:
            cls.reader, cls.writer = Chat(server), Chat(server)
            cls.reader.server = server
            cls.reader.ask('subscribe', channel=NEWS, id=0)
        self.write_news()

    def chat(self, **how):
        client = Chat(self.server, **how)
        self.clients.append(client)
        return client

    def write_news(self):
        cls = type(self)
        cls.count += 1
        cls.writer.ask('publish', channel=NEWS, data=[cls.count, 'é'], id=1)
        cls.reader.want('message', channel=NEWS, data=[cls.count, 'é'])

    def idle(self):
        """Let the two answer the server's pings during a long case."""
        type(self).reader.idle()
        type(self).writer.idle()

    def after(self):
        """What went on in the case has not reached the two."""
        self.idle()
        self.write_news()
        self.write_news()
        self.idle()
