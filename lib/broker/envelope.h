/*
 * envelope.h: the head of a message between hubs (ws_hub_envelope_write/read).
 *
 * Integers are big-endian; the payload follows the key.
 *
 *    at  bytes
 *     0      6  magic: FF 00 'w' 's' 'h' FE
 *     6      1  version: 1
 *     7      1  type: ws_hub_type, never WS_HUB_DETECT
 *     8      1  class: ws_hub_class
 *     9      1  length of the key
 *    10      2  flags: WS_HUB_MESSAGE_*
 *    12      4  length of the payload
 *    16      8  origin: instance of the publishing hub
 *    24      8  exclude: connection of that hub
 *    32      8  published_us
 *    40    key
 *
 * FF is in no UTF-8 text, and FF 00 begins no common file format. Another
 * program's binary that has all six magic bytes by chance (one in 2^48 of
 * random ones) is refused unless every length in it fits as well. An envelope
 * that is cut off inside of the magic cannot be told from such a binary.
 *
 * Thread: any. Owns nothing.
 */
#ifndef WSH_BROKER_ENVELOPE_H
#define WSH_BROKER_ENVELOPE_H

enum {
    WSH_ENVELOPE_VERSION = 1,
    WSH_ENVELOPE_HEAD = 40,
    WSH_ENVELOPE_KEY = 255
};

#endif
