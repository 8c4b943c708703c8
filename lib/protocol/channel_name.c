/*
 * channel_name.c: which channel names exist.
 * Owns: nothing. Thread: any.
 */
#include "protocol/channel_name.h"

#include "protocol/utf8.h"

enum { NAME_MAX_BYTES = 255 };

/* C0, DEL, and in valid UTF-8 also C1, which is always c2 80..9f. */
static bool has_controls(const unsigned char *name, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (name[i] < 0x20 || name[i] == 0x7f)
            return true;
        if (name[i] == 0xc2 && i + 1 < len && name[i + 1] < 0xa0)
            return true;
    }
    return false;
}

bool wsh_channel_name_valid(const char *name, size_t len)
{
    return len >= 1 && len <= NAME_MAX_BYTES && wsh_utf8_valid(name, len) &&
           !has_controls((const unsigned char *)name, len);
}

bool wsh_channel_name_reserved(const char *name, size_t len)
{
    return len > 0 && name[0] == '$';
}
