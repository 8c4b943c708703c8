/*
 * idle.c: the load of clients that do nothing: they answer pings, and when
 * these come is what is measured, by buckets of 100 ms.
 *
 * To begin with every client says something (a pong that nobody asked for) at
 * one moment, so that all of them fall silent together: a server that counts
 * from there and no more pings all of them together for ever after.
 */
#include "load.h"
#include "probe.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUCKET_US = 100000 };

static void say_all(struct load *l)
{
    static const uint8_t pong[6] = {0x8a, 0x80};
    uint64_t begin = load_now_us();

    for (uint32_t i = 0; i < l->count; i++)
        if (send(l->clients[i].fd, pong, sizeof pong, MSG_NOSIGNAL) !=
            (ssize_t)sizeof pong)
            load_die(l, &l->clients[i], "pong: %s", strerror(errno));
    printf("say_ms=%.1f\n", (double)(load_now_us() - begin) / 1e3);
}

static void handle_until(struct load *l, uint64_t end_us)
{
    for (;;) {
        uint64_t now = load_now_us();

        if (now >= end_us)
            return;
        load_wait(l, (int)((end_us - now + 999) / 1000));
    }
}

void idle_run(struct load *l)
{
    uint64_t begin, cpu, wall, largest = 0, before;
    unsigned buckets = l->opt.idle_s * 10;

    say_all(l);
    handle_until(l, load_now_us() + l->opt.idle_skip_s * 1000000ull);
    l->pings = 0;
    cpu = probe_cpu_ns((pid_t)l->opt.server_pid);
    begin = load_now_us();
    printf("buckets=");
    for (unsigned i = 0; i < buckets; i++) {
        before = l->pings;
        handle_until(l, begin + (uint64_t)(i + 1) * BUCKET_US);
        before = l->pings - before;
        largest = before > largest ? before : largest;
        printf("%s%llu", i ? "," : "", (unsigned long long)before);
    }
    wall = load_now_us() - begin;
    cpu = probe_cpu_ns((pid_t)l->opt.server_pid) - cpu;
    printf("\npings=%llu\npings_per_bucket=%.1f\nlargest_bucket=%llu\n",
           (unsigned long long)l->pings, (double)l->pings / buckets,
           (unsigned long long)largest);
    if (l->opt.server_pid)
        printf("cpu_share=%.4f\n", (double)cpu / 1e3 / (double)wall);
}
