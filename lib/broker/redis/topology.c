#include "topology.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <ws_hub/conn.h>
#include "tls.h"

enum { LINE_MAX = 300 };

void wsr_config_free(struct wsr_config *config)
{
    if (!config)
        return;
    wsr_tls_context_free(config->tls);
    free(config->tls_name);
    free(config->urls);
    free(config);
}

int wsr_publish(struct wsr_server *server, const char *channel,
                size_t channel_len, const ws_hub_broker_message *message)
{
    uint8_t head[WS_HUB_ENVELOPE_MAX];
    size_t head_len = ws_hub_envelope_write(message, head);

    return wsr_server_publish(server, channel, channel_len, head, head_len,
                              message->data, message->len);
}

void wsr_deliver(const ws_hub_broker_host *host, const char *channel,
                 size_t channel_len, const void *bytes, size_t len)
{
    ws_hub_broker_message message;

    /* Any program may write such bytes, so they are not worth a warning. */
    if (ws_hub_envelope_read(bytes, len, &message))
        wsr_log(host, WS_HUB_LOG_DEBUG, "message", "not one of this version");
    else
        (void)host->message(host, channel, channel_len, &message);
}

size_t wsr_probe_name(const ws_hub_broker_host *host, unsigned n, char *name)
{
    char text[64];
    int len = snprintf(text, sizeof text, "$ws_hub.probe.%016" PRIx64 ".%u",
                       host->instance, n);

    for (int i = 0; i < len; i++)
        name[i] = text[i];
    return (size_t)len;
}

void wsr_log(const ws_hub_broker_host *host, ws_hub_log_level level,
             const char *name, const char *format, ...)
{
    char line[LINE_MAX];
    va_list arguments;
    int used = snprintf(line, sizeof line, "redis %s: ", name);

    if (used < 0 || (size_t)used >= sizeof line)
        used = 0;
    va_start(arguments, format);
    (void)vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    /* Servers' texts are in it, and a line of a log is one line. */
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    host->log(host, level, line);
}
