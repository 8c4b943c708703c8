/*
 * reply.c: hiredis parses, the trees are ours.
 *
 * hiredis asks our functions for each object, tells the parent by its task, and
 * takes NULL for "out of memory": so does every refusal of ours, with the true
 * reason kept beside. Elements are built in place in their array. Works with
 * 0.14 (RESP2 only) and with 1.x (RESP3 types are refused: we never ask for
 * them).
 */
#include "reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

enum {
    CHUNK = 16 * 1024,
    ALIGN = 16,
    MAX_ELEMENTS = 65536,         /* of one array */
    MAX_DEPTH = 7,                /* all that 0.14 has */
    MAX_LINE = 64 * 1024,         /* a status, an error, a number */
    MAX_REPLY = 16 * 1024 * 1024, /* of a tree, beside its longest string */
    KEPT_SPARE = 64 * 1024        /* of the reader's own buffer */
};

struct chunk {
    struct chunk *next;
    size_t size, used;
    max_align_t bytes[];
};

struct wsr_reader {
    redisReader *redis;
    redisReplyObjectFunctions functions; /* hiredis wants them writable */
    struct chunk *chunks; /* newest first; the last one is kept */
    size_t total;         /* bytes in chunks */
    size_t max_bulk;
    bool replied; /* the arena holds a reply that has been given out */
    const char *error;
};

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void *refuse(struct wsr_reader *reader, const char *error)
{
    if (!reader->error)
        reader->error = error;
    return NULL;
}

static struct chunk *add_chunk(struct wsr_reader *reader, size_t size)
{
    struct chunk *chunk;

    if (size < CHUNK)
        size = CHUNK;
    if (reader->total + size > MAX_REPLY + reader->max_bulk)
        return refuse(reader, "a reply is too large");
    chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        return refuse(reader, "out of memory");
    chunk->next = reader->chunks;
    chunk->size = size;
    chunk->used = 0;
    reader->chunks = chunk;
    reader->total += size;
    return chunk;
}

static void *take(struct wsr_reader *reader, size_t size)
{
    struct chunk *chunk = reader->chunks;
    void *bytes;

    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!chunk || chunk->size - chunk->used < size) {
        chunk = add_chunk(reader, size);
        if (!chunk)
            return NULL;
    }
    bytes = (char *)chunk->bytes + chunk->used;
    chunk->used += size;
    return bytes;
}

static void free_chunks(struct wsr_reader *reader, struct chunk *until)
{
    while (reader->chunks && reader->chunks != until) {
        struct chunk *next = reader->chunks->next;

        reader->total -= reader->chunks->size;
        free(reader->chunks);
        reader->chunks = next;
    }
}

/* Forget the last reply; the oldest chunk stays for the next one. */
static void reset(struct wsr_reader *reader)
{
    struct chunk *oldest = reader->chunks;

    while (oldest && oldest->next)
        oldest = oldest->next;
    if (oldest && oldest->size > CHUNK)
        oldest = NULL;
    free_chunks(reader, oldest);
    if (oldest)
        oldest->used = 0;
    reader->replied = false;
}

/* Where the object of a task goes: in its array, or a place of its own. */
static struct wsr_reply *place(const redisReadTask *task, enum wsr_type type)
{
    struct wsr_reader *reader = task->privdata;
    struct wsr_reply *reply;

    if (task->parent) {
        const struct wsr_reply *array = task->parent->obj;

        reply = &array->items[task->idx];
    } else {
        reply = take(reader, sizeof *reply);
        if (!reply)
            return NULL;
    }
    memset(reply, 0, sizeof *reply);
    reply->type = type;
    return reply;
}

static void *create_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct wsr_reader *reader = task->privdata;
    enum wsr_type type = task->type == REDIS_REPLY_ERROR    ? WSR_ERROR
                         : task->type == REDIS_REPLY_STATUS ? WSR_STATUS
                                                            : WSR_STRING;
    struct wsr_reply *reply;
    char *text;

    if (len > reader->max_bulk)
        return refuse(reader, "a string is longer than the limit");
    reply = place(task, type);
    text = reply ? take(reader, len + 1) : NULL;
    if (!text)
        return NULL;
    memcpy(text, bytes, len);
    text[len] = '\0';
    reply->text = text;
    reply->len = len;
    return reply;
}

static void *create_array(const redisReadTask *task, element_count elements)
{
    struct wsr_reader *reader = task->privdata;
    const redisReadTask *up = task->parent;
    size_t count = (size_t)elements;
    struct wsr_reply *reply;

    if (task->type != REDIS_REPLY_ARRAY)
        return refuse(reader, "a reply of RESP3, which was not asked for");
    for (unsigned depth = 1; up; up = up->parent)
        if (++depth > MAX_DEPTH)
            return refuse(reader, "an array is nested too deeply");
    if (count > MAX_ELEMENTS)
        return refuse(reader, "an array has too many elements");
    reply = place(task, WSR_ARRAY);
    if (!reply)
        return NULL;
    if (count > 0) {
        reply->items = take(reader, count * sizeof *reply->items);
        if (!reply->items)
            return NULL;
        memset(reply->items, 0, count * sizeof *reply->items);
    }
    reply->count = count;
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct wsr_reply *reply = place(task, WSR_INTEGER);

    if (reply)
        reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place(task, WSR_NIL);
}

#if HIREDIS_MAJOR >= 1
static void *refuse_double(const redisReadTask *task, double value, char *text,
                           size_t len)
{
    (void)value;
    (void)text;
    (void)len;
    return refuse(task->privdata, "a reply of RESP3, which was not asked for");
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)value;
    return refuse(task->privdata, "a reply of RESP3, which was not asked for");
}
#endif

/* The arena frees. */
static void free_object(void *object)
{
    (void)object;
}

static const redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = free_object,
};

struct wsr_reader *wsr_reader_create(size_t max_bulk)
{
    struct wsr_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return NULL;
    reader->functions = functions;
    reader->redis = redisReaderCreateWithFunctions(&reader->functions);
    if (!reader->redis) {
        free(reader);
        return NULL;
    }
    reader->redis->privdata = reader;
    reader->redis->maxbuf = KEPT_SPARE;
    reader->max_bulk = max_bulk;
    return reader;
}

void wsr_reader_free(struct wsr_reader *reader)
{
    if (!reader)
        return;
    redisReaderFree(reader->redis);
    free_chunks(reader, NULL);
    free(reader);
}

bool wsr_reader_feed(struct wsr_reader *reader, const char *bytes, size_t len)
{
    if (redisReaderFeed(reader->redis, bytes, len) == REDIS_OK)
        return true;
    (void)refuse(reader, "out of memory");
    return false;
}

/* An incomplete reply: what has it announced? hiredis has consumed the type
 * byte and stands at a line. A whole line there can only be the length of a
 * bulk string whose bytes are missing, since every other line is consumed as
 * soon as it is whole; so it needs no look at the task stack, whose layout
 * differs between versions. */
static bool announces_too_much(struct wsr_reader *reader)
{
    const redisReader *redis = reader->redis;
    size_t waiting = redis->len - redis->pos, length = 0, i = 0;
    const char *at = redis->buf + redis->pos;

    for (; i < waiting && at[i] >= '0' && at[i] <= '9'; i++)
        if (length <= reader->max_bulk)
            length = length * 10 + (size_t)(at[i] - '0');
    if (i > 0 && waiting - i >= 2 && at[i] == '\r' && at[i + 1] == '\n') {
        if (length > reader->max_bulk)
            (void)refuse(reader, "a string is longer than the limit");
    } else if (waiting > MAX_LINE) {
        (void)refuse(reader, "a line is longer than the limit");
    }
    return reader->error != NULL;
}

bool wsr_reader_next(struct wsr_reader *reader, const struct wsr_reply **reply)
{
    void *object = NULL;

    *reply = NULL;
    if (reader->error)
        return false;
    if (reader->replied)
        reset(reader);
    if (redisReaderGetReply(reader->redis, &object) != REDIS_OK) {
        (void)refuse(reader, reader->redis->errstr);
        return false;
    }
    if (!object)
        return !announces_too_much(reader);
    reader->replied = true;
    *reply = object;
    return true;
}

const char *wsr_reader_error(const struct wsr_reader *reader)
{
    return reader->error ? reader->error : "";
}

bool wsr_reply_is(const struct wsr_reply *reply, const char *text)
{
    return (reply->type == WSR_STRING || reply->type == WSR_STATUS) &&
           reply->len == strlen(text) &&
           memcmp(reply->text, text, reply->len) == 0;
}

bool wsr_reply_error_is(const struct wsr_reply *reply, const char *word)
{
    size_t len = strlen(word);

    return reply->type == WSR_ERROR && reply->len >= len &&
           memcmp(reply->text, word, len) == 0 &&
           (reply->len == len || reply->text[len] == ' ');
}
