/*
 * tls_client.h: a non-blocking TLS client (OpenSSL) for the transport's tests,
 * and a certificate made for the run.
 */
#ifndef WSH_TESTS_TLS_CLIENT_H
#define WSH_TESTS_TLS_CLIENT_H

#include <openssl/ssl.h>
#include "standin.h"

struct tls_files {
    char dir[64];
    char cert[96];
    char key[96];
};

/* False: the openssl command is missing. */
bool tls_files_make(struct tls_files *files);
void tls_files_remove(const struct tls_files *files);

struct tls_client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

/* Handshake with the newest connection of the hub, at fd. */
void tls_connect(struct tls_client *client, struct standin *hub, int fd);
void tls_write(struct tls_client *client, const void *data, int len);
/* Read what is there; -1 at the end. */
int tls_read(struct tls_client *client, void *to, int size);
/* Free and close. */
void tls_close(struct tls_client *client);

#endif
