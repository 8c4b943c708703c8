/*
 * log.c: formats one line for the host's log callback.
 * Owns: nothing. Thread: any (the line lives on the stack).
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX_BYTES = 255 };

/* Peers and brokers put their own words into our lines; a newline or an escape
 * sequence among them could forge a line or drive a terminal. */
static void mask_controls(char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte < 0x20 || byte == 0x7f)
            *text = '.';
    }
}

void wsh_log(const struct wsh_log *log, int level, const char *format, ...)
{
    char text[LINE_MAX_BYTES + 1];
    va_list args;

    if (!log->write)
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    mask_controls(text);
    log->write(level, text, log->user);
}
