/** @file error.h  Error numbers, their names and their texts. */
#ifndef WS_HUB_ERROR_H
#define WS_HUB_ERROR_H

#include <ws_hub/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Every error: X(name, number, text).
 *
 * Numbers are negative, are never reused and never move.
 */
#define WS_HUB_ERROR_MAP(X)                                                    \
    X(EINVAL, -1, "invalid argument")                                          \
    X(ENOMEM, -2, "out of memory")                                             \
    X(ESTATE, -3, "not possible in this state")                                \
    X(ENOENT, -4, "no such connection, channel or listener")                   \
    X(ELIMIT, -5, "a limit was reached")                                       \
    X(EAGAIN, -6, "not now; the callback named in the docs says when")         \
    X(ENOTSUP, -7, "not supported by this version or configuration")           \
    X(ECANCELED, -8, "ended by teardown")                                      \
    X(EBROKER, -9, "the broker failed; the log has its text")                  \
    X(ETRANSPORT, -10, "the transport failed; the log has its text")           \
    X(EFORBIDDEN, -11, "the host forbade it")                                  \
    X(EEXIST, -12, "exists already")

enum ws_hub_error {
    WS_HUB_OK = 0,
    /** Not an error: of ws_hub_publish(), the broker is away. Own subscribers
     *  got the message; with options.outage_hold it may be held for the broker,
     *  and then nothing of it is lost (held with outage_no_local: own
     *  subscribers get it when it is sent). */
    WS_HUB_DEGRADED = 1,
#define WS_HUB_ERROR_ENUM(name, number, text) WS_HUB_##name = number,
    WS_HUB_ERROR_MAP(WS_HUB_ERROR_ENUM)
#undef WS_HUB_ERROR_ENUM
};

/**
 * Name of an error, such as "WS_HUB_EINVAL".
 *
 * @param error  0, WS_HUB_DEGRADED or a WS_HUB_E* number
 * @return static string, never NULL; "WS_HUB_EUNKNOWN" for any other number
 *
 * Thread: any+signal.  Callbacks: none.  Since: 0.1
 */
WS_HUB_API const char *ws_hub_error_name(int error);

/**
 * Text of an error in English, without a full stop.
 *
 * @param error  0, WS_HUB_DEGRADED or a WS_HUB_E* number
 * @return static string, never NULL
 *
 * Thread: any+signal.  Callbacks: none.  Since: 0.1
 */
WS_HUB_API const char *ws_hub_error_text(int error);

#ifdef __cplusplus
}
#endif
#endif
