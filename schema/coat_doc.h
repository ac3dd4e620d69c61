/*
 * coat_doc.h: a document, the fields of a session.
 *
 * A document is the bytes of one dict with text keys, plus an index of where each field lies. A
 * field that nobody touches is neither decoded nor encoded again. It remembers what was read (the
 * base) beside what is there now, so it knows what was changed.
 *
 * One thread at a time. Field names are text with a length; the order is that of insertion, and
 * setting a field that exists keeps its place.
 */
#ifndef COAT_DOC_H
#define COAT_DOC_H

#include "coat_value.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coat_doc;

/* An empty document. 0 and *out (the caller's, to be freed), or COAT_ENOMEM. limits: copied. */
COAT_API int coat_doc_new(struct coat_doc **out, const struct coat_limits *limits,
                          struct coat_error *err);

/*
 * A document from the bytes of one dict, which are checked and copied. 0 and *out, or
 * COAT_ECORRUPT (also: no dict, a key that is not text, a key twice), COAT_ELIMIT, COAT_ENOMEM.
 */
COAT_API int coat_doc_parse(struct coat_doc **out, const void *bytes, size_t len,
                            const struct coat_limits *limits, struct coat_error *err);

COAT_API void coat_doc_free(struct coat_doc *doc); /* NULL allowed */

/* How many fields there are now. */
COAT_API size_t coat_doc_count(const struct coat_doc *doc);

/*
 * One field. 1: *value and *len are its bytes, for a cursor; they belong to the document and are
 * valid until it is next changed. 0: there is none.
 */
COAT_API int coat_doc_get(const struct coat_doc *doc, const char *name, size_t name_len,
                          const void **value, size_t *len);

/* The same into a cursor, for a NUL-terminated name. 1, or 0 and a cursor at its end. */
COAT_API int coat_doc_cursor(const struct coat_doc *doc, const char *name, struct coat_cursor *c);

/*
 * Set a field to bytes, which are checked and copied. 0, or a failure (COAT_ECORRUPT for bad
 * bytes, COAT_ELIMIT, COAT_ENOMEM; COAT_ENOTSTORABLE where the name is not UTF-8) that leaves the
 * document as it was.
 */
COAT_API int coat_doc_set(struct coat_doc *doc, const char *name, size_t name_len,
                          const void *value, size_t len, struct coat_error *err);

/*
 * Set a field to the value that the packer holds, and reset the packer. Also reports the packer's
 * own failure, with the field's name in front of the path.
 */
COAT_API int coat_doc_put(struct coat_doc *doc, const char *name, struct coat_packer *p,
                          struct coat_error *err);

/*
 * Add to a whole number of 64 bits; where there is no such field, to 0. As a change it is an
 * addition: where another request has changed the field meanwhile, a save adds to what that one
 * has stored, so nothing is counted twice or lost. Setting or deleting the field ends that. 0, or a
 * failure that leaves the document as it was: COAT_ENOTSTORABLE, the field is something else;
 * COAT_ELIMIT with the reason "int64", the sum has no room; COAT_ELIMIT, COAT_ENOMEM as
 * coat_doc_set.
 */
COAT_API int coat_doc_add(struct coat_doc *doc, const char *name, size_t name_len, int64_t by,
                          struct coat_error *err);

/* 1: deleted. 0: there was none. COAT_ENOMEM: as it was. */
COAT_API int coat_doc_delete(struct coat_doc *doc, const char *name, size_t name_len,
                             struct coat_error *err);

/*
 * The fields in order. *at is 0 at the beginning. 1: name and value, as by coat_doc_get. 0: no
 * more. Changing the document meanwhile ends the walk's meaning.
 */
COAT_API int coat_doc_next(const struct coat_doc *doc, size_t *at, const char **name,
                           size_t *name_len, const void **value, size_t *len);

/* 1 if any field differs from what was read. Compares bytes: set back is unchanged. */
COAT_API int coat_doc_modified(const struct coat_doc *doc);

#ifdef __cplusplus
}
#endif

#endif
