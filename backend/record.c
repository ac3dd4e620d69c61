#include "record.h"

#include <stddef.h>
#include <string.h>

#include <openssl/crypto.h>

#include "api/error.h"

/* What the scripts and other readers rely on; the table in docs/protocol.md. */
_Static_assert(sizeof(struct coat_head) == COAT_HEAD_LEN, "no padding");
_Static_assert(offsetof(struct coat_head, revisions) == 4, "SAVE: GETRANGE 4 11");
_Static_assert(offsetof(struct coat_head, current) == 46, "LOGOUT: GETRANGE 46 85");
_Static_assert(offsetof(struct coat_head, other) == 46 + 16, "LOGOUT: sub(17, 32)");
_Static_assert(offsetof(struct coat_head, until) == 46 + 32, "LOGOUT: sub(33)");
_Static_assert(offsetof(struct coat_head, format) == 1, "the record format");
_Static_assert(offsetof(struct coat_head, created) == 87, "the record format");
_Static_assert(offsetof(struct coat_head, deadline) == 96, "the record format");
_Static_assert(offsetof(struct coat_head, tag) == 106, "the record format");
_Static_assert(offsetof(struct coat_head, idle) == 115, "the record format");

enum {
    FIXARRAY = 0x90,
    ITEMS = 9,
    NIL = 0xc0,
    BIN8 = 0xc4,
    UINT32 = 0xce,
    UINT64 = 0xcf,
    FIXSTR = 0xa0,
    FIXSTR_MAX = 31,
    STR8 = 0xd9
};

/* ---- Integers and times -------------------------------------------------------------------- */

static void put_be(unsigned char *to, size_t width, uint64_t number)
{
    for (size_t i = width; i-- > 0; number >>= 8)
        to[i] = (unsigned char)(number & 0xff);
}

static uint64_t get_be(const unsigned char *from, size_t width)
{
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++)
        number = number << 8 | from[i];
    return number;
}

int64_t coat_ms_add(int64_t a, int64_t b)
{
    int64_t sum = a + b;
    return sum < 0 ? 0 : sum < COAT_MS_MAX ? sum : COAT_MS_MAX - 1;
}

int64_t coat_ms_of_seconds(int64_t seconds)
{
    return seconds < COAT_MS_MAX / 1000 ? coat_ms_add(seconds * 1000, 0) : COAT_MS_MAX - 1;
}

/* ---- The head ------------------------------------------------------------------------------ */

/* The two highest bits of `until`. */
#define UNTIL_KIND    ((uint64_t)3 << 62)
#define UNTIL_GRACE   ((uint64_t)0 << 62)
#define UNTIL_DEAD    ((uint64_t)2 << 62)
#define UNTIL_OFFERED ((uint64_t)3 << 62)

void coat_head_init(struct coat_head *head, const unsigned char tag[COAT_TAG_LEN],
                    const unsigned char hash[COAT_HASH_LEN], int64_t created_ms,
                    int64_t deadline_ms, int64_t idle_s)
{
    *head = (struct coat_head){.array = FIXARRAY | ITEMS,
                               .format = COAT_FORMAT,
                               .revisions_item = {BIN8, sizeof head->revisions},
                               .ids_item = {BIN8, 2 * COAT_HASH_LEN + sizeof head->until},
                               .created_item = {UINT64},
                               .deadline_item = {UINT64},
                               .tag_item = {BIN8, COAT_TAG_LEN},
                               .idle_item = {UINT32}};
    memcpy(head->current, hash, COAT_HASH_LEN);
    memcpy(head->tag, tag, COAT_TAG_LEN);
    put_be(head->created, sizeof head->created, (uint64_t)coat_ms_add(created_ms, 0));
    coat_head_set_deadline_ms(head, deadline_ms);
    coat_head_set_idle_s(head, idle_s);
}

void coat_head_revise(struct coat_head *head, const unsigned char revision[COAT_REVISION_LEN])
{
    memmove(head->revisions[1], head->revisions[0], sizeof head->revisions - COAT_REVISION_LEN);
    memcpy(head->revisions[0], revision, COAT_REVISION_LEN);
}

int coat_head_knows(const struct coat_head *head, const unsigned char revision[COAT_REVISION_LEN])
{
    for (int i = 0; i < COAT_REVISIONS; i++)
        if (memcmp(head->revisions[i], revision, COAT_REVISION_LEN) == 0)
            return 1;
    return 0;
}

void coat_head_rotate(struct coat_head *head, const unsigned char hash[COAT_HASH_LEN],
                      int64_t now_ms)
{
    memcpy(head->other, head->current, COAT_HASH_LEN);
    memcpy(head->current, hash, COAT_HASH_LEN);
    put_be(head->until, sizeof head->until, UNTIL_DEAD | (uint64_t)coat_ms_add(now_ms, 0));
}

int coat_head_may_offer(const struct coat_head *head, int64_t period_ms, int64_t now_ms)
{
    uint64_t until = get_be(head->until, sizeof head->until);
    /* A grace has its end there, which is still to come while the other one works. */
    int64_t since_ms = until ? (int64_t)(until & ~UNTIL_KIND) : coat_head_created_ms(head);
    return now_ms - since_ms >= period_ms;
}

void coat_head_offer(struct coat_head *head, const unsigned char hash[COAT_HASH_LEN],
                     int64_t now_ms)
{
    memcpy(head->other, hash, COAT_HASH_LEN);
    put_be(head->until, sizeof head->until, UNTIL_OFFERED | (uint64_t)coat_ms_add(now_ms, 0));
}

int coat_head_offers(const struct coat_head *head, const unsigned char hash[COAT_HASH_LEN])
{
    uint64_t kind = get_be(head->until, sizeof head->until) & UNTIL_KIND;
    return kind == UNTIL_OFFERED && CRYPTO_memcmp(head->other, hash, COAT_HASH_LEN) == 0;
}

void coat_head_take_offer(struct coat_head *head, int64_t until_ms)
{
    unsigned char former[COAT_HASH_LEN];
    memcpy(former, head->current, COAT_HASH_LEN);
    memcpy(head->current, head->other, COAT_HASH_LEN);
    memcpy(head->other, former, COAT_HASH_LEN);
    put_be(head->until, sizeof head->until, UNTIL_GRACE | (uint64_t)coat_ms_add(until_ms, 0));
}

enum coat_opening coat_head_opening(const struct coat_head *head,
                                    const unsigned char hash[COAT_HASH_LEN], int64_t now_ms,
                                    int64_t stale_ms)
{
    uint64_t until = get_be(head->until, sizeof head->until);
    uint64_t kind = until & UNTIL_KIND;
    int64_t end_ms = (int64_t)(until & ~UNTIL_KIND);

    int is_current = CRYPTO_memcmp(head->current, hash, COAT_HASH_LEN) == 0;
    int is_other = CRYPTO_memcmp(head->other, hash, COAT_HASH_LEN) == 0;
    int other_opens = kind == UNTIL_OFFERED || (kind == UNTIL_GRACE && end_ms > now_ms);
    if (is_current | (is_other & other_opens))
        return COAT_OPENS;
    return is_other && until != 0 && now_ms - end_ms < stale_ms ? COAT_STALE : COAT_DEAD;
}

int64_t coat_head_created_ms(const struct coat_head *head)
{
    return (int64_t)get_be(head->created, sizeof head->created);
}

int64_t coat_head_deadline_ms(const struct coat_head *head)
{
    return (int64_t)get_be(head->deadline, sizeof head->deadline);
}

int64_t coat_head_idle_s(const struct coat_head *head)
{
    return (int64_t)get_be(head->idle, sizeof head->idle);
}

void coat_head_set_deadline_ms(struct coat_head *head, int64_t deadline_ms)
{
    put_be(head->deadline, sizeof head->deadline, (uint64_t)coat_ms_add(deadline_ms, 0));
}

void coat_head_set_idle_s(struct coat_head *head, int64_t idle_s)
{
    int64_t in_range = idle_s < 0 ? 0 : idle_s < COAT_IDLE_MAX_S ? idle_s : COAT_IDLE_MAX_S;
    put_be(head->idle, sizeof head->idle, (uint64_t)in_range);
}

int64_t coat_head_ttl_ms(const struct coat_head *head, int64_t now_ms)
{
    int64_t left_ms = coat_ms_add(coat_head_deadline_ms(head), -now_ms);
    int64_t idle_ms = coat_head_idle_s(head) * 1000;
    return idle_ms > 0 && idle_ms < left_ms ? idle_ms : left_ms;
}

/* ---- The record ---------------------------------------------------------------------------- */

static int corrupt(struct coat_error *err, size_t offset, const char *what)
{
    coat_error_set(err, COAT_ECORRUPT, "not a session record: %s, at byte %zu", what, offset);
    if (err)
        err->offset = offset;
    return COAT_ECORRUPT;
}

static int check_format(const unsigned char *bytes, size_t len, struct coat_error *err)
{
    if (len < 2 || (bytes[0] & 0xf0) != FIXARRAY || bytes[1] < 1 || bytes[1] > 0x7f)
        return corrupt(err, 0, "it does not begin like one");
    if (bytes[1] > COAT_FORMAT)
        return coat_error_set(err, COAT_EFORMAT,
                              "a session record has format %d, and this host reads format %d; it "
                              "is left alone: upgrade coatcheck on this host",
                              bytes[1], COAT_FORMAT);
    return 0;
}

/* Everything of the head that is fixed, compared with one that is known to be right. */
static int check_heads(const struct coat_head *head, struct coat_error *err)
{
    struct coat_head right;
    coat_head_init(&right, head->tag, head->current, 0, 0, 0);
    static const struct {
        size_t offset, len;
    } ITEM[] = {{offsetof(struct coat_head, array), 1},
                {offsetof(struct coat_head, revisions_item), 2},
                {offsetof(struct coat_head, ids_item), 2},
                {offsetof(struct coat_head, created_item), 1},
                {offsetof(struct coat_head, deadline_item), 1},
                {offsetof(struct coat_head, tag_item), 2},
                {offsetof(struct coat_head, idle_item), 1}};
    for (size_t i = 0; i < sizeof ITEM / sizeof *ITEM; i++) {
        size_t offset = ITEM[i].offset;
        if (memcmp((const char *)head + offset, (const char *)&right + offset, ITEM[i].len) != 0)
            return corrupt(err, offset, "an item of its head is of another kind or length");
    }
    return 0;
}

static int check_values(const struct coat_head *head, struct coat_error *err)
{
    static const unsigned char ZERO[COAT_REVISION_LEN];
    uint64_t until = get_be(head->until, sizeof head->until);
    if (memcmp(head->revisions[0], ZERO, sizeof ZERO) == 0)
        return corrupt(err, offsetof(struct coat_head, revisions), "it has no revision");
    if ((until & UNTIL_KIND) == (uint64_t)1 << 62 || (until & ~UNTIL_KIND) >= (uint64_t)COAT_MS_MAX)
        return corrupt(err, offsetof(struct coat_head, until), "its other id is of no known kind");
    if (get_be(head->created, sizeof head->created) >= (uint64_t)COAT_MS_MAX)
        return corrupt(err, offsetof(struct coat_head, created), "its creation is out of range");
    if (get_be(head->deadline, sizeof head->deadline) >= (uint64_t)COAT_MS_MAX)
        return corrupt(err, offsetof(struct coat_head, deadline), "its deadline is out of range");
    return 0;
}

/* From byte `at` on: nil, or text. The fields follow. */
static int parse_principal(struct coat_record *record, const unsigned char *bytes, size_t len,
                           struct coat_error *err)
{
    size_t at = COAT_HEAD_LEN, head = 1, text = 0;
    unsigned char kind = len > at ? bytes[at] : 0;
    if (kind == STR8 && len > at + 1) {
        head = 2;
        text = bytes[at + 1];
    } else if ((kind & 0xe0) == FIXSTR) {
        text = kind & 0x1f;
    } else if (kind != NIL) {
        return corrupt(err, at, "its principal is neither nil nor a short text");
    }
    if (text > len - at - head)
        return corrupt(err, len, "it ends within its principal");
    if (kind != NIL && (text == 0 || memchr(bytes + at + head, 0, text) ||
                        coat_check(bytes + at, head + text, NULL, 0, NULL, NULL) < 0))
        return corrupt(err, at, "its principal is empty, or not UTF-8, or has a NUL in it");

    record->principal = kind == NIL ? NULL : (const char *)bytes + at + head;
    record->principal_len = text;
    record->fields_at = at + head + text;
    record->fields = bytes + record->fields_at;
    record->fields_len = len - record->fields_at;
    return 0;
}

int coat_record_parse(struct coat_record *record, const void *bytes, size_t len,
                      struct coat_error *err)
{
    int rc = check_format(bytes, len, err);
    if (rc < 0)
        return rc;
    if (len < COAT_HEAD_LEN)
        return corrupt(err, len, "it ends within its head");
    memcpy(&record->head, bytes, COAT_HEAD_LEN);
    if ((rc = check_heads(&record->head, err)) < 0 || (rc = check_values(&record->head, err)) < 0)
        return rc;
    return parse_principal(record, bytes, len, err);
}

void coat_record_principal(const struct coat_record *record, char to[COAT_PRINCIPAL_MAX + 1])
{
    if (record->principal)
        memcpy(to, record->principal, record->principal_len);
    to[record->principal_len] = 0;
}

int coat_record_is_of(const struct coat_record *record, const char *principal)
{
    char text[COAT_PRINCIPAL_MAX + 1];
    coat_record_principal(record, text);
    return strcmp(text, principal) == 0;
}

/* The msgpack head of a principal: 1 or 2 bytes, returns how many. */
static size_t principal_item(unsigned char item[2], size_t len)
{
    if (len > FIXSTR_MAX) {
        item[0] = STR8;
        item[1] = (unsigned char)len;
        return 2;
    }
    item[0] = len > 0 ? (unsigned char)(FIXSTR | len) : NIL;
    return 1;
}

size_t coat_record_size(const char *principal, size_t fields_len)
{
    unsigned char item[2];
    size_t len = strlen(principal);
    return COAT_HEAD_LEN + principal_item(item, len) + len + fields_len;
}

size_t coat_principal_write(unsigned char to[COAT_PRINCIPAL_ITEM_MAX], const char *principal)
{
    size_t len = strlen(principal), item_len = principal_item(to, len);
    memcpy(to + item_len, principal, len);
    return item_len + len;
}

void coat_principal_read(const unsigned char *item, size_t len, char to[COAT_PRINCIPAL_MAX + 1])
{
    size_t head = item[0] == STR8 ? 2 : 1;
    memcpy(to, item + head, len - head);
    to[len - head] = 0;
}

unsigned char *coat_record_write(unsigned char *to, const struct coat_head *head,
                                 const char *principal)
{
    unsigned char item[COAT_PRINCIPAL_ITEM_MAX];
    size_t len = coat_principal_write(item, principal);
    memcpy(to, head, COAT_HEAD_LEN);
    memcpy(to + COAT_HEAD_LEN, item, len);
    return to + COAT_HEAD_LEN + len;
}

int coat_principal_valid(const char *principal)
{
    unsigned char bytes[COAT_PRINCIPAL_ITEM_MAX];
    size_t len = strnlen(principal, COAT_PRINCIPAL_MAX + 1);
    return 1 <= len && len <= COAT_PRINCIPAL_MAX &&
           coat_check(bytes, coat_principal_write(bytes, principal), NULL, 0, NULL, NULL) == 0;
}
