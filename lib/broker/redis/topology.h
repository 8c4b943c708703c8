/*
 * topology.h: the three ways to spread channels over Redis servers. Each is an
 * adapter of the broker contract; redis.c chooses one. Here also is what they
 * share: configuration, envelopes, names of probe channels.
 *
 * Thread: create: any; the rest the loop's.
 */
#ifndef WSR_TOPOLOGY_H
#define WSR_TOPOLOGY_H

#include <ws_hub/broker.h>
#include "server.h"

struct wsr_config {
    struct wsr_settings settings; /* borrows the next two */
    struct wsr_tls_context *tls;
    char *tls_name;
    struct wsr_url *urls;
    size_t url_count;
};

/* Frees `config` and what it owns. NULL is allowed. */
void wsr_config_free(struct wsr_config *config);

/* 0 or WS_HUB_ENOMEM. `config` is the adapter's on success: its destroy frees
 * it. settings.sharded is set: true for a cluster only. */
int wsr_single_create(struct wsr_config *config, const ws_hub_broker_ops **ops,
                      void **self);
int wsr_several_create(struct wsr_config *config, const ws_hub_broker_ops **ops,
                       void **self);
int wsr_cluster_create(struct wsr_config *config, const ws_hub_broker_ops **ops,
                       void **self);

/* An operation's publish() on the server that has the channel. */
int wsr_publish(struct wsr_server *server, const char *channel,
                size_t channel_len, const ws_hub_broker_message *message);

/* What came on a channel, to the host: reads the envelope. */
void wsr_deliver(const ws_hub_broker_host *host, const char *channel,
                 size_t channel_len, const void *bytes, size_t len);

/* "$ws_hub.probe.<instance in hex>.<n>"; its length. `name` has
 * WS_HUB_CHANNEL_MAX bytes. */
size_t wsr_probe_name(const ws_hub_broker_host *host, unsigned n, char *name);

/* A formatted line of the log, "redis NAME: …"; cut off at 300 bytes. */
void wsr_log(const ws_hub_broker_host *host, ws_hub_log_level level,
             const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
