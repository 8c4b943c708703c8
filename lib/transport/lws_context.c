/*
 * lws_context.c: see the header. Read with lws 4.1.6, tried with 4.3.3, 4.5.8
 * and 5.0.0; 4.2 and later differ in how a context ends.
 */
#include "transport/lws_context.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/check.h"
#include "ws_hub/error.h"
#include "ws_hub/options.h"

/*
 * lws offers one log function per process, without an argument, and calls it
 * from wherever it runs. A thread runs one transport as a rule, so the way to
 * the right host is kept per thread. A host with several hubs on one loop gets
 * the lines in the hub that ran last.
 */
static _Thread_local const struct wsh_log *thread_log;

/* Creation touches lws's process-wide state, SIGPIPE and RLIMIT_NOFILE. */
static pthread_mutex_t creation = PTHREAD_MUTEX_INITIALIZER;

/*
 * lws indexes a table by descriptor, of RLIMIT_NOFILE entries (16 bytes each),
 * and Debian's package, a debug build, searches all of it for each socket that
 * closes (4.1.6 sanity_assert_no_sockfd_traces): 12 us in an empty table of
 * 20 000 entries, 600 us in one of 640 000; containers often have a million. So
 * lws sees a limit that is just enough: what is open already, the links, and
 * SPARE for what the host opens later. A limit above ten million makes it fall
 * back to 2560 descriptors; setting fd_limit_per_thread makes it search the
 * table at every event instead.
 */
enum { TABLE_MAX = 1 << 20, SPARE = 4096 };

/* The hub has its own time-outs; lws must not close anything by itself. */
enum { LWS_TIMEOUT_S = 24 * 3600 };

/* Descriptors that creation takes, with room for other threads'. */
enum { DESCRIPTORS = 8 };

void wsh_lws_log_to(const struct wsh_log *log)
{
    thread_log = log;
}

void wsh_lws_log_off(const struct wsh_log *log)
{
    if (thread_log == log)
        thread_log = NULL;
}

/* lws reports peers' faults as errors; what is an error for the host is said by
 * the transport itself. */
static void emit(int level, const char *line)
{
    (void)level;
    if (thread_log)
        wsh_log(thread_log, WS_HUB_LOG_WARN, "libwebsockets: %.*s",
                (int)strcspn(line, "\n"), line);
}

/*
 * Built with secure streams, as 4.4 and later are by default, lws asks a public
 * host whether there is a way to the internet: a blocking name look-up and a
 * request on our loop. A prober of one's own, that probes nothing, ends that.
 */
static int no_probe(struct lws_context *context)
{
    (void)context;
    return 0;
}

static void fill(struct lws_context_creation_info *info,
                 const struct wsh_lws_config *config, void **loops)
{
    static const lws_system_ops_t system_ops = {.captive_portal_detect_request =
                                                    no_probe};
    static const lws_retry_bo_t no_timers; /* one per connection otherwise */

    memset(info, 0, sizeof *info);
    loops[0] = config->uv;
    info->foreign_loops = loops;
    info->options = LWS_SERVER_OPTION_LIBUV |
                    LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                    LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME;
    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->vhost_name = "ws_hub";
    info->protocols = config->protocols;
    info->user = config->user;
    info->retry_and_idle_policy = &no_timers;
    info->system_ops = &system_ops;
    info->timeout_secs = LWS_TIMEOUT_S;
    info->pt_serv_buf_size = (unsigned)(config->read_bytes + LWS_PRE);
    info->alpn = "http/1.1";
    if (config->tls_cert) {
        info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info->ssl_cert_filepath = config->tls_cert;
        info->ssl_private_key_filepath = config->tls_key;
#if defined(SSL_OP_NO_TLSv1) && defined(SSL_OP_NO_TLSv1_1)
        info->ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
#endif
    }
}

/*
 * 4.5.3 to 4.5.8 end OpenSSL for the whole process (OPENSSL_cleanup) with the
 * last context that has this option. A virtual host works with it alone:
 * OpenSSL initialises itself.
 */
static struct lws_context *
create_context(const struct lws_context_creation_info *info)
{
#if LWS_LIBRARY_VERSION_NUMBER >= 4005000 &&                                   \
    LWS_LIBRARY_VERSION_NUMBER < 5000000
    struct lws_context_creation_info less = *info;

    less.options &= ~(uint64_t)LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info = &less;
#endif
    return lws_create_context(info);
}

/* Without a descriptor for its event pipe lws makes a context that can never be
 * destroyed (4.1.6 lws_create_event_pipes), so ask first. The lowest free one,
 * or -1: there are not enough. */
static int lowest_descriptor(void)
{
    int fd[DESCRIPTORS], n = 0, lowest;
    bool enough;

    while (n < DESCRIPTORS) {
        fd[n] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd[n] < 0)
            break;
        n++;
    }
    enough = n == DESCRIPTORS;
    lowest = n > 0 ? fd[0] : -1;
    while (n > 0)
        (void)close(fd[--n]);
    return enough ? lowest : -1;
}

/* Entries for the table. The kernel gives the lowest free number, so as many as
 * are ever open at once are enough. */
static rlim_t table_size(int lowest, unsigned max_links)
{
    rlim_t size = (rlim_t)lowest + max_links + SPARE;

    return max_links ? WSH_MIN(size, (rlim_t)TABLE_MAX) : TABLE_MAX;
}

/* With a limit on descriptors that suits lws; *table gets it. */
static struct lws_context *
create_limited(const struct lws_context_creation_info *info, unsigned max_links,
               unsigned *table)
{
    int lowest = lowest_descriptor();
    struct rlimit old, low;
    struct lws_context *context;
    bool lowered = false;

    if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &old))
        return NULL;
    low = old;
    low.rlim_cur = table_size(lowest, max_links);
    if (low.rlim_cur < old.rlim_cur)
        lowered = setrlimit(RLIMIT_NOFILE, &low) == 0;
    *table = (unsigned)WSH_MIN(lowered ? low.rlim_cur : old.rlim_cur,
                               (rlim_t)INT_MAX);
    context = create_context(info);
    if (lowered)
        (void)setrlimit(RLIMIT_NOFILE, &old);
    return context;
}

/*
 * On a foreign loop lws returns a context even if its creation failed (out of
 * memory), begun to be destroyed in a way that nobody can finish: its handles
 * would be freed before libuv has closed them. Such a one is left alone.
 */
static bool is_stillborn(struct lws_context *context)
{
    struct lws_pollfd no_event = {.fd = 0};

    return lws_service_fd(context, &no_event) < 0;
}

/* lws ignores SIGPIPE for the whole process. Plain sockets are written with
 * MSG_NOSIGNAL; OpenSSL is not, so TLS leaves it ignored where nobody cares. */
static void restore_sigpipe(const struct sigaction *old, bool tls)
{
    if (!tls || (old->sa_flags & SA_SIGINFO) || old->sa_handler != SIG_DFL)
        (void)sigaction(SIGPIPE, old, NULL);
}

struct polls {
    unsigned count;
    uv_handle_t *last;
};

static void note_poll(uv_handle_t *handle, void *arg)
{
    struct polls *polls = arg;

    if (uv_handle_get_type(handle) != UV_POLL)
        return;
    polls->count++;
    polls->last = handle;
}

/* The descriptor of the one poll handle that came since `before`, -1: unclear.
 * libuv walks its handles in the order of their making. */
static int new_poll_fd(uv_loop_t *uv, const struct polls *before)
{
    struct polls now = {0};
    uv_os_fd_t fd;

    uv_walk(uv, note_poll, &now);
    if (now.count != before->count + 1 || uv_fileno(now.last, &fd))
        return -1;
    return fd;
}

int wsh_lws_open(struct lws_context **context, struct lws_vhost **vhost,
                 int *event_fd, unsigned *table,
                 const struct wsh_lws_config *config)
{
    struct lws_context_creation_info info;
    struct sigaction sigpipe;
    struct polls before = {0};
    void *loops[1];

    *vhost = NULL;
    fill(&info, config, loops);
    info.pcontext = context;
    wsh_lws_log_to(config->log);
    uv_walk(config->uv, note_poll, &before);

    (void)pthread_mutex_lock(&creation);
    lws_set_log_level(LLL_ERR | LLL_WARN, emit);
    (void)sigaction(SIGPIPE, NULL, &sigpipe);
    *context = create_limited(&info, config->max_links, table);
    if (*context && is_stillborn(*context))
        *context = NULL;
    if (*context)
        *vhost = lws_create_vhost(*context, &info);
    *event_fd = *context ? new_poll_fd(config->uv, &before) : -1;
    restore_sigpipe(&sigpipe, config->tls_cert != NULL);
    (void)pthread_mutex_unlock(&creation);

    if (!*context) {
        wsh_log(config->log, WS_HUB_LOG_ERROR,
                "libwebsockets gives no context for a libuv loop: no memory or "
                "descriptors, or its libuv plugin is not installed (Debian: "
                "libwebsockets-evlib-uv)");
        return WS_HUB_ETRANSPORT;
    }
    if (!*vhost) {
        wsh_log(config->log, WS_HUB_LOG_ERROR, "libwebsockets refuses %s%s",
                config->tls_cert ? "the certificate or key: " : "a host",
                config->tls_cert ? config->tls_cert : "");
        return WS_HUB_ETRANSPORT;
    }
    return 0;
}

struct search {
    const void *data;
    bool found;
};

static void compare_data(uv_handle_t *handle, void *arg)
{
    struct search *search = arg;

    if (handle->data == search->data)
        search->found = true;
}

bool wsh_lws_has_handle(uv_loop_t *uv, const void *data)
{
    struct search search = {.data = data};

    uv_walk(uv, compare_data, &search);
    return search.found;
}

#if LWS_LIBRARY_VERSION_NUMBER < 4002000

/*
 * On a foreign loop 4.1 closes its sockets, then two handles inside of its
 * context (their data points to it), and then waits for a second call, which
 * frees the context at once. Nothing says when; so look for the handles.
 */
static bool may_finish(const struct lws_context *context, uv_loop_t *uv)
{
    return !wsh_lws_has_handle(uv, context);
}

/*
 * 4.1 closes its wake-up pipe twice: when its destruction begins
 * (lws_destroy_event_pipe), and a turn later with the handle. In between the
 * number may have become somebody else's descriptor. So it is taken at once,
 * and the second close ends that. Only who opens something inside of the call
 * to lws_context_destroy() can still be hit.
 */
static void keep_number(int event_fd)
{
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC), kept = first;

    if (first < 0 || first == event_fd)
        return;
    kept = fcntl(first, F_DUPFD_CLOEXEC, event_fd);
    if (kept >= 0 && kept != event_fd) /* taken: not ours to hold */
        (void)close(kept);
    (void)close(first);
}

#else

/* 4.2 and later keep a state and bear being called at any time. */
static bool may_finish(const struct lws_context *context, uv_loop_t *uv)
{
    (void)context;
    (void)uv;
    return true;
}

static void keep_number(int event_fd)
{
    (void)event_fd;
}

#endif

static void close_own(uv_handle_t *handle, void *context)
{
    if (handle->data == context && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

void wsh_lws_close_step(struct lws_context **context, uv_loop_t *uv,
                        bool *begun, bool maimed, int event_fd)
{
    if (!*context)
        return;
    if (!*begun) {
        *begun = true;
        lws_context_destroy(*context);
        if (event_fd >= 0)
            keep_number(event_fd);
    } else if (maimed) {
        /* lws closes these when the last socket is gone, so never. */
        uv_walk(uv, close_own, *context);
        *context = NULL;
    } else if (may_finish(*context, uv)) {
        lws_context_destroy(*context);
    }
}
