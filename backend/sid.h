/*
 * sid.h: session ids, and what is derived from them; the names of keys in Redis.
 *
 * An id is a selector and a verifier, 16 random bytes each. The selector finds the record: its key
 * in Redis and the tag inside it are made from it. The verifier opens the record, which holds only
 * a hash of it. So the id never reaches Redis, and nothing in Redis can be used as an id. Changing
 * the verifier changes the id, and neither the key nor the tag.
 */
#ifndef COAT_BACKEND_SID_H
#define COAT_BACKEND_SID_H

#include "coat_error.h"

enum {
    COAT_SID_LEN = 43,  /* characters of an id: base64url of 32 bytes */
    COAT_SID_HALF = 16, /* bytes of a selector, of a verifier */
    COAT_HASH_LEN = 16, /* of the hash of a verifier */
    COAT_TAG_LEN = 8,   /* of the tag of a record */
    COAT_H_LEN = 24,    /* characters between the braces of a key */
    COAT_PUBLIC_ID_LEN = 12,
    COAT_PREFIX_MAX = 64,                           /* bytes; what the option allows */
    COAT_KEY_MAX = COAT_PREFIX_MAX + 4 + COAT_H_LEN /* prefix, s:{}, h */
};

/* A secret: wipe it after use. */
struct coat_sid {
    unsigned char selector[COAT_SID_HALF];
    unsigned char verifier[COAT_SID_HALF];
};

/* What the selector leads to. Not secret, and opens nothing. */
struct coat_keys {
    char record[COAT_KEY_MAX]; /* <prefix>s:{h} */
    char lock[COAT_KEY_MAX];   /* <prefix>l:{h} */
    char marker[COAT_KEY_MAX]; /* <prefix>w:{h} */
    size_t len;                /* of each; they are not NUL-terminated */
    unsigned char tag[COAT_TAG_LEN];
    char public_id[COAT_PUBLIC_ID_LEN + 1];
};

/*
 * Bytes straight from the operating system, unbuffered, so that two forked processes never get the
 * same. 0, or COAT_EUNAVAILABLE ("random"): never weak bytes.
 */
int coat_random(void *to, size_t len, struct coat_error *err);

/* A new id; a new verifier for the same record. 0, or as coat_random. */
int coat_sid_draw(struct coat_sid *sid, struct coat_error *err);
int coat_sid_draw_verifier(struct coat_sid *sid, struct coat_error *err);

/* Read the text of an id; any input will do. 1, or 0: not an id, and *sid is wiped. */
int coat_sid_read(struct coat_sid *sid, const char *text, size_t len);

/* Write it as text, with a NUL. */
void coat_sid_write(const struct coat_sid *sid, char text[COAT_SID_LEN + 1]);

/* The hash of its verifier. 0, COAT_ENOMEM. */
int coat_sid_hash(const struct coat_sid *sid, unsigned char hash[COAT_HASH_LEN],
                  struct coat_error *err);

/* Keys, tag and public id of its selector. prefix: at most COAT_PREFIX_MAX bytes. 0, COAT_ENOMEM.
 */
int coat_keys_make(struct coat_keys *keys, const char *prefix, const struct coat_sid *sid,
                   struct coat_error *err);

/* 1 if it can be the `h` of a session. */
int coat_is_member(const char *h, size_t len);

/*
 * The same for a session of which only `h` is known, as a member of an index: all but the tag,
 * which becomes zero. 1; 0: not the text of an `h`, and *keys is not written to; COAT_ENOMEM.
 */
int coat_keys_of_member(struct coat_keys *keys, const char *prefix, const char *h, size_t len,
                        struct coat_error *err);

/* The `h` in the keys, which is the session's member in an index: COAT_H_LEN characters. */
const char *coat_keys_member(const struct coat_keys *keys);

/* The key of the index of a principal's sessions, <prefix>p:{h}. */
struct coat_index_key {
    char bytes[COAT_KEY_MAX];
    size_t len; /* not NUL-terminated */
};
/* principal: any text. 0, COAT_ENOMEM. */
int coat_index_key_make(struct coat_index_key *key, const char *prefix, const char *principal,
                        struct coat_error *err);

#endif
