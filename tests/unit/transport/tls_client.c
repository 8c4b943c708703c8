/* tls_client.c: see the header. */
#include "tls_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

bool tls_files_make(struct tls_files *files)
{
    char command[512];

    (void)snprintf(files->dir, sizeof files->dir, "/tmp/ws_hub_tls_XXXXXX");
    assert_non_null(mkdtemp(files->dir));
    (void)snprintf(files->cert, sizeof files->cert, "%s/cert.pem", files->dir);
    (void)snprintf(files->key, sizeof files->key, "%s/key.pem", files->dir);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt "
                   "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
                   "/CN=localhost -keyout %s -out %s >/dev/null 2>&1",
                   files->key, files->cert);
    return system(command) == 0;
}

void tls_files_remove(const struct tls_files *files)
{
    (void)unlink(files->cert);
    (void)unlink(files->key);
    (void)rmdir(files->dir);
}

void tls_connect(struct tls_client *client, struct standin *hub, int fd)
{
    int result;

    client->fd = fd;
    client->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(client->ctx);
    client->ssl = SSL_new(client->ctx);
    assert_non_null(client->ssl);
    assert_int_equal(SSL_set_fd(client->ssl, fd), 1);
    standin_patience(hub);
    while ((result = SSL_connect(client->ssl)) != 1) {
        assert_int_equal(SSL_get_error(client->ssl, result),
                         SSL_ERROR_WANT_READ);
        standin_poll(hub);
    }
}

void tls_write(struct tls_client *client, const void *data, int len)
{
    assert_int_equal(SSL_write(client->ssl, data, len), len);
}

int tls_read(struct tls_client *client, void *to, int size)
{
    int len = 0, got;

    while (len < size) {
        got = SSL_read(client->ssl, (char *)to + len, size - len);
        if (got > 0) {
            len += got;
            continue;
        }
        if (SSL_get_error(client->ssl, got) == SSL_ERROR_WANT_READ)
            break;
        return len > 0 ? len : -1;
    }
    return len;
}

void tls_close(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
    (void)close(client->fd);
}
