/*
 * redis.c: the constructor: reads the options, chooses the topology.
 */
#include <ws_hub/redis.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ws_hub/error.h>
#include "tls.h"
#include "topology.h"

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    URLS_MAX = 64,
    SLACK = 4096, /* command, channel and head around a payload */
    MESSAGE_MAX = 256 * MIB,
    OUTPUT_MAX = 1024 * MIB,
    INBOUND_MAX = 512 * MIB,
};

/* Where a complaint goes; bytes may be NULL. */
struct text {
    char *bytes;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static int
fail(const struct text *error, int status, const char *format, ...)
{
    va_list arguments;

    if (error->bytes && error->size > 0) {
        va_start(arguments, format);
        (void)vsnprintf(error->bytes, error->size, format, arguments);
        va_end(arguments);
    }
    return status;
}

void ws_hub_redis_options_init_sized(ws_hub_redis_options *options, size_t size)
{
    ws_hub_redis_options full;

    memset(&full, 0, sizeof full);
    full.struct_size = size;
    full.connect_timeout_ms = 3000;
    full.command_timeout_ms = 5000;
    full.keepalive_s = 15;
    full.max_message_bytes = MIB;
    memset(options, 0, size);
    memcpy(options, &full, size < sizeof full ? size : sizeof full);
}

/* The caller's structure may be older or newer than ours. */
static int copy_options(ws_hub_redis_options *to,
                        const ws_hub_redis_options *from)
{
    const unsigned char *bytes = (const unsigned char *)from;
    size_t size = from->struct_size;

    memset(to, 0, sizeof *to);
    if (size < sizeof size)
        return WS_HUB_EINVAL;
    for (size_t i = sizeof *to; i < size; i++)
        if (bytes[i])
            return WS_HUB_ENOTSUP;
    memcpy(to, from, size < sizeof *to ? size : sizeof *to);
    return 0;
}

/* Zero takes the default; false: out of range. */
static bool number(size_t given, size_t standard, size_t least, size_t most,
                   size_t *out)
{
    *out = given ? given : standard;
    return *out >= least && *out <= most;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static const char *read_settings(const ws_hub_redis_options *options,
                                 struct wsr_settings *out)
{
    size_t connect, command, keepalive, least;

    if (!number(options->connect_timeout_ms, 3000, 1, 3600000, &connect))
        return "connect_timeout_ms";
    if (!number(options->command_timeout_ms, 5000, 1, 3600000, &command))
        return "command_timeout_ms";
    if (!number(options->keepalive_s, 15, 1, 32767, &keepalive))
        return "keepalive_s";
    if (!number(options->max_message_bytes, MIB, 1, MESSAGE_MAX,
                &out->max_message_bytes))
        return "max_message_bytes";
    least = out->max_message_bytes + SLACK;
    if (!number(options->max_output_bytes, larger(8 * MIB, least), least,
                OUTPUT_MAX, &out->max_output_bytes))
        return "max_output_bytes";
    if (!number(options->max_inbound_bytes, larger(32 * MIB, least), least,
                INBOUND_MAX, &out->max_inbound_bytes))
        return "max_inbound_bytes";
    out->connect_timeout_ms = (unsigned)connect;
    out->command_timeout_ms = (unsigned)command;
    out->keepalive_s = (unsigned)keepalive;
    out->sharded = options->cluster != 0;
    return NULL;
}

static bool same_server(const struct wsr_url *a, const struct wsr_url *b)
{
    return strcmp(a->host, b->host) == 0 && a->port == b->port &&
           strcmp(a->path, b->path) == 0;
}

/* URLs are named by their place: their text may hold a password. */
static int read_url(const ws_hub_redis_options *options, size_t n,
                    struct wsr_config *config, const struct text *error)
{
    struct wsr_url *url = &config->urls[n];
    const char *why = NULL;
    int status;

    if (!options->urls[n])
        return fail(error, WS_HUB_EINVAL, "URL %zu is NULL", n + 1);
    status = wsr_url_parse(options->urls[n], url, &why);
    if (status)
        return fail(error, status, "URL %zu: %s", n + 1, why);
    if (options->cluster && (!url->host[0] || url->db != 0))
        return fail(error, WS_HUB_EINVAL,
                    "URL %zu: a cluster has no unix sockets and only "
                    "database 0",
                    n + 1);
    for (size_t i = 0; i < n; i++)
        if (same_server(url, &config->urls[i]))
            return fail(error, WS_HUB_EINVAL,
                        "URLs %zu and %zu are the same server", i + 1, n + 1);
    return 0;
}

/* Files are read if a URL wants TLS. Without one, options of TLS are a mistake:
 * the connections would be plain. */
static int read_tls(const ws_hub_redis_options *options,
                    struct wsr_config *config, const struct text *error)
{
    struct wsr_tls_files files = {options->tls_ca, options->tls_cert,
                                  options->tls_key};
    const char *why;
    size_t wanted = 0;
    int status;

    for (size_t n = 0; n < config->url_count; n++)
        wanted += config->urls[n].tls;
    if (options->cluster && wanted > 0 && wanted < config->url_count)
        return fail(error, WS_HUB_EINVAL,
                    "a cluster has TLS on all of its nodes or on none");
    if (wanted == 0)
        return files.ca || files.cert || files.key || options->tls_name
                   ? fail(error, WS_HUB_EINVAL,
                          "tls_ options, and no URL with rediss://")
                   : 0;
    status = wsr_tls_context_create(&config->tls, &files, &why);
    if (status)
        return fail(error, status, "%s", why);
    if (options->tls_name) {
        config->tls_name = strdup(options->tls_name);
        if (!config->tls_name)
            return fail(error, WS_HUB_ENOMEM, "out of memory");
    }
    config->settings.tls = config->tls;
    config->settings.tls_name = config->tls_name;
    return 0;
}

static int read_config(const ws_hub_redis_options *options,
                       struct wsr_config *config, const struct text *error)
{
    const char *wrong = read_settings(options, &config->settings);
    int status = 0;

    if (wrong)
        return fail(error, WS_HUB_EINVAL, "out of range: %s", wrong);
    if (!options->urls || options->url_count == 0 ||
        options->url_count > URLS_MAX)
        return fail(error, WS_HUB_EINVAL, "1 to %d URLs are wanted", URLS_MAX);
    config->urls = calloc(options->url_count, sizeof *config->urls);
    if (!config->urls)
        return fail(error, WS_HUB_ENOMEM, "out of memory");
    config->url_count = options->url_count;
    for (size_t n = 0; n < options->url_count && status == 0; n++)
        status = read_url(options, n, config, error);
    return status ? status : read_tls(options, config, error);
}

static int create(const ws_hub_redis_options *options,
                  const ws_hub_broker_ops **ops, void **self,
                  const struct text *error)
{
    struct wsr_config *config = calloc(1, sizeof *config);
    int status;

    if (!config)
        return fail(error, WS_HUB_ENOMEM, "out of memory");
    status = read_config(options, config, error);
    if (status == 0) {
        status = options->cluster        ? wsr_cluster_create(config, ops, self)
                 : config->url_count > 1 ? wsr_several_create(config, ops, self)
                                         : wsr_single_create(config, ops, self);
        if (status)
            (void)fail(error, status, "%s", ws_hub_error_text(status));
    }
    if (status)
        wsr_config_free(config);
    return status;
}

int ws_hub_redis_broker(const ws_hub_redis_options *options,
                        const ws_hub_broker_ops **ops, void **self, char *error,
                        size_t error_size)
{
    struct text text = {error, error_size};
    ws_hub_redis_options copy;
    int status;

    if (error && error_size > 0)
        error[0] = '\0';
    if (!options || !ops || !self)
        return fail(&text, WS_HUB_EINVAL, "NULL is not allowed");
    *ops = NULL;
    *self = NULL;
    status = copy_options(&copy, options);
    if (status)
        return fail(&text, status, "options of an unknown size");
    return create(&copy, ops, self, &text);
}
