#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ws_hub/error.h>

struct wsr_tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *socket;
};

struct wsr_tls {
    SSL *ssl;
    int fd;
    int error; /* errno of the last call on the socket that failed */
    const char *why;
};

/* The BIO */

static int later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int socket_write(BIO *bio, const char *bytes, int len)
{
    struct wsr_tls *tls = BIO_get_data(bio);
    ssize_t sent =
        send(tls->fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    if (sent >= 0)
        return (int)sent;
    tls->error = errno;
    if (later(tls->error))
        BIO_set_retry_write(bio);
    return -1;
}

static int socket_read(BIO *bio, char *bytes, int len)
{
    struct wsr_tls *tls = BIO_get_data(bio);
    ssize_t got = recv(tls->fd, bytes, (size_t)len, MSG_DONTWAIT);

    BIO_clear_retry_flags(bio);
    if (got >= 0)
        return (int)got;
    tls->error = errno;
    if (later(tls->error))
        BIO_set_retry_read(bio);
    return -1;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing is kept back */
}

static BIO_METHOD *make_method(void)
{
    /* Numbers for types of BIO are few, and nobody asks for ours. */
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "ws_hub_redis");

    if (!method)
        return NULL;
    (void)BIO_meth_set_write(method, socket_write);
    (void)BIO_meth_set_read(method, socket_read);
    (void)BIO_meth_set_ctrl(method, socket_control);
    return method;
}

/* The context */

/* A key that wants a passphrase is an error; OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int size, int writing, void *user)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static const char *load_files(SSL_CTX *ssl, const struct wsr_tls_files *files)
{
    if (!files->cert != !files->key)
        return "tls_cert and tls_key go together";
    if (files->ca ? !SSL_CTX_load_verify_locations(ssl, files->ca, NULL)
                  : !SSL_CTX_set_default_verify_paths(ssl))
        return "tls_ca holds no certificate of an authority";
    if (!files->cert)
        return NULL;
    if (SSL_CTX_use_certificate_chain_file(ssl, files->cert) != 1)
        return "tls_cert holds no certificate";
    if (SSL_CTX_use_PrivateKey_file(ssl, files->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ssl) != 1)
        return "tls_key is not the key of tls_cert, or has a passphrase";
    return NULL;
}

int wsr_tls_context_create(struct wsr_tls_context **out,
                           const struct wsr_tls_files *files, const char **why)
{
    struct wsr_tls_context *context = calloc(1, sizeof *context);

    *out = NULL;
    *why = "out of memory";
    if (!context)
        return WS_HUB_ENOMEM;
    context->ssl = SSL_CTX_new(TLS_client_method());
    context->socket = make_method();
    if (!context->ssl || !context->socket) {
        wsr_tls_context_free(context);
        return WS_HUB_ENOMEM;
    }
    (void)SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_passwd_cb(context->ssl, no_passphrase);
    (void)SSL_CTX_set_mode(context->ssl,
                           SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
    /* So that writing never waits for reading, nor the other way round. */
    (void)SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    /* RESP says itself where an answer ends. */
    (void)SSL_CTX_set_options(context->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    *why = load_files(context->ssl, files);
    ERR_clear_error();
    if (*why) {
        wsr_tls_context_free(context);
        return WS_HUB_EINVAL;
    }
    *out = context;
    return 0;
}

void wsr_tls_context_free(struct wsr_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->socket);
    free(context);
}

/* A session */

static bool is_address(const char *name)
{
    struct in6_addr bytes;

    return inet_pton(AF_INET, name, &bytes) == 1 ||
           inet_pton(AF_INET6, name, &bytes) == 1;
}

/* Whom the certificate must be for, and whom the server is asked for. */
static bool expect(SSL *ssl, const char *name)
{
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct wsr_tls *wsr_tls_create(const struct wsr_tls_context *context, int fd,
                               const char *name)
{
    struct wsr_tls *tls = calloc(1, sizeof *tls);
    BIO *bio = BIO_new(context->socket);

    if (tls)
        tls->ssl = SSL_new(context->ssl);
    if (!bio || !tls || !tls->ssl || !expect(tls->ssl, name)) {
        BIO_free(bio);
        wsr_tls_free(tls);
        ERR_clear_error();
        return NULL;
    }
    tls->fd = fd;
    tls->why = "";
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

void wsr_tls_free(struct wsr_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

const char *wsr_tls_why(const struct wsr_tls *tls)
{
    return tls->why;
}

static const char *reason(const struct wsr_tls *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    const char *text = ERR_reason_error_string(ERR_peek_error());

    if (verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    return text ? text : "broken off";
}

/* OpenSSL's queue of errors is the thread's, and others use it, too: it is
 * empty before a call and after it. */
static void begin(struct wsr_tls *tls)
{
    ERR_clear_error();
    tls->error = 0;
}

/* After a call that returned `status` <= 0: 0 for an orderly end, or the errno,
 * EAGAIN for "later". */
static int outcome(struct wsr_tls *tls, int status)
{
    int error = EPROTO;

    switch (SSL_get_error(tls->ssl, status)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        error = EAGAIN;
        break;
    case SSL_ERROR_ZERO_RETURN:
        error = 0;
        break;
    case SSL_ERROR_SYSCALL: /* none: an end without farewell */
        error = tls->error;
        break;
    default:
        tls->why = reason(tls);
        break;
    }
    ERR_clear_error();
    return error;
}

enum wsr_tls_step wsr_tls_handshake(struct wsr_tls *tls)
{
    int status, error;

    begin(tls);
    status = SSL_connect(tls->ssl);
    if (status == 1)
        return WSR_TLS_DONE;
    error = outcome(tls, status);
    if (error == EAGAIN)
        return SSL_want_write(tls->ssl) ? WSR_TLS_WRITE : WSR_TLS_READ;
    if (error != EPROTO)
        tls->why =
            error ? "the connection broke" : "the server closed the connection";
    return WSR_TLS_FAILED;
}

static int bounded(size_t len)
{
    return len < INT_MAX ? (int)len : INT_MAX;
}

ssize_t wsr_tls_recv(struct wsr_tls *tls, void *bytes, size_t len)
{
    int got;

    begin(tls);
    got = SSL_read(tls->ssl, bytes, bounded(len));
    if (got > 0)
        return got;
    errno = outcome(tls, got);
    return errno ? -1 : 0;
}

ssize_t wsr_tls_send(struct wsr_tls *tls, const void *bytes, size_t len)
{
    int sent;

    begin(tls);
    sent = SSL_write(tls->ssl, bytes, bounded(len));
    if (sent > 0)
        return sent;
    errno = outcome(tls, sent);
    if (errno == 0)
        errno = EPIPE;
    return -1;
}
