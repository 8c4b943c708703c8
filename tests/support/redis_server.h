/*
 * redis_server.h: a real redis-server of the test's own: a temporary directory,
 * a unix socket in it and a free TCP port. It dies with the test.
 */
#ifndef WSH_TEST_REDIS_SERVER_H
#define WSH_TEST_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid;
    unsigned port;
    bool tls; /* on the port */
    char dir[64];
    char socket[96];
    char url[128];      /* redis://127.0.0.1:PORT, or rediss: */
    char unix_url[128]; /* redis+unix://SOCKET */
};

/* Free now: somebody may take it before redis-server does. 0: there is none. */
unsigned redis_free_port(void);

/* Start and wait until it is ready. `more` are further arguments, NULL at the
 * end, or NULL. false: it could not be started, errno or stderr say why. */
bool redis_server_start(struct redis_server *server, const char *const *more);

/* The same with TLS: cert is a PEM file that its key is in as well, and the
 * only authority, so that the hub needs it, too. */
bool redis_server_start_tls(struct redis_server *server, const char *cert);

/* Start again after redis_server_kill(), with the same port and directory. */
bool redis_server_restart(struct redis_server *server, const char *const *more);

/* SIGKILL, and wait for its end. */
void redis_server_kill(struct redis_server *server);

/* kill() and remove the directory. Zeroed or killed: harmless. */
void redis_server_stop(struct redis_server *server);

/* One inline command ("CLIENT KILL TYPE pubsub") on a connection of its own;
 * its first answer as RESP, NUL-terminated. false: no answer. */
bool redis_server_command(const struct redis_server *server,
                          const char *command, char *answer, size_t size);

#endif
