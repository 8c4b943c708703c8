/*
 * common.h: what the servers in this directory share: command line, log lines
 * on stderr, a clean end on SIGINT and SIGTERM.
 *
 * The order of calls is init, (own defaults), parse, open, announce, wait.
 * Thread: main's.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stddef.h>
#include <ws_hub.h>

enum { EXAMPLE_HUBS_MAX = 2, EXAMPLE_URL_MAX = 300, EXAMPLE_REDIS_MAX = 64 };

struct example {
    ws_hub_options hub;
    ws_hub_callbacks callbacks; /* set what is wanted before open */
    const char *host;
    unsigned port;
    char url[EXAMPLE_URL_MAX]; /* what hub.bind_urls points to */
    const char *urls[1];
    const char *redis_urls[EXAMPLE_REDIS_MAX];
    size_t redis_count;
    int redis_cluster;
    const char *redis_ca, *redis_cert, *redis_key, *redis_name;
};

void example_init(struct example *ex, unsigned port);

/* Read the options over what is there. Returns -1 to go on, else the exit
 * status: 0 after --help, 2 after a message about a bad option. */
int example_parse(struct example *ex, int argc, char **argv,
                  const char *summary);

/* Make the broker that was asked for, if any; parse does it. Returns 0, or the
 * exit status after a message. */
int example_use_broker(struct example *ex);

/* Create and start a hub; signals stop it from then on, unless it runs on a
 * loop of the program's own. Returns 0, or the exit status after a message. */
int example_open(struct example *ex, ws_hub **hub);

/* Print "WHAT SCHEME://HOST:PORT", with an s behind the scheme under TLS. */
void example_announce(const struct example *ex, const ws_hub *hub,
                      const char *what, const char *scheme);

/* A hub that has stopped: every message and connection ended in one counter
 * (ws_hub/metrics.h). Returns 0, or 1 after a message. */
int example_balance(const ws_hub *hub);

/* Wait until every hub has stopped, see if its accounts balance, and destroy
 * it. Returns the exit status. */
int example_wait(ws_hub **hubs, size_t count);

/* An on_http: answers GET of the --stats-path with ws_hub_stats() as JSON, and
 * nothing else. */
void example_stats(ws_hub *hub, const ws_hub_request *request,
                   ws_hub_response *response, void *user);
void example_set_stats_path(const char *path);

/* One line on stderr, if the log level asks for it. */
void example_log(ws_hub_log_level level, const char *text, void *user);

#endif
