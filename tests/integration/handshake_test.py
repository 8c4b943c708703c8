#!/usr/bin/env python3
"""The opening handshake on the wire (RFC 6455 section 4, RFC 9112), against the
example `echo`: who gets in, who does not, and with which answer.

    handshake_test.py ECHO [ARGUMENT...] [--only REGEX] [--list]
"""

import base64
import ssl
import time

import tap
import wsclient
from tap import Suite
from wsclient import (BINARY, DEADLINE, PAUSE, SUBPROTOCOL, Fail, accept_value,
                      close, frame, ping, request, short, text)

SUITE = Suite()
HELLO = b'Hello, world!'
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='


def works(ctx, data, **want):
    """This request gets 101, and the connection carries messages."""
    ws = ctx.tcp()
    answer = ws.upgrade(data)
    for name, value in want.items():
        got = answer.one(name.replace('_', '-'))
        if got != value:
            raise Fail('%s: wanted %r, got %r' % (name, value, got))
    ws.send(text(HELLO))
    ws.expect(('text', HELLO))
    ws.finish()


def body_of(ws, answer):
    """The rest of the answer, to the end of the connection."""
    while ws.fill():
        pass
    if ws.ended == 'reset':
        raise Fail('the answer was followed by a reset')
    length = answer.one('Content-Length')
    if length is not None and int(length) != len(ws.inbox):
        raise Fail('Content-Length %s, but %d octets: %s' %
                   (length, len(ws.inbox), short(ws.inbox)))


def refused(ctx, data, *statuses, chop=0):
    """This request gets one of these statuses, and the connection ends."""
    ws = ctx.tcp()
    ws.send(data, chop=chop)
    answer = ws.response()
    if answer.status not in statuses:
        raise Fail('wanted %s, got %d' % (statuses, answer.status))
    if answer.status == 426:
        if answer.one('Sec-WebSocket-Version') != '13':
            raise Fail('426 must name version 13: %r' % answer.fields)
    if answer.status == 405 and not answer.one('Allow'):
        raise Fail('405 must have Allow')
    if 'close' not in (answer.one('Connection') or '').lower():
        raise Fail('the answer does not say Connection: close')
    if answer.one('Content-Length') is None:
        raise Fail('the answer has no Content-Length')
    if not data.startswith(b'HEAD'):
        body_of(ws, answer)


def add_refused(ident, title, data, *statuses):
    SUITE.add(ident, title, refused, data, *statuses)


def add_works(ident, title, data):
    SUITE.add(ident, title, works, data)


# The answer.

@SUITE.case('accept.rfc', 'the example of the RFC')
def _(ctx):
    ws = ctx.tcp()
    answer = ws.upgrade(request(key=KEY))
    for name, value in (
            ('Sec-WebSocket-Accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='),
            ('Upgrade', 'websocket'), ('Connection', 'Upgrade'),
            ('Sec-WebSocket-Extensions', None),
            ('Sec-WebSocket-Protocol', None),
            ('Content-Length', None), ('Transfer-Encoding', None)):
        got = answer.one(name)
        if (got or '').lower() != (value or '').lower() or (
                'Accept' in name and got != value):
            raise Fail('%s: wanted %r, got %r' % (name, value, got))
    ws.finish()


@SUITE.case('accept.keys', 'Sec-WebSocket-Accept of 64 keys')
def _(ctx):
    for i in range(64):
        octets = bytes((i * 16 + j) * 37 & 255 for j in range(16))
        key = base64.b64encode(octets).decode()
        works(ctx, request(key=key),
              Sec_WebSocket_Accept=accept_value(key).decode())


# Version and key.

V = 'Sec_WebSocket_Version'
add_refused('version.missing', 'no version', request(
    drop=['Sec-WebSocket-Version']), 400, 426)
for value in ('8', '0', '7', '12', '14', '113', '130', '13.0', '+13', 'abc', '',
              '0x0d', '255'):
    add_refused('version.%s' % (value or 'empty'), 'version "%s"' % value,
                request(**{V: value}), *((426,) if value else (400, 426)))
for value in ('13, 8', '8, 13', '013'):
    add_refused('version.%s' % value.replace(', ', '-'), 'version "%s"' % value,
                request(**{V: value}), 400, 426)
add_refused('version.twice', 'two versions', request(
    extra=[('Sec-WebSocket-Version', '13')]), 400, 426)

add_refused('key.missing', 'no key', request(drop=['Sec-WebSocket-Key']), 400)
for name, value in (
        ('empty', ''), ('15', base64.b64encode(b'a' * 15).decode()),
        ('17', base64.b64encode(b'a' * 17).decode()), ('3', 'abc'),
        ('unpadded', KEY[:-2]), ('padding', KEY[:-1]), ('more', KEY + '='),
        ('alphabet', '*' + KEY[1:]), ('url', '-_' + KEY[2:]),
        ('inner', KEY[:10] + ' ' + KEY[11:]), ('pad-first', '=' + KEY[1:]),
        ('quoted', '"' + KEY + '"'), ('long', 'A' * 2000)):
    add_refused('key.' + name, 'bad key: ' + short(value.encode()),
                request(key=value), 400)
add_refused('key.twice', 'two keys', request(extra=[(
    'Sec-WebSocket-Key', KEY)]), 400)
add_works('key.space', 'white space around the key is none of it',
          request(key=' \t' + KEY + ' \t '))


# Method, protocol version, target, Host, Connection, Upgrade.

def method(name):
    return request().replace(b'GET', name, 1)


for name in (b'POST', b'PUT', b'DELETE', b'PATCH'):
    add_refused('method.' + name.decode(), '%s with upgrade fields' %
                name.decode(), method(name), 405)
for name in (b'get', b'Get', b'GETS', b'G'):
    add_refused('method.other.' + name.decode(), 'method ' + name.decode(),
                method(name), 400, 405, 501)
for name in (b'HEAD', b'OPTIONS', b'TRACE'):
    add_refused('method.' + name.decode(), '%s with upgrade fields' %
                name.decode(), method(name), 400, 405, 501)
add_refused('connect.bare', 'CONNECT', b'CONNECT example.org:443 HTTP/1.1\r\n'
            b'Host: example.org:443\r\n\r\n', 400, 404, 405, 501)
add_refused('connect.upgrade', 'CONNECT with upgrade fields', method(b'CONNECT')
            .replace(b' / ', b' example.org:443 ', 1), 400, 404, 405, 501)
add_refused('connect.path', 'CONNECT with a path', method(b'CONNECT'), 400, 405,
            501)


def version(name):
    return request().replace(b'HTTP/1.1', name, 1)


add_refused('http.1.0', 'HTTP/1.0', version(b'HTTP/1.0'), 400, 426, 505)
for name in (b'HTTP/2.0', b'HTTP/0.9', b'HTTP/3', b'HTTP/1', b'HTTP/1.10',
             b'http/1.1', b'HTTP/1.1 ', b'HTTP 1.1', b'', b'ICY/1.1'):
    add_refused('http.' + (name.decode().strip() or 'none').replace(' ', '-') +
                ('.space' if name.endswith(b' ') else ''),
                'version ' + repr(name.decode()), version(name), 400, 505)
add_refused('http.preface', 'the preface of HTTP/2',
            b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\4\0\0\0\0\0', 400,
            405, 501, 505)

add_works('target.query', 'a target with a query',
          request(target='/a/b%20c?x=1&y=%2f?'))
add_works('target.absolute', 'an absolute target',
          request(target='http://localhost/chat'))
for target in ('', 'chat', '*', '/a b', '/#frag', '/\x7f', '/\x01'):
    add_refused('target.bad.' + repr(target)[1:-1].replace(' ', '_'),
                'target %r' % target, request(target=target), 400)
add_refused('target.latin', 'target with an octet over 127',
            request(target=b'/\xe9'), 400)
add_refused('target.long', 'target of 5000 octets',
            request(target='/' + 'a' * 4999), 414, 431)

add_refused('host.missing', 'no Host', request(drop=['Host']), 400)
add_refused('host.twice', 'two Hosts', request(extra=[('Host', 'other')]), 400)
for value in ('a b', 'a/b', 'u@h', 'a\tb', '<>'):
    add_refused('host.bad.' + value.replace('\t', 'TAB').replace(' ', '_'),
                'Host %r' % value, request(host=value), 400)
add_works('host.v6', 'Host [::1]:9001', request(host='[::1]:9001'))
add_refused('host.absolute', 'Host and absolute target disagree',
            request(target='http://other/'), 400)

PLAIN = (400, 404, 426)  # not an upgrade at all, or a bad one
add_refused('connection.missing', 'no Connection', request(drop=['Connection']),
            *PLAIN)
for value in ('close', 'keep-alive', '', 'upgraded', 'Up grade', 'upgrade;q=1'):
    add_refused('connection.' + (value or 'empty').replace(' ', '_'),
                'Connection: ' + value, request(Connection=value), *PLAIN)
for value in ('upgrade', 'UPGRADE', 'keep-alive, Upgrade', ' ,,Upgrade\t,'):
    add_works('connection.ok.' + value.strip().replace(' ', '').replace(
        '\t', ''), 'Connection: ' + repr(value), request(Connection=value))
add_works('connection.twice', 'upgrade in the second Connection', request(
    Connection='keep-alive', extra=[('Connection', 'upgrade')]))

add_refused('upgrade.missing', 'no Upgrade', request(drop=['Upgrade']), *PLAIN)
for value in ('TLS/1.0', '', 'websockets', 'web socket', 'websocket/13'):
    add_refused('upgrade.' + (value or 'empty').replace(' ', '_'),
                'Upgrade: ' + value, request(Upgrade=value), *PLAIN)
for value in ('WebSocket', 'WEBSOCKET', 'h2c, websocket'):
    add_works('upgrade.ok.' + value.replace(', ', '-'), 'Upgrade: ' + value,
              request(Upgrade=value))
add_refused('upgrade.h2c', 'h2c with HTTP2-Settings', request(
    Upgrade='h2c', Connection='Upgrade, HTTP2-Settings',
    extra=[('HTTP2-Settings', 'AAMAAABkAAQCAAAAAAIAAAAA')],
    drop=['Sec-WebSocket-Key', 'Sec-WebSocket-Version']), *PLAIN)
add_refused('plain.get', 'a plain GET', b'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
            404, 426)


# Extensions and subprotocols.

@SUITE.case('extensions.deflate', 'permessage-deflate is not accepted')
def _(ctx):
    for offer in ('permessage-deflate', 'permessage-deflate; '
                  'client_max_window_bits, x-webkit-deflate-frame', 'foo; bar'):
        ws = ctx.tcp()
        answer = ws.upgrade(request(extra=[('Sec-WebSocket-Extensions',
                                            offer)]))
        if answer.all('Sec-WebSocket-Extensions'):
            raise Fail('an extension was accepted: %r' % answer.fields)
        ws.send(text(HELLO, rsv=4))  # RSV1, as a compressed message has
        ws.expect_end(1002)


def subprotocol(ctx, offers, want):
    ws = ctx.tcp()
    answer = ws.upgrade(request(extra=[('Sec-WebSocket-Protocol', offer)
                                       for offer in offers]))
    got = answer.one('Sec-WebSocket-Protocol')
    if got != want:
        raise Fail('wanted %r, got %r' % (want, got))
    if want:  # JSON mode
        event = ws.next_event()
        if event[0] != 'text' or b'"welcome"' not in event[1]:
            raise Fail('wanted a welcome, got %r' % (event,))
    else:
        ws.send(text(HELLO))
        ws.expect(('text', HELLO))
    ws.finish()


for number, (offers, want) in enumerate((
        ([], None), ([SUBPROTOCOL], SUBPROTOCOL),
        (['foo, ' + SUBPROTOCOL], SUBPROTOCOL),
        ([SUBPROTOCOL + ',foo'], SUBPROTOCOL),
        (['foo', SUBPROTOCOL], SUBPROTOCOL), (['foo'], None),
        ([SUBPROTOCOL + '0'], None), ([SUBPROTOCOL.upper()], None),
        (['x' + SUBPROTOCOL], None), (['ws_hub'], None),
        (['chat, mqtt'], None)), 1):
    SUITE.add('subprotocol.%d' % number, 'offer %s' % (offers or 'nothing'),
              subprotocol, offers, want)


# Syntax (RFC 9112 sections 2.2 and 5).

def spoiled(old, new):
    return request().replace(old, new, 1)


for name, title, data in (
        ('fold.space', 'a folded field', spoiled(
            b'Host: localhost', b'Host: localhost\r\nX: a\r\n b')),
        ('fold.tab', 'a folded field, tab', spoiled(
            b'Host: localhost', b'Host: localhost\r\nX: a\r\n\tb')),
        ('fold.first', 'the first field line begins with a space', spoiled(
            b'Host', b' Host')),
        ('colon.space', 'a space before the colon', spoiled(
            b'Host:', b'Host :')),
        ('colon.none', 'a field without a colon', spoiled(
            b'Host:', b'Oops\r\nHost:')),
        ('name.empty', 'a field without a name', spoiled(
            b'Host:', b': a\r\nHost:')),
        ('name.space', 'a space in a name', spoiled(
            b'Host:', b'X Y: a\r\nHost:')),
        ('name.octet', 'an octet over 127 in a name', spoiled(
            b'Host:', b'X\xe9: a\r\nHost:')),
        ('value.nul', 'NUL in a value', spoiled(b'Host:', b'X: a\0b\r\nHost:')),
        ('value.bell', 'a control in a value', spoiled(
            b'Host:', b'X: a\x07b\r\nHost:')),
        ('value.cr', 'CR in a value', spoiled(b'Host:', b'X: a\rb\r\nHost:')),
        ('value.lf', 'a bare LF ends one line', spoiled(
            b'Host:', b'X: a\nY: b\r\nHost:')),
        ('line.space', 'two spaces in the request line', spoiled(b'GET ',
                                                                 b'GET  ')),
        ('line.tab', 'a tab in the request line', spoiled(b'GET ', b'GET\t')),
        ('line.lf', 'the request line ends in a bare LF', spoiled(b'\r\n',
                                                                  b'\n')),
        ('lf.all', 'LF-only lines, then CRLF CRLF', request().replace(
            b'\r\n', b'\n') + b'\r\n\r\n'),
        ('body.length', 'a GET with a body', request(
            extra=[('Content-Length', '5')]) + b'12345'),
        ('body.chunked', 'a GET with a chunked body', request(
            extra=[('Transfer-Encoding', 'chunked')]) + b'0\r\n\r\n'),
        ('body.twice', 'two lengths', request(extra=[
            ('Content-Length', '0'), ('Content-Length', '0')])),
        ('body.minus', 'a negative length', request(extra=[
            ('Content-Length', '-1')])),
        ('garbage', 'octets of no meaning, then an empty line',
         bytes(range(256)) * 4 + b'\r\n\r\n')):
    add_refused('syntax.' + name, title, data, 400)
add_works('syntax.value', 'tabs and octets over 127 in a value',
          request(extra=[('X-Free', b'a\tb \xe9 \xff')]))
add_works('syntax.empty', 'a field with an empty value',
          request(extra=[('X-Empty', '')]))
add_works('syntax.case', 'names in any case', request()
          .replace(b'Sec-WebSocket-Key', b'sEC-websocket-KEY')
          .replace(b'Host', b'HOST').replace(b'Upgrade:', b'upgrade:'))
add_works('syntax.tight', 'no space behind the colons',
          request().replace(b': ', b':'))

add_refused('size.64k', 'a field of 64 KiB',
            request(extra=[('X-Long', 'a' * 65536)]), 431)
add_refused('size.cookie', 'fields of 64 KiB together',
            request(extra=[('Cookie', 'b' * 1000)] * 64), 431)
add_refused('size.endless', '1 MiB without an end of line', b'G' * (1 << 20),
            431, 400)
add_refused('size.count', '100 short fields',
            request(extra=[('X', 'y')] * 100), 431, 400)
add_works('size.fair', 'a request of 6 KiB with 40 fields',
          request(extra=[('X-Fair', 'c' * 130)] * 40))


# How it arrives.

@SUITE.case('pace.octets', 'a request octet by octet')
def _(ctx):
    ws = ctx.tcp()
    ws.send(request(), chop=1)
    ws.upgrade(b'')
    ws.send(text(HELLO))
    ws.expect(('text', HELLO))
    ws.finish()


@SUITE.case('pace.cuts', 'a request cut once, at each octet of its end')
def _(ctx):
    data = request()
    for at in range(len(data) - 30, len(data)):
        ws = ctx.tcp()
        ws.send(data[:at])
        time.sleep(PAUSE)
        ws.upgrade(data[at:])
        ws.finish()


@SUITE.case('pace.refused', 'a bad request octet by octet')
def _(ctx):
    refused(ctx, request(key='abc'), 400, chop=1)


def behind(ctx, frames, *events):
    """Frames in the same write as the request."""
    ws = ctx.tcp()
    ws.upgrade(request() + b''.join(frames))
    if events[-1][0] == 'close':
        ws.expect(*events)
        ws.expect_end()
    else:
        ws.expect_mixed(*events)
        ws.finish()


LARGE = bytes(range(256)) * 400
SUITE.add('pipeline.text', 'a text right behind the request', behind,
          [text(HELLO)], ('text', HELLO))
SUITE.add('pipeline.many', 'text, ping, binary behind the request', behind,
          [text(HELLO), ping(b'p'), frame(BINARY, b'\xff')],
          ('text', HELLO), ('pong', b'p'), ('binary', b'\xff'))
SUITE.add('pipeline.large', '100 KiB behind the request', behind,
          [frame(BINARY, LARGE)], ('binary', LARGE))
SUITE.add('pipeline.close', 'a close behind the request', behind,
          [close(1000)], ('close', 1000))
SUITE.add('pipeline.bad', 'an unmasked frame behind the request', behind,
          [text(HELLO, masked=False)], ('close', 1002))


@SUITE.case('pipeline.cut', 'a text behind the request, cut at each octet')
def _(ctx):
    data = text(HELLO)
    for at in range(1, len(data)):
        ws = ctx.tcp()
        ws.upgrade(request() + data[:at])
        ws.send(data[at:])
        ws.expect(('text', HELLO))
        ws.finish()


@SUITE.case('pipeline.refused', '1 MiB behind a bad request')
def _(ctx):
    # The answer must not be lost in a reset.
    ws = ctx.tcp()
    ws.send(request(key='abc') + b'x' * (1 << 20), read=False)
    answer = ws.response()
    if answer.status != 400:
        raise Fail('wanted 400, got %d' % answer.status)
    body_of(ws, answer)
    ws.expect_all_taken()


@SUITE.case('pipeline.smuggled', 'a second request behind a refused one')
def _(ctx):
    # Content-Length is checked: nothing of a second answer.
    refused(ctx, request(key='abc') + request(), 400)


# Peers that do not speak HTTP, or do not finish. The server gives up on each
# after its handshake timeout of 10 s; they wait for that side by side.

def client_hello():
    """What a browser sends to wss:// on a plain port."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(into, out, server_hostname='localhost').do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


LATE = [('silent', 'a peer that says nothing', b''),
        ('half', 'half a request', request()[:60]),
        ('nearly', 'all of a request but its last octet', request()[:-1]),
        ('lf', 'LF-only lines', request().replace(b'\r\n', b'\n')),
        ('tls', 'a TLS ClientHello', client_hello()),
        ('octets', 'octets of no meaning', bytes(range(128, 256)) * 8),
        ('newlines', 'empty lines', b'\n' * 100)]
WAITING = {}


@SUITE.case('late.start', 'another client gets in while unfinished ones wait')
def _(ctx):
    for name, _, data in LATE:
        WAITING[name] = wsclient.Client(ctx.server)
        WAITING[name].send(data)
    works(ctx, request())


@SUITE.case('late.drip', 'a peer that sends an octet at a time, forever')
def _(ctx):
    ws = ctx.tcp()
    end = time.monotonic() + DEADLINE
    while not ws.ended:
        if time.monotonic() > end:
            raise Fail('still connected after %g s' % DEADLINE)
        ws.send(b'G')
        if ws.pending():
            ws.fill()
        time.sleep(0.05)


def late(ctx, name, data):
    ws = WAITING.pop(name, None)
    if not ws:  # this case alone was asked for
        ws = ctx.tcp()
        ws.send(data)
    ctx.clients.append(ws)
    while ws.fill():
        pass
    if b' 101 ' in ws.inbox:
        raise Fail('upgraded: ' + short(ws.inbox))
    if ws.inbox:
        status = ws.response().status
        if status not in (400, 408, 426):
            raise Fail('answered with %d' % status)


for name, title, data in LATE:
    SUITE.add('late.' + name, title + ' is refused or given up on', late, name,
              data)
SUITE.add('end.descriptors', 'nothing is left open after all of this',
          tap.descriptors_come_back)

if __name__ == '__main__':
    SUITE.main()
