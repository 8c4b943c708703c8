/*
 * slow.c: what clients that stop reading cost the others, and the server.
 *
 * Forks a server (one hub, one loop, and its main thread as the publisher) and
 * drives all its clients itself. Publishes as fast as the healthy clients take
 * it: a burst goes out when they have, together, all but the last one. Every
 * client checks every message (support/seq_check.h); a healthy one may miss
 * none, a slow one must be told of each hole, once, with its exact size.
 *
 * Prints one key=value a line. CPU is the server's, all its threads, between
 * two idle moments, from when the slow ones stop reading to the end of
 * publishing. Ends with 1 and a line on stderr if anything is not as it must.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/probe.h"
#include "support/crowd.h"
#include "support/identity.h"
#include "support/seq_check.h"
#include "ws_hub.h"

enum { WARM_UP = 50, DEADLINE_S = 120, SIZE_MOST = 65536, RECEIVE = 4096 };

struct slow_options {
    unsigned healthy, slow, seconds, size, burst, json, mix, policy;
    unsigned send_limit, keys;
};

/* What goes to the server, and what comes back. */
struct order {
    char what; /* p: publish `count`; s: stats; q: stop */
    uint32_t count;
};

struct bench {
    struct slow_options opt;
    int server; /* the socket to it */
    pid_t pid;
    unsigned count; /* clients: the slow ones first */
    struct crowd *crowd;
    struct seq_check *check;
    uint64_t published;
    uint64_t got; /* messages of all healthy ones */
};

static _Noreturn void die(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("slow: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* The first core is the server's, the second one this process's. */
static void pin(unsigned which)
{
    cpu_set_t all, one;

    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2)
        return;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &all) || which-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

/* The server. */

static void on_open(ws_hub *hub, ws_hub_conn conn,
                    const ws_hub_request *request, void *user)
{
    (void)request;
    (void)user;
    if (ws_hub_subscribe(hub, conn, "c", 1))
        abort();
}

static void on_gap(ws_hub *hub, ws_hub_conn conn, const char *channel,
                   size_t len, uint64_t missed, void *user)
{
    char text[40];
    int n = snprintf(text, sizeof text, "gap %llu", (unsigned long long)missed);

    (void)channel;
    (void)len;
    (void)user;
    (void)ws_hub_send(hub, conn, WS_HUB_TEXT, text, (size_t)n);
}

static void publish(ws_hub *hub, const struct slow_options *opt,
                    uint64_t number)
{
    static char text[SIZE_MOST];
    char key[16];
    ws_hub_publish_options o = {.struct_size = sizeof o};

    if (opt->mix && number % 1000 == 999)
        o.cls = WS_HUB_CLASS_CRITICAL;
    else if (opt->mix && number % 10 == 5)
        o.cls = WS_HUB_CLASS_VOLATILE;
    if (opt->keys) {
        o.key = key;
        o.key_len = (size_t)snprintf(key, sizeof key, "%llu",
                                     (unsigned long long)number % opt->keys);
    }
    seq_write(text, opt->size, number,
              o.cls == WS_HUB_CLASS_CRITICAL   ? 'c'
              : o.cls == WS_HUB_CLASS_VOLATILE ? 'v'
                                               : 'n');
    if (ws_hub_publish(hub, "c", 1, text, opt->size, &o))
        abort();
}

static void obey(ws_hub *hub, const struct slow_options *opt, int client)
{
    ws_hub_stats_data stats = {.struct_size = sizeof stats};
    struct order order;
    uint64_t number = 0;

    while (read(client, &order, sizeof order) == sizeof order) {
        if (order.what == 'q')
            return;
        for (uint32_t i = 0; order.what == 'p' && i < order.count; i++)
            publish(hub, opt, number++);
        if (order.what != 's')
            continue;
        (void)ws_hub_stats(hub, &stats);
        if (write(client, &stats, sizeof stats) != sizeof stats)
            return;
    }
}

static _Noreturn void serve(const struct slow_options *opt, int client)
{
    const ws_hub_callbacks callbacks = {
        .struct_size = sizeof callbacks, .on_open = on_open, .on_gap = on_gap};
    const char *url = "tcp://127.0.0.1:0";
    ws_hub_options options;
    unsigned port;
    ws_hub *hub;

    pin(0);
    ws_hub_options_init(&options);
    options.bind_urls = &url;
    options.bind_count = 1;
    options.callbacks = &callbacks;
    options.default_mode = opt->json ? WS_HUB_MODE_JSON : WS_HUB_MODE_RAW;
    options.slow_policy = (ws_hub_policy)opt->policy;
    options.send_limit = opt->send_limit;
    options.heartbeat_ms = 600000; /* none falls into a run */
    if (ws_hub_create(&hub, &options) || ws_hub_start(hub))
        exit(1);
    port = ws_hub_port(hub, 0);
    if (write(client, &port, sizeof port) != sizeof port)
        exit(1);
    obey(hub, opt, client);
    if (ws_hub_stop(hub) || ws_hub_run(hub))
        exit(1);
    check_identity(hub, 1);
    ws_hub_destroy(hub);
    exit(0);
}

static unsigned start_server(struct bench *b)
{
    int ends[2];
    unsigned port;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        die("socketpair: %s", strerror(errno));
    b->pid = fork();
    if (b->pid < 0)
        die("fork: %s", strerror(errno));
    if (b->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        serve(&b->opt, ends[1]);
    }
    (void)close(ends[1]);
    b->server = ends[0];
    if (read(b->server, &port, sizeof port) != sizeof port)
        die("the server did not start");
    return port;
}

/* The clients. */

static void say(struct bench *b, char what, uint32_t count)
{
    struct order order;

    memset(&order, 0, sizeof order); /* padding goes out as well */
    order.what = what;
    order.count = count;
    if (write(b->server, &order, sizeof order) != sizeof order)
        die("the server is gone");
}

static ws_hub_stats_data ask(struct bench *b)
{
    ws_hub_stats_data stats;

    say(b, 's', 0);
    if (read(b->server, &stats, sizeof stats) != sizeof stats)
        die("the server is gone");
    return stats;
}

static void on_received(struct crowd_client *client, uint8_t opcode,
                        const uint8_t *data, size_t len, void *arg)
{
    struct bench *b = arg;
    struct seq_check *check = &b->check[client->index];
    uint64_t before = check->received;
    const char *wrong = seq_check(check, data, len);

    (void)opcode;
    if (!wrong && client->index >= b->opt.slow && check->gaps)
        wrong = "a healthy client lost something";
    if (wrong)
        die("client %u, %llu expected: %s: %.*s", client->index,
            (unsigned long long)check->next, wrong, (int)(len < 80 ? len : 80),
            (const char *)data);
    if (client->index >= b->opt.slow)
        b->got += check->received - before;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the healthy ones have all but the last `behind`. */
static void catch_up(struct bench *b, uint64_t behind)
{
    uint64_t want = (b->published - behind) * b->opt.healthy;
    uint64_t end = now_ms() + DEADLINE_S * 1000;

    while (b->got < want) {
        crowd_turn(b->crowd, 100);
        if (now_ms() > end)
            die("the healthy clients do not get everything");
    }
}

static void burst(struct bench *b)
{
    say(b, 'p', b->opt.burst);
    b->published += b->opt.burst;
    catch_up(b, b->opt.burst);
}

static void wait_stats(struct bench *b,
                       bool (*done)(const struct bench *b,
                                    const ws_hub_stats_data *s))
{
    uint64_t end = now_ms() + DEADLINE_S * 1000;
    ws_hub_stats_data stats = ask(b);

    while (!done(b, &stats)) {
        crowd_turn(b->crowd, 10);
        stats = ask(b);
        if (now_ms() > end)
            die("%llu subscribed, %llu slow, %llu pending",
                (unsigned long long)stats.subscriptions,
                (unsigned long long)stats.slow,
                (unsigned long long)stats.pending);
    }
}

static bool subscribed(const struct bench *b, const ws_hub_stats_data *s)
{
    return s->subscriptions == b->count;
}

static bool at_rest(const struct bench *b, const ws_hub_stats_data *s)
{
    (void)b;
    return s->slow == 0 && s->pending == 0;
}

static void connect_all(struct bench *b, unsigned port)
{
    b->count = b->opt.slow + b->opt.healthy;
    b->crowd = crowd_create(port, b->count);
    b->check = calloc(b->count, sizeof *b->check);
    if (!b->check)
        die("memory");
    for (unsigned i = 0; i < b->opt.slow; i++) {
        crowd_client(b->crowd, i)->receive_buffer = RECEIVE;
        b->check[i].holes_first = b->opt.policy == WS_HUB_POLICY_DROP_OLDEST ||
                                  b->opt.policy == WS_HUB_POLICY_CONFLATE;
    }
    crowd_on_message(b->crowd, on_received, b);
    crowd_connect(b->crowd, "/", 1, NULL);
    wait_stats(b, subscribed);
    for (int i = 0; i < WARM_UP; i++)
        burst(b);
    catch_up(b, 0);
    wait_stats(b, at_rest);
}

static void measure(struct bench *b)
{
    unsigned long rss = probe_rss_kb(b->pid);
    uint64_t cpu = probe_idle_cpu_ns(b->pid), begin, first = b->published;
    uint64_t deliveries;
    ws_hub_stats_data stats;

    for (unsigned i = 0; i < b->opt.slow; i++)
        crowd_pause(crowd_client(b->crowd, i));
    begin = now_ms();
    while (now_ms() - begin < b->opt.seconds * 1000ull)
        burst(b);
    catch_up(b, 0);
    deliveries = (b->published - first) * b->opt.healthy;
    printf("messages=%llu\nmessages_per_second=%.0f\n",
           (unsigned long long)(b->published - first),
           (double)(b->published - first) * 1e3 / (double)(now_ms() - begin));
    cpu = probe_idle_cpu_ns(b->pid) - cpu;
    printf("cpu_us_per_healthy_delivery=%.4f\n",
           (double)cpu / 1e3 / (double)deliveries);
    stats = ask(b);
    printf("slow=%llu\nslowed=%llu\npending_bytes=%llu\npending=%llu\n",
           (unsigned long long)stats.slow, (unsigned long long)stats.slowed,
           (unsigned long long)stats.pending_bytes,
           (unsigned long long)stats.pending);
    printf("rss_before_kb=%lu\nrss_growth_kb=%ld\n", rss,
           (long)probe_rss_kb(b->pid) - (long)rss);
}

/* The slow ones read again: each hole is explained. */
static void check_gaps(struct bench *b)
{
    ws_hub_stats_data stats;
    uint64_t lost = 0, dropped = 0, gaps = 0;

    for (unsigned i = 0; i < b->opt.slow; i++)
        crowd_resume(crowd_client(b->crowd, i));
    wait_stats(b, at_rest);
    say(b, 'p', 1); /* to see holes at the end */
    b->published++;
    catch_up(b, 0);
    wait_stats(b, at_rest);
    for (unsigned i = 0; i < b->count; i++) {
        const struct seq_check *check = &b->check[i];

        while (check->next < b->published)
            crowd_turn(b->crowd, 100);
        if (check->received + check->lost != b->published || check->holes)
            die("client %u got %llu and was told of %llu lost, of %llu", i,
                (unsigned long long)check->received,
                (unsigned long long)check->lost,
                (unsigned long long)b->published);
        lost += check->lost;
        gaps += check->gaps;
    }
    stats = ask(b);
    for (int i = 0; i < WS_HUB_DROP_COUNT; i++)
        dropped += stats.dropped[i];
    if (lost != dropped || gaps != stats.gaps)
        die("clients were told of %llu lost in %llu gaps, counted %llu in %llu",
            (unsigned long long)lost, (unsigned long long)gaps,
            (unsigned long long)dropped, (unsigned long long)stats.gaps);
    printf("lost=%llu\ngaps=%llu\n", (unsigned long long)lost,
           (unsigned long long)gaps);
}

static void stop_server(struct bench *b)
{
    int status;

    say(b, 'q', 0);
    crowd_until_closed(b->crowd);
    if (waitpid(b->pid, &status, 0) != b->pid || status != 0)
        die("the server ended with %d", status);
    crowd_destroy(b->crowd);
    free(b->check);
    (void)close(b->server);
}

static const struct option_name {
    const char *name;
    size_t offset;
    unsigned min, max, initial;
} names[] = {
#define OPTION(name, field, ...)                                               \
    {                                                                          \
        "--" name, offsetof(struct slow_options, field), __VA_ARGS__           \
    }
    OPTION("healthy", healthy, 1, 100000, 900),
    OPTION("slow", slow, 0, 100000, 100),
    OPTION("seconds", seconds, 1, 3600, 30),
    OPTION("size", size, SEQ_MIN, SIZE_MOST, 128),
    OPTION("burst", burst, 1, 1024, 16),
    OPTION("json", json, 0, 1, 1),
    OPTION("mix", mix, 0, 1, 0),
    OPTION("policy", policy, 0, 3, WS_HUB_POLICY_DROP_NEWEST),
    OPTION("keys", keys, 0, 1u << 30, 0),
    OPTION("send-limit", send_limit, 1024, 1u << 30, 1u << 20),
#undef OPTION
};

enum { NAMES = sizeof names / sizeof names[0] };

static unsigned *field(struct slow_options *o, const struct option_name *name)
{
    return (unsigned *)(void *)((char *)o + name->offset);
}

static _Noreturn void usage(void)
{
    fputs("usage: slow", stderr);
    for (int i = 0; i < NAMES; i++)
        fprintf(stderr, " [%s %u]", names[i].name, names[i].initial);
    fputs("\n(the values are the defaults; --policy as ws_hub_policy; --mix 1: "
          "all classes)\n",
          stderr);
    exit(2);
}

static void set_option(struct slow_options *o, const char *name,
                       const char *value)
{
    for (int i = 0; i < NAMES; i++) {
        char *end;
        unsigned long number = strtoul(value, &end, 10);

        if (strcmp(name, names[i].name) != 0)
            continue;
        if (!*value || *end || number < names[i].min || number > names[i].max)
            usage();
        *field(o, &names[i]) = (unsigned)number;
        return;
    }
    usage();
}

int main(int argc, char **argv)
{
    struct bench b = {.server = -1};
    struct rlimit limit;

    for (int i = 0; i < NAMES; i++)
        *field(&b.opt, &names[i]) = names[i].initial;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        set_option(&b.opt, argv[i], argv[i + 1]);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    connect_all(&b, start_server(&b));
    pin(1);
    measure(&b);
    check_gaps(&b);
    stop_server(&b);
    return 0;
}
