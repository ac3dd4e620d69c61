/* doc.h: what the upper layers may do with a document beyond the public calls. Not installed. */
#ifndef COAT_API_DOC_H
#define COAT_API_DOC_H

#include "coat_doc.h"

/* The limits that it was made with; they live as long as it does. */
const struct coat_limits *coat_doc_limits(const struct coat_doc *doc);

/*
 * coat_doc_set for a value that this library has just packed or checked itself: `items` values at
 * all levels, and containers within each other one less deep than the document's max_depth. The
 * other limits of the whole document still hold.
 */
int coat_doc_set_checked(struct coat_doc *doc, const char *name, size_t name_len, const void *value,
                         size_t len, size_t items, struct coat_error *err);

/*
 * The fields that were changed since the base was read, in order. *at is 0 at the beginning. 1 and
 * *change, or 0. A value pointer that is NULL: no such field there.
 */
struct coat_change {
    const char *name;
    size_t name_len;
    const void *base; /* what was read, or NULL */
    size_t base_len;
    const void *mine; /* what is there now, or NULL: deleted */
    size_t mine_len;
    size_t mine_items;
    int adds;      /* 1: it was made by coat_doc_add alone */
    int64_t added; /* then: so much in all */
};
int coat_doc_next_change(const struct coat_doc *doc, size_t *at, struct coat_change *change);

/* 1 if one of the changes is an addition. */
int coat_doc_adds(const struct coat_doc *doc);

/* The bytes that the document encodes to: exactly this many. */
size_t coat_doc_size(const struct coat_doc *doc);

/* Write these coat_doc_size() bytes to `to`; returns the byte after them. */
unsigned char *coat_doc_write(const struct coat_doc *doc, unsigned char *to);

/* What is there now has been stored: it becomes the base. Invalidates values that were got. */
int coat_doc_commit(struct coat_doc *doc, struct coat_error *err);

#endif
