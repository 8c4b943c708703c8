/* assets.h: the files of this directory, compiled in by generate.py. */
#ifndef EXAMPLES_WEB_ASSETS_H
#define EXAMPLES_WEB_ASSETS_H

#include <stddef.h>

struct web_asset {
    const char *path; /* of the URL */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotes */
    const unsigned char *data;
    size_t len;
};

extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

#endif
