/*
 * http.c: request heads (RFC 9112 sections 2..6), strict.
 * Owns: nothing; views point into the caller's bytes. Thread: any.
 */
#include "protocol/http.h"

#include <string.h>
#include <strings.h>
#include "base/check.h"

enum { TARGET_MAX = 4096 };

/* ---- characters ---- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_alnum(uint8_t byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}

/* RFC 9110 section 5.6.2. */
static bool is_token_byte(uint8_t byte)
{
    return is_alnum(byte) || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

/* Of a URI, '#' excepted: a fragment never leaves the client. */
static bool is_target_byte(uint8_t byte)
{
    return byte > 0x20 && byte < 0x7f && byte != '#';
}

static bool is_value_byte(uint8_t byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/* RFC 3986 section 3.2.2 and the port; no user information. */
static bool is_host_byte(uint8_t byte)
{
    return is_alnum(byte) || (byte && strchr("-._~%!$&'()*+,;=:[]", byte));
}

static bool all_bytes(struct wsh_view view, bool (*accept)(uint8_t))
{
    size_t i;

    for (i = 0; i < view.len; i++)
        if (!accept((uint8_t)view.data[i]))
            return false;
    return true;
}

/* ---- views ---- */

bool wsh_view_is(struct wsh_view view, const char *text)
{
    size_t len = strlen(text);

    return view.data && view.len == len && memcmp(view.data, text, len) == 0;
}

bool wsh_view_is_nocase(struct wsh_view view, const char *text)
{
    size_t len = strlen(text);

    return view.data && view.len == len &&
           strncasecmp(view.data, text, len) == 0;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct wsh_view trim(struct wsh_view view)
{
    while (view.len > 0 && is_space(view.data[0])) {
        view.data++;
        view.len--;
    }
    while (view.len > 0 && is_space(view.data[view.len - 1]))
        view.len--;
    return view;
}

/* Cut what stands before `end` (exclusive) off the front of rest. */
static struct wsh_view cut(struct wsh_view *rest, const char *end, size_t skip)
{
    struct wsh_view front = {rest->data, (size_t)(end - rest->data)};

    rest->data = end + skip;
    rest->len -= front.len + skip;
    return front;
}

bool wsh_view_list_next(struct wsh_view *rest, struct wsh_view *element)
{
    while (rest->len > 0) {
        const char *comma = memchr(rest->data, ',', rest->len);

        *element =
            comma ? cut(rest, comma, 1) : cut(rest, rest->data + rest->len, 0);
        *element = trim(*element);
        if (element->len > 0)
            return true;
    }
    return false;
}

/* ---- the head ---- */

size_t wsh_head_end(const uint8_t *data, size_t len, size_t seen)
{
    size_t from = seen > 3 ? seen - 3 : 0; /* the end may be cut anywhere */
    const uint8_t *end;

    if (from >= len)
        return 0;
    end = memmem(data + from, len - from, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

/* The head ends in CRLF, so every line has an end. */
static struct wsh_view next_line(struct wsh_view *rest)
{
    const char *end = memmem(rest->data, rest->len, "\r\n", 2);

    WSH_ASSERT(end);
    return cut(rest, end, 2);
}

static int parse_version(struct wsh_view version, struct wsh_head *head)
{
    const char *text = version.data;

    if (version.len != 8 || memcmp(text, "HTTP/", 5) != 0 ||
        !is_digit((uint8_t)text[5]) || text[6] != '.' ||
        !is_digit((uint8_t)text[7]))
        return 400;
    if (text[5] != '1')
        return 505;
    head->minor = text[7] - '0';
    return 0;
}

/* Skip scheme and authority of an absolute-form target (RFC 9112 section 3.2.2
 * wants servers to take it). Returns the authority. */
static struct wsh_view cut_authority(struct wsh_view *target)
{
    static const char *const scheme[] = {"http://", "https://"};
    size_t i;

    for (i = 0; i < WSH_COUNT(scheme); i++) {
        size_t len = strlen(scheme[i]);
        size_t end = len;

        if (target->len <= len || strncasecmp(target->data, scheme[i], len))
            continue;
        while (end < target->len && target->data[end] != '/' &&
               target->data[end] != '?')
            end++;
        target->data += len;
        target->len -= len;
        return cut(target, target->data + (end - len), 0);
    }
    return (struct wsh_view){0};
}

static int parse_target(struct wsh_head *head, struct wsh_view *authority)
{
    struct wsh_view rest = head->target;
    const char *mark;

    if (rest.len > TARGET_MAX)
        return 414;
    if (rest.len == 0 || !all_bytes(rest, is_target_byte))
        return 400;
    *authority = cut_authority(&rest);
    if (wsh_view_is(rest, "*") && wsh_view_is(head->method, "OPTIONS")) {
        head->path = rest;
        return 0;
    }
    mark = rest.len > 0 ? memchr(rest.data, '?', rest.len) : NULL;
    head->path = rest;
    if (mark) {
        head->path = cut(&rest, mark, 1);
        head->query = rest;
    }
    if (authority->data && head->path.len == 0)
        head->path = (struct wsh_view){"/", 1};
    return head->path.len > 0 && head->path.data[0] == '/' ? 0 : 400;
}

static int parse_request_line(struct wsh_view line, struct wsh_head *head,
                              struct wsh_view *authority)
{
    const char *space = memchr(line.data, ' ', line.len);
    int status;

    if (!space)
        return 400;
    head->method = cut(&line, space, 1);
    if (head->method.len == 0 || !all_bytes(head->method, is_token_byte))
        return 400;
    space = memchr(line.data, ' ', line.len);
    if (!space)
        return 400;
    head->target = cut(&line, space, 1);
    status = parse_version(line, head);
    return status ? status : parse_target(head, authority);
}

/* A folded line begins with white space, so its name is no token; so does a
 * name with a space before its colon. */
static int parse_field(struct wsh_view line, struct wsh_head *head)
{
    const char *colon = memchr(line.data, ':', line.len);
    struct wsh_view name;

    if (!colon)
        return 400;
    name = cut(&line, colon, 1);
    if (name.len == 0 || !all_bytes(name, is_token_byte) ||
        !all_bytes(line, is_value_byte))
        return 400;
    if (head->count == WSH_HEADERS_MAX)
        return 431;
    head->name[head->count] = name;
    head->value[head->count] = trim(line);
    head->count++;
    return 0;
}

/* One Host, and the same as in an absolute target: two names for one request
 * are how a check in front of us is led astray. */
static int check_host(const struct wsh_head *head, struct wsh_view authority)
{
    size_t times = wsh_head_times(head, "host");
    struct wsh_view host = wsh_head_find(head, "host");

    if (times > 1 || (times == 0 && head->minor > 0))
        return 400;
    if (!all_bytes(host, is_host_byte))
        return 400;
    if (authority.data && host.data &&
        (authority.len != host.len ||
         strncasecmp(authority.data, host.data, host.len) != 0))
        return 400;
    return 0;
}

static int check_body(const struct wsh_head *head)
{
    bool get =
        wsh_view_is(head->method, "GET") || wsh_view_is(head->method, "HEAD");
    struct wsh_view length = wsh_head_find(head, "content-length");
    bool chunked = wsh_head_times(head, "transfer-encoding") > 0;

    if (length.data &&
        (chunked || length.len == 0 || !all_bytes(length, is_digit) ||
         wsh_head_times(head, "content-length") > 1))
        return 400;
    if (get && (chunked || (length.data && !wsh_view_is(length, "0"))))
        return 400;
    return 0;
}

int wsh_head_parse(const uint8_t *data, size_t len, struct wsh_head *head)
{
    struct wsh_view rest = {(const char *)data, len};
    struct wsh_view authority = {0};
    int status;

    head->method = head->target = head->path = head->query = authority;
    head->minor = 0;
    head->count = 0;
    if (len < 4 || memcmp(data + len - 4, "\r\n\r\n", 4) != 0)
        return 400;
    status = parse_request_line(next_line(&rest), head, &authority);
    while (!status && rest.len > 2)
        status = parse_field(next_line(&rest), head);
    if (!status)
        status = check_host(head, authority);
    if (!status)
        status = check_body(head);
    return status;
}

/* ---- fields ---- */

struct wsh_view wsh_head_find(const struct wsh_head *head, const char *name)
{
    size_t i;

    for (i = 0; i < head->count; i++)
        if (wsh_view_is_nocase(head->name[i], name))
            return head->value[i];
    return (struct wsh_view){0};
}

size_t wsh_head_times(const struct wsh_head *head, const char *name)
{
    size_t times = 0;
    size_t i;

    for (i = 0; i < head->count; i++)
        times += wsh_view_is_nocase(head->name[i], name);
    return times;
}

bool wsh_head_has_token(const struct wsh_head *head, const char *name,
                        const char *token)
{
    size_t i;

    for (i = 0; i < head->count; i++) {
        struct wsh_view rest = head->value[i];
        struct wsh_view element;

        if (!wsh_view_is_nocase(head->name[i], name))
            continue;
        while (wsh_view_list_next(&rest, &element))
            if (wsh_view_is_nocase(element, token))
                return true;
    }
    return false;
}
