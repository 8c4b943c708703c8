/*
 * url.c: strict reading of redis:// addresses. Whatever is not understood is an
 * error with a text that says which part, since a typing error here otherwise
 * shows as a hub that quietly does not connect.
 */
#include "url.h"

#include <stdio.h>
#include <string.h>

#include <ws_hub/error.h>

enum { DEFAULT_PORT = 6379, PORT_MAX = 65535, DB_MAX = 1000000 };

struct part {
    const char *at;
    size_t len;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decode into a C string; false: too long, %00, or a bad escape. */
static bool decode(struct part part, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < part.len; i++) {
        char c = part.at[i];

        if (c == '%') {
            int high, low;

            if (part.len - i < 3)
                return false;
            high = hex_digit(part.at[i + 1]);
            low = hex_digit(part.at[i + 2]);
            if (high < 0 || low < 0 || (high | low) == 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (used + 1 >= size)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

/* Decimal digits and nothing else, at most `max`. */
static bool number(struct part part, unsigned max, unsigned *out)
{
    unsigned value = 0;

    if (part.len == 0 || part.len > 7)
        return false;
    for (size_t i = 0; i < part.len; i++) {
        if (part.at[i] < '0' || part.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(part.at[i] - '0');
    }
    *out = value;
    return value <= max;
}

/* Cut `rest` at the first (or last) `c`: what is before it goes to *before. */
static bool cut(struct part *rest, char c, bool last, struct part *before)
{
    const char *at =
        last ? memrchr(rest->at, c, rest->len) : memchr(rest->at, c, rest->len);

    if (!at)
        return false;
    *before = (struct part){rest->at, (size_t)(at - rest->at)};
    *rest = (struct part){at + 1, rest->len - before->len - 1};
    return true;
}

static bool part_is(struct part part, const char *text)
{
    return part.len == strlen(text) && memcmp(part.at, text, part.len) == 0;
}

/* Past `prefix`, if it begins so. */
static bool skip(struct part *rest, const char *prefix)
{
    size_t len = strlen(prefix);

    if (rest->len < len || memcmp(rest->at, prefix, len) != 0)
        return false;
    *rest = (struct part){rest->at + len, rest->len - len};
    return true;
}

static int fail(const char **why, const char *text)
{
    *why = text;
    return WS_HUB_EINVAL;
}

/* host, host:port, [v6], [v6]:port */
static int parse_host(struct part rest, struct wsr_url *url, const char **why)
{
    struct part host = rest;

    url->port = DEFAULT_PORT;
    if (rest.len > 0 && rest.at[0] == '[') {
        rest.at++;
        rest.len--;
        if (!cut(&rest, ']', false, &host))
            return fail(why, "'[' without ']'");
        if (rest.len > 0 && *rest.at != ':')
            return fail(why, "something else than a port after ']'");
        if (rest.len > 0 && !number((struct part){rest.at + 1, rest.len - 1},
                                    PORT_MAX, &url->port))
            return fail(why, "bad port");
    } else if (cut(&rest, ':', false, &host)) {
        if (!number(rest, PORT_MAX, &url->port))
            return fail(why, "bad port (a v6 address stands in brackets)");
    }
    if (url->port == 0)
        return fail(why, "bad port");
    if (host.len == 0)
        return fail(why, "no host");
    if (!decode(host, url->host, sizeof url->host))
        return fail(why, "bad host");
    return 0;
}

static int parse_user(struct part rest, struct wsr_url *url, const char **why)
{
    struct part user;

    /* Without a colon tools disagree whether it is the user or the password. */
    if (!cut(&rest, ':', false, &user))
        return fail(why, "user without ':' and password");
    if (!decode(user, url->user, sizeof url->user) ||
        !decode(rest, url->password, sizeof url->password))
        return fail(why, "bad user or password");
    return 0;
}

static int parse_tcp(struct part rest, struct wsr_url *url, const char **why)
{
    struct part authority, user;
    int status;

    if (memchr(rest.at, '?', rest.len) || memchr(rest.at, '#', rest.len))
        return fail(why, "unexpected '?' or '#' (in a password: %3F, %23)");
    if (cut(&rest, '/', false, &authority)) {
        if (rest.len > 0 && !number(rest, DB_MAX, &url->db))
            return fail(why, "bad database number after '/'");
    } else {
        authority = rest;
    }
    if (cut(&authority, '@', true, &user)) {
        status = parse_user(user, url, why);
        if (status)
            return status;
    }
    return parse_host(authority, url, why);
}

static int parse_parameter(struct part value, struct wsr_url *url,
                           const char **why)
{
    struct part name;

    if (!cut(&value, '=', false, &name))
        return fail(why, "parameter without '='");
    if (part_is(name, "db"))
        return number(value, DB_MAX, &url->db)
                   ? 0
                   : fail(why, "bad database number");
    if (part_is(name, "user"))
        return decode(value, url->user, sizeof url->user)
                   ? 0
                   : fail(why, "bad user");
    if (part_is(name, "password"))
        return decode(value, url->password, sizeof url->password)
                   ? 0
                   : fail(why, "bad password");
    return fail(why, "unknown parameter: db, user, password are known");
}

static int parse_unix(struct part rest, struct wsr_url *url, const char **why)
{
    struct part path, parameter;
    int status = 0;

    if (!cut(&rest, '?', false, &path)) {
        path = rest;
        rest.len = 0;
    }
    if (path.len < 2 || path.at[0] != '/')
        return fail(why, "no absolute path");
    if (!decode(path, url->path, sizeof url->path))
        return fail(why, "bad path, or longer than a socket's can be");
    while (status == 0 && rest.len > 0) {
        if (!cut(&rest, '&', false, &parameter)) {
            parameter = rest;
            rest.len = 0;
        }
        status = parse_parameter(parameter, url, why);
    }
    return status;
}

int wsr_url_parse(const char *text, struct wsr_url *out, const char **why)
{
    static const char tcp[] = "redis://", local[] = "redis+unix://",
                      tls[] = "rediss://";
    struct part rest = {text, strlen(text)};

    memset(out, 0, sizeof *out);
    *why = NULL;
    if (skip(&rest, tcp))
        return parse_tcp(rest, out, why);
    if (skip(&rest, local))
        return parse_unix(rest, out, why);
    out->tls = skip(&rest, tls);
    if (out->tls)
        return parse_tcp(rest, out, why);
    return fail(why, "begins neither with redis:// or rediss:// nor with "
                     "redis+unix://");
}

bool wsr_url_at(struct wsr_url *out, const struct wsr_url *like,
                const char *host, size_t host_len, unsigned port)
{
    if (host_len == 0 || host_len >= sizeof out->host || port == 0 ||
        port > PORT_MAX || memchr(host, '\0', host_len))
        return false;
    if (out != like)
        *out = *like;
    memmove(out->host, host, host_len);
    out->host[host_len] = '\0';
    out->path[0] = '\0';
    out->port = port;
    return true;
}

void wsr_url_name(const struct wsr_url *url, char name[WSR_NAME_MAX])
{
    const char *format = strchr(url->host, ':') ? "[%s]:%u" : "%s:%u";

    if (url->host[0])
        (void)snprintf(name, WSR_NAME_MAX, format, url->host, url->port);
    else
        (void)snprintf(name, WSR_NAME_MAX, "%s", url->path);
}
