/* options.c: the command line that the servers share, and their log. */
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const sender_names[] = {"auto", "write", "uring"};

static ws_hub_log_level log_level = WS_HUB_LOG_INFO;

/* Options that are a number and go straight to the hub's; the hub checks the
 * lower end. */
static const struct number_option {
    size_t at;
    unsigned max;
} numbers[] = {
#define NUMBER(name) offsetof(ws_hub_options, name)
    {NUMBER(loops), 64},
    {NUMBER(max_connections), 1000000},
    {NUMBER(max_connections_per_ip), UINT32_MAX},
    {NUMBER(max_inbound_messages), UINT32_MAX},
    {NUMBER(max_inbound_bytes), UINT32_MAX},
    {NUMBER(rate_grace_ms), UINT32_MAX},
    {NUMBER(handshake_timeout_ms), UINT32_MAX},
    {NUMBER(send_limit), 1u << 30},
    {NUMBER(heartbeat_ms), UINT32_MAX},
    {NUMBER(heartbeat_timeout_ms), UINT32_MAX},
#undef NUMBER
};

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

/* Those below NUMBERS are indices of the table above. */
static const struct option long_options[] = {
    {"loops", required_argument, NULL, 0},
    {"max-connections", required_argument, NULL, 1},
    {"max-connections-per-ip", required_argument, NULL, 2},
    {"max-inbound-messages", required_argument, NULL, 3},
    {"max-inbound-bytes", required_argument, NULL, 4},
    {"rate-grace-ms", required_argument, NULL, 5},
    {"handshake-timeout-ms", required_argument, NULL, 6},
    {"send-limit", required_argument, NULL, 7},
    {"heartbeat-ms", required_argument, NULL, 8},
    {"heartbeat-timeout-ms", required_argument, NULL, 9},
    {"host", required_argument, NULL, 'H'},
    {"port", required_argument, NULL, 'p'},
    {"tls-cert", required_argument, NULL, 'c'},
    {"tls-key", required_argument, NULL, 'k'},
    {"stats-path", required_argument, NULL, 's'},
    {"log-level", required_argument, NULL, 'l'},
    {"sender", required_argument, NULL, 'S'},
    {"redis", required_argument, NULL, 'r'},
    {"redis-cluster", required_argument, NULL, 'R'},
    {"redis-ca", required_argument, NULL, 'A'},
    {"redis-cert", required_argument, NULL, 'C'},
    {"redis-key", required_argument, NULL, 'K'},
    {"redis-name", required_argument, NULL, 'N'},
    {"server-id", required_argument, NULL, 'i'},
    {"probe-ms", required_argument, NULL, 'P'},
    {"outage-hold", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "  --host HOST               address to listen on; default 127.0.0.1\n"
    "  --port N                  0 picks a free one; default %u\n"
    "  --loops N                 loop threads; default 1\n"
    "  --max-connections N       default 65536, or what RLIMIT_NOFILE allows\n"
    "  --max-connections-per-ip N  of one address; default no limit\n"
    "  --max-inbound-messages N  per second and client; default no limit\n"
    "  --max-inbound-bytes N     per second and client; default no limit\n"
    "  --rate-grace-ms N         refused for so long: close; default 10000\n"
    "  --handshake-timeout-ms N  default 10000\n"
    "  --send-limit N            bytes that may wait for one client\n"
    "  --heartbeat-ms N          ping after so much silence; default 30000\n"
    "  --heartbeat-timeout-ms N  silence after it until the end; default "
    "10000\n"
    "  --tls-cert FILE           PEM certificate chain, with --tls-key FILE\n"
    "  --stats-path PATH         GET of it is answered with the hub's "
    "counters\n"
    "  --log-level LEVEL         error, warn, info or debug; default info\n"
    "  --sender KIND             auto, write or uring; default auto\n"
    "  --redis URL               share channels over this server; several "
    "times:"
    "\n"
    "                            spread them over several; "
    "redis://[[USER]:PASSWORD@]HOST[:PORT]\n"
    "                            or redis+unix:///PATH; rediss:// is TLS\n"
    "  --redis-cluster URL,...   some nodes of a Redis Cluster\n"
    "  --redis-ca FILE           PEM authorities of rediss://; default the "
    "system's\n"
    "  --redis-cert FILE         PEM certificate to show there, with "
    "--redis-key FILE\n"
    "  --redis-name NAME         that its certificate is for; default the "
    "URL's host\n"
    "  --probe-ms N              how often each link to Redis is probed; "
    "default 5000\n"
    "  --outage-hold N           messages to hold for Redis while it is away; "
    "default 0\n"
    "  --server-id NAME          of this process in what it tells clients and "
    "Redis\n"
    "  --help                    this text\n";

void example_log(ws_hub_log_level level, const char *text, void *user)
{
    (void)user;
    if (level <= log_level)
        fprintf(stderr, "%s: %s\n", level_names[level], text);
}

void example_init(struct example *ex, unsigned port)
{
    memset(ex, 0, sizeof(*ex));
    ws_hub_options_init(&ex->hub);
    ex->callbacks.struct_size = sizeof(ex->callbacks);
    ex->callbacks.on_log = example_log;
    ex->host = "127.0.0.1";
    ex->port = port;
}

static int parse_number(const char *text, unsigned long max, unsigned *out)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno || value > max)
        return -1;
    *out = (unsigned)value;
    return 0;
}

static int parse_name(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    return -1;
}

static int add_redis(struct example *ex, const char *url)
{
    if (ex->redis_count == EXAMPLE_REDIS_MAX || *url == '\0')
        return -1;
    ex->redis_urls[ex->redis_count++] = url;
    return 0;
}

/* The list is cut up where it stands. */
static int add_cluster(struct example *ex, char *list)
{
    char *rest, *url;

    ex->redis_cluster = 1;
    for (url = strtok_r(list, ",", &rest); url;
         url = strtok_r(NULL, ",", &rest))
        if (add_redis(ex, url))
            return -1;
    return ex->redis_count > 0 ? 0 : -1;
}

static int apply_number(struct example *ex, const struct number_option *number,
                        const char *value)
{
    return parse_number(value, number->max,
                        (unsigned *)((char *)&ex->hub + number->at));
}

static int apply(struct example *ex, int option, char *value)
{
    int index;

    if (option < NUMBERS)
        return apply_number(ex, &numbers[option], value);
    switch (option) {
    case 'H':
        ex->host = value;
        return *value ? 0 : -1;
    case 'p':
        return parse_number(value, 65535, &ex->port);
    case 'c':
        ex->hub.tls_cert = value;
        return 0;
    case 'k':
        ex->hub.tls_key = value;
        return 0;
    case 's':
        example_set_stats_path(value);
        return *value == '/' ? 0 : -1;
    case 'l':
        index = parse_name(value, level_names, 4);
        log_level = (ws_hub_log_level)index;
        return index < 0 ? -1 : 0;
    case 'r':
        return add_redis(ex, value);
    case 'R':
        return add_cluster(ex, value);
    case 'A':
        ex->redis_ca = value;
        return 0;
    case 'C':
        ex->redis_cert = value;
        return 0;
    case 'K':
        ex->redis_key = value;
        return 0;
    case 'N':
        ex->redis_name = value;
        return *value ? 0 : -1;
    case 'P':
        return parse_number(value, UINT32_MAX, &ex->hub.probe_ms);
    case 'o':
        return parse_number(value, 1u << 20, &ex->hub.outage_hold);
    case 'i':
        ex->hub.server_id = value;
        return *value ? 0 : -1;
    default: /* 'S' */
        index = parse_name(value, sender_names, 3);
        ex->hub.sender = (ws_hub_sender)index;
        return index < 0 ? -1 : 0;
    }
}

int example_parse(struct example *ex, int argc, char **argv,
                  const char *summary)
{
    unsigned default_port = ex->port;
    int option, index = 0;

    while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (option == '?')
            return 2; /* getopt_long has said why */
        if (option == 'h') {
            printf("usage: %s [OPTION...]\n%s\n\n", argv[0], summary);
            printf(help, default_port);
            return 0;
        }
        if (apply(ex, option, optarg)) {
            fprintf(stderr, "%s: bad value for --%s: '%s'\n", argv[0],
                    long_options[index].name, optarg);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected '%s'\n", argv[0], argv[optind]);
        return 2;
    }
    if (!ex->hub.tls_cert != !ex->hub.tls_key) {
        fprintf(stderr, "%s: --tls-cert and --tls-key go together\n", argv[0]);
        return 2;
    }
    return example_use_broker(ex) ? 2 : -1;
}
