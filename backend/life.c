#include "api/life.h"

#include <stdlib.h>
#include <string.h>

#include "api/op.h"
#include "sid.h"
#include "store.h"

/* A list, as most operations have none, few more than two, and few that end all of very many. */
struct coat_noted {
    struct coat_noted *next;
    enum coat_life_kind kind;
    const char *reason;
    char public_id[COAT_PUBLIC_ID_LEN + 1];
    char principal[];
};

const char *coat_life_name(enum coat_life_kind kind)
{
    static const char *const names[COAT_LIFE_KINDS] = {
        [COAT_LIFE_CREATED] = "created", [COAT_LIFE_LOGGED_IN] = "logged_in",
        [COAT_LIFE_ROTATED] = "rotated", [COAT_LIFE_OFFERED] = "offered",
        [COAT_LIFE_RENEWED] = "renewed", [COAT_LIFE_DESTROYED] = "destroyed",
        [COAT_LIFE_EXPIRED] = "expired", [COAT_LIFE_REFUSED] = "refused",
        [COAT_LIFE_DROPPED] = "dropped", [COAT_LIFE_CORRUPT] = "corrupt",
    };
    return (unsigned)kind < COAT_LIFE_KINDS ? names[kind] : NULL;
}

void coat_store_on_event(struct coat_store *store, coat_life_fn *fn, void *context)
{
    store->on_event = fn;
    store->on_event_context = context;
}

int coat_store_logs_events(const struct coat_store *store)
{
    return store->options->on_event == COAT_EVENTS_LOG;
}

static void append(struct coat_life *life, struct coat_noted *noted)
{
    if (life->last)
        life->last->next = noted;
    else
        life->first = noted;
    life->last = noted;
}

void coat_life_note(struct coat_life *life, struct coat_store *store, enum coat_life_kind kind,
                    const char *public_id, const char *principal, const char *reason)
{
    if (!store->on_event)
        return;
    size_t len = principal ? strlen(principal) : 0;
    struct coat_noted *noted = calloc(1, sizeof *noted + len + 1);
    if (!noted) {
        coat_store_note(store, COAT_COUNT_LOST_EVENT);
        return;
    }
    noted->kind = kind;
    noted->reason = reason;
    memcpy(noted->public_id, public_id, COAT_PUBLIC_ID_LEN);
    if (len > 0)
        memcpy(noted->principal, principal, len);
    append(life, noted);
}

/* Those of an operation, which has none any more. */
static struct coat_noted *take(struct coat_life *life)
{
    struct coat_noted *first = life->first;
    *life = (struct coat_life){0};
    return first;
}

/* The rest; NULL: that was the last. */
static struct coat_noted *forget(struct coat_noted *noted)
{
    struct coat_noted *next = noted->next;
    free(noted);
    return next;
}

void coat_life_tell(struct coat_op *op, struct coat_store *store)
{
    for (struct coat_noted *noted = take(&op->life); noted; noted = forget(noted)) {
        struct coat_life_event event = {noted->kind, noted->public_id,
                                        noted->principal[0] ? noted->principal : NULL,
                                        noted->reason};
        if (store->on_event)
            store->on_event(store->on_event_context, &event);
    }
}

void coat_life_drop(struct coat_life *life)
{
    for (struct coat_noted *noted = take(life); noted;)
        noted = forget(noted);
}
