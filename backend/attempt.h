/*
 * attempt.h: one command, or one pipeline, on its way to the server: sent, and sent again where
 * that is safe. What all operations have in common in dealing with lost replies lives here.
 *
 * The caller's step, for every event:
 *
 *     rc = coat_attempt_take(&a, event, step, err);
 *     if (rc == 0)
 *         return;                  it was sent again, the step is filled in
 *     if (rc < 0)
 *         ...                      failed
 *     event->replies               are as many as commands, and none is an error
 *
 * "Again" is always the same bytes. The server may then have carried them out twice, so the caller
 * must be able to tell from the replies: see coat_attempt.unclear.
 */
#ifndef COAT_BACKEND_ATTEMPT_H
#define COAT_BACKEND_ATTEMPT_H

#include "api/op.h"
#include "script.h"

struct coat_keys;

enum {
    COAT_ATTEMPT_ARGS = 9,     /* without coat_attempt_reserve */
    COAT_ATTEMPT_COMMANDS = 2, /* likewise */
    COAT_ATTEMPT_NUMBERS = 2,
    COAT_ATTEMPT_SENDS = 3 /* of one attempt, a repeat of EVALSHA as EVAL not counted */
};

/* What is said where the replies to all sends were lost. */
enum coat_loss {
    COAT_LOSS_FAILS, /* the driver's reason: it reads, or whether it was done matters to nobody */
    COAT_LOSS_UNCERTAIN /* COAT_EUNCERTAIN: it may have been done, which the caller has to know */
};

/* All zero before its first use; to be released if room was reserved in it. */
struct coat_attempt {
    struct coat_arg few_args[COAT_ATTEMPT_ARGS];
    struct coat_command few_commands[COAT_ATTEMPT_COMMANDS];
    struct {
        struct coat_arg *args;
        struct coat_command *commands;
        size_t max_args, max_commands;
    } reserved; /* all zero: the few above do */
    size_t arg_count, count;
    struct coat_arg key; /* of the commands that are added next */
    enum coat_loss loss;
    int64_t confirm; /* replicas that are to have it; 0: none is asked */
    const struct coat_script *script;
    char numbers[COAT_ATTEMPT_NUMBERS][24];
    size_t number_count;
    int sends;
    int unclear; /* the reply to an earlier send of it was lost, and that may have been done */
    int marks;   /* for what was written before: coat_attempt_mark */
    int lets_wrong_type;
};

/*
 * Room for so many commands with so many arguments together, their names included. It stays until
 * the next reservation or release. Ends the attempt that was made before. 0, COAT_ENOMEM.
 */
int coat_attempt_reserve(struct coat_attempt *a, size_t commands, size_t args,
                         struct coat_error *err);
void coat_attempt_release(struct coat_attempt *a);

/* Start over. key: borrowed, as all arguments, until the attempt is over. */
void coat_attempt_begin(struct coat_attempt *a, enum coat_loss loss, const void *key,
                        size_t key_len);

/* The commands that are added from now on have this key, and go to its node. Borrowed. */
void coat_attempt_key(struct coat_attempt *a, const void *key, size_t key_len);

/* The last command that was added goes to this node, which the caller holds; NULL: as its key. */
void coat_attempt_node(struct coat_attempt *a, struct coat_node *node);

/* The next command of the pipeline; its arguments follow. */
void coat_attempt_command(struct coat_attempt *a, const char *name);
void coat_attempt_arg(struct coat_attempt *a, const void *bytes, size_t len);
void coat_attempt_word(struct coat_attempt *a, const char *word);
void coat_attempt_number(struct coat_attempt *a, int64_t number); /* two in an attempt */

/*
 * The command that runs a script on so many keys, which follow, and after them ARGV. All scripts of
 * a pipeline are the same. Servers that do not know it get the whole pipeline again, with its text;
 * if only some did not (a cluster, a SCRIPT FLUSH in between), the others have run it: `unclear`.
 */
void coat_attempt_run(struct coat_attempt *a, const struct coat_script *script, int keys);

/* The same on the record and the lock of a session; ARGV follow. */
void coat_attempt_script(struct coat_attempt *a, const struct coat_script *script,
                         const struct coat_keys *keys);

/*
 * Wait for so many replicas, too; 0: for none. Each time it is sent, on the same connection.
 * Scripts are then sent with their text: a server that does not know one waits all the same.
 */
void coat_attempt_confirm(struct coat_attempt *a, int64_t replicas);

/*
 * A write of no meaning, for replicas to confirm: what they are to have was written already, but
 * perhaps on another connection, and a WAIT there is for the writes of its own. The marker goes by
 * itself, after a second. Where it fails, that is COAT_EUNCERTAIN: the write itself was done.
 */
void coat_attempt_mark(struct coat_attempt *a, const struct coat_keys *keys, int64_t replicas);

/* That a key holds no string is a good reply to it: an entry of a cache is damaged then, no more.
 */
void coat_attempt_let_wrong_type(struct coat_attempt *a);

/* Fill in the step that sends it; again if its reply is lost, or this once, where the same bytes
 * must not arrive a second time. */
void coat_attempt_send(struct coat_attempt *a, struct coat_step *step);
void coat_attempt_send_once(struct coat_attempt *a, struct coat_step *step);

/*
 * An event after a send. 1: the replies are good. 0: *step sends it again. Otherwise it has
 * failed: COAT_EUNCERTAIN (enum coat_loss) where it may have been done; what the server's refusal
 * means (refusal.h); COAT_EFOREIGN for a wrong number of replies; or the driver's reason.
 */
int coat_attempt_take(struct coat_attempt *a, const struct coat_event *event,
                      struct coat_step *step, struct coat_error *err);

/*
 * For replies that coat_attempt_take found good, and which say that it was done: 0 if as many
 * replicas have it as coat_attempt_confirm wants, else COAT_EUNCERTAIN.
 */
int coat_attempt_confirmed(const struct coat_attempt *a, const struct coat_event *event,
                           struct coat_error *err);

/* COAT_EUNCERTAIN; why: what happened, for the message. */
int coat_attempt_uncertain(const char *why, struct coat_error *err);

/* COAT_EFOREIGN: the reply cannot be one to this command. */
int coat_attempt_foreign(struct coat_error *err);

#endif
