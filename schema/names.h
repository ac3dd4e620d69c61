/*
 * names.h: finding a field by its name. A few fields are looked at one after the other; of more,
 * the names are in an index, so that finding one stays fast among thousands.
 */
#ifndef COAT_NAMES_H
#define COAT_NAMES_H

#include "field.h"

/* All zero: none. It goes with one struct coat_fields, and follows each change of its numbers. */
struct coat_names {
    struct coat_buf entries; /* sorted by name; none while the fields are few */
};

void coat_names_release(struct coat_names *names);

/* The number of the field of that name, or COAT_NOWHERE. */
size_t coat_names_find(const struct coat_names *names, const struct coat_fields *fields,
                       const char *name, size_t len);

/* The first field that has the name of an earlier one, or COAT_NOWHERE. Only after a fill. */
size_t coat_names_find_twin(const struct coat_names *names, const struct coat_fields *fields);

/* Room for the names of `count` fields, which the functions below need. 0 or COAT_ENOMEM. */
int coat_names_reserve(struct coat_names *names, size_t count);

/* All fields are new, or have other numbers. */
void coat_names_fill(struct coat_names *names, const struct coat_fields *fields);

/*
 * A field was appended: its name leads to it, and no more to `earlier`, if not COAT_NOWHERE, which
 * is not retired yet.
 */
void coat_names_add_last(struct coat_names *names, const struct coat_fields *fields,
                         size_t earlier);

/* The name of this field, which is not retired yet, leads nowhere any more. */
void coat_names_remove(struct coat_names *names, const struct coat_fields *fields, size_t number);

#endif
