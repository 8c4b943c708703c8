/*
 * load.c: a load generator for raw mode: opens thousands of WebSocket
 * connections to one server, publishes, and counts every delivery.
 *
 * Prints one key=value a line. With --server-pid it also tells what the server
 * used: CPU of the measured rounds only and between two idle moments, so that
 * connecting, warming up and this process are not in it.
 */
#include "load.h"
#include "probe.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUIET_MS = 50, ROUNDS_MAX = 1 << 20 };

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

_Noreturn void load_die(const struct load *l, const struct client *c,
                        const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("load: ", stderr);
    if (c)
        fprintf(stderr, "client %td of channel %u: ", c - l->clients,
                c->channel);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void load_stamp(uint8_t to[STAMP], uint32_t channel, uint32_t round,
                uint32_t number)
{
    const uint32_t values[] = {channel, round, number};

    for (unsigned i = 0; i < STAMP; i++)
        to[i] = (uint8_t)('0' + (values[i / 4] >> (18 - i % 4 * 6) & 63u));
}

uint64_t load_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t server_cpu_ns(const struct load *l)
{
    return l->opt.server_pid ? probe_idle_cpu_ns((pid_t)l->opt.server_pid) : 0;
}

int load_wait(struct load *l, int timeout_ms)
{
    int n = epoll_wait(l->epoll, l->events, EVENTS, timeout_ms);

    for (int i = 0; i < n; i++) {
        if (l->events[i].data.ptr)
            client_event(l, l->events[i].data.ptr, l->events[i].events);
        else
            feed_event(l);
    }
    return n;
}

/* What is missing, for the message that ends the process. */
static _Noreturn void die_late(const struct load *l, const char *what)
{
    const struct client *first = NULL;
    uint32_t behind = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        const struct client *c = &l->clients[i];

        if (c->state == CLIENT_OPEN && c->got >= l->opt.burst)
            continue;
        behind++;
        if (!first)
            first = c;
    }
    load_die(l, first,
             "%s not done in %u s: %u clients behind, this one has "
             "%u of %u messages (%u open of %u clients)",
             what, l->opt.deadline_s, behind, first ? first->got : 0,
             l->opt.burst, l->opened, l->count);
}

static void check_deadline(const struct load *l, uint64_t since_us,
                           const char *what)
{
    if (load_now_us() - since_us > (uint64_t)l->opt.deadline_s * 1000000u)
        die_late(l, what);
}

/* Connecting, step by step with an idle moment in between, which makes the CPU
 * of each step exact. */

struct step {
    uint64_t wall_us, cpu_ns;
    uint32_t clients;
};

static struct step connect_step(struct load *l, uint32_t until)
{
    struct step step = {.clients = until - l->opened};
    uint64_t cpu = server_cpu_ns(l), begin = load_now_us();

    while (l->opened < until) {
        while (l->connecting < l->opt.window &&
               l->opened + l->connecting < until)
            client_connect(l, &l->clients[l->opened + l->connecting]);
        load_wait(l, 100);
        check_deadline(l, begin, "connecting");
    }
    step.wall_us = load_now_us() - begin;
    step.cpu_ns = server_cpu_ns(l) - cpu;
    return step;
}

static void print_step(const struct load *l, const char *name, struct step s)
{
    printf("connect_rate_%s=%.0f\n", name, s.clients * 1e6 / (double)s.wall_us);
    if (l->opt.server_pid)
        printf("connect_cpu_us_%s=%.3f\n", name,
               (double)s.cpu_ns / 1e3 / s.clients);
}

static void print_growth(const char *name, unsigned long from_kb,
                         unsigned long to_kb, uint32_t clients)
{
    printf("%s=%.0f\n", name,
           ((double)to_kb - (double)from_kb) * 1024 / clients);
}

static void connect_all(struct load *l)
{
    pid_t pid = (pid_t)l->opt.server_pid;
    unsigned long rss = pid ? probe_rss_kb(pid) : 0, rss_first = 0, idle;
    struct step all = {0}, first = {0}, last = {0};

    while (l->opened < l->count) {
        uint32_t left = l->count - l->opened;
        struct step s =
            connect_step(l, l->opened + (left < STEP ? left : STEP));

        all.wall_us += s.wall_us;
        all.cpu_ns += s.cpu_ns;
        all.clients += s.clients;
        if (first.clients == 0) {
            first = s;
            rss_first = pid ? probe_rss_kb(pid) : 0;
        }
        if (s.clients == STEP || last.clients == 0)
            last = s;
    }
    print_step(l, "all", all);
    print_step(l, "first_thousand", first);
    print_step(l, "last_thousand", last);
    if (!pid)
        return;
    idle = probe_rss_kb(pid);
    printf("rss_before_kb=%lu\nrss_idle_kb=%lu\n", rss, idle);
    print_growth("rss_bytes_per_connection", rss, idle, l->count);
    /* Without what the server allocates or loads once, at its first client. */
    if (l->count > first.clients)
        print_growth("rss_bytes_per_further_connection", rss_first, idle,
                     l->count - first.clients);
}

/* Rounds. */

static void stamp_bursts(struct load *l)
{
    size_t frame = l->burst_len / l->opt.burst;
    size_t len = l->opt.size < STAMP ? l->opt.size : STAMP;

    for (uint32_t channel = 0; channel < l->opt.channels; channel++) {
        uint8_t *p = l->bursts + channel * l->burst_len + frame - l->opt.size;

        for (uint32_t i = 0; i < l->opt.burst; i++, p += frame) {
            uint8_t stamp[STAMP];

            load_stamp(stamp, channel, l->round, i);
            memcpy(p, stamp, len);
            for (size_t k = 0; k < len; k++)
                p[k] ^= mask[k & 3];
        }
        l->unsent[channel] = (uint32_t)l->burst_len;
    }
}

/* Returns its microseconds. */
static uint64_t run_round(struct load *l)
{
    uint64_t begin, want = (uint64_t)l->opt.burst * l->count;

    for (uint32_t i = 0; i < l->count; i++)
        l->clients[i].got = 0;
    l->got = 0;
    l->round++;
    if (!l->feed)
        stamp_bursts(l);
    begin = load_now_us();
    if (l->feed)
        feed_round(l);
    for (uint32_t i = 0; !l->feed && i < l->count; i += l->opt.subscribers)
        client_publish(l, &l->clients[i]);
    /* Surplus ends the process in client.c, so the sum is exact by client. */
    while (l->got < want) {
        load_wait(l, 100);
        check_deadline(l, begin, "a round");
    }
    return load_now_us() - begin;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void measure(struct load *l)
{
    uint64_t *rounds = malloc(ROUNDS_MAX * sizeof *rounds);
    uint64_t cpu, own, softirq, begin, wall, deliveries;
    uint32_t n = 0;

    if (!rounds)
        load_die(l, NULL, "memory");
    for (unsigned i = 0; i < l->opt.warmup; i++)
        run_round(l);
    cpu = server_cpu_ns(l);
    softirq = probe_cpu_ns((pid_t)l->opt.softirq_pid);
    own = probe_cpu_ns(getpid());
    begin = load_now_us();
    do
        rounds[n++] = run_round(l);
    while (n < ROUNDS_MAX && (l->opt.rounds ? n < l->opt.rounds
                                            : load_now_us() - begin <
                                                  l->opt.seconds * 1000000ull));
    wall = load_now_us() - begin;
    own = probe_cpu_ns(getpid()) - own;
    cpu = server_cpu_ns(l) - cpu;
    softirq = probe_cpu_ns((pid_t)l->opt.softirq_pid) - softirq;
    deliveries = (uint64_t)n * l->opt.burst * l->count;
    while (load_wait(l, QUIET_MS) > 0) /* surplus of the last round */
        continue;
    qsort(rounds, n, sizeof *rounds, by_value);
    printf("rounds=%u\ndeliveries=%llu\nseconds=%.3f\n", n,
           (unsigned long long)deliveries, (double)wall / 1e6);
    printf("deliveries_per_second=%.0f\n",
           (double)deliveries * 1e6 / (double)wall);
    printf("round_us_median=%llu\nround_us_p99=%llu\n",
           (unsigned long long)rounds[n / 2],
           (unsigned long long)rounds[(uint64_t)n * 99 / 100]);
    printf("load_cpu_us_per_delivery=%.4f\n",
           (double)own / 1e3 / (double)deliveries);
    if (l->opt.server_pid)
        printf("cpu_us_per_delivery=%.4f\n",
               (double)cpu / 1e3 / (double)deliveries);
    if (l->opt.softirq_pid)
        printf("softirq_us_per_delivery=%.4f\n",
               (double)softirq / 1e3 / (double)deliveries);
    printf("pings=%llu\n", (unsigned long long)l->pings);
    free(rounds);
}

/* Set-up. */

/* Frames of all channels; only the stamps change from round to round. */
static void make_bursts(struct load *l)
{
    size_t size = l->opt.size, head = size > 65535 ? 14 : size > 125 ? 8 : 6;
    size_t frame = head + size, total;
    uint8_t *p;

    l->burst_len = frame * l->opt.burst;
    total = l->burst_len * l->opt.channels;
    l->filler = malloc(size);
    l->bursts = malloc(total);
    l->unsent = calloc(l->opt.channels, sizeof *l->unsent);
    if (!l->filler || !l->bursts || !l->unsent)
        load_die(l, NULL, "memory");
    for (size_t i = 0; i < size; i++)
        l->filler[i] = (uint8_t)('0' + (i * 31 + 7) % 64);
    for (p = l->bursts; p < l->bursts + total; p += frame) {
        p[0] = 0x82;
        p[1] = (uint8_t)(0x80 | (head == 14 ? 127 : head == 8 ? 126 : size));
        for (size_t i = 2; i < head - 4; i++)
            p[i] = (uint8_t)(size >> 8 * (head - 5 - i));
        memcpy(p + head - 4, mask, sizeof mask);
        for (size_t i = 0; i < size; i++)
            p[head + i] = l->filler[i] ^ mask[i & 3];
    }
}

static void set_up(struct load *l)
{
    l->count = l->opt.channels * l->opt.subscribers;
    l->address.sin_family = AF_INET;
    l->address.sin_port = htons((uint16_t)l->opt.port);
    if (inet_pton(AF_INET, l->opt.host, &l->address.sin_addr) != 1)
        load_die(l, NULL, "bad address %s", l->opt.host);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->clients = calloc(l->count, sizeof *l->clients);
    if (l->epoll < 0 || !l->clients)
        load_die(l, NULL, "set-up: %s", strerror(errno));
    for (uint32_t i = 0; i < l->count; i++)
        l->clients[i].channel = i / l->opt.subscribers;
    make_bursts(l);
    if (l->opt.redis_port)
        feed_open(l);
}

/* Reset, not closed in order: the ports of one run must not be in TIME_WAIT
 * during the next. */
static void tear_down(struct load *l)
{
    struct linger now = {.l_onoff = 1};

    for (uint32_t i = 0; i < l->count; i++) {
        setsockopt(l->clients[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(l->clients[i].fd);
    }
    if (l->feed)
        feed_close(l);
    close(l->epoll);
    free(l->clients);
    free(l->filler);
    free(l->bursts);
    free(l->unsent);
    free(l);
}

static const struct option_name {
    const char *name;
    size_t offset;
    unsigned min, max, initial;
} names[] = {
#define OPTION(name, field, ...)                                               \
    {                                                                          \
        "--" name, offsetof(struct load_options, field), __VA_ARGS__           \
    }
    OPTION("port", port, 1, 65535, 0),
    OPTION("channels", channels, 1, 100000, 1),
    OPTION("subscribers", subscribers, 1, 100000, 1000),
    OPTION("burst", burst, 1, 1024, 1),
    OPTION("size", size, 1, 1 << 20, 128),
    OPTION("rounds", rounds, 0, ROUNDS_MAX, 0),
    OPTION("seconds", seconds, 1, 3600, 3),
    OPTION("warmup", warmup, 0, ROUNDS_MAX, 5),
    OPTION("window", window, 1, 4096, 200),
    OPTION("deadline", deadline_s, 1, 3600, 20),
    OPTION("server-pid", server_pid, 0, 1 << 30, 0),
    OPTION("idle-seconds", idle_s, 0, 3600, 0),
    OPTION("idle-skip", idle_skip_s, 0, 3600, 0),
    OPTION("softirq-pid", softirq_pid, 0, 1 << 30, 0),
    OPTION("redis-port", redis_port, 0, 65535, 0),
    OPTION("nchan", nchan, 0, 1, 0),
#undef OPTION
};

enum { NAMES = sizeof names / sizeof names[0] };

static unsigned *field(struct load_options *o, const struct option_name *name)
{
    return (unsigned *)(void *)((char *)o + name->offset);
}

static bool set_option(struct load_options *o, const char *name,
                       const char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (strcmp(name, "--host") == 0) {
        o->host = value;
        return true;
    }
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i].name) != 0)
            continue;
        *field(o, &names[i]) = (unsigned)number;
        return *value && !*end && number >= names[i].min &&
               number <= names[i].max;
    }
    return false;
}

static void usage(void)
{
    fputs("usage: load --port NUMBER [--host ADDRESS]", stderr);
    for (int i = 1; i < NAMES; i++)
        fprintf(stderr, " [%s %u]", names[i].name, names[i].initial);
    fputs("\n(the values are the defaults; --rounds 0: by --seconds; "
          "--idle-seconds: no rounds, pings only)\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof *l);

    if (!l)
        return 1;
    l->opt.host = "127.0.0.1";
    for (int i = 0; i < NAMES; i++)
        *field(&l->opt, &names[i]) = names[i].initial;
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !set_option(&l->opt, argv[i], argv[i + 1]))
            usage();
    if (l->opt.port == 0)
        usage();
    set_up(l);
    printf("connections=%u\nchannels=%u\nsubscribers=%u\nburst=%u\nsize=%u\n",
           l->count, l->opt.channels, l->opt.subscribers, l->opt.burst,
           l->opt.size);
    connect_all(l);
    if (l->feed)
        feed_wait_subscribed(l);
    if (l->opt.idle_s)
        idle_run(l);
    else
        measure(l);
    tear_down(l);
    return 0;
}
