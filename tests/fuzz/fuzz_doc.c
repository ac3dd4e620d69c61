/*
 * A document from any bytes, then any changes to it. The input: the length of the document in two
 * bytes, the document, and changes: a byte that chooses what is done and to which field, and for
 * a new value its length and its bytes.
 */
#include <string.h>

#include "must.h"
#include "api/doc.h"

struct input {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct input *in, size_t *len)
{
    const uint8_t *at = in->at;

    if (*len > in->left)
        *len = in->left;
    in->at += *len;
    in->left -= *len;
    return at;
}

static unsigned take_byte(struct input *in)
{
    size_t one = 1;
    const uint8_t *at = take(in, &one);

    return one ? *at : 0;
}

/* It encodes to exactly its size, and what it encodes to is a document of the same fields. */
static void try_writing(const struct coat_doc *doc)
{
    size_t len = coat_doc_size(doc), again_len, value_len, name_len, mine_len, at = 0;
    unsigned char *bytes = malloc(len), *again;
    const void *value, *mine;
    struct coat_doc *copy;
    const char *name;

    must(bytes != NULL);
    must(coat_doc_write(doc, bytes) == bytes + len);
    must(coat_doc_parse(&copy, bytes, len, NULL, NULL) == 0);
    must(coat_doc_count(copy) == coat_doc_count(doc));
    must(!coat_doc_modified(copy));
    while (coat_doc_next(copy, &at, &name, &name_len, &value, &value_len)) {
        must(coat_doc_get(doc, name, name_len, &mine, &mine_len) == 1);
        must(mine_len == value_len && memcmp(mine, value, value_len) == 0);
    }
    again_len = coat_doc_size(copy);
    must(again_len == len);
    again = malloc(len);
    must(again != NULL);
    coat_doc_write(copy, again);
    must(memcmp(bytes, again, len) == 0);
    coat_doc_free(copy);
    free(again);
    free(bytes);
}

static void try_changes(const struct coat_doc *doc)
{
    struct coat_change change;
    size_t at = 0, mine_len;
    const void *mine;
    int any = 0;

    while (coat_doc_next_change(doc, &at, &change)) {
        any = 1;
        must(change.base != NULL || change.mine != NULL);
        must(change.base == NULL || change.mine == NULL || change.base_len != change.mine_len ||
             memcmp(change.base, change.mine, change.mine_len) != 0);
        must(coat_doc_get(doc, change.name, change.name_len, &mine, &mine_len) ==
             (change.mine != NULL));
    }
    must(any == coat_doc_modified(doc));
}

/* One of the fields that there are, or one of a few other names. */
static const char *choose_name(const struct coat_doc *doc, unsigned which, size_t *len)
{
    static const char names[] = "aabbccddeeffgghhiijjkkllmmnnooppqqrrssttuuvvwwxxyyzz";
    const char *name = names;
    const void *value;
    size_t at = 0, value_len;

    if (which % 2) {
        *len = which / 2 % 3;
        return names + which % (sizeof names - 4);
    }
    *len = 0;
    for (which /= 2; coat_doc_next(doc, &at, &name, len, &value, &value_len) && which > 0; which--)
        continue;
    return name;
}

static void change(struct coat_doc *doc, struct input *in)
{
    unsigned what = take_byte(in), which = take_byte(in);
    size_t name_len, len, count = coat_doc_count(doc);
    const char *name = choose_name(doc, which, &name_len);
    const void *value;

    switch (what % 8) {
    case 0:
        must(coat_doc_commit(doc, NULL) == 0);
        must(!coat_doc_modified(doc));
        return;
    case 1:
    case 2:
        len = coat_doc_delete(doc, name, name_len, NULL) == 1;
        must(coat_doc_count(doc) == count - len);
        return;
    case 3: /* a value of the document itself */
        if (coat_doc_get(doc, name, name_len, &value, &len))
            must(coat_doc_set(doc, "new", 3, value, len, NULL) <= 0);
        return;
    default:
        len = take_byte(in);
        value = take(in, &len);
        if (coat_doc_set(doc, name, name_len, value, len, NULL) < 0)
            must(coat_doc_count(doc) == count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, len};
    struct coat_error err;
    struct coat_doc *doc;
    size_t doc_len = (size_t)take_byte(&in) << 8;
    const uint8_t *start;
    int rc;

    doc_len |= take_byte(&in);
    start = take(&in, &doc_len);
    rc = coat_doc_parse(&doc, start, doc_len, NULL, &err);
    if (rc < 0) {
        must(rc == err.code && err.offset <= doc_len);
        return 0;
    }
    must(coat_doc_size(doc) == doc_len);
    try_writing(doc);
    while (in.left > 0) {
        change(doc, &in);
        try_changes(doc);
    }
    try_writing(doc);
    coat_doc_free(doc);
    return 0;
}
