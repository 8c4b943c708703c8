/* ws_hub_accept.c: who gets in, and to which lane. Runs on home. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "protocol/upgrade.h"
#include "ws_hub/error.h"
#include "ws_hub_private.h"

struct handover {
    struct wsh_task task;
    struct lane *lane;
    int fd;
    struct wsh_peer peer;
};

static unsigned lane_load(const struct lane *lane)
{
    return atomic_load_explicit(&lane->shard->links, memory_order_relaxed) +
           lane->handed -
           atomic_load_explicit(&lane->arrived, memory_order_relaxed);
}

/* A bucket of one second's worth. */
static bool within_rate(ws_hub *top)
{
    double rate = top->hub.settings.o.accept_rate;
    uint64_t now = wsh_now_us();

    top->accept_tokens += (double)(now - top->accept_us) * rate / 1e6;
    top->accept_tokens = WSH_MIN(top->accept_tokens, rate);
    top->accept_us = now;
    if (top->accept_tokens < 1)
        return false;
    top->accept_tokens -= 1;
    return true;
}

static bool address_full(ws_hub *top, const struct wsh_peer *peer)
{
    unsigned limit = top->hub.settings.o.max_connections_per_ip;

    /* The shard counts, and refuses what slips through between here and there.
     */
    return limit != UINT32_MAX &&
           wsh_ip_table_count(&top->hub.ips, peer) >= limit;
}

/* It never got to a shard that would count it. */
static void count_rejected(struct wsh_shard *by, ws_hub_reject why)
{
    wsh_count(&by->counters, WSH_C_ACCEPTED, 1);
    wsh_count(&by->counters, WSH_C_REJECTED + (unsigned)why, 1);
}

static int admit(void *arg, const struct wsh_peer *peer)
{
    ws_hub *top = arg;
    unsigned load = 0;
    int reject = -1;

    for (unsigned i = 0; i < top->lane_count; i++)
        load += lane_load(&top->lanes[i]);
    if (load >= top->hub.settings.o.max_connections)
        reject = WS_HUB_REJECT_CAPACITY;
    else if (top->hub.settings.o.accept_rate != UINT32_MAX && !within_rate(top))
        reject = WS_HUB_REJECT_ACCEPT_RATE;
    else if (address_full(top, peer))
        reject = WS_HUB_REJECT_PER_IP;
    if (reject < 0)
        return 0;
    count_rejected(top->lanes[WSH_HOME].shard, (ws_hub_reject)reject);
    return reject + 1;
}

static void adopt(struct lane *lane, int fd, const struct wsh_peer *peer)
{
    int error = wsh_transport_adopt(lane->transport, fd, peer);

    if (error == WS_HUB_ELIMIT)
        count_rejected(lane->shard, WS_HUB_REJECT_DESCRIPTORS);
    else if (error)
        wsh_log(&lane->top->hub.log, WS_HUB_LOG_WARN,
                "a socket could not be taken over: %s",
                ws_hub_error_text(error));
}

static void handover_arrives(struct wsh_shard *shard, struct wsh_task *task,
                             bool canceled)
{
    struct handover *handover = WSH_CONTAINER(task, struct handover, task);

    if (canceled) {
        (void)close(handover->fd);
        count_rejected(shard, WS_HUB_REJECT_STOPPING);
    } else {
        adopt(handover->lane, handover->fd, &handover->peer);
    }
    atomic_fetch_add_explicit(&handover->lane->arrived, 1,
                              memory_order_relaxed);
    free(handover);
}

static void hand_over(struct lane *lane, int fd, const struct wsh_peer *peer)
{
    struct handover *handover = malloc(sizeof *handover);

    if (!handover) {
        (void)close(fd);
        count_rejected(lane->top->lanes[WSH_HOME].shard,
                       WS_HUB_REJECT_REJECT_NO_MEMORY);
        return;
    }
    *handover = (struct handover){.task = {.run = handover_arrives},
                                  .lane = lane,
                                  .fd = fd,
                                  .peer = *peer};
    lane->handed++;
    if (wsh_shard_post(lane->shard, &handover->task))
        handover_arrives(lane->top->lanes[WSH_HOME].shard, &handover->task,
                         true);
}

static void accepted(void *arg, int fd, const struct wsh_peer *peer)
{
    ws_hub *top = arg;
    struct lane *least = &top->lanes[0];

    for (unsigned i = 1; i < top->lane_count; i++)
        if (lane_load(&top->lanes[i]) < lane_load(least))
            least = &top->lanes[i];
    if (least->index == WSH_HOME)
        adopt(least, fd, peer);
    else
        hand_over(least, fd, peer);
}

static void starved(void *arg, bool answered)
{
    ws_hub *top = arg;

    (void)answered;
    count_rejected(top->lanes[WSH_HOME].shard, WS_HUB_REJECT_DESCRIPTORS);
}

int wsh_top_open_acceptor(ws_hub *top)
{
    const ws_hub_options *o = &top->hub.settings.o;
    struct wsh_acceptor_config config = {
        .uv_loop = wsh_loop_uv(top->lanes[WSH_HOME].loop),
        .urls = o->bind_urls,
        .url_count = o->bind_count,
        .tls = o->tls_cert != NULL,
        .notsent_lowat = o->notsent_lowat,
        .refusal = top->refusal,
        .admit = admit,
        .accepted = accepted,
        .starved = starved,
        .arg = top,
        .log = &top->hub.log,
    };
    int error;

    if (!o->bind_count)
        return 0;
    top->refusal_len = wsh_http_refusal(top->refusal, 503, o->retry_after_s);
    config.refusal_len = top->refusal_len;
    top->accept_us = wsh_now_us();
    top->accept_tokens = o->accept_rate;
    error = wsh_acceptor_create(&top->acceptor, &config);
    for (size_t i = 0; i < o->bind_count && !error; i++)
        top->ports[i] = wsh_acceptor_port(top->acceptor, i);
    return error;
}
