#include "attempt.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/error.h"
#include "refusal.h"
#include "sid.h"

/* ---- Making it ----------------------------------------------------------------------------- */

void coat_attempt_begin(struct coat_attempt *a, enum coat_effect effect, const void *key,
                        size_t key_len)
{
    *a = (struct coat_attempt){.effect = effect, .key = {key, key_len}};
}

void coat_attempt_command(struct coat_attempt *a, const char *name)
{
    assert(a->count < COAT_ATTEMPT_COMMANDS);
    a->commands[a->count++] = (struct coat_command){.args = a->args + a->arg_count, .key = a->key};
    coat_attempt_word(a, name);
}

void coat_attempt_arg(struct coat_attempt *a, const void *bytes, size_t len)
{
    assert(a->count > 0 && a->arg_count < COAT_ATTEMPT_ARGS);
    a->args[a->arg_count++] = (struct coat_arg){bytes, len};
    a->commands[a->count - 1].count++;
}

void coat_attempt_word(struct coat_attempt *a, const char *word)
{
    coat_attempt_arg(a, word, strlen(word));
}

void coat_attempt_number(struct coat_attempt *a, int64_t number)
{
    assert(!a->number[0]);
    snprintf(a->number, sizeof a->number, "%" PRId64, number);
    coat_attempt_word(a, a->number);
}

void coat_attempt_script(struct coat_attempt *a, const struct coat_script *script,
                         const struct coat_keys *keys)
{
    a->script = script;
    coat_attempt_command(a, "EVALSHA");
    coat_attempt_word(a, script->sha1);
    coat_attempt_word(a, "2");
    coat_attempt_arg(a, keys->record, keys->len);
    coat_attempt_arg(a, keys->lock, keys->len);
}

/* ---- Sending it, and what comes back ------------------------------------------------------- */

static void say_send(const struct coat_attempt *a, struct coat_step *step)
{
    *step = (struct coat_step){.kind = COAT_STEP_SEND, .commands = a->commands, .count = a->count};
}

void coat_attempt_send(struct coat_attempt *a, struct coat_step *step)
{
    a->sends++;
    say_send(a, step);
}

int coat_attempt_uncertain(const char *why, struct coat_error *err)
{
    return coat_error_because(err, COAT_EUNCERTAIN, "lost",
                              "the reply to a write was lost, and whether it was done cannot be "
                              "told; load the session again to see (%.120s)",
                              why);
}

int coat_attempt_foreign(struct coat_error *err)
{
    return coat_error_because(err, COAT_EFOREIGN, "foreign",
                              "a reply of the server belongs to another request; the connection "
                              "was closed, try again, and look for a proxy that mixes replies up");
}

static int lost(struct coat_attempt *a, const struct coat_event *event, struct coat_step *step,
                struct coat_error *err)
{
    a->unclear |= event->maybe_sent;
    if (!event->final && a->sends < COAT_ATTEMPT_SENDS) {
        coat_attempt_send(a, step);
        return 0;
    }
    if (a->unclear && a->effect == COAT_WRITES)
        return coat_attempt_uncertain(event->why->text, err);
    if (err)
        *err = *event->why;
    return event->why->code;
}

/* The script is not known there yet, so it surely has not run: this is no repeat. */
static int send_text(struct coat_attempt *a, struct coat_step *step)
{
    a->args[0] = (struct coat_arg){"EVAL", 4};
    a->args[1] = (struct coat_arg){a->script->text, a->script->len};
    a->script = NULL;
    say_send(a, step);
    return 0;
}

int coat_attempt_take(struct coat_attempt *a, const struct coat_event *event,
                      struct coat_step *step, struct coat_error *err)
{
    if (event->kind == COAT_EVENT_LOST)
        return lost(a, event, step, err);
    if (event->count != a->count)
        return coat_attempt_foreign(err);
    if (a->script && coat_refusal_is(&event->replies[0], "NOSCRIPT"))
        return send_text(a, step);
    for (size_t i = 0; i < event->count; i++) {
        if (event->replies[i].kind != COAT_REPLY_ERROR)
            continue;
        int rc = coat_refusal(&event->replies[i], err);
        /* It refused the repeat; of what was sent before, it may have said yes. */
        if (a->unclear && a->effect == COAT_WRITES)
            return coat_attempt_uncertain("the server refuses to answer again", err);
        return rc;
    }
    return 1;
}
