#!/usr/bin/env python3
"""RFC 6455 sections 5, 7 and 8 on the wire, against the example `echo`.

Case numbers below 11 are those of the public Autobahn test suite, whose cases
these are modelled on, but stricter: where it is content with a dropped
connection, a close frame with the right code is asked for. The others are what
it does not cover.

    rfc6455_test.py ECHO [ARGUMENT...] [--only REGEX] [--list]
"""

import rfc6455_beyond
import rfc6455_closing
import rfc6455_framing
import rfc6455_limits
import rfc6455_utf8
import tap

SUITE = tap.Suite()
for part in (rfc6455_framing, rfc6455_utf8, rfc6455_closing, rfc6455_limits,
             rfc6455_beyond):
    SUITE.extend(part.SUITE)

if __name__ == '__main__':
    SUITE.main()
