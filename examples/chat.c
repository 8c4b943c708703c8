/*
 * chat: rooms for browsers. The hub speaks JSON (PROTOCOL: ws_hub.v1), so rooms
 * need no code here; what is left is the page, served on the same port.
 */
#include "common.h"
#include "web/assets.h"

#include <stdio.h>
#include <string.h>

/* Nothing but our own files and our own server, not inlined and not framed; and
 * no way from a string to markup (trusted types), whatever a script does. */
static const char common_headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-cache\r\n";

static const struct web_asset *find_asset(const char *path, size_t len)
{
    for (size_t i = 0; i < web_asset_count; i++)
        if (strlen(web_assets[i].path) == len &&
            memcmp(web_assets[i].path, path, len) == 0)
            return &web_assets[i];
    return NULL;
}

/* If-None-Match is "*" or a list of tags; ours holds no comma and no quote
 * inside, so finding it with its quotes is finding it in the list. */
static int is_fresh(const ws_hub_request *request, const char *etag)
{
    size_t len;
    const char *tags = ws_hub_request_header(request, "If-None-Match", &len);

    if (!tags)
        return 0;
    return (len == 1 && *tags == '*') || memmem(tags, len, etag, strlen(etag));
}

static int is_read(const ws_hub_request *request)
{
    size_t len;
    const char *method = ws_hub_request_method(request, &len);

    return (len == 3 && memcmp(method, "GET", 3) == 0) ||
           (len == 4 && memcmp(method, "HEAD", 4) == 0);
}

static void on_http(ws_hub *hub, const ws_hub_request *request,
                    ws_hub_response *response, void *user)
{
    size_t len;
    const char *path = ws_hub_request_path(request, &len);
    const struct web_asset *asset = find_asset(path, len);
    char headers[sizeof(common_headers) + 128];

    if (!asset) {
        example_stats(hub, request, response, user);
        return; /* without an answer the hub gives 404 */
    }
    if (!is_read(request)) {
        ws_hub_respond(response, 405, "Allow: GET, HEAD\r\n", NULL, 0);
        return;
    }
    snprintf(headers, sizeof(headers), "%sETag: %s\r\nContent-Type: %s\r\n",
             common_headers, asset->etag, asset->type);
    if (is_fresh(request, asset->etag))
        ws_hub_respond(response, 304, headers, NULL, 0);
    else
        ws_hub_respond(response, 200, headers, asset->data, asset->len);
}

int main(int argc, char **argv)
{
    struct example ex;
    ws_hub *hub;
    int status;

    example_init(&ex, 8080);
    ex.callbacks.on_http = on_http;
    ex.hub.default_mode = WS_HUB_MODE_JSON;
    status = example_parse(&ex, argc, argv, "Chat rooms and a page for them.");
    if (status >= 0)
        return status;
    status = example_open(&ex, &hub);
    if (status)
        return status;
    example_announce(&ex, hub, "listening on", "ws");
    example_announce(&ex, hub, "page at", "http");
    return example_wait(&hub, 1);
}
