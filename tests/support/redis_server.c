#include "support/redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, ARGS_MAX = 40, ATTEMPTS = 5 };

unsigned redis_free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return 0;
    if (bind(fd, (struct sockaddr *)&name, sizeof name) ||
        getsockname(fd, (struct sockaddr *)&name, &len))
        name.sin_port = 0;
    (void)close(fd);
    return ntohs(name.sin_port);
}

static void run_server(const struct redis_server *server, int out, pid_t parent,
                       const char *const *more)
{
    char port[16];
    const char *args[ARGS_MAX] = {
        "redis-server", "--port",      port,        "--bind",
        "127.0.0.1",    "--save",      "",          "--appendonly",
        "no",           "--dir",       server->dir, "--unixsocket",
        server->socket, "--daemonize", "no",        "--loglevel",
        "notice"};
    size_t count = 0;

    (void)snprintf(port, sizeof port, "%u", server->port);
    if (server->tls)
        args[1] = "--tls-port";
    while (args[count])
        count++;
    for (; more && *more && count < ARGS_MAX - 1; more++)
        args[count++] = *more;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    (void)execvp("redis-server", (char *const *)args);
    _exit(127);
}

/* Its log goes to a pipe until it says that it is ready; what it writes later
 * finds nobody, which it does not mind. */
static bool wait_ready(int in)
{
    char log[8192];
    size_t used = 0;
    struct pollfd poller = {.fd = in, .events = POLLIN};

    while (used < sizeof log - 1 && poll(&poller, 1, DEADLINE_MS) > 0) {
        ssize_t got = read(in, log + used, sizeof log - 1 - used);

        if (got <= 0)
            break;
        used += (size_t)got;
        log[used] = '\0';
        if (strstr(log, "The server is now ready to accept connections at /"))
            return true;
    }
    return false;
}

static bool start_once(struct redis_server *server, const char *const *more)
{
    int ends[2];
    bool ready;
    pid_t parent = getpid();

    if (pipe2(ends, O_CLOEXEC))
        return false;
    server->pid = fork();
    if (server->pid == 0)
        run_server(server, ends[1], parent, more);
    (void)close(ends[1]);
    ready = server->pid > 0 && wait_ready(ends[0]);
    (void)close(ends[0]);
    if (!ready)
        redis_server_kill(server);
    return ready;
}

static bool start(struct redis_server *server, const char *const *more)
{
    (void)snprintf(server->dir, sizeof server->dir, "/tmp/ws_hub_redis_XXXXXX");
    if (!mkdtemp(server->dir))
        return false;
    (void)snprintf(server->socket, sizeof server->socket, "%s/socket",
                   server->dir);
    (void)snprintf(server->unix_url, sizeof server->unix_url, "redis+unix://%s",
                   server->socket);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        server->port = redis_free_port();
        (void)snprintf(server->url, sizeof server->url, "%s://127.0.0.1:%u",
                       server->tls ? "rediss" : "redis", server->port);
        if (start_once(server, more))
            return true;
    }
    redis_server_stop(server);
    return false;
}

bool redis_server_start(struct redis_server *server, const char *const *more)
{
    memset(server, 0, sizeof *server);
    return start(server, more);
}

bool redis_server_start_tls(struct redis_server *server, const char *cert)
{
    const char *const more[] = {"--port",
                                "0",
                                "--tls-cert-file",
                                cert,
                                "--tls-key-file",
                                cert,
                                "--tls-ca-cert-file",
                                cert,
                                NULL};

    memset(server, 0, sizeof *server);
    server->tls = true;
    return start(server, more);
}

bool redis_server_restart(struct redis_server *server, const char *const *more)
{
    return start_once(server, more);
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    server->pid = 0;
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (!server->dir[0])
        return;
    (void)unlink(server->socket);
    (void)rmdir(server->dir);
    server->dir[0] = '\0';
}

static int connect_to(const struct redis_server *server)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", server->socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* QUIT's own answer is the last thing that comes. */
bool redis_server_command(const struct redis_server *server,
                          const char *command, char *answer, size_t size)
{
    struct timeval patience = {.tv_sec = DEADLINE_MS / 1000};
    char line[512];
    int fd = connect_to(server);
    size_t used = 0;
    ssize_t got = 1;

    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)snprintf(line, sizeof line, "%s\r\nQUIT\r\n", command);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line))
        while (got > 0 && used < size - 1) {
            got = recv(fd, answer + used, size - 1 - used, 0);
            if (got > 0)
                used += (size_t)got;
        }
    answer[used] = '\0';
    (void)close(fd);
    return used > 0;
}
