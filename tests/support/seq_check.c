#include "support/seq_check.h"

#include <stdio.h>
#include <string.h>

enum { DIGITS = 10 };

void seq_write(char *to, size_t size, uint64_t number, char cls)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10)
        to[i] = (char)('0' + number % 10);
    to[DIGITS] = cls;
    memset(to + SEQ_MIN, 'x', size - SEQ_MIN);
}

/* Behind `name`, a number; false: it is not there. */
static bool number_behind(const uint8_t *data, size_t len, const char *name,
                          uint64_t *number)
{
    const uint8_t *at = memmem(data, len, name, strlen(name));
    const uint8_t *end = data + len;

    if (!at)
        return false;
    at += strlen(name);
    for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (uint64_t)(*at - '0');
    return true;
}

static bool begins(const uint8_t *data, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static const char *take_gap(struct seq_check *check, uint64_t missed)
{
    check->told += missed;
    check->lost += missed;
    check->gaps++;
    return missed ? NULL : "a gap of nothing";
}

static const char *take(struct seq_check *check, uint64_t number, char cls)
{
    if (number < check->next)
        return "not in order, or twice";
    if (number > check->next) {
        check->breaks++;
        check->tail = 0;
    }
    check->tail++;
    check->holes += number - check->next;
    check->next = number + 1;
    check->received++;
    check->critical += cls == 'c';
    if (check->told) {
        if (check->told != check->holes)
            return "a gap of another size than the hole";
        check->holes = check->told = 0;
    }
    if (check->holes && cls != 'c' && !check->holes_first)
        return "a hole without a gap";
    return NULL;
}

static const char *take_text(struct seq_check *check, const uint8_t *data,
                             size_t len)
{
    uint64_t number;

    if (len < SEQ_MIN || !number_behind(data, DIGITS, "", &number))
        return "no number";
    return take(check, number, (char)data[DIGITS]);
}

const char *seq_check(struct seq_check *check, const uint8_t *data, size_t len)
{
    static const char data_member[] = ",\"data\":\"";
    const uint8_t *text;
    uint64_t number;

    if (begins(data, len, "{\"op\":\"message\"")) {
        text = memmem(data, len, data_member, sizeof data_member - 1);
        if (!text)
            return "no data";
        text += sizeof data_member - 1;
        return take_text(check, text, len - (size_t)(text - data));
    }
    if (begins(data, len, "gap ") || begins(data, len, "{\"op\":\"gap\""))
        return number_behind(data, len,
                             data[0] == 'g' ? "gap " : "\"missed\":", &number)
                   ? take_gap(check, number)
                   : "a gap without a number";
    return len && data[0] == '{' ? NULL : take_text(check, data, len);
}
