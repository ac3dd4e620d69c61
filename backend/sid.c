/*
 * OpenSSL 3 calls the single steps of SHA-256 deprecated; they are the cheapest all the same. A
 * load needs three digests of a block: 0.11 us each by steps, 0.25 by EVP_Digest() with an EVP_MD
 * that was fetched once, 0.18 if its context were kept for each thread as well, and 0.65 by
 * SHA256(), which has the algorithm looked up by its name each time. Where OpenSSL was built
 * without the steps, that has to do.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sid.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "api/error.h"

_Static_assert(sizeof(struct coat_sid) == 2 * COAT_SID_HALF, "an id is its two halves");

int coat_random(void *to, size_t len, struct coat_error *err)
{
    unsigned char *at = to;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return coat_error_because(err, COAT_EUNAVAILABLE, "random",
                                      "the operating system gives no random bytes (getrandom: %s), "
                                      "so no session id can be made; look at this host",
                                      n < 0 ? strerror(errno) : "nothing came");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int coat_sid_draw(struct coat_sid *sid, struct coat_error *err)
{
    return coat_random(sid, sizeof *sid, err);
}

int coat_sid_draw_verifier(struct coat_sid *sid, struct coat_error *err)
{
    return coat_random(sid->verifier, sizeof sid->verifier, err);
}

/* ---- base64url (RFC 4648, section 5), without padding -------------------------------------- */

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Returns the end of what was written. No NUL. */
static char *base64url(char *to, const unsigned char *from, size_t len)
{
    unsigned bits = 0;
    int held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | from[i];
        for (held += 8; held >= 6; held -= 6)
            *to++ = ALPHABET[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *to++ = ALPHABET[bits << (6 - held) & 63];
    return to;
}

/* The six bits of a character, or -1. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int coat_sid_read(struct coat_sid *sid, const char *text, size_t len)
{
    unsigned char bytes[sizeof *sid];
    unsigned bits = 0;
    int held = 0, good = len == COAT_SID_LEN;
    for (size_t i = 0, n = 0; good && i < len; i++) {
        int six = sextet(text[i]);
        good = six >= 0;
        bits = bits << 6 | ((unsigned)six & 63);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[n++] = (unsigned char)(bits >> held & 255);
        }
    }
    /* The spare bits of the last character must be zero, or one id would have four texts. */
    good = good && (bits & 3) == 0;
    if (good)
        memcpy(sid, bytes, sizeof *sid);
    else
        OPENSSL_cleanse(sid, sizeof *sid);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return good;
}

void coat_sid_write(const struct coat_sid *sid, char text[COAT_SID_LEN + 1])
{
    unsigned char bytes[sizeof *sid];
    memcpy(bytes, sid, sizeof bytes);
    *base64url(text, bytes, sizeof bytes) = 0;
    OPENSSL_cleanse(bytes, sizeof bytes);
}

/* ---- What is derived ----------------------------------------------------------------------- */

static int sha256(unsigned char digest[SHA256_DIGEST_LENGTH], const void *bytes, size_t len,
                  struct coat_error *err)
{
#ifdef OPENSSL_NO_DEPRECATED_3_0 /* built without them */
    int done = SHA256(bytes, len, digest) != NULL;
#else
    SHA256_CTX steps;
    int done = SHA256_Init(&steps) && SHA256_Update(&steps, bytes, len) &&
               SHA256_Final(digest, &steps); /* which wipes them */
#endif
    return done ? 0 : coat_error_nomem(err);
}

int coat_sid_hash(const struct coat_sid *sid, unsigned char hash[COAT_HASH_LEN],
                  struct coat_error *err)
{
    unsigned char in[1 + COAT_SID_HALF], digest[SHA256_DIGEST_LENGTH];
    in[0] = 'v';
    memcpy(in + 1, sid->verifier, COAT_SID_HALF);
    int rc = sha256(digest, in, sizeof in, err);
    OPENSSL_cleanse(in, sizeof in);
    if (rc == 0)
        memcpy(hash, digest, COAT_HASH_LEN);
    return rc;
}

static size_t put_key(char *to, const char *prefix, size_t prefix_len, char kind,
                      const char h[COAT_H_LEN])
{
    char *at = to;
    memcpy(at, prefix, prefix_len);
    at += prefix_len;
    *at++ = kind;
    *at++ = ':';
    *at++ = '{';
    memcpy(at, h, COAT_H_LEN);
    at += COAT_H_LEN;
    *at++ = '}';
    return (size_t)(at - to);
}

/* Keys and public id of the `h` behind the 'i' in `shown`. */
static int put_keys(struct coat_keys *keys, const char *prefix, const char shown[1 + COAT_H_LEN],
                    struct coat_error *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    size_t prefix_len = strlen(prefix);
    int rc = sha256(digest, shown, 1 + COAT_H_LEN, err);
    if (rc < 0)
        return rc;
    keys->len = put_key(keys->record, prefix, prefix_len, 's', shown + 1);
    put_key(keys->lock, prefix, prefix_len, 'l', shown + 1);
    put_key(keys->marker, prefix, prefix_len, 'w', shown + 1);
    *base64url(keys->public_id, digest, 9) = 0;
    return 0;
}

int coat_keys_make(struct coat_keys *keys, const char *prefix, const struct coat_sid *sid,
                   struct coat_error *err)
{
    size_t prefix_len = strlen(prefix);
    assert(prefix_len <= COAT_PREFIX_MAX);

    unsigned char in[COAT_PREFIX_MAX + 1 + COAT_SID_HALF], digest[SHA256_DIGEST_LENGTH];
    memcpy(in, prefix, prefix_len + 1); /* with its NUL, which ends the prefix */
    memcpy(in + prefix_len + 1, sid->selector, COAT_SID_HALF);
    int rc = sha256(digest, in, prefix_len + 1 + COAT_SID_HALF, err);
    OPENSSL_cleanse(in, sizeof in);
    if (rc < 0)
        return rc;
    char shown[1 + COAT_H_LEN] = {'i'};
    base64url(shown + 1, digest, 18);
    memcpy(keys->tag, digest + 18, COAT_TAG_LEN);
    return put_keys(keys, prefix, shown, err);
}

int coat_is_member(const char *h, size_t len)
{
    int good = len == COAT_H_LEN;
    for (size_t i = 0; good && i < len; i++)
        good = sextet(h[i]) >= 0;
    return good;
}

int coat_keys_of_member(struct coat_keys *keys, const char *prefix, const char *h, size_t len,
                        struct coat_error *err)
{
    char shown[1 + COAT_H_LEN] = {'i'};
    if (!coat_is_member(h, len))
        return 0;
    memcpy(shown + 1, h, COAT_H_LEN);
    memset(keys->tag, 0, COAT_TAG_LEN);
    int rc = put_keys(keys, prefix, shown, err);
    return rc < 0 ? rc : 1;
}

const char *coat_keys_member(const struct coat_keys *keys)
{
    return keys->record + keys->len - 1 - COAT_H_LEN;
}

int coat_index_key_make(struct coat_index_key *key, const char *prefix, const char *principal,
                        struct coat_error *err)
{
    size_t prefix_len = strlen(prefix), principal_len = strlen(principal);
    assert(prefix_len <= COAT_PREFIX_MAX);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char h[COAT_H_LEN], *in = malloc(prefix_len + 1 + principal_len);
    if (!in)
        return coat_error_nomem(err);
    memcpy(in, prefix, prefix_len + 1);
    memcpy(in + prefix_len + 1, principal, principal_len);
    int rc = sha256(digest, in, prefix_len + 1 + principal_len, err);
    free(in);
    if (rc < 0)
        return rc;
    base64url(h, digest, 18);
    key->len = put_key(key->bytes, prefix, prefix_len, 'p', h);
    return 0;
}
