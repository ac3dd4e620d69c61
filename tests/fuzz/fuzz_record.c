/*
 * A record from any bytes: accepted and refused as schema/FORMAT.md has it, and what is accepted is
 * written again byte for byte.
 */
#include <string.h>

#include "must.h"
#include "plain.h"
#include "api/doc.h"
#include "record.h"

#define NOW_MS INT64_C(1700000000000)

/* ---- The page again ------------------------------------------------------------------------ */

struct refusal {
    int code; /* 0: accepted */
    size_t offset;
};

static int is_zero(const uint8_t *at, size_t len)
{
    return len == 0 || (*at == 0 && is_zero(at + 1, len - 1));
}

/* The heads of the items, and where they are. */
static const struct {
    size_t at, len;
    const char *bytes;
} heads[] = {{0, 1, "\x99"},  {2, 2, "\xc4\x28"},   {44, 2, "\xc4\x28"}, {86, 1, "\xcf"},
             {95, 1, "\xcf"}, {104, 2, "\xc4\x08"}, {114, 1, "\xce"}};

static struct refusal refuse_head(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (memcmp(bytes + heads[i].at, heads[i].bytes, heads[i].len) != 0)
            return (struct refusal){COAT_ECORRUPT, heads[i].at};
    if (is_zero(bytes + 4, 8))
        return (struct refusal){COAT_ECORRUPT, 4};
    if (bytes[78] >> 6 == 1 || (plain_number(bytes + 78, 8) & ~(3ull << 62)) >> 53 != 0)
        return (struct refusal){COAT_ECORRUPT, 78};
    if (plain_number(bytes + 87, 8) >> 53 != 0)
        return (struct refusal){COAT_ECORRUPT, 87};
    if (plain_number(bytes + 96, 8) >> 53 != 0)
        return (struct refusal){COAT_ECORRUPT, 96};
    return (struct refusal){0, 0};
}

/* *fields: where they begin. */
static struct refusal refuse_principal(const uint8_t *bytes, size_t len, size_t *fields)
{
    const struct refusal here = {COAT_ECORRUPT, 119}, at_the_end = {COAT_ECORRUPT, len};
    size_t head = 1, text = 0;

    if (len == 119)
        return here;
    if (bytes[119] == 0xd9 && len > 120) {
        head = 2;
        text = bytes[120];
    } else if (bytes[119] >> 5 == 5) {
        text = bytes[119] & 31;
    } else if (bytes[119] != 0xc0) {
        return here;
    }
    *fields = 119 + head + text;
    if (len < *fields)
        return at_the_end;
    if (bytes[119] != 0xc0 &&
        (text < (head == 2 ? 32u : 1u) || memchr(bytes + *fields - text, 0, text) != NULL ||
         plain_utf8(bytes + *fields - text, text) < text))
        return here;
    return (struct refusal){0, 0};
}

static struct refusal refuse(const uint8_t *bytes, size_t len, size_t *fields)
{
    struct refusal r;

    if (len < 2 || bytes[0] >> 4 != 9 || bytes[1] < 1 || bytes[1] > 127)
        return (struct refusal){COAT_ECORRUPT, 0};
    if (bytes[1] > 1)
        return (struct refusal){COAT_EFORMAT, 0};
    if (len < 119)
        return (struct refusal){COAT_ECORRUPT, len};
    r = refuse_head(bytes);
    return r.code < 0 ? r : refuse_principal(bytes, len, fields);
}

/* ---- What is accepted ---------------------------------------------------------------------- */

/* Whatever the head says, times stay in their range. */
static void try_head(const struct coat_head *head)
{
    static const unsigned char HASH[COAT_HASH_LEN] = "current-current";
    int64_t ttl_ms = coat_head_ttl_ms(head, NOW_MS);
    must(ttl_ms >= 0 && ttl_ms < COAT_MS_MAX);
    must(ttl_ms == 0 || coat_head_deadline_ms(head) > NOW_MS);
    must(coat_head_created_ms(head) >= 0 && coat_head_created_ms(head) < COAT_MS_MAX);
    must(coat_head_opening(head, head->current, NOW_MS, 30000) == COAT_OPENS);
    must(coat_head_knows(head, head->revisions[0]));

    struct coat_head next = *head;
    coat_head_rotate(&next, HASH, NOW_MS);
    must(coat_head_opening(&next, HASH, NOW_MS, 30000) == COAT_OPENS);
    must(memcmp(head->current, HASH, sizeof HASH) == 0 ||
         coat_head_opening(&next, head->current, NOW_MS, 30000) == COAT_STALE);
}

static void try_fields(const struct coat_record *record)
{
    struct coat_doc *doc;
    struct coat_error err;
    struct plain plain;

    plain_check(&plain, record->fields, record->fields_len, NULL, 0);
    if (coat_doc_parse(&doc, record->fields, record->fields_len, NULL, &err) < 0) {
        must(err.code < 0 && err.text[0] && err.offset <= record->fields_len);
        return;
    }
    unsigned char *again = malloc(record->fields_len);
    must(again != NULL && plain.code == 0);
    must(coat_doc_size(doc) == record->fields_len);
    coat_doc_write(doc, again);
    must(memcmp(again, record->fields, record->fields_len) == 0);
    free(again);
    coat_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct coat_record record;
    struct coat_error err;
    size_t fields = 0;
    struct refusal r = refuse(bytes, len, &fields);
    int rc = coat_record_parse(&record, bytes, len, &err);

    must(rc == r.code);
    if (rc < 0) {
        must(err.code == rc && err.text[0] && err.offset == r.offset);
        return 0;
    }
    must(record.fields_at == fields && record.fields == bytes + fields);
    must(record.fields_len == len - fields);
    char principal[COAT_PRINCIPAL_MAX + 1] = "";
    if (record.principal)
        memcpy(principal, record.principal, record.principal_len);
    must(!record.principal || coat_principal_valid(principal));
    must(coat_record_size(principal, record.fields_len) == len);

    unsigned char *again = malloc(len);
    must(again != NULL);
    unsigned char *end = coat_record_write(again, &record.head, principal);
    must((size_t)(end - again) == record.fields_at);
    must(memcmp(again, bytes, record.fields_at) == 0);
    free(again);
    try_head(&record.head);
    try_fields(&record);
    return 0;
}
