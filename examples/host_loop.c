/*
 * host_loop: a program that has a libuv loop already. The hub lives on it and
 * makes no thread; a timer of the program publishes the time once a second.
 */
#include "common.h"

#include <stdio.h>
#include <time.h>
#include <uv.h>

static const char channel[] = "clock";

struct host {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t interrupt, terminate;
    ws_hub *hub;
    int unbalanced; /* its accounts, at the end */
};

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    (void)request, (void)user;
    ws_hub_subscribe(hub, conn, channel, sizeof(channel) - 1);
}

static void on_tick(uv_timer_t *timer)
{
    struct host *host = timer->data;
    time_t now = time(NULL);
    struct tm utc;
    char text[32];
    size_t len;

    gmtime_r(&now, &utc);
    len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    ws_hub_publish(host->hub, channel, sizeof(channel) - 1, text, len, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct host *host = handle->data;

    (void)number;
    ws_hub_stop(host->hub);
}

/* With nothing of ours left on it, uv_run() returns when the hub is gone. */
static void on_stopped(ws_hub *hub, void *user)
{
    struct host *host = user;

    uv_close((uv_handle_t *)&host->timer, NULL);
    uv_close((uv_handle_t *)&host->interrupt, NULL);
    uv_close((uv_handle_t *)&host->terminate, NULL);
    host->unbalanced = example_balance(hub);
    ws_hub_destroy(hub);
}

static void start_handles(struct host *host)
{
    uv_timer_init(&host->loop, &host->timer);
    uv_signal_init(&host->loop, &host->interrupt);
    uv_signal_init(&host->loop, &host->terminate);
    host->timer.data = host->interrupt.data = host->terminate.data = host;
    uv_timer_start(&host->timer, on_tick, 1000, 1000);
    uv_signal_start(&host->interrupt, on_signal, SIGINT);
    uv_signal_start(&host->terminate, on_signal, SIGTERM);
}

int main(int argc, char **argv)
{
    struct example ex;
    struct host host = {.hub = NULL};
    int status;

    example_init(&ex, 9003);
    status = example_parse(
        &ex, argc, argv, "The time, once a second, from the host's own loop.");
    if (status >= 0)
        return status;
    if (uv_loop_init(&host.loop)) {
        fprintf(stderr, "no event loop\n");
        return 1;
    }
    ex.callbacks.on_open = on_open;
    ex.callbacks.on_stopped = on_stopped;
    ex.hub.uv_loop = &host.loop;
    ex.hub.user = &host;
    status = example_open(&ex, &host.hub);
    if (!status) {
        start_handles(&host);
        example_announce(&ex, host.hub, "listening on", "ws");
    }
    uv_run(&host.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&host.loop) || host.unbalanced)
        return 1;
    return status;
}
