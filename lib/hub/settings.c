#include "hub/settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/check.h"
#include "ws_hub/error.h"
#include "ws_hub/hub.h"

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    RESERVED_DESCRIPTORS = 64,
    HOLD_MAX = 1 << 20
};

/* Every number: name, default, least, most. */
#define NUMBERS(X)                                                             \
    X(loops, 1, 1, 64)                                                         \
    X(max_connections, 65536, 1, 1000000)                                      \
    X(accept_rate, UINT_MAX, 1, UINT_MAX)                                      \
    X(retry_after_s, 5, 1, 86400)                                              \
    X(max_header_bytes, 8192, 512, 65536)                                      \
    X(handshake_timeout_ms, 10000, 1, 3600000)                                 \
    X(max_message_bytes, MIB, 1, 1024u * MIB)                                  \
    X(max_fragments, 131072, 1, UINT_MAX)                                      \
    X(max_json_bytes, 64 * KIB, 16, 16 * MIB)                                  \
    X(max_json_depth, 32, 1, 256)                                              \
    X(max_channels_per_conn, 128, 1, 1000000)                                  \
    X(max_channels, 1000000, 1, 16000000)                                      \
    X(send_limit, MIB, 1024, 1024u * MIB)                                      \
    X(critical_reserve, 256 * KIB, 1024, 1024u * MIB)                          \
    X(notsent_lowat, 128 * KIB, 1, UINT_MAX)                                   \
    X(slow_grace_ms, 10000, 1, 3600000)                                        \
    X(max_queue_bytes, 1024u * MIB, 1024, UINT_MAX)                            \
    X(max_inbound_messages, UINT_MAX, 1, UINT_MAX)                             \
    X(max_inbound_bytes, UINT_MAX, 1, UINT_MAX)                                \
    X(rate_grace_ms, 10000, 1, 3600000)                                        \
    X(idle_timeout_ms, UINT_MAX, 1, UINT_MAX)                                  \
    X(max_connections_per_ip, UINT_MAX, 1, UINT_MAX)                           \
    X(heartbeat_ms, 30000, 1, UINT_MAX)                                        \
    X(heartbeat_timeout_ms, 10000, 1, 3600000)                                 \
    X(close_timeout_ms, 5000, 1, 3600000)                                      \
    X(flush_turns, 16, 1, 1024)                                                \
    X(flush_bytes, 64 * KIB, 1024, 16 * MIB)                                   \
    X(flush_us, 2000, 1, 1000000)                                              \
    X(write_bytes, 64 * KIB, 4 * KIB, MIB)                                     \
    X(fragment_bytes, 16 * KIB, KIB, MIB)                                      \
    X(mailbox_bytes, 64 * MIB, KIB, UINT_MAX)                                  \
    X(linger_ms, 1000, 1, 3600000)                                             \
    X(probe_ms, 5000, 1, UINT_MAX)                                             \
    X(audit_ms, 30000, 1, UINT_MAX)

int wsh_struct_copy(void *to, size_t known, const void *from, size_t size)
{
    const unsigned char *bytes = from;

    if (size < sizeof(size_t))
        return WS_HUB_EINVAL;
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return WS_HUB_ENOTSUP;
    memcpy(to, from, WSH_MIN(known, size));
    return 0;
}

void ws_hub_options_init_sized(ws_hub_options *options, size_t size)
{
    ws_hub_options full;

    memset(&full, 0, sizeof full);
    full.struct_size = size;
#define DEFAULT(name, value, least, most) full.name = value;
    NUMBERS(DEFAULT)
#undef DEFAULT
    full.server_id = "ws_hub";
    memset(options, 0, size);
    memcpy(options, &full, WSH_MIN(size, sizeof full));
}

static void log_option(const struct wsh_settings *settings, const char *name)
{
    char text[96] = "option out of range: ";

    if (!settings->callbacks.on_log)
        return;
    strncat(text, name, sizeof text - strlen(text) - 1);
    settings->callbacks.on_log(WS_HUB_LOG_ERROR, text, settings->o.user);
}

static int check_numbers(struct wsh_settings *settings)
{
    ws_hub_options *o = &settings->o;

#define CHECK(name, value, least, most)                                        \
    if (o->name == 0)                                                          \
        o->name = value;                                                       \
    if (o->name < (least) || o->name > (most)) {                               \
        log_option(settings, #name);                                           \
        return WS_HUB_EINVAL;                                                  \
    }
    NUMBERS(CHECK)
#undef CHECK
    return 0;
}

static int check_rest(struct wsh_settings *settings)
{
    const ws_hub_options *o = &settings->o;
    const char *bad = NULL;

    if (o->sender < WS_HUB_SENDER_AUTO || o->sender > WS_HUB_SENDER_URING)
        bad = "sender";
    else if (o->default_mode != WS_HUB_MODE_RAW &&
             o->default_mode != WS_HUB_MODE_JSON)
        bad = "default_mode";
    else if (o->slow_policy < WS_HUB_POLICY_DEFAULT ||
             o->slow_policy > WS_HUB_POLICY_CLOSE)
        bad = "slow_policy";
    else if (o->bind_count > 16 || (o->bind_count && !o->bind_urls))
        bad = "bind_count";
    else if (o->uv_loop && o->loops > 1)
        bad = "loops (a host loop is one loop)";
    else if (o->count_unsent > 1)
        bad = "count_unsent";
    else if (o->outage_no_local > 1)
        bad = "outage_no_local";
    else if (o->outage_hold > HOLD_MAX)
        bad = "outage_hold";
    else if (!o->tls_cert != !o->tls_key)
        bad = "tls_cert and tls_key go together";
    if (!bad)
        return 0;
    log_option(settings, bad);
    return WS_HUB_EINVAL;
}

/* Own a copy of a string; NULL stays NULL. */
static int own(const char **text, const char *fallback)
{
    const char *from = *text ? *text : fallback;

    *text = NULL;
    if (!from)
        return 0;
    *text = strdup(from);
    return *text ? 0 : WS_HUB_ENOMEM;
}

static int own_urls(ws_hub_options *o)
{
    const char *const *from = o->bind_urls;
    char **urls;
    size_t count = o->bind_count;

    o->bind_urls = NULL;
    o->bind_count = 0;
    if (!count)
        return 0;
    urls = calloc(count, sizeof *urls);
    if (!urls)
        return WS_HUB_ENOMEM;
    o->bind_urls = (const char *const *)urls;
    for (; o->bind_count < count; o->bind_count++) {
        if (!from[o->bind_count])
            return WS_HUB_EINVAL;
        urls[o->bind_count] = strdup(from[o->bind_count]);
        if (!urls[o->bind_count])
            return WS_HUB_ENOMEM;
    }
    return 0;
}

static void limit_by_descriptors(ws_hub_options *o)
{
    struct rlimit limit;
    rlim_t most;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return;
    most = limit.rlim_cur > 2 * RESERVED_DESCRIPTORS
               ? limit.rlim_cur - RESERVED_DESCRIPTORS
               : limit.rlim_cur / 2;
    if (o->max_connections > most)
        o->max_connections = (unsigned)WSH_MAX(most, 1);
}

/* The pointers of the caller become our copies; those not copied yet are NULL,
 * so that fini is right after any failure. */
static int own_strings(ws_hub_options *o)
{
    const char *cert = o->tls_cert, *key = o->tls_key, *id = o->server_id;
    int error;

    o->tls_cert = o->tls_key = o->server_id = NULL;
    error = own_urls(o);
    if (error)
        return error;
    if (own(&cert, NULL))
        return WS_HUB_ENOMEM;
    o->tls_cert = cert;
    if (own(&key, NULL))
        return WS_HUB_ENOMEM;
    o->tls_key = key;
    if (own(&id, "ws_hub"))
        return WS_HUB_ENOMEM;
    o->server_id = id;
    return 0;
}

int wsh_settings_init(struct wsh_settings *settings,
                      const ws_hub_options *options)
{
    int error;

    memset(settings, 0, sizeof *settings);
    ws_hub_options_init(&settings->o);
    if (options) {
        error = wsh_struct_copy(&settings->o, sizeof settings->o, options,
                                options->struct_size);
        if (error)
            return error;
    }
    if (settings->o.callbacks) {
        error = wsh_struct_copy(
            &settings->callbacks, sizeof settings->callbacks,
            settings->o.callbacks, settings->o.callbacks->struct_size);
        if (error)
            return error;
    }
    settings->o.callbacks = NULL;
    if (settings->o.slow_policy == WS_HUB_POLICY_DEFAULT)
        settings->o.slow_policy = WS_HUB_POLICY_DROP_NEWEST;
    error = check_numbers(settings);
    if (!error)
        error = check_rest(settings);
    if (error)
        return error;
    error = own_strings(&settings->o);
    if (error)
        wsh_settings_fini(settings);
    else
        limit_by_descriptors(&settings->o);
    return error;
}

void wsh_settings_fini(struct wsh_settings *settings)
{
    ws_hub_options *o = &settings->o;

    for (size_t i = 0; i < o->bind_count; i++)
        free((char *)(uintptr_t)o->bind_urls[i]);
    free((void *)(uintptr_t)o->bind_urls);
    free((char *)(uintptr_t)o->tls_cert);
    free((char *)(uintptr_t)o->tls_key);
    free((char *)(uintptr_t)o->server_id);
    memset(settings, 0, sizeof *settings);
}
