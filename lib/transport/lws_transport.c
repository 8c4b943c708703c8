/*
 * lws_transport.c: links on lws's raw-skt role.
 *
 * links[] holds every live link; links[0..dropped-1] are those that the hub has
 * dropped and turn_end will close. So dropping needs no memory and no search,
 * and nothing is closed inside of an lws callback or a hub event.
 *
 * The hub is asked for a link before lws is given the socket. From then on
 * RAW_CLOSE ends it, which lws calls exactly once for every raw socket, failed
 * TLS handshakes included (4.1.6 __lws_close_free_wsi); only for a socket that
 * lws does not take at all does adopt itself end it. lws closes the descriptor
 * when libuv has closed the handle; if it had no memory for the handle (4.1.6
 * elops_accept_uv) it never does, so adopt looks for one.
 *
 * lws does not read a socket while it holds bytes to write, but keeps polling
 * for input, which would spin: reading is off meanwhile. Only TLS gets there.
 */
#include "transport/transport.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/sockios.h>
#include "base/check.h"
#include "transport/lws_context.h"
#include "transport/sender.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

enum {
    LINK_UP = 1,      /* bytes may be written: plain, or TLS is established */
    LINK_WANT = 2,    /* the hub waits for `writable` */
    LINK_DROPPED = 4, /* in links[0..dropped-1] */
    LINK_PAUSED = 8,  /* the hub does not want to read */
    LINK_HELD = 16,   /* lws holds at most `slot` bytes */
    LINK_SHUT = 32    /* FIN is due, or sent */
};

enum {
    READ_BYTES = 65536,
    /* One TLS record: OpenSSL writes it whole or not at all, so lws never keeps
     * more than this of a slow link. */
    TLS_CHUNK = 16384,
    LINKS_MIN = 64,
    CLOSES_PER_TURN = 32
};

struct wsh_transport {
    uv_loop_t *uv;
    struct lws_context *context; /* lws writes NULL when it is gone */
    struct lws_vhost *vhost;
    struct wsh_sender *sender; /* NULL with TLS */
    bool tls, uring;
    bool count_unsent; /* in `held` */
    bool closing, destroying;
    bool maimed; /* lws has lost a socket, see adopt */
    struct wsh_link **links;
    size_t count, dropped, capacity;
    size_t max_links;
    unsigned table; /* descriptors from here on are too high for lws */
    int event_fd;   /* lws's wake-up pipe, see lws_context.c */
    struct wsh_link *adopting; /* by the call under way; NULL: closed again */
    struct lws *unadopted;     /* RAW_CLOSE came for it inside of that call */
    const struct wsh_transport_events *events;
    void *hub;
    const struct wsh_log *log;
    uv_idle_t closer; /* drives closing, open from then on */
    void (*done)(void *arg);
    void *done_arg;
};

static struct lws *wsi_of(const struct wsh_link *link)
{
    return link->impl;
}

/* links[] */

static void place(struct wsh_transport *t, struct wsh_link *link, size_t index)
{
    t->links[index] = link;
    link->index = (uint32_t)index;
}

static void swap_links(struct wsh_transport *t, size_t a, size_t b)
{
    struct wsh_link *link = t->links[a];

    place(t, t->links[b], a);
    place(t, link, b);
}

static void remove_link(struct wsh_transport *t, struct wsh_link *link)
{
    WSH_ASSERT(t->links[link->index] == link);
    if (link->flags & LINK_DROPPED) {
        swap_links(t, link->index, t->dropped - 1);
        t->dropped--;
    }
    swap_links(t, link->index, t->count - 1);
    t->count--;
}

static int reserve_link(struct wsh_transport *t)
{
    size_t capacity = WSH_MAX(t->capacity * 2, (size_t)LINKS_MIN);
    struct wsh_link **links;

    if (t->count < t->capacity)
        return 0;
    links = realloc(t->links, capacity * sizeof *links);
    if (!links)
        return WS_HUB_ENOMEM;
    t->links = links;
    t->capacity = capacity;
    return 0;
}

/* Reading and writing */

static void apply_reading(struct wsh_transport *t, struct wsh_link *link)
{
    bool on = !(link->flags & (LINK_PAUSED | LINK_HELD));

    if (!(link->flags & LINK_UP))
        return; /* the handshake reads; up() comes back here */
    (void)lws_rx_flow_control(wsi_of(link), on);
    /* What OpenSSL has decrypted already raises no event: make one. */
    if (on && t->tls)
        (void)lws_callback_on_writable(wsi_of(link));
}

/* lws sets a time-out after the handshake and never takes it back. */
static void up(struct wsh_transport *t, struct wsh_link *link)
{
    if (link->flags & LINK_UP)
        return;
    link->flags |= LINK_UP;
    lws_set_timeout(wsi_of(link), NO_PENDING_TIMEOUT, 0);
    if (link->flags & LINK_PAUSED)
        apply_reading(t, link);
    if (link->flags & LINK_WANT)
        (void)lws_callback_on_writable(wsi_of(link));
}

static void want_write(void *self, struct wsh_link *link)
{
    (void)self;
    link->flags |= LINK_WANT;
    /* During a handshake lws would forget it. */
    if (link->flags & LINK_UP)
        (void)lws_callback_on_writable(wsi_of(link));
}

static void read_enable(void *self, struct wsh_link *link, bool on)
{
    if (on == !(link->flags & LINK_PAUSED))
        return;
    link->flags ^= LINK_PAUSED;
    apply_reading(self, link);
}

static void send_fin(struct wsh_link *link)
{
    (void)shutdown(lws_get_socket_fd(wsi_of(link)), SHUT_WR);
}

static void shut(void *self, struct wsh_link *link)
{
    (void)self;
    if (link->flags & (LINK_SHUT | LINK_DROPPED))
        return;
    link->flags |= LINK_SHUT;
    if (!(link->flags & LINK_HELD))
        send_fin(link);
}

static void drop(void *self, struct wsh_link *link)
{
    struct wsh_transport *t = self;

    if (!link->impl || (link->flags & LINK_DROPPED))
        return;
    link->flags |= LINK_DROPPED;
    link->fd = -1; /* senders answer EBADF */
    swap_links(t, link->index, t->dropped);
    t->dropped++;
}

static size_t held(void *self, const struct wsh_link *link)
{
    const struct wsh_transport *t = self;
    size_t bytes = link->flags & LINK_HELD ? link->slot : 0;
    int queued = 0;

    if (t->count_unsent && !(link->flags & LINK_DROPPED) &&
        ioctl(lws_get_socket_fd(wsi_of(link)), SIOCOUTQ, &queued) == 0 &&
        queued > 0)
        bytes += (size_t)queued;
    return bytes;
}

/* Record by record, until lws has to keep one. */
static int32_t send_tls(struct wsh_transport *t, struct wsh_link *link,
                        const uint8_t *data, uint32_t len)
{
    struct lws *wsi = wsi_of(link);
    uint32_t taken = 0, chunk = 0;

    if (link->flags & (LINK_DROPPED | LINK_SHUT))
        return -1;
    if (!(link->flags & LINK_UP))
        return 0;
    while (taken < len && !lws_partial_buffered(wsi)) {
        chunk = WSH_MIN(len - taken, (uint32_t)TLS_CHUNK);
        /* In the raw role lws neither writes to data nor wants LWS_PRE. */
        if (lws_write(wsi, (unsigned char *)(uintptr_t)(data + taken), chunk,
                      LWS_WRITE_RAW) < 0)
            return -1;
        taken += chunk;
    }
    if (chunk > 0 && lws_partial_buffered(wsi)) {
        link->flags |= LINK_HELD;
        link->slot = (uint16_t)chunk;
        apply_reading(t, link);
    }
    return (int32_t)taken;
}

static void send_all(void *self, struct wsh_send *v, size_t n)
{
    struct wsh_transport *t = self;
    size_t i;

    WSH_ASSERT(n <= WSH_SENDS_MAX);
    if (t->sender)
        t->sender->send(t->sender, v, n);
    else
        for (i = 0; i < n; i++)
            v[i].result = send_tls(t, v[i].link, v[i].data, v[i].len);
    for (i = 0; i < n; i++) {
        if (v[i].result < 0)
            drop(t, v[i].link); /* EOF may never be seen: reading may be off */
        else if ((uint32_t)v[i].result < v[i].len)
            want_write(t, v[i].link);
    }
}

/* lws callbacks */

static int on_adopt(struct wsh_transport *t, struct wsh_link *link,
                    struct lws *wsi)
{
    link->impl = wsi;
    if (t->tls)
        /* The hub's own handshake timer covers TLS as well. */
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    else
        link->fd = lws_get_socket_fd(wsi);
    return 0;
}

static int on_readable(struct wsh_transport *t, struct wsh_link *link,
                       uint8_t *data, size_t len)
{
    up(t, link);
    if (!(link->flags & LINK_DROPPED))
        t->events->received(t->hub, link, data, len);
    return 0;
}

/* lws comes here only when it holds nothing any more. */
static int on_writable(struct wsh_transport *t, struct wsh_link *link)
{
    up(t, link);
    if (link->flags & LINK_DROPPED)
        return 0;
    if ((link->flags & LINK_HELD) && !lws_partial_buffered(wsi_of(link))) {
        link->flags &= (uint16_t)~LINK_HELD;
        apply_reading(t, link);
        if (link->flags & LINK_SHUT)
            send_fin(link);
    }
    if (link->flags & LINK_WANT) {
        link->flags &= (uint16_t)~LINK_WANT;
        t->events->writable(t->hub, link);
    }
    return 0;
}

static void end_link(struct wsh_transport *t, struct wsh_link *link)
{
    if (t->adopting == link)
        t->adopting = NULL;
    remove_link(t, link);
    link->impl = NULL;
    link->fd = -1;
    t->events->closed(t->hub, link); /* frees it */
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason,
                  void *session, void *in, size_t len)
{
    struct wsh_transport *t;
    struct wsh_link *link;

    (void)session;
    if (reason != LWS_CALLBACK_RAW_ADOPT && reason != LWS_CALLBACK_RAW_RX &&
        reason != LWS_CALLBACK_RAW_WRITEABLE &&
        reason != LWS_CALLBACK_RAW_CLOSE)
        return 0; /* of contexts and hosts: there may be no link */
    t = lws_context_user(lws_get_context(wsi));
    link = lws_get_opaque_user_data(wsi);
    if (reason == LWS_CALLBACK_RAW_ADOPT)
        return on_adopt(t, link, wsi);
    if (reason == LWS_CALLBACK_RAW_RX)
        return on_readable(t, link, in, len);
    if (reason == LWS_CALLBACK_RAW_WRITEABLE)
        return on_writable(t, link);
    lws_set_opaque_user_data(wsi, NULL);
    t->unadopted = t->adopting == link ? wsi : NULL;
    end_link(t, link);
    return 0;
}

/* rx_buffer_size 0: reads go up to pt_serv_buf_size. */
static const struct lws_protocols protocols[] = {
    {.name = "ws_hub", .callback = on_lws, .tx_packet_size = TLS_CHUNK},
    {.name = NULL}};

/* Life */

const struct wsh_transport_ops *wsh_transport_ops(void)
{
    static const struct wsh_transport_ops ops = {
        .send = send_all,
        .want_write = want_write,
        .read_enable = read_enable,
        .shut = shut,
        .drop = drop,
        .held = held,
    };

    return &ops;
}

bool wsh_transport_uses_uring(const struct wsh_transport *t)
{
    return t->uring;
}

/* lws takes the socket, or closes it. */
static struct lws *give_to_lws(struct wsh_transport *t, int fd,
                               struct wsh_link *link)
{
    lws_adopt_desc_t info;

    memset(&info, 0, sizeof info);
    info.vh = t->vhost;
    info.type = LWS_ADOPT_SOCKET;
    if (t->tls)
        info.type |= LWS_ADOPT_ALLOW_SSL;
    info.fd.sockfd = fd;
    info.vh_prot_name = protocols[0].name;
    info.opaque = link;
    wsh_lws_log_to(t->log);
    return lws_adopt_descriptor_vhost_via_info(&info);
}

static int refuse_descriptor(const struct wsh_transport *t, int fd)
{
    wsh_log(t->log, WS_HUB_LOG_ERROR,
            "descriptor %d is too high: this process has more open than "
            "max_connections lets expect, raise that",
            fd);
    (void)close(fd);
    return WS_HUB_ELIMIT;
}

static int adopt(struct wsh_transport *t, int fd, const struct wsh_peer *peer)
{
    struct wsh_link *link = t->events->opened(t->hub, peer);
    int error = link ? reserve_link(t) : WS_HUB_ENOMEM;
    struct lws *wsi;

    if (error == 0 &&
        (t->closing || (t->max_links && t->count >= t->max_links)))
        error = WS_HUB_ETRANSPORT;
    if (link) {
        memset(link, 0, sizeof *link);
        link->fd = -1;
        link->flags = t->tls ? 0 : LINK_UP;
    }
    if (error) {
        (void)close(fd);
        if (link)
            t->events->closed(t->hub, link);
        return error;
    }
    place(t, link, t->count++);
    t->adopting = link;
    t->unadopted = NULL;
    wsi = give_to_lws(t, fd, link);
    if (!wsi && t->adopting) {
        end_link(t, link);
        error = WS_HUB_ETRANSPORT;
    } else if (!wsi && !wsh_lws_has_handle(t->uv, t->unadopted)) {
        (void)close(fd);
        t->maimed = true;
        error = WS_HUB_ETRANSPORT;
    }
    t->adopting = NULL;
    return error;
}

int wsh_transport_adopt(struct wsh_transport *t, int fd,
                        const struct wsh_peer *peer)
{
    return (unsigned)fd < t->table ? adopt(t, fd, peer)
                                   : refuse_descriptor(t, fd);
}

bool wsh_transport_turn_end(struct wsh_transport *t)
{
    unsigned n;

    wsh_lws_log_to(t->log);
    /* Closing one may drop others: they join the same list. */
    for (n = 0; n < CLOSES_PER_TURN && t->dropped > 0; n++)
        lws_set_timeout(wsi_of(t->links[0]), PENDING_TIMEOUT_USER_OK,
                        LWS_TO_KILL_SYNC);
    return t->dropped > 0;
}

static void on_closer_closed(uv_handle_t *handle)
{
    struct wsh_transport *t = handle->data;
    void (*done)(void *arg) = t->done;
    void *arg = t->done_arg;

    wsh_lws_log_off(t->log);
    free(t->links);
    free(t);
    if (done)
        done(arg);
}

/* One step per turn, from libuv itself: outside of lws and of hub events. */
static void on_closer(uv_idle_t *handle)
{
    struct wsh_transport *t = handle->data;

    while (t->dropped < t->count)
        drop(t, t->links[t->count - 1]);
    while (wsh_transport_turn_end(t))
        continue;
    wsh_lws_close_step(&t->context, t->uv, &t->destroying, t->maimed,
                       t->event_fd);
    if (t->context)
        return;
    if (t->sender)
        t->sender->destroy(t->sender);
    uv_close((uv_handle_t *)handle, on_closer_closed);
}

void wsh_transport_close(struct wsh_transport *t, void (*done)(void *arg),
                         void *arg)
{
    WSH_ASSERT(!t->closing);
    t->closing = true;
    t->done = done;
    t->done_arg = arg;
    (void)uv_idle_init(t->uv, &t->closer);
    t->closer.data = t;
    (void)uv_idle_start(&t->closer, on_closer);
}

static int choose_sender(struct wsh_transport *t, int wanted)
{
    const char *why = "not with TLS";
    int error = WS_HUB_ENOTSUP;

    if (!t->tls)
        t->sender = wsh_sender_write();
    if (wanted == WS_HUB_SENDER_WRITE ||
        (t->tls && wanted != WS_HUB_SENDER_URING))
        return 0;
    if (!t->tls) {
        struct wsh_sender *uring;

        error = wsh_sender_uring(&uring, t->log, &why);
        if (error == 0) {
            t->sender = uring;
            t->uring = true;
            return 0;
        }
    }
    if (error == WS_HUB_ENOMEM)
        return error;
    if (wanted != WS_HUB_SENDER_URING) {
        wsh_log(t->log, WS_HUB_LOG_WARN, "no io_uring (%s): single sends", why);
        return 0;
    }
    wsh_log(t->log, WS_HUB_LOG_ERROR, "no io_uring: %s", why);
    return WS_HUB_ETRANSPORT;
}

int wsh_transport_create(struct wsh_transport **out,
                         const struct wsh_transport_config *config)
{
    struct wsh_transport *t = calloc(1, sizeof *t);
    struct wsh_lws_config lws = {
        .uv = config->uv_loop,
        .tls_cert = config->tls_cert,
        .tls_key = config->tls_key,
        .read_bytes = config->read_bytes ? config->read_bytes : READ_BYTES,
        .max_links = config->max_links,
        .protocols = protocols,
        .user = t,
        .log = config->log,
    };
    int error;

    *out = NULL;
    if (!t)
        return WS_HUB_ENOMEM;
    t->uv = config->uv_loop;
    t->tls = config->tls_cert != NULL;
    t->count_unsent = config->count_unsent;
    t->max_links = config->max_links;
    t->events = config->events;
    t->hub = config->hub;
    t->log = config->log;
    error = choose_sender(t, config->sender);
    if (error == 0)
        error =
            wsh_lws_open(&t->context, &t->vhost, &t->event_fd, &t->table, &lws);
    if (error) {
        /* lws may have handles on the loop already: they close in its time. */
        wsh_transport_close(t, NULL, NULL);
        return error;
    }
    *out = t;
    return 0;
}
