/*
 * merge.h: the three-way merge of two requests' changes to one session, field by field.
 *
 * The base is what this request first read, "mine" its changes since then, "theirs" the newest
 * record. Where only one side changed a field, that side's change is kept, a deletion included;
 * where both changed it to different values, on_conflict says what becomes of it. What was added to
 * a number is added to theirs, whoever else has added to it or set it.
 */
#ifndef COAT_BACKEND_MERGE_H
#define COAT_BACKEND_MERGE_H

#include "api/doc.h"
#include "options.h"

/* The fields that both sides had changed. */
struct coat_conflicts {
    size_t count;
    char fields[160]; /* "['a'], ['b']", without those that have no room */
};

/*
 * Apply my changes (against the base of `mine`) to theirs. Fields keep the order of theirs, my new
 * ones follow. carry, if not NULL: what a login lets through, as a document with the names that
 * survive it; of theirs nothing else does. *conflicts: filled in, also where it fails. 0;
 * COAT_ECONFLICT with the field as `path`, where the policy is to raise; what a function that
 * decides has returned; COAT_ELIMIT, COAT_ENOMEM. After a failure theirs is only fit to be freed.
 */
int coat_merge(struct coat_doc *theirs, const struct coat_doc *mine, const struct coat_doc *carry,
               const struct coat_conflict_policy *policy, struct coat_conflicts *conflicts,
               struct coat_error *err);

/* Delete every field that `carry` does not name. 0; COAT_ENOMEM: some may be deleted already. */
int coat_merge_drop(struct coat_doc *doc, const struct coat_doc *carry, struct coat_error *err);

#endif
