#include "attempt.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "refusal.h"
#include "sid.h"

/* ---- Making it ----------------------------------------------------------------------------- */

static struct coat_arg *args_of(struct coat_attempt *a)
{
    return a->reserved.args ? a->reserved.args : a->few_args;
}

static struct coat_command *commands_of(struct coat_attempt *a)
{
    return a->reserved.commands ? a->reserved.commands : a->few_commands;
}

void coat_attempt_release(struct coat_attempt *a)
{
    free(a->reserved.args);
    free(a->reserved.commands);
    *a = (struct coat_attempt){0};
}

/* Zeros; NULL where there is not so much memory. */
static void *make_room(size_t count, size_t size)
{
    size_t bytes;
    return coat_size_mul(count, size, &bytes) && bytes <= PTRDIFF_MAX ? calloc(count, size) : NULL;
}

int coat_attempt_reserve(struct coat_attempt *a, size_t commands, size_t args,
                         struct coat_error *err)
{
    coat_attempt_release(a);
    if (commands <= COAT_ATTEMPT_COMMANDS && args <= COAT_ATTEMPT_ARGS)
        return 0;
    a->reserved.commands = make_room(commands, sizeof *a->reserved.commands);
    a->reserved.args = make_room(args, sizeof *a->reserved.args);
    if (!a->reserved.commands || !a->reserved.args) {
        coat_attempt_release(a);
        return coat_error_nomem(err);
    }
    a->reserved.max_commands = commands;
    a->reserved.max_args = args;
    return 0;
}

void coat_attempt_begin(struct coat_attempt *a, enum coat_loss loss, const void *key,
                        size_t key_len)
{
    *a = (struct coat_attempt){.reserved = a->reserved, .loss = loss, .key = {key, key_len}};
}

void coat_attempt_let_wrong_type(struct coat_attempt *a)
{
    a->lets_wrong_type = 1;
}

void coat_attempt_key(struct coat_attempt *a, const void *key, size_t key_len)
{
    a->key = (struct coat_arg){key, key_len};
}

void coat_attempt_node(struct coat_attempt *a, struct coat_node *node)
{
    commands_of(a)[a->count - 1].node = node;
}

void coat_attempt_command(struct coat_attempt *a, const char *name)
{
    assert(a->count < (a->reserved.commands ? a->reserved.max_commands : COAT_ATTEMPT_COMMANDS));
    commands_of(a)[a->count++] =
        (struct coat_command){.args = args_of(a) + a->arg_count, .key = a->key};
    coat_attempt_word(a, name);
}

void coat_attempt_arg(struct coat_attempt *a, const void *bytes, size_t len)
{
    assert(a->count > 0);
    assert(a->arg_count < (a->reserved.args ? a->reserved.max_args : COAT_ATTEMPT_ARGS));
    args_of(a)[a->arg_count++] = (struct coat_arg){bytes, len};
    commands_of(a)[a->count - 1].count++;
}

void coat_attempt_word(struct coat_attempt *a, const char *word)
{
    coat_attempt_arg(a, word, strlen(word));
}

void coat_attempt_number(struct coat_attempt *a, int64_t number)
{
    assert(a->number_count < COAT_ATTEMPT_NUMBERS);
    char *text = a->numbers[a->number_count++];
    snprintf(text, sizeof a->numbers[0], "%" PRId64, number);
    coat_attempt_word(a, text);
}

void coat_attempt_run(struct coat_attempt *a, const struct coat_script *script, int keys)
{
    static const char *const COUNT[] = {"0", "1", "2", "3"};
    assert(0 < keys && keys <= 3 && (!a->script || a->script == script));
    a->script = script;
    coat_attempt_command(a, "EVALSHA");
    coat_attempt_word(a, script->sha1);
    coat_attempt_word(a, COUNT[keys]);
}

void coat_attempt_script(struct coat_attempt *a, const struct coat_script *script,
                         const struct coat_keys *keys)
{
    coat_attempt_run(a, script, 2);
    coat_attempt_arg(a, keys->record, keys->len);
    coat_attempt_arg(a, keys->lock, keys->len);
}

void coat_attempt_confirm(struct coat_attempt *a, int64_t replicas)
{
    a->confirm = replicas;
}

void coat_attempt_mark(struct coat_attempt *a, const struct coat_keys *keys, int64_t replicas)
{
    coat_attempt_key(a, keys->marker, keys->len);
    coat_attempt_command(a, "SET");
    coat_attempt_arg(a, keys->marker, keys->len);
    coat_attempt_word(a, "");
    coat_attempt_word(a, "PX");
    coat_attempt_word(a, "1000");
    coat_attempt_confirm(a, replicas);
    a->marks = 1;
}

/* ---- Sending it, and what comes back ------------------------------------------------------- */

static void say_send(struct coat_attempt *a, struct coat_step *step)
{
    *step = (struct coat_step){.kind = COAT_STEP_SEND,
                               .commands = commands_of(a),
                               .count = a->count,
                               .confirm = a->confirm};
}

static int runs_script(const struct coat_arg *args)
{
    return args->len == 7 && memcmp(args->bytes, "EVALSHA", 7) == 0;
}

/* The scripts are sent, not only named. */
static void spell_out(struct coat_attempt *a)
{
    struct coat_arg *arg = args_of(a);
    for (size_t i = 0; i < a->count; arg += commands_of(a)[i++].count) {
        if (!runs_script(arg))
            continue;
        arg[0] = (struct coat_arg){"EVAL", 4};
        arg[1] = (struct coat_arg){a->script->text, a->script->len};
    }
    a->script = NULL;
}

void coat_attempt_send(struct coat_attempt *a, struct coat_step *step)
{
    a->sends++;
    if (a->script && a->confirm > 0) /* replicas are not waited for twice */
        spell_out(a);
    say_send(a, step);
}

void coat_attempt_send_once(struct coat_attempt *a, struct coat_step *step)
{
    coat_attempt_send(a, step);
    a->sends = COAT_ATTEMPT_SENDS;
}

int coat_attempt_uncertain(const char *why, struct coat_error *err)
{
    return coat_error_because(err, COAT_EUNCERTAIN, "lost",
                              "the reply to a write was lost, and whether it was done cannot be "
                              "told; read it again to see (%.120s)",
                              why);
}

int coat_attempt_confirmed(const struct coat_attempt *a, const struct coat_event *event,
                           struct coat_error *err)
{
    if (a->confirm == 0 || event->confirmed >= a->confirm)
        return 0;
    if (event->confirmed < 0)
        return coat_error_because(err, COAT_EUNCERTAIN, "confirm",
                                  "it was written, but the server does not say whether a replica "
                                  "has it, so a failover may undo it; our user of Redis needs the "
                                  "command WAIT");
    return coat_error_because(err, COAT_EUNCERTAIN, "confirm",
                              "it was written, but %" PRId64 " replicas had it in time, and the "
                              "option confirm asks for %" PRId64 ", so a failover may undo it; "
                              "see whether the replicas are up",
                              event->confirmed, a->confirm);
}

int coat_attempt_foreign(struct coat_error *err)
{
    return coat_error_because(err, COAT_EFOREIGN, "foreign",
                              "a reply of the server belongs to another request; the connection "
                              "was closed, try again, and look for a proxy that mixes replies up");
}

/* It has failed. COAT_EUNCERTAIN if something may have been done; 0: surely nothing was. */
static int may_be_done(const struct coat_attempt *a, const char *why, struct coat_error *err)
{
    if (a->marks)
        return coat_error_because(err, COAT_EUNCERTAIN, "confirm",
                                  "it was written, but whether a replica has it could not be "
                                  "asked, so a failover may undo it (%.120s)",
                                  why);
    return a->unclear && a->loss == COAT_LOSS_UNCERTAIN ? coat_attempt_uncertain(why, err) : 0;
}

static int lost(struct coat_attempt *a, const struct coat_event *event, struct coat_step *step,
                struct coat_error *err)
{
    a->unclear |= event->maybe_sent;
    if (!event->final && a->sends < COAT_ATTEMPT_SENDS) {
        coat_attempt_send(a, step);
        return 0;
    }
    if (may_be_done(a, event->why->text, err) < 0)
        return COAT_EUNCERTAIN;
    if (err)
        *err = *event->why;
    return event->why->code;
}

/* Where the script is not known, it surely has not run: there this is no repeat. */
static int send_text(struct coat_attempt *a, struct coat_step *step)
{
    spell_out(a);
    say_send(a, step);
    return 0;
}

/* How many of the replies say that the script is not known; the others' commands were done. */
static size_t count_unknown(const struct coat_event *event)
{
    size_t n = 0;
    for (size_t i = 0; i < event->count; i++)
        n += (size_t)coat_refusal_is(&event->replies[i], "NOSCRIPT");
    return n;
}

int coat_attempt_take(struct coat_attempt *a, const struct coat_event *event,
                      struct coat_step *step, struct coat_error *err)
{
    if (event->kind == COAT_EVENT_LOST)
        return lost(a, event, step, err);
    if (event->count != a->count)
        return coat_attempt_foreign(err);
    size_t unknown = a->script ? count_unknown(event) : 0;
    if (unknown > 0) {
        a->unclear |= unknown < event->count;
        return send_text(a, step);
    }
    for (size_t i = 0; i < event->count; i++) {
        if (event->replies[i].kind != COAT_REPLY_ERROR ||
            (a->lets_wrong_type && coat_refusal_means(&event->replies[i], "WRONGTYPE")))
            continue;
        int rc = coat_refusal(&event->replies[i], err);
        /* It refused the repeat; of what was sent before, it may have said yes. */
        return may_be_done(a, "the server refuses to answer again", err) < 0 ? COAT_EUNCERTAIN : rc;
    }
    return 1;
}
