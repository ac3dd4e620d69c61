/*
 * merge.h: the three-way merge of two requests' changes to one session, field by field.
 *
 * The base is what this request first read, "mine" its changes since then, "theirs" the newest
 * record. Where only one side changed a field, that side's change is kept, a deletion included;
 * where both changed it to different values, on_conflict says whose.
 */
#ifndef COAT_BACKEND_MERGE_H
#define COAT_BACKEND_MERGE_H

#include "api/doc.h"
#include "options.h"

/*
 * Apply my changes (against the base of `mine`) to theirs. Fields keep the order of theirs, my new
 * ones follow. carry, if not NULL: what a login lets through, as a document with the names that
 * survive it; of theirs nothing else does. *conflicts: how many fields both sides had changed. 0;
 * COAT_ECONFLICT with the field as `path`, where the policy is to raise; COAT_ELIMIT, COAT_ENOMEM.
 * After a failure theirs is only fit to be freed.
 */
int coat_merge(struct coat_doc *theirs, const struct coat_doc *mine, const struct coat_doc *carry,
               enum coat_on_conflict on_conflict, size_t *conflicts, struct coat_error *err);

/* Delete every field that `carry` does not name. 0; COAT_ENOMEM: some may be deleted already. */
int coat_merge_drop(struct coat_doc *doc, const struct coat_doc *carry, struct coat_error *err);

#endif
