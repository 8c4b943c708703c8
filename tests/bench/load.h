/*
 * load.h: the state of the load generator (load.c) and its clients (client.c).
 *
 * Client i is a subscriber of channel i / subscribers; the first of each
 * channel also publishes. A round is `burst` messages on every channel, written
 * at once, and ends when every client has all of its channel's. Messages have
 * `size` bytes, printable so that they can go through servers that take text: a
 * stamp (channel, round, number) as far as it fits, then filler; every byte
 * that arrives is compared. With --redis-port the messages are published
 * through Redis (feed.c) instead.
 *
 * One thread. Whatever is not as expected ends the process with status 1 and a
 * line on stderr: figures of a server that loses or doubles messages are void.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/epoll.h>

enum { READ_MAX = 1 << 16, EVENTS = 1024, STEP = 1000 };

/* Channel, round, number: four digits of 6 bits each. */
enum { STAMP = 12 };

struct feed;

/* Moves forward only. */
enum client_state {
    CLIENT_NEW,
    CLIENT_CONNECTING,
    CLIENT_UPGRADING,
    CLIENT_OPEN
};

struct client {
    int fd;
    enum client_state state;
    uint32_t channel;
    char *answer; /* to the upgrade, while it is being read */
    uint32_t answer_len;
    uint32_t got;     /* whole messages of this round */
    uint32_t at;      /* bytes of the message that is being read */
    uint64_t left;    /* bytes to come of the frame that is being read */
    uint8_t head_len; /* of the next frame's head */
    bool in_frame;    /* the head is whole */
    bool in_message;  /* the last data frame was not final */
    uint8_t head[10];
    uint8_t control[125];
};

struct load_options {
    const char *host;
    unsigned port, channels, subscribers, burst, size;
    unsigned rounds; /* 0: as many as fit in seconds */
    unsigned seconds, warmup, window, deadline_s, server_pid, softirq_pid;
    unsigned idle_s, idle_skip_s; /* idle_s: no rounds, see idle.c */
    unsigned redis_port;          /* 0: clients publish */
    unsigned nchan;               /* in the form that nchan has on Redis */
};

struct load {
    struct load_options opt;
    struct sockaddr_in address;
    int epoll;
    uint32_t count, connecting, opened;
    struct client *clients;
    uint8_t *filler;  /* a message without its stamp */
    uint8_t *bursts;  /* frames of the round, channel by channel */
    size_t burst_len; /* bytes of one channel's */
    uint32_t *unsent; /* of it, by channel */
    uint32_t round;
    uint64_t got; /* whole messages of this round, all clients */
    uint64_t pings;
    struct feed *feed; /* NULL: clients publish */
    struct epoll_event events[EVENTS];
    uint8_t in[READ_MAX];
};

/* load.c */
_Noreturn void load_die(const struct load *l, const struct client *c,
                        const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t load_now_us(void);
/* Handle one batch of events; how many there were. */
int load_wait(struct load *l, int timeout_ms);

/* idle.c */
void idle_run(struct load *l);

/* The first bytes of a message. */
void load_stamp(uint8_t to[STAMP], uint32_t channel, uint32_t round,
                uint32_t number);

/* client.c */
void client_connect(struct load *l, struct client *c);
void client_event(struct load *l, struct client *c, uint32_t events);

/* Send what there is left of the burst of the client's channel. */
void client_publish(struct load *l, struct client *c);

/* feed.c: a connection to Redis that publishes the rounds. Its events have no
 * client. */
void feed_open(struct load *l);
/* Every channel has a subscriber in Redis. */
void feed_wait_subscribed(struct load *l);
void feed_round(struct load *l);
void feed_event(struct load *l);
void feed_close(struct load *l);

#endif
