/* ws_hub.c: the public life of a hub (ws_hub/hub.h); see ws_hub_private.h. */
#include "ws_hub/hub.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "ws_hub/broker.h"
#include "ws_hub/error.h"
#include "ws_hub/metrics.h"
#include "ws_hub/version.h"
#include "ws_hub_private.h"

const char *ws_hub_version(void)
{
    return WS_HUB_VERSION;
}

static int check_urls(const struct wsh_settings *settings)
{
    for (size_t i = 0; i < settings->o.bind_count; i++)
        if (wsh_acceptor_check_url(settings->o.bind_urls[i]))
            return WS_HUB_EINVAL;
    return 0;
}

static int make_lanes(ws_hub *top)
{
    unsigned count = top->hub.settings.o.loops;

    top->lanes = calloc(count, sizeof *top->lanes);
    top->hub.shards = calloc(count, sizeof *top->hub.shards);
    if (!top->lanes || !top->hub.shards)
        return WS_HUB_ENOMEM;
    top->lane_count = count;
    for (unsigned i = 0; i < count; i++) {
        top->lanes[i].top = top;
        top->lanes[i].index = i;
    }
    wsh_top_init_tasks(top);
    return 0;
}

/* Names chosen by clients are hashed with it: it must not be guessed. */
static int draw_seed(uint64_t seed[2])
{
    ssize_t got = getrandom(seed, 2 * sizeof *seed, 0);

    return got == 2 * sizeof *seed ? 0 : WS_HUB_ENOTSUP;
}

int ws_hub_create(ws_hub **out, const ws_hub_options *options)
{
    struct wsh_settings settings;
    uint64_t seed[2];
    ws_hub *top;
    int error;

    if (!out)
        return WS_HUB_EINVAL;
    *out = NULL;
    error = wsh_settings_init(&settings, options);
    if (error)
        return error;
    top = calloc(1, sizeof *top);
    error = !top ? WS_HUB_ENOMEM : draw_seed(seed);
    if (!error)
        error = wsh_hub_init(&top->hub, top, &settings, seed);
    if (error) {
        wsh_settings_fini(&settings);
        free(top);
        return error;
    }
    pthread_mutex_init(&top->lock, NULL);
    pthread_cond_init(&top->changed, NULL);
    error = check_urls(&top->hub.settings);
    if (error)
        wsh_log(&top->hub.log, WS_HUB_LOG_ERROR, "bind_urls: bad address");
    if (!error)
        error = make_lanes(top);
    if (error) {
        wsh_top_free(top);
        return error;
    }
    *out = top;
    return 0;
}

/* The adapter is the hub's from create on, opened or not. */
static void destroy_adapter(const ws_hub_options *o)
{
    if (o->broker && o->broker->destroy)
        o->broker->destroy(o->broker_self);
}

void wsh_top_free(ws_hub *top)
{
    for (unsigned i = 0; i < top->lane_count; i++)
        if (top->lanes[i].started)
            wsh_loop_join(top->lanes[i].loop);
    /* Shards first: their channels' end is told to the driver. */
    for (unsigned i = 0; i < top->lane_count; i++)
        wsh_shard_destroy(top->lanes[i].shard);
    if (top->driver)
        wsh_driver_destroy(top->driver);
    else
        destroy_adapter(&top->hub.settings.o);
    for (unsigned i = 0; i < top->lane_count; i++)
        wsh_loop_destroy(top->lanes[i].loop);
    free(top->lanes);
    free(top->hub.shards);
    wsh_hub_fini(&top->hub);
    pthread_mutex_destroy(&top->lock);
    pthread_cond_destroy(&top->changed);
    free(top);
}

/* Stop. */

static enum hub_state state_of(ws_hub *top)
{
    enum hub_state state;

    pthread_mutex_lock(&top->lock);
    state = top->state;
    pthread_mutex_unlock(&top->lock);
    return state;
}

/* Signal safe: an atomic, a push and a wake; no lock, no memory. */
int ws_hub_stop(ws_hub *top)
{
    if (!top)
        return WS_HUB_EINVAL;
    if (!atomic_load(&top->hub.running))
        return atomic_load(&top->stop_posted) ? 0 : WS_HUB_ESTATE;
    if (!atomic_exchange(&top->stop_posted, true))
        (void)wsh_shard_post(top->lanes[WSH_HOME].shard, &top->stop_task);
    return 0;
}

int ws_hub_run(ws_hub *top)
{
    int error = 0;

    if (!top)
        return WS_HUB_EINVAL;
    if (top->hub.settings.o.uv_loop)
        return WS_HUB_ESTATE;
    if (state_of(top) == CREATED)
        error = ws_hub_start(top);
    if (error || state_of(top) == FAILED)
        return error ? error : WS_HUB_ESTATE;
    if (wsh_hub_here(&top->hub))
        return WS_HUB_ESTATE;
    pthread_mutex_lock(&top->lock);
    while (top->state != STOPPED)
        pthread_cond_wait(&top->changed, &top->lock);
    pthread_mutex_unlock(&top->lock);
    for (unsigned i = 0; i < top->lane_count; i++)
        wsh_loop_join(top->lanes[i].loop);
    return 0;
}

/* Once the hub has stopped its mailboxes are closed, and nothing comes of it.
 */
static void drop_all(ws_hub *top)
{
    atomic_store(&top->stop_posted, true);
    if (!atomic_exchange(&top->drop_posted, true))
        (void)wsh_shard_post(top->lanes[WSH_HOME].shard, &top->drop_task);
}

static void wait_and_free(ws_hub *top)
{
    pthread_mutex_lock(&top->lock);
    while (top->state != STOPPED)
        pthread_cond_wait(&top->changed, &top->lock);
    pthread_mutex_unlock(&top->lock);
    wsh_top_free(top);
}

static void *reap(void *arg)
{
    wait_and_free(arg);
    return NULL;
}

/* A loop thread cannot wait for itself: another one does. */
static void free_from_callback(ws_hub *top)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, reap, top)) {
        wsh_log(&top->hub.log, WS_HUB_LOG_ERROR,
                "destroy: no thread can be made; the hub's memory stays");
        return;
    }
    pthread_detach(thread);
}

static void destroy_on_host_loop(ws_hub *top)
{
    bool now, running;

    pthread_mutex_lock(&top->lock);
    running = top->state == RUNNING;
    now = !running && top->undoing == 0;
    top->destroy_when_stopped = true;
    pthread_mutex_unlock(&top->lock);
    if (now)
        wsh_top_free(top);
    else if (running)
        drop_all(top);
}

void ws_hub_destroy(ws_hub *top)
{
    enum hub_state state;

    if (!top)
        return;
    state = state_of(top);
    if (top->hub.settings.o.uv_loop) {
        destroy_on_host_loop(top);
    } else if (state == CREATED || state == FAILED) {
        wsh_top_free(top);
    } else {
        bool here = wsh_hub_here(&top->hub) != NULL;

        if (state != STOPPED)
            drop_all(top);
        if (here)
            free_from_callback(top);
        else
            wait_and_free(top);
    }
}

/* The rest. */

unsigned ws_hub_port(const ws_hub *top, size_t index)
{
    return top && index < WSH_COUNT(top->ports) ? top->ports[index] : 0;
}

int ws_hub_stats(const ws_hub *top, ws_hub_stats_data *stats)
{
    ws_hub_stats_data full = {0};
    size_t size;

    if (!top || !stats || stats->struct_size < sizeof(size_t))
        return WS_HUB_EINVAL;
    size = stats->struct_size;
    if (top->hub.shard_count && top->hub.shards[top->lane_count - 1]) {
        wsh_hub_stats(&top->hub, &full);
        full.uring = atomic_load(&top->lanes[WSH_HOME].uring);
    }
    full.struct_size = size;
    memcpy(stats, &full, WSH_MIN(size, sizeof full));
    return 0;
}
