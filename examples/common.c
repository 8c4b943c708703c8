/* common.c: the life of a server: open, announce, wait for the end. */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Process-wide because signals are. */
static ws_hub *_Atomic stoppable[EXAMPLE_HUBS_MAX];

/* A host as it stands in a URL: a bare v6 address gets its brackets. */
static void url_host(const struct example *ex, char *to, size_t size)
{
    int bare_v6 = strchr(ex->host, ':') && ex->host[0] != '[';

    snprintf(to, size, bare_v6 ? "[%s]" : "%s", ex->host);
}

static void on_signal(int number)
{
    int saved = errno;

    (void)number;
    for (size_t i = 0; i < EXAMPLE_HUBS_MAX; i++) {
        ws_hub *hub = atomic_load(&stoppable[i]);

        if (hub)
            ws_hub_stop(hub);
    }
    errno = saved;
}

static void stop_on_signals(ws_hub *hub)
{
    struct sigaction action = {.sa_handler = on_signal};

    for (size_t i = 0; i < EXAMPLE_HUBS_MAX; i++) {
        if (!atomic_load(&stoppable[i])) {
            atomic_store(&stoppable[i], hub);
            break;
        }
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int example_open(struct example *ex, ws_hub **hub)
{
    char host[EXAMPLE_URL_MAX - 16];
    int status;

    url_host(ex, host, sizeof(host));
    snprintf(ex->url, sizeof(ex->url), "tcp://%s:%u", host, ex->port);
    ex->urls[0] = ex->url;
    ex->hub.bind_urls = ex->urls;
    ex->hub.bind_count = 1;
    ex->hub.callbacks = &ex->callbacks;
    status = ws_hub_create(hub, &ex->hub);
    if (status) {
        fprintf(stderr, "options: %s\n", ws_hub_error_text(status));
        /* A broker becomes the hub's with its creation only. */
        if (ex->redis_count > 0)
            ex->hub.broker->destroy(ex->hub.broker_self);
        return status == WS_HUB_EINVAL ? 2 : 1;
    }
    status = ws_hub_start(*hub);
    if (status) {
        fprintf(stderr, "start: %s\n", ws_hub_error_text(status));
        ws_hub_destroy(*hub);
        return 1;
    }
    if (!ex->hub.uv_loop)
        stop_on_signals(*hub);
    return 0;
}

void example_announce(const struct example *ex, const ws_hub *hub,
                      const char *what, const char *scheme)
{
    char host[EXAMPLE_URL_MAX];

    url_host(ex, host, sizeof(host));
    printf("%s %s%s://%s:%u\n", what, scheme, ex->hub.tls_cert ? "s" : "", host,
           ws_hub_port(hub, 0));
    fflush(stdout);
}

static uint64_t sum(const uint64_t values[32])
{
    uint64_t total = 0;

    for (int i = 0; i < 32; i++)
        total += values[i];
    return total;
}

static int differ(const char *what, uint64_t left, uint64_t right)
{
    if (left == right)
        return 0;
    fprintf(stderr, "accounts do not balance: %s: %llu is not %llu\n", what,
            (unsigned long long)left, (unsigned long long)right);
    return 1;
}

int example_balance(const ws_hub *hub)
{
    ws_hub_stats_data s = {.struct_size = sizeof(s)};

    if (ws_hub_stats(hub, &s))
        return 1;
    return differ("offered = delivered + dropped", s.offered,
                  s.delivered + sum(s.dropped)) |
           differ("accepted = opened + http + rejected", s.accepted,
                  s.opened + s.http + sum(s.rejected)) |
           differ("opened = closed", s.opened, sum(s.closed)) |
           differ("pending", s.pending + s.pending_bytes, 0) |
           differ("open, handshaking", s.open + s.handshaking, 0) |
           differ("channels, subscriptions", s.channels + s.subscriptions, 0) |
           differ("slow", s.slow, 0);
}

int example_wait(ws_hub **hubs, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count; i++) {
        int status = ws_hub_run(hubs[i]);

        if (status) {
            fprintf(stderr, "run: %s\n", ws_hub_error_text(status));
            failed = 1;
        }
    }
    /* Out of the handler's reach first; only this thread takes signals. */
    for (size_t i = 0; i < EXAMPLE_HUBS_MAX; i++)
        atomic_store(&stoppable[i], NULL);
    for (size_t i = 0; i < count; i++) {
        failed |= example_balance(hubs[i]);
        ws_hub_destroy(hubs[i]);
    }
    return failed;
}
