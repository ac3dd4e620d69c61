/* Ping: does the server answer? */
#include "api/error.h"
#include "api/op.h"
#include "attempt.h"
#include "refusal.h"

static void done(struct coat_step *step, int rc)
{
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
}

static void say_send(struct coat_ping *ping, struct coat_step *step)
{
    ping->sends++;
    *step = (struct coat_step){.kind = COAT_STEP_SEND, .commands = &ping->command, .count = 1};
}

static void lost(const struct coat_event *event, struct coat_step *step, struct coat_error *err)
{
    if (err)
        *err = *event->why;
    done(step, event->why->code);
}

static void ping_step(struct coat_op *op, const struct coat_event *event, struct coat_step *step,
                      struct coat_error *err)
{
    struct coat_ping *ping = (struct coat_ping *)op;
    const struct coat_reply *reply = event->replies;
    int again = !event->final && ping->sends < COAT_ATTEMPT_SENDS;
    if (event->kind == COAT_EVENT_START || (event->kind == COAT_EVENT_LOST && again))
        say_send(ping, step);
    else if (event->kind == COAT_EVENT_LOST)
        lost(event, step, err);
    else if (event->count == 1 && reply->kind == COAT_REPLY_ERROR)
        done(step, coat_refusal(reply, err));
    else if (event->count == 1 && reply->kind == COAT_REPLY_STATUS)
        done(step, 0);
    else
        done(step, coat_attempt_foreign(err));
}

struct coat_op *coat_ping_op(struct coat_ping *ping)
{
    *ping =
        (struct coat_ping){.op = {.step = ping_step, .kind = COAT_KIND_PING}, .arg = {"PING", 4}};
    ping->command = (struct coat_command){.args = &ping->arg, .count = 1};
    return &ping->op;
}
