/*
 * uv_loop.h: what a wsh_loop is made of, for the two files of lib/loop.
 *
 * Owner: loop.h. Thread: the loop's, but for what `gate` and the atomics say.
 */
#ifndef WSH_LOOP_UV_LOOP_H
#define WSH_LOOP_UV_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>
#include "base/list.h"
#include "loop/loop.h"

struct wsh_loop {
    uv_loop_t *uv; /* &own or the host's */
    uv_loop_t own;
    uv_async_t async;     /* wake */
    uv_prepare_t prepare; /* end of a turn */
    uv_idle_t hold;       /* active: the next poll does not wait */
    uv_timer_t timer;     /* the shard's deadline */
    uint64_t armed_ms;    /* deadline in `timer`, UINT64_MAX: none */
    unsigned closing;     /* handles above whose close callback is to come */
    bool started;         /* handles above are open */
    bool doomed;          /* destroyed: the last close callback frees */

    struct wsh_loop_config config;
    char name[16];
    void (*stopped)(void *arg);
    void *stopped_arg;

    atomic_bool pending; /* a wake that `woken` has not seen */
    atomic_bool bound;   /* `thread` is valid */
    pthread_t thread;
    bool joinable;

    pthread_mutex_t gate; /* ready, result */
    pthread_cond_t turned;
    atomic_bool live;   /* uv_async_send is allowed */
    atomic_uint waking; /* threads inside a wake */
    bool ready;
    int result;
    int (*setup)(void *arg);
    void *setup_arg;

    struct wsh_list watches; /* open ws_hub_watch of the public contract */
};

#endif
