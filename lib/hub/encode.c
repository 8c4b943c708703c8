#include "hub/channel.h"
#include "ws_hub/error.h"

int wsh_encode(struct wsh_block **block, enum wsh_opcode opcode,
               const struct wsh_piece *pieces, size_t count,
               size_t fragment_bytes, const struct wsh_mark *mark)
{
    size_t len = 0, size;
    struct wsh_block *fresh = NULL;

    for (size_t i = 0; i < count; i++)
        len += pieces[i].len;
    size = wsh_message_size(len, fragment_bytes);
    if (size > UINT32_MAX)
        return WS_HUB_ENOMEM;
    if (!*block) {
        fresh = wsh_block_create((uint32_t)size);
        if (!fresh)
            return WS_HUB_ENOMEM;
        *block = fresh;
    } else if (wsh_block_reserve(block, (uint32_t)size)) {
        return WS_HUB_ENOMEM;
    }
    wsh_message_write((*block)->data + (*block)->len, opcode, pieces, count,
                      fragment_bytes);
    wsh_block_commit(*block, (uint32_t)size, mark);
    return 0;
}
