#include "merge.h"

#include <stdio.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "api/path.h"

/* The bytes of one field on one side; NULL: no such field. */
struct side {
    const void *bytes;
    size_t len;
};

static int same(struct side a, struct side b)
{
    if (!a.bytes || !b.bytes)
        return a.bytes == b.bytes;
    return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

static int is_carried(const struct coat_doc *carry, const char *name, size_t len)
{
    const void *value;
    size_t value_len;
    return !carry || coat_doc_get(carry, name, len, &value, &value_len);
}

/* ---- What a login does not let through ----------------------------------------------------- */

/* Names one after the other, each behind its length: a document must not change during a walk. */
static int collect_dropped(struct coat_buf *names, const struct coat_doc *doc,
                           const struct coat_doc *carry)
{
    const char *name;
    const void *value;
    size_t at = 0, len, value_len;
    while (coat_doc_next(doc, &at, &name, &len, &value, &value_len)) {
        if (is_carried(carry, name, len))
            continue;
        if (coat_buf_append(names, &len, sizeof len) < 0 || coat_buf_append(names, name, len) < 0)
            return COAT_ENOMEM;
    }
    return 0;
}

int coat_merge_drop(struct coat_doc *doc, const struct coat_doc *carry, struct coat_error *err)
{
    struct coat_buf names = COAT_BUF_INIT;
    int rc = collect_dropped(&names, doc, carry);
    if (rc < 0)
        coat_error_nomem(err);
    for (size_t at = 0, len; rc == 0 && at < names.len; at += len) {
        memcpy(&len, names.bytes + at, sizeof len);
        at += sizeof len;
        rc = coat_doc_delete(doc, (const char *)names.bytes + at, len, err) < 0 ? COAT_ENOMEM : 0;
    }
    coat_buf_release(&names);
    return rc;
}

/* ---- The merge ----------------------------------------------------------------------------- */

struct merge {
    struct coat_doc *theirs;
    const struct coat_doc *carry;
    const struct coat_conflict_policy *policy;
    struct coat_conflicts *conflicts;
};

static int raise_conflict(const struct coat_change *c, struct coat_error *err)
{
    coat_error_set(err, COAT_ECONFLICT,
                   "this request and another one changed the same field, and on_conflict is "
                   "\"raise\"; load the session again and repeat");
    coat_path_prepend_text(err, c->name, c->name_len);
    return COAT_ECONFLICT;
}

static int apply(struct coat_doc *theirs, const struct coat_change *c, struct coat_error *err)
{
    if (c->mine)
        return coat_doc_set_checked(theirs, c->name, c->name_len, c->mine, c->mine_len,
                                    c->mine_items, err);
    return coat_doc_delete(theirs, c->name, c->name_len, err) < 0 ? COAT_ENOMEM : 0;
}

static void note_conflict(struct coat_conflicts *conflicts, const struct coat_change *c)
{
    struct coat_error field = {.path = ""};
    size_t used = strlen(conflicts->fields), left = sizeof conflicts->fields - used;
    coat_path_prepend_text(&field, c->name, c->name_len);
    if (strlen(field.path) + sizeof ", " <= left)
        snprintf(conflicts->fields + used, left, "%s%s", used > 0 ? ", " : "", field.path);
    conflicts->count++;
}

/* How it is decided: one of enum coat_on_conflict, or a failure. */
static int decide(const struct merge *m, const struct coat_change *c, struct side theirs,
                  struct coat_error *err)
{
    struct coat_conflict conflict = {
        .field = c->name,
        .field_len = c->name_len,
        .base = c->base,
        .base_len = c->base_len,
        .mine = c->mine,
        .mine_len = c->mine_len,
        .theirs = theirs.bytes,
        .theirs_len = theirs.len,
    };
    return m->policy->ask ? m->policy->ask(m->policy->context, &conflict, m->theirs, err)
                          : (int)m->policy->always;
}

static int resolve(const struct merge *m, const struct coat_change *c, struct side theirs,
                   struct coat_error *err)
{
    note_conflict(m->conflicts, c);
    int rc = decide(m, c, theirs, err);
    switch (rc) {
    case COAT_CONFLICT_MINE:
        return apply(m->theirs, c, err);
    case COAT_CONFLICT_THEIRS:
    case COAT_CONFLICT_MERGED:
        return 0;
    case COAT_CONFLICT_RAISE:
        return raise_conflict(c, err);
    default:
        return rc < 0 ? rc
                      : coat_error_set(err, COAT_EUSAGE,
                                       "the function for on_conflict answered %d, which is none "
                                       "of enum coat_on_conflict",
                                       rc);
    }
}

/* An addition is no conflict, unless there is nothing any more that can be added to. */
static int add(const struct merge *m, const struct coat_change *c, struct coat_error *err)
{
    int rc = coat_doc_add(m->theirs, c->name, c->name_len, c->added, err);
    if (rc != COAT_ENOTSTORABLE)
        return rc;
    note_conflict(m->conflicts, c);
    coat_error_set(err, COAT_ECONFLICT,
                   "this request added to the field, and another one has made something of it that "
                   "is not a whole number of 64 bits; load the session again and repeat");
    coat_path_prepend_text(err, c->name, c->name_len);
    return COAT_ECONFLICT;
}

static int is_conflict(const struct merge *m, const struct coat_change *c, struct side theirs)
{
    struct side base = {c->base, c->base_len};
    return !same(theirs, base) && is_carried(m->carry, c->name, c->name_len);
}

enum pass { TAKING, GIVING, ASKING };

/*
 * In which pass it is the turn of a change, the same before and after it was made. A function may
 * make the field longer or shorter.
 */
static enum pass pass_of(const struct merge *m, const struct coat_change *c, struct side theirs,
                         int conflict)
{
    if (c->adds)
        return GIVING;
    if (conflict && m->policy->ask)
        return ASKING;
    return !c->mine || (theirs.bytes && c->mine_len <= theirs.len) ? TAKING : GIVING;
}

/*
 * First what takes away, then what adds: so no limit is in the way that both the beginning and the
 * end keep. What was applied in one pass is equal on both sides in the next. What was left as
 * theirs is passed over there, for its lengths have not changed.
 */
static int merge_pass(const struct merge *m, const struct coat_doc *mine, enum pass pass,
                      struct coat_error *err)
{
    struct coat_change c;
    for (size_t at = 0; coat_doc_next_change(mine, &at, &c);) {
        struct side theirs = {NULL, 0}, my = {c.mine, c.mine_len};
        if (!coat_doc_get(m->theirs, c.name, c.name_len, &theirs.bytes, &theirs.len))
            theirs = (struct side){NULL, 0};
        int conflict = is_conflict(m, &c, theirs);
        if ((same(theirs, my) && !c.adds) || pass_of(m, &c, theirs, conflict) != pass)
            continue;
        int rc = c.adds     ? add(m, &c, err)
                 : conflict ? resolve(m, &c, theirs, err)
                            : apply(m->theirs, &c, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/*
 * What a login has dropped and this request has set again is its own, also where the value is that
 * of the base, so that nothing seems to have changed.
 */
static int keep_set_again(const struct merge *m, const struct coat_doc *mine,
                          struct coat_error *err)
{
    const char *name;
    const void *value;
    size_t at = 0, len, value_len;
    int rc = 0;
    while (rc == 0 && coat_doc_next(mine, &at, &name, &len, &value, &value_len))
        if (!is_carried(m->carry, name, len))
            rc = coat_doc_set(m->theirs, name, len, value, value_len, err);
    return rc;
}

int coat_merge(struct coat_doc *theirs, const struct coat_doc *mine, const struct coat_doc *carry,
               const struct coat_conflict_policy *policy, struct coat_conflicts *conflicts,
               struct coat_error *err)
{
    const struct merge m = {theirs, carry, policy, conflicts};
    *conflicts = (struct coat_conflicts){0};
    int rc = carry ? coat_merge_drop(theirs, carry, err) : 0;
    for (int pass = TAKING; rc == 0 && pass <= ASKING; pass++)
        rc = merge_pass(&m, mine, (enum pass)pass, err);
    return rc == 0 && carry ? keep_set_again(&m, mine, err) : rc;
}
