/* server_rig.h: one wsr_server against a scripted Redis, on one loop; records
 * what the server says. */
#ifndef WSR_TEST_SERVER_RIG_H
#define WSR_TEST_SERVER_RIG_H

#include "broker/redis/server.h"
#include "support/fake_redis.h"

struct rig {
    ws_hub_broker_host host;
    ws_hub_loop *loop;
    const ws_hub_loop_ops *ops;
    struct fake_redis *fake;
    struct wsr_settings settings;
    struct wsr_url url;
    struct wsr_server *server;

    unsigned ups, downs, subscribed, unsubscribed, messages, redirects, counts,
        rooms, publish_failures, replies, null_replies;
    char why[300];      /* of the last down */
    int status;         /* of the last subscribed */
    char channel[64];   /* of the last event that has one */
    char text[300];     /* last message's bytes, publish failure, host to go */
    size_t len;         /* of the last message */
    uint64_t listeners; /* of the last count */
    bool ask;           /* of the last redirect */
    unsigned slot, port;
    enum wsr_redirected on;
    char log[400]; /* the last line */
    unsigned logged;

    /* Runs inside the event, once. */
    void (*inside)(struct rig *rig);
};

/* A rig whose server is not open yet. Settings may be changed until make(). */
struct rig *rig_open(const struct fake_rule *rules);
void rig_make(struct rig *rig);
/* Make and open; and turn until it is up. */
void rig_start(struct rig *rig);
void rig_go_up(struct rig *rig);
void rig_close(struct rig *rig);

/* Turn until the counter has that value at least. */
void rig_wait(struct rig *rig, const unsigned *counter, unsigned least);
/* Turn until the fake has seen that text. */
void rig_wait_seen(struct rig *rig, const char *text);
/* Wait for down, with that in its text. */
void rig_wait_down(struct rig *rig, const char *why);
void rig_subscribe(struct rig *rig, const char *channel);
int rig_publish(struct rig *rig, const char *channel, const char *text);
/* For wsr_server_command(): counts in replies and null_replies. */
void rig_on_reply(void *rig, const struct wsr_reply *reply);

#endif
