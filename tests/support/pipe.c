#include "support/pipe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct pipe_end *end_of(const struct wsh_link *link)
{
    return link->impl;
}

static void op_send(void *self, struct wsh_send *v, size_t n)
{
    (void)self;
    assert(n > 0 && n <= WSH_SENDS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct pipe_end *end = end_of(v[i].link);
        size_t room, take;

        assert(!end->shut && !end->dropped && v[i].len > 0);
        if (end->broken) {
            v[i].result = -1;
            continue;
        }
        room =
            end->window > end->to_far.len ? end->window - end->to_far.len : 0;
        take = v[i].len < room ? v[i].len : room;
        if (wsh_buf_append(&end->to_far, v[i].data, take))
            abort();
        v[i].result = (int32_t)take;
        if (take < v[i].len)
            end->want = true;
    }
}

static void op_want_write(void *self, struct wsh_link *link)
{
    (void)self;
    end_of(link)->want = true;
}

static void op_read_enable(void *self, struct wsh_link *link, bool on)
{
    (void)self;
    end_of(link)->reading = on;
}

static void op_shut(void *self, struct wsh_link *link)
{
    (void)self;
    end_of(link)->shut = true;
}

static void op_drop(void *self, struct wsh_link *link)
{
    (void)self;
    end_of(link)->dropped = true;
}

static size_t op_held(void *self, const struct wsh_link *link)
{
    struct pipe_transport *pipe = self;

    pipe->held_calls++;
    return pipe->count_unsent ? end_of(link)->to_far.len : 0;
}

static const struct wsh_transport_ops ops = {
    .send = op_send,
    .want_write = op_want_write,
    .read_enable = op_read_enable,
    .shut = op_shut,
    .drop = op_drop,
    .held = op_held,
};

const struct wsh_transport_ops *pipe_ops(void)
{
    return &ops;
}

void pipe_init(struct pipe_transport *pipe,
               const struct wsh_transport_events *events, void *hub)
{
    pipe->events = events;
    pipe->hub = hub;
    pipe->open = 0;
    pipe->count_unsent = false;
    pipe->held_calls = 0;
    wsh_list_init(&pipe->ends);
}

bool pipe_connect(struct pipe_transport *pipe, struct pipe_end *end,
                  size_t window)
{
    struct wsh_peer peer = {.family = 0};

    memset(end, 0, sizeof *end);
    wsh_list_init(&end->node);
    end->transport = pipe;
    end->window = window;
    end->reading = true;
    end->link = pipe->events->opened(pipe->hub, &peer);
    if (!end->link)
        return false;
    end->link->impl = end;
    end->link->fd = -1;
    wsh_list_push(&pipe->ends, &end->node);
    pipe->open++;
    return true;
}

void pipe_write(struct pipe_end *end, const void *data, size_t len)
{
    assert(!end->far_ended);
    if (wsh_buf_append(&end->from_far, data, len))
        abort();
}

static void tell_closed(struct pipe_end *end)
{
    struct wsh_link *link = end->link;

    wsh_list_remove(&end->node);
    end->link = NULL;
    end->transport->open--;
    end->transport->events->closed(end->transport->hub, link);
}

bool pipe_deliver(struct pipe_end *end, size_t most)
{
    size_t len = end->from_far.len < most ? end->from_far.len : most;
    uint8_t *copy;

    if (!end->link || end->dropped || !end->reading)
        return false;
    if (len == 0) {
        if (!end->far_ended || end->from_far.len)
            return false;
        tell_closed(end);
        return true;
    }
    /* An exact heap block, so that ASan sees every byte read too far. */
    copy = malloc(len);
    if (!copy)
        abort();
    memcpy(copy, end->from_far.data, len);
    end->from_far.len -= len;
    memmove(end->from_far.data, end->from_far.data + len, end->from_far.len);
    end->transport->events->received(end->transport->hub, end->link, copy, len);
    free(copy);
    return true;
}

void pipe_consumed(struct pipe_end *end, size_t len)
{
    assert(len <= end->to_far.len);
    end->to_far.len -= len;
    if (end->to_far.len)
        memmove(end->to_far.data, end->to_far.data + len, end->to_far.len);
}

bool pipe_writable(struct pipe_end *end)
{
    if (!end->link || end->dropped || !end->want ||
        end->to_far.len >= end->window)
        return false;
    end->want = false;
    end->transport->events->writable(end->transport->hub, end->link);
    return true;
}

void pipe_turn_end(struct pipe_transport *pipe)
{
    struct wsh_list *node = pipe->ends.next;

    while (node != &pipe->ends) {
        struct pipe_end *end = WSH_CONTAINER(node, struct pipe_end, node);

        node = node->next;
        if (end->dropped)
            tell_closed(end);
    }
}

void pipe_end_fini(struct pipe_end *end)
{
    wsh_buf_fini(&end->to_far);
    wsh_buf_fini(&end->from_far);
}
