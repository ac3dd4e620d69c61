/* A record from any bytes: what is accepted is written again byte for byte. */
#include <stdlib.h>
#include <string.h>

#include "must.h"
#include "api/doc.h"
#include "record.h"

#define NOW_MS INT64_C(1700000000000)

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
    if (coat_doc_parse(&doc, record->fields, record->fields_len, NULL, &err) < 0) {
        must(err.code < 0 && err.text[0] && err.offset <= record->fields_len);
        return;
    }
    unsigned char *again = malloc(record->fields_len);
    must(again != NULL);
    must(coat_doc_size(doc) == record->fields_len);
    coat_doc_write(doc, again);
    must(memcmp(again, record->fields, record->fields_len) == 0);
    free(again);
    coat_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct coat_record record;
    struct coat_error err;
    if (coat_record_parse(&record, bytes, len, &err) < 0) {
        must(err.code == COAT_ECORRUPT || err.code == COAT_EFORMAT);
        must(err.text[0] && err.offset <= len);
        return 0;
    }
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
