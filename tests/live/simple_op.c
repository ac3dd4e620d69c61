#include "simple_op.h"

#include <stdlib.h>
#include <string.h>

static void send_again(struct simple_op *s, struct coat_step *step)
{
    s->sends++;
    *step = (struct coat_step){
        .kind = COAT_STEP_SEND, .commands = s->commands, .count = s->count, .confirm = s->confirm};
}

static void done(const struct simple_op *s, int rc, struct coat_step *step)
{
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = s->close};
}

static void note_reply(struct simple_op *s, const struct coat_reply *r)
{
    size_t len = r->len < sizeof s->text ? r->len : sizeof s->text - 1;
    s->kind = r->kind;
    s->integer = r->integer;
    if (len)
        memcpy(s->text, r->bytes, len);
    s->text[len] = '\0';
}

static void simple_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                        struct coat_error *err)
{
    struct simple_op *s = (struct simple_op *)op;
    s->now_ms = event->now_ms;
    switch (event->kind) {
    case COAT_EVENT_START:
        send_again(s, step);
        break;
    case COAT_EVENT_REPLIES:
        s->answers++;
        s->confirmed = event->confirmed;
        if (event->count != s->count)
            abort();
        note_reply(s, &event->replies[event->count - 1]);
        if (s->answers < s->steps)
            send_again(s, step);
        else
            done(s, s->kind == COAT_REPLY_ERROR ? SIMPLE_ERROR_REPLY : 0, step);
        break;
    case COAT_EVENT_LOST:
        s->losses++;
        s->maybe_sent = event->maybe_sent;
        s->final = event->final;
        s->why = event->why->code;
        s->loss = *event->why;
        if (!event->final && s->repeats-- > 0) {
            send_again(s, step);
        } else {
            if (err)
                *err = *event->why;
            done(s, s->why, step);
        }
        break;
    case COAT_EVENT_TIMER:
        abort(); /* none that was told to an operation */
    }
}

void simple_op_init(struct simple_op *s, char *words)
{
    memset(s, 0, sizeof *s);
    s->op.step = simple_step;
    s->steps = 1;
    size_t n = 0;
    char *rest = words, *word;
    for (s->count = 1; (word = strsep(&rest, " "));) {
        if (strcmp(word, "|") == 0) {
            s->count++;
            n = 0;
            continue;
        }
        s->args[s->count - 1][n++] = (struct coat_arg){word, strlen(word)};
        s->commands[s->count - 1] = (struct coat_command){
            .args = s->args[s->count - 1], .count = n, .key = s->args[s->count - 1][1]};
    }
}
