/** @file fault.h  A broker adapter that goes wrong on purpose, for tests. */
#ifndef WS_HUB_FAULT_H
#define WS_HUB_FAULT_H

#include <stddef.h>
#include <stdint.h>
#include <ws_hub/broker.h>
#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What can go wrong: X(name, text). The occasion of each is in the enum.
 */
#define WS_HUB_FAULT_MAP(X)                                                    \
    X(DELAY_MESSAGE, "delay_message")                                          \
    X(LOSE_MESSAGE, "lose_message")                                            \
    X(DUPLICATE_MESSAGE, "duplicate_message")                                  \
    X(DELAY_SUBSCRIBED, "delay_subscribed")                                    \
    X(LOSE_SUBSCRIBED, "lose_subscribed")                                      \
    X(REFUSE_SUBSCRIBE, "refuse_subscribe")                                    \
    X(SUBSCRIBE_AGAIN, "subscribe_again")                                      \
    X(SUBSCRIBE_NO_MEMORY, "subscribe_no_memory")                              \
    X(PUBLISH_AGAIN, "publish_again")                                          \
    X(PUBLISH_BROKER, "publish_broker")                                        \
    X(PUBLISH_NO_MEMORY, "publish_no_memory")                                  \
    X(OPEN_FAILS, "open_fails")                                                \
    X(OPEN_LOST, "open_lost")                                                  \
    X(DROP_LINK, "drop_link")                                                  \
    X(DROP_CHANNEL, "drop_channel")                                            \
    X(FREEZE, "freeze")

typedef enum ws_hub_fault {
    /** A message from the broker waits 1..delay_ms; later ones of its channel
     *  wait behind it, other channels overtake it. */
    WS_HUB_FAULT_DELAY_MESSAGE,
    WS_HUB_FAULT_LOSE_MESSAGE,      /**< it never comes, and nobody says so */
    WS_HUB_FAULT_DUPLICATE_MESSAGE, /**< it comes twice, one behind the other */
    WS_HUB_FAULT_DELAY_SUBSCRIBED,  /**< a confirmation waits, and behind it the
                                         channel's messages */
    WS_HUB_FAULT_LOSE_SUBSCRIBED,  /**< it never comes, though messages do: what
                                        the contract forbids an adapter */
    WS_HUB_FAULT_REFUSE_SUBSCRIBE, /**< host->subscribed(WS_HUB_EFORBIDDEN) */
    WS_HUB_FAULT_SUBSCRIBE_AGAIN, /**< subscribe() is WS_HUB_EAGAIN; host->ready
                                       follows within delay_ms */
    WS_HUB_FAULT_SUBSCRIBE_NO_MEMORY, /**< subscribe() is WS_HUB_ENOMEM */
    WS_HUB_FAULT_PUBLISH_AGAIN,     /**< publish() is WS_HUB_EAGAIN; host->ready
                                         follows within delay_ms */
    WS_HUB_FAULT_PUBLISH_BROKER,    /**< publish() is WS_HUB_EBROKER */
    WS_HUB_FAULT_PUBLISH_NO_MEMORY, /**< publish() is WS_HUB_ENOMEM */
    WS_HUB_FAULT_OPEN_FAILS,        /**< open() is WS_HUB_EBROKER */
    WS_HUB_FAULT_OPEN_LOST, /**< open() ends in host->lost, a little later */
    WS_HUB_FAULT_DROP_LINK, /**< occasion: each 100 ms of a link that is up */
    WS_HUB_FAULT_DROP_CHANNEL, /**< one by chance; occasion: the same */
    WS_HUB_FAULT_FREEZE,       /**< for 1..freeze_ms; occasion: the same */
    WS_HUB_FAULT_COUNT
} ws_hub_fault;

/** Options of ws_hub_fault_broker(); zero means the default. */
typedef struct ws_hub_fault_options {
    size_t struct_size;
    uint64_t seed; /**< of every draw. With an adapter that calls on one thread
                        only, a seed and a history give the same faults again */
    /** Chance of each fault per thousand occasions, 0..1000, by ws_hub_fault;
     *  default 0: never. */
    uint16_t per_thousand[32];
    unsigned delay_ms;  /**< longest delay of a message; default 100 */
    unsigned freeze_ms; /**< longest freeze by chance; default 1000 */
    unsigned open_ms;   /**< open() of a frozen broker gives up after; default
                             1000 */
    unsigned
        max_held; /**< most messages, calls and answers that wait, delayed
                       or frozen; one more from the broker and the link is
                       lost, one more call is WS_HUB_EAGAIN; default 4096 */
} ws_hub_fault_options;

/**
 * Wrap an adapter, so that it goes wrong: by chance (rates and a seed), by
 * script (ws_hub_fault_next()) or on command.
 *
 * Without faults the wrapped adapter behaves like the inner one, but that
 * messages of channels which are not subscribed never pass, that messages which
 * come on another thread than the loop's pass up to 10 ms later, and that
 * WS_HUB_BROKER_LOCAL is gone, so the hub checks and probes it. What the inner
 * one lacks of probe_channel, suspect and audit is added. After a drop the
 * inner adapter stays open: its subscriptions are ended one by one, and the
 * next open() is answered at once.
 *
 * @param options  NULL: no faults
 * @param inner_ops   adapter that was not opened yet, not NULL; copied
 * @param inner_self  its first argument
 * @param ops      out: pass as options.broker
 * @param self     out: pass as options.broker_self, and to the functions below
 * @return 0; WS_HUB_EINVAL (a rate above 1000, an adapter without a needed
 *         function); WS_HUB_ENOTSUP (options of a newer version); WS_HUB_ENOMEM
 *
 * Thread: any.  Ownership: the inner adapter is transferred, after an error it
 * stays the caller's; the hub destroys both. *ops lives as long as *self.
 * Since: 0.1
 */
WS_HUB_API int ws_hub_fault_broker(const ws_hub_fault_options *options,
                                   const ws_hub_broker_ops *inner_ops,
                                   void *inner_self,
                                   const ws_hub_broker_ops **ops, void **self);

/**
 * Set the chance of a fault from now on.
 *
 * @param per_thousand  0..1000
 * @return 0; WS_HUB_EINVAL
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API int ws_hub_fault_set_rate(void *self, ws_hub_fault fault,
                                     unsigned per_thousand);

/**
 * Let the next occasions of a fault all have it, whatever its rate: a script.
 *
 * @param times  0 takes back what is left of an earlier call
 * @return 0; WS_HUB_EINVAL
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API int ws_hub_fault_next(void *self, ws_hub_fault fault,
                                 unsigned times);

/**
 * How often a fault has happened, commands included.
 *
 * @return count since ws_hub_fault_broker(); 0 for an unknown fault
 *
 * Thread: any.  Since: 0.1
 */
WS_HUB_API uint64_t ws_hub_fault_count(void *self, ws_hub_fault fault);

/** Short name of a fault, such as "drop_link". Static string, "unknown" for any
 *  other number.  Thread: any.  Since: 0.1 */
WS_HUB_API const char *ws_hub_fault_name(ws_hub_fault fault);

/**
 * Lose the link now, with all subscriptions and everything that waits.
 *
 * @return 0; WS_HUB_ESTATE (it is down already)
 *
 * Thread: loop, of the hub's broker.  Callbacks: host->lost.  Since: 0.1
 */
WS_HUB_API int ws_hub_fault_drop_link(void *self);

/**
 * Lose one subscription now, with what waits of it.
 *
 * @return 0; WS_HUB_ENOENT (not subscribed); WS_HUB_ESTATE (the link is down)
 *
 * Thread: loop, of the hub's broker.  Callbacks: host->dropped.  Since: 0.1
 */
WS_HUB_API int ws_hub_fault_drop_channel(void *self, const char *channel,
                                         size_t channel_len);

/**
 * Freeze the broker, or let it go on, like a server that got SIGSTOP and
 * SIGCONT: calls return 0 and wait with their order, as do messages and
 * answers, until it goes on. If the link is given up before that
 * (ws_hub_broker_ops.suspect, ws_hub_fault_drop_link()) what waited is lost,
 * and open() finds no answer while the freeze lasts.
 *
 * @param on  not 0: until the call with 0, however long that takes
 *
 * Thread: loop, of the hub's broker.  Callbacks: with 0 any of the host's.
 * Since: 0.1
 */
WS_HUB_API void ws_hub_fault_freeze(void *self, int on);

/**
 * No more faults: all rates and scripts to zero, a freeze ends. What is delayed
 * comes in its time.
 *
 * Thread: loop, of the hub's broker.  Callbacks: any of the host's.
 * Since: 0.1
 */
WS_HUB_API void ws_hub_fault_calm(void *self);

#ifdef __cplusplus
}
#endif
#endif
