/*
 * guests.h: a few real clients on loopback, in one thread, of a server that may
 * close them, refuse them or be gone at any moment: nothing of that is an error
 * here. What the server says is checked as RFC 6455 has it (ws_peer.h).
 */
#ifndef WSH_TEST_GUESTS_H
#define WSH_TEST_GUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include "support/ws_peer.h"

struct guest {
    int fd; /* -1: closed */
    bool answered_close;
    struct ws_peer ws;
};

/* Connect and ask for an upgrade; subprotocol may be NULL. */
void guest_dial(struct guest *guest, unsigned port, const char *path,
                const char *subprotocol);
/* Connect and ask for a page. */
void guest_get(struct guest *guest, unsigned port, const char *path);
void guest_send(struct guest *guest, uint8_t opcode, const void *data,
                size_t len);
/* Upgraded, refused or closed: what it asked for is decided. */
bool guest_settled(const struct guest *guest);
/* Read what comes within wait_ms; answer a close. */
void guests_turn(struct guest *guests, unsigned count, int wait_ms);
void guests_close(struct guest *guests, unsigned count);

#endif
