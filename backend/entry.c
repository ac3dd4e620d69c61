#include "entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "api/error.h"
#include "api/utf8.h"
#include "api/view.h"
#include "api/wire.h"

enum { KEY_MAX = 512, WIDTH_MAX = COAT_VIEW_NAMES_MAX * COAT_GENERATION_LEN };

/* All areas have names of one length. */
#define LOCKS         "c:l:"
#define LOCKS_IN_VIEW "c:m:"
#define GENERATIONS   "c:g:"
enum { AREA_LEN = sizeof LOCKS - 1 };

/* ---- Keys ------------------------------------------------------------------------------------ */

static int has_control(const unsigned char *key, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (key[i] < ' ' || key[i] == 0x7f)
            return 1;
    return 0;
}

static int check_key(const char *what, const char *key, size_t len, struct coat_error *err)
{
    const unsigned char *bytes = (const unsigned char *)key;
    if (len == 0 || len > KEY_MAX)
        return coat_error_set(err, COAT_EUSAGE,
                              "%s of a cache has from 1 to %d bytes in UTF-8, not %zu; hash what "
                              "is longer",
                              what, KEY_MAX, len);
    if (has_control(bytes, len))
        return coat_error_set(err, COAT_EUSAGE,
                              "%s of a cache has no control characters, such as a line break; "
                              "leave them out or quote them",
                              what);
    if (coat_utf8_valid(bytes, len) != len)
        return coat_error_set(err, COAT_EUSAGE, "%s of a cache is UTF-8, and this one is not",
                              what);
    return 0;
}

/* Room first, so that nothing is appended where there is too little. */
static int put_texts(struct coat_buf *to, const char *const *texts, const char *key, size_t len,
                     const char *end)
{
    size_t more = len + strlen(end);
    for (size_t i = 0; texts[i]; i++)
        more += strlen(texts[i]);
    if (coat_buf_reserve(to, more) < 0)
        return COAT_ENOMEM;
    for (size_t i = 0; texts[i]; i++)
        coat_buf_append(to, texts[i], strlen(texts[i]));
    coat_buf_append(to, key, len);
    return coat_buf_append(to, end, strlen(end));
}

static const char *zeros(size_t width)
{
    static const char ZEROS[] = "00000000000000000000000000000000"
                                "00000000000000000000000000000000"
                                "00000000000000000000000000000000"
                                "00000000000000000000000000000000";
    _Static_assert(sizeof ZEROS == WIDTH_MAX + 1, "for the widest");
    return ZEROS + (WIDTH_MAX - width);
}

int coat_entry_key_in(struct coat_buf *to, const char *prefix, size_t width, const char *key,
                      size_t len, struct coat_error *err)
{
    int rc = check_key("a key", key, len, err);
    if (rc < 0)
        return rc;
    const char *const in_view[] = {prefix, COAT_IN_VIEW, zeros(width), ":", NULL};
    rc = put_texts(to, width ? in_view : (const char *const[]){prefix, COAT_ENTRIES, NULL}, key,
                   len, "");
    return rc < 0 ? coat_error_nomem(err) : 0;
}

int coat_entry_key(struct coat_buf *to, const char *prefix, const char *key, size_t len,
                   struct coat_error *err)
{
    return coat_entry_key_in(to, prefix, 0, key, len, err);
}

/* A prefix has no braces. */
static int lock_in_view(struct coat_buf *to, const char *prefix, const char *digits,
                        const char *key, size_t len)
{
    if (memchr(key, '}', len))
        return put_texts(to, (const char *const[]){prefix, LOCKS_IN_VIEW, digits, ":", NULL}, key,
                         len, "");
    return put_texts(
        to, (const char *const[]){prefix, LOCKS, "{", prefix, COAT_IN_VIEW, digits, ":", NULL}, key,
        len, "}");
}

int coat_entry_lock_in(struct coat_buf *to, const char *prefix, size_t width, const char *key,
                       size_t len)
{
    if (width)
        return lock_in_view(to, prefix, zeros(width), key, len);
    if (memchr(key, '}', len))
        return put_texts(to, (const char *const[]){prefix, LOCKS, NULL}, key, len, "");
    return put_texts(to, (const char *const[]){prefix, LOCKS, "{", prefix, COAT_ENTRIES, NULL}, key,
                     len, "}");
}

int coat_entry_lock(struct coat_buf *to, const char *prefix, const char *key, size_t len)
{
    return coat_entry_lock_in(to, prefix, 0, key, len);
}

void coat_entry_renew(unsigned char *key, const char *prefix, const char *digits, size_t width)
{
    size_t before = strlen(prefix) + AREA_LEN;
    if (memcmp(key + before - AREA_LEN, LOCKS, AREA_LEN) == 0)
        before += 1 + before;
    memcpy(key + before, digits, width);
}

int coat_entry_generation(struct coat_buf *to, const char *prefix, const char *path,
                          size_t path_len, const char *name, size_t len, struct coat_error *err)
{
    int rc = check_key("the name of a namespace or tag", name, len, err);
    if (rc < 0)
        return rc;
    if (path_len + len > KEY_MAX)
        return coat_error_set(err, COAT_EUSAGE,
                              "a name in a namespace of a cache has, with that one's, at most %d "
                              "bytes in UTF-8, not %zu; hash what is longer",
                              KEY_MAX, path_len + len);
    size_t before = to->len;
    rc = put_texts(to, (const char *const[]){prefix, GENERATIONS, NULL}, path, path_len, "");
    if (rc == 0)
        rc = coat_buf_append(to, name, len);
    if (rc == 0)
        return 0;
    to->len = before;
    return coat_error_nomem(err);
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* 1 if it is an int of 64 bits. */
static int is_int(const void *value, size_t len, int64_t *number)
{
    struct coat_wire_head h;
    const unsigned char *at = value;
    if (!coat_wire_read(at, at + len, 1, &h) || h.kind != COAT_INT)
        return 0;
    *number = h.v.i;
    return h.form == COAT_WIRE_INT_SIGNED;
}

int coat_entry_put(struct coat_buf *to, const void *value, size_t len)
{
    static const unsigned char head[COAT_ENTRY_HEAD] = {COAT_ENTRY_MAGIC, COAT_ENTRY_FORMAT};
    char digits[COAT_ENTRY_INT_MAX + 1];
    int64_t number;
    if (is_int(value, len, &number)) {
        int n = snprintf(digits, sizeof digits, "%" PRId64, number);
        return coat_buf_append(to, digits, (size_t)n);
    }
    int rc = coat_buf_append(to, head, sizeof head);
    return rc < 0 ? rc : coat_buf_append(to, value, len);
}

static void put_number(unsigned char *to, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(number >> (24 - 8 * i));
}

static uint32_t get_number(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

int coat_entry_put_made(struct coat_buf *to, const void *value, size_t len,
                        const struct coat_entry_made *made)
{
    unsigned char head[COAT_ENTRY_MADE_HEAD] = {COAT_ENTRY_MAGIC, COAT_ENTRY_MADE};
    if (made->cost_ms == 0 && made->stale_ms == 0)
        return coat_entry_put(to, value, len);
    put_number(head + COAT_ENTRY_HEAD, made->cost_ms);
    put_number(head + COAT_ENTRY_HEAD + 4, made->stale_ms);
    int rc = coat_buf_append(to, head, sizeof head);
    return rc < 0 ? rc : coat_buf_append(to, value, len);
}

/* How many bytes stand before its value; 0: it is none of these formats, or has no value. */
static size_t head_len(const unsigned char *entry, size_t len)
{
    if (len > COAT_ENTRY_HEAD && entry[0] == COAT_ENTRY_MAGIC && entry[1] == COAT_ENTRY_FORMAT)
        return COAT_ENTRY_HEAD;
    if (len > COAT_ENTRY_MADE_HEAD && entry[0] == COAT_ENTRY_MAGIC && entry[1] == COAT_ENTRY_MADE)
        return COAT_ENTRY_MADE_HEAD;
    return 0;
}

struct coat_entry_made coat_entry_made(const void *entry, size_t len)
{
    const unsigned char *at = entry;
    if (head_len(at, len) != COAT_ENTRY_MADE_HEAD)
        return (struct coat_entry_made){0};
    return (struct coat_entry_made){get_number(at + COAT_ENTRY_HEAD),
                                    get_number(at + COAT_ENTRY_HEAD + 4)};
}

int coat_entry_digits(const void *digits, size_t len, int64_t *number)
{
    const unsigned char *at = digits;
    int negative = len > 0 && at[0] == '-';
    uint64_t n = 0;
    if (len > COAT_ENTRY_INT_MAX || len == (size_t)negative)
        return COAT_ECORRUPT;
    if (len > 1 && at[negative] == '0')
        return COAT_ECORRUPT;
    for (size_t i = (size_t)negative; i < len; i++) {
        if (at[i] < '0' || at[i] > '9' || n > (UINT64_MAX - 9) / 10)
            return COAT_ECORRUPT;
        n = 10 * n + (uint64_t)(at[i] - '0');
    }
    if (n > (uint64_t)INT64_MAX + (uint64_t)negative)
        return COAT_ECORRUPT;
    *number = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

int coat_entry_value(const void *entry, size_t entry_len, unsigned char *room, const void **value,
                     size_t *len)
{
    const unsigned char *at = entry;
    int64_t number;
    size_t head = head_len(at, entry_len);
    if (head > 0) {
        *value = at + head;
        *len = entry_len - head;
        return 0;
    }
    if (coat_entry_digits(at, entry_len, &number) < 0)
        return COAT_ECORRUPT;
    *value = room;
    *len = (size_t)(coat_wire_put_int(room, number) - room);
    return 0;
}

int coat_entry_version(const void *entry, size_t len, char version[COAT_ENTRY_VERSION_LEN + 1],
                       struct coat_error *err)
{
    unsigned char digest[COAT_ENTRY_VERSION_LEN / 2];
    unsigned int digest_len;
    if (EVP_Digest(entry, len, digest, &digest_len, EVP_sha1(), NULL) != 1)
        return coat_error_because(err, COAT_EUNAVAILABLE, "sha1",
                                  "OpenSSL makes no SHA-1 here, which versions of a cache need");
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(version + 2 * i, 3, "%02x", digest[i]);
    return 0;
}
