/* sender_write.c: one send() per link. */
#include "transport/sender.h"

static void write_send(struct wsh_sender *self, struct wsh_send *v, size_t n)
{
    size_t i;

    (void)self;
    for (i = 0; i < n; i++)
        wsh_sender_one(&v[i]);
}

static void write_destroy(struct wsh_sender *self)
{
    (void)self;
}

struct wsh_sender *wsh_sender_write(void)
{
    static struct wsh_sender sender = {write_send, write_destroy};

    return &sender;
}
