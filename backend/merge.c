#include "merge.h"

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
    enum coat_on_conflict on_conflict;
    size_t conflicts;
};

static int conflict_error(const struct coat_change *c, struct coat_error *err)
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

/* What one of my changes means for their field. */
static int merge_field(struct merge *m, const struct coat_change *c, struct side theirs,
                       struct coat_error *err)
{
    struct side base = {c->base, c->base_len}, mine = {c->mine, c->mine_len};
    if (same(theirs, mine))
        return 0;
    if (!same(theirs, base) && is_carried(m->carry, c->name, c->name_len)) {
        m->conflicts++;
        if (m->on_conflict == COAT_CONFLICT_RAISE)
            return conflict_error(c, err);
        if (m->on_conflict == COAT_CONFLICT_THEIRS)
            return 0;
    }
    return apply(m->theirs, c, err);
}

enum pass { TAKING, GIVING };

/*
 * First what takes away, then what adds: so no limit is in the way that both the beginning and the
 * end keep. A change that was made in the first pass is passed over in the second, for then theirs
 * is as long as mine.
 */
static int merge_pass(struct merge *m, const struct coat_doc *mine, enum pass pass,
                      struct coat_error *err)
{
    struct coat_change c;
    for (size_t at = 0; coat_doc_next_change(mine, &at, &c);) {
        struct side theirs = {NULL, 0};
        if (!coat_doc_get(m->theirs, c.name, c.name_len, &theirs.bytes, &theirs.len))
            theirs = (struct side){NULL, 0};
        int takes = !c.mine || (theirs.bytes && c.mine_len <= theirs.len);
        int rc = takes == (pass == TAKING) ? merge_field(m, &c, theirs, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

int coat_merge(struct coat_doc *theirs, const struct coat_doc *mine, const struct coat_doc *carry,
               enum coat_on_conflict on_conflict, size_t *conflicts, struct coat_error *err)
{
    struct merge m = {theirs, carry, on_conflict, 0};
    int rc = carry ? coat_merge_drop(theirs, carry, err) : 0;
    if (rc == 0)
        rc = merge_pass(&m, mine, TAKING, err);
    if (rc == 0)
        rc = merge_pass(&m, mine, GIVING, err);
    *conflicts = m.conflicts;
    return rc;
}
