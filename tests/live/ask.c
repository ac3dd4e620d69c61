#include "live/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store.h"

struct question {
    struct coat_op op;
    struct coat_arg args[ASK_ARGS_MAX];
    struct coat_command command;
    struct answer answer;
};

static void question_step(struct coat_op *op, const struct coat_event *event,
                          struct coat_step *step, struct coat_error *err)
{
    struct question *q = (struct question *)op;
    struct answer *a = &q->answer;
    (void)err;
    if (event->kind == COAT_EVENT_START) {
        *step = (struct coat_step){.kind = COAT_STEP_SEND, .commands = &q->command, .count = 1};
        return;
    }
    *step = (struct coat_step){.kind = COAT_STEP_DONE};
    if (event->kind != COAT_EVENT_REPLIES) {
        step->rc = event->why->code;
        return;
    }
    const struct coat_reply *reply = event->replies;
    a->kind = reply->kind;
    a->integer = reply->kind == COAT_REPLY_ARRAY ? (long long)reply->count : reply->integer;
    a->len = reply->len < sizeof a->bytes ? reply->len : sizeof a->bytes - 1;
    if (a->len > 0)
        memcpy(a->bytes, reply->bytes, a->len);
}

int ask_quietly(struct coat_store *store, const struct coat_arg *args, size_t count,
                struct answer *answer)
{
    struct question q = {.op = {.step = question_step}};
    if (count > ASK_ARGS_MAX)
        return COAT_EUSAGE;
    memcpy(q.args, args, count * sizeof *args);
    q.command = (struct coat_command){.args = q.args, .count = count};
    int rc = coat_store_run(store, &q.op, NULL);
    *answer = q.answer;
    return rc;
}

struct answer ask_args(struct coat_store *store, const struct coat_arg *args, size_t count)
{
    struct answer answer;
    assert_int_equal(ask_quietly(store, args, count, &answer), 0);
    return answer;
}

/* Behind those that are there already. */
static size_t put_words(struct coat_arg *args, size_t count, va_list words)
{
    const char *word;
    while ((word = va_arg(words, const char *)) != NULL) {
        assert_true(count < ASK_ARGS_MAX);
        args[count++] = (struct coat_arg){word, strlen(word)};
    }
    return count;
}

struct answer ask(struct coat_store *store, ...)
{
    struct coat_arg args[ASK_ARGS_MAX];
    va_list words;
    va_start(words, store);
    size_t count = put_words(args, 0, words);
    va_end(words);
    return ask_args(store, args, count);
}

struct answer ask_script(struct coat_store *store, const struct coat_script *script,
                         const char *keys, ...)
{
    struct coat_arg args[ASK_ARGS_MAX] = {{"EVAL", 4}, {script->text, script->len}, {keys, 1}};
    va_list words;
    va_start(words, keys);
    size_t count = put_words(args, 3, words);
    va_end(words);
    return ask_args(store, args, count);
}
