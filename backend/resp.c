#include "resp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "api/error.h"

#define PIPELINE_MAX  ((size_t)1 << 30)
#define BLOCK_BYTES   ((size_t)4096)
#define LENGTH_DIGITS 24 /* "$" or "*", a number, CRLF */

/* ---- Commands ------------------------------------------------------------------------------- */

void coat_bytes_wipe(struct coat_bytes *bytes)
{
    if (bytes->at)
        explicit_bzero(bytes->at, bytes->size);
    free(bytes->at);
    *bytes = (struct coat_bytes){0};
}

/* An upper bound, or SIZE_MAX if it is beyond PIPELINE_MAX. */
static size_t formatted_size(const struct coat_command *commands, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += LENGTH_DIGITS;
        for (size_t j = 0; j < commands[i].count; j++) {
            size_t len = commands[i].args[j].len;
            if (len > PIPELINE_MAX || size > PIPELINE_MAX - len)
                return SIZE_MAX;
            size += len + LENGTH_DIGITS + 2;
        }
    }
    return size <= PIPELINE_MAX ? size : SIZE_MAX;
}

static char *put_length(char *to, char type, size_t length)
{
    char digits[LENGTH_DIGITS];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + length % 10);
    while ((length /= 10) > 0);
    *to++ = type;
    while (count > 0)
        *to++ = digits[--count];
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *put_command(char *to, const struct coat_command *command)
{
    to = put_length(to, '*', command->count);
    for (size_t i = 0; i < command->count; i++) {
        const struct coat_arg *arg = &command->args[i];
        to = put_length(to, '$', arg->len);
        if (arg->len)
            memcpy(to, arg->bytes, arg->len);
        to += arg->len;
        *to++ = '\r';
        *to++ = '\n';
    }
    return to;
}

static int too_much(struct coat_error *err)
{
    return coat_error_because(err, COAT_ELIMIT, "max_bytes",
                              "what is to be sent has more than 1 GiB; store less");
}

int coat_resp_format(struct coat_bytes *to, const struct coat_command *commands, size_t count,
                     struct coat_error *err)
{
    size_t size = formatted_size(commands, count);
    if (size == SIZE_MAX)
        return too_much(err);
    if (size > to->size || to->size > COAT_KEEP_BYTES) {
        char *at = malloc(size ? size : 1);
        if (!at)
            return coat_error_nomem(err);
        coat_bytes_wipe(to);
        to->at = at;
        to->size = size;
    }
    char *end = to->at;
    for (size_t i = 0; i < count; i++)
        end = put_command(end, &commands[i]);
    to->len = (size_t)(end - to->at);
    return 0;
}

/* Room for so many bytes more, at least half as many as there are. */
static int make_room(struct coat_bytes *to, size_t more, struct coat_error *err)
{
    if (more <= to->size - to->len)
        return 0;
    size_t size = to->size + (more > to->size / 2 ? more : to->size / 2);
    char *at = malloc(size);
    if (!at)
        return coat_error_nomem(err);
    if (to->len)
        memcpy(at, to->at, to->len);
    struct coat_bytes grown = {.at = at, .len = to->len, .size = size};
    coat_bytes_wipe(to);
    *to = grown;
    return 0;
}

int coat_resp_append(struct coat_bytes *to, const struct coat_command *commands, size_t count,
                     struct coat_error *err)
{
    size_t size = formatted_size(commands, count);
    if (size == SIZE_MAX || to->len > PIPELINE_MAX - size)
        return too_much(err);
    int rc = make_room(to, size, err);
    if (rc < 0)
        return rc;
    char *end = to->at + to->len;
    for (size_t i = 0; i < count; i++)
        end = put_command(end, &commands[i]);
    to->len = (size_t)(end - to->at);
    return 0;
}

/* ---- The memory of replies ------------------------------------------------------------------ */

struct coat_block {
    struct coat_block *next;
    size_t size, used;
    _Alignas(max_align_t) unsigned char at[];
};

/* Lives until the next begin. `size` is bounded by what has come and by COAT_RESP_ITEMS_MAX. */
static void *keep(struct coat_resp *resp, size_t size)
{
    size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct coat_block *block = resp->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = size < BLOCK_BYTES ? BLOCK_BYTES : size;
        block = malloc(sizeof *block + room);
        if (!block) {
            resp->nomem = 1;
            return NULL;
        }
        *block = (struct coat_block){.next = resp->blocks, .size = room};
        resp->blocks = block;
    }
    void *at = block->at + block->used;
    block->used += size;
    return at;
}

static void forget_replies(struct coat_resp *resp)
{
    struct coat_block *kept = NULL, *next;
    for (struct coat_block *block = resp->blocks; block; block = next) {
        next = block->next;
        if (!kept && block->size <= COAT_KEEP_BYTES) {
            kept = block;
            kept->next = NULL;
            kept->used = 0;
        } else {
            free(block);
        }
    }
    resp->blocks = kept;
    resp->replies = NULL;
    resp->wanted = resp->got = resp->bytes = resp->items = 0;
}

/* ---- The objects of hiredis's reader -------------------------------------------------------- */

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* Where the reply of a task goes: into the array around it, or among the replies. */
static struct coat_reply *place(const redisReadTask *task, enum coat_reply_kind kind)
{
    struct coat_resp *resp = task->privdata;
    struct coat_reply *reply = task->parent
                                   ? ((struct coat_reply *)task->parent->obj)->items + task->idx
                                   : resp->replies + resp->got;
    *reply = (struct coat_reply){.kind = kind};
    return reply;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct coat_resp *resp = task->privdata;
    enum coat_reply_kind kind;
    switch (task->type) {
    case REDIS_REPLY_STRING:
        /* The reader looks at neither: a length near the largest wraps where size_t is 32 bits. */
        if (len > resp->bytes || memcmp(bytes + len, "\r\n", 2) != 0)
            return NULL;
        kind = COAT_REPLY_BULK;
        break;
    case REDIS_REPLY_STATUS:
        kind = COAT_REPLY_STATUS;
        break;
    case REDIS_REPLY_ERROR:
        kind = COAT_REPLY_ERROR;
        break;
    default:
        return NULL;
    }
    char *copy = keep(resp, len);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, bytes, len);
    struct coat_reply *reply = place(task, kind);
    reply->bytes = copy;
    reply->len = len;
    return reply;
}

static void *make_array(const redisReadTask *task, element_count elements)
{
    struct coat_resp *resp = task->privdata;
    size_t count = (size_t)elements;
    unsigned depth = 1;
    for (const redisReadTask *up = task->parent; up; up = up->parent)
        depth++;
    if (task->type != REDIS_REPLY_ARRAY || depth > COAT_RESP_DEPTH_MAX ||
        count > COAT_RESP_ITEMS_MAX - resp->items)
        return NULL;
    resp->items += count;
    struct coat_reply *items = keep(resp, count * sizeof *items);
    if (!items)
        return NULL;
    struct coat_reply *reply = place(task, COAT_REPLY_ARRAY);
    reply->items = items;
    reply->count = count;
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct coat_reply *reply = place(task, COAT_REPLY_INTEGER);
    reply->integer = value;
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    return place(task, COAT_REPLY_NIL);
}

static void free_nothing(void *object)
{
    (void)object;
}

#ifdef REDIS_REPLY_DOUBLE
/* RESP3, which nobody asked for. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static const redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_nothing,
#ifdef REDIS_REPLY_DOUBLE
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
};

/* ---- Replies -------------------------------------------------------------------------------- */

static int protocol_error(struct coat_error *err, const char *what)
{
    return coat_error_because(err, COAT_EUNAVAILABLE, "protocol",
                              "what answers does not speak the protocol of Redis as expected: %s",
                              what);
}

void coat_resp_init(struct coat_resp *resp, size_t max_bytes)
{
    *resp = (struct coat_resp){.max_bytes = max_bytes};
}

static void drop_reader(struct coat_resp *resp)
{
    if (resp->reader)
        redisReaderFree(resp->reader);
    resp->reader = NULL;
}

size_t coat_resp_rest(const struct coat_resp *resp)
{
    return resp->reader ? resp->reader->len - resp->reader->pos : 0;
}

int coat_resp_begin(struct coat_resp *resp, size_t count, struct coat_error *err)
{
    size_t rest = coat_resp_rest(resp);
    if (resp->bytes > COAT_KEEP_BYTES && rest == 0) /* its buffer has grown with them */
        drop_reader(resp);
    forget_replies(resp);
    resp->bytes = rest;
    resp->nomem = 0;
    if (!resp->reader) {
        /* hiredis only reads them. */
        resp->reader = redisReaderCreateWithFunctions((redisReplyObjectFunctions *)&functions);
        if (!resp->reader)
            return coat_error_nomem(err);
        resp->reader->privdata = resp;
        resp->reader->maxbuf = 0; /* freeing a buffer can fail by assert() in there */
    }
    if (count > COAT_RESP_ITEMS_MAX)
        return coat_error_set(err, COAT_EUSAGE, "a pipeline of more than %u commands",
                              COAT_RESP_ITEMS_MAX);
    resp->replies = keep(resp, count * sizeof *resp->replies);
    if (!resp->replies)
        return coat_error_nomem(err);
    resp->wanted = count;
    return 0;
}

int coat_resp_feed(struct coat_resp *resp, const char *bytes, size_t len, struct coat_error *err)
{
    redisReader *reader = resp->reader;
    if (len > resp->max_bytes - resp->bytes)
        return protocol_error(err, "a reply has more bytes than any record may have");
    resp->bytes += len;
    if (redisReaderFeed(reader, bytes, len) != REDIS_OK)
        return coat_error_nomem(err);
    while (resp->got < resp->wanted) {
        void *object = NULL;
        if (redisReaderGetReply(reader, &object) != REDIS_OK)
            return resp->nomem ? coat_error_nomem(err)
                               : protocol_error(err, "a reply is malformed or too large");
        if (!object)
            return 0;
        resp->got++;
    }
    if (!resp->overlaps && coat_resp_rest(resp) > 0)
        return protocol_error(err, "more replies came than were asked for");
    return 1;
}

void coat_resp_release(struct coat_resp *resp)
{
    drop_reader(resp);
    forget_replies(resp);
    free(resp->blocks);
    coat_resp_init(resp, resp->max_bytes);
}
