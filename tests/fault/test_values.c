/* Packer, check and document when memory runs out. */
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "coat_doc.h"
#include "api/buf.h"
#include "api/doc.h"

/* Deep and long enough that everything grows more than once. */
static void pack_something(struct coat_packer *p)
{
    char text[600];

    memset(text, 'x', sizeof text);
    coat_pack_dict(p, 100);
    for (int i = 0; i < 100; i++) {
        coat_pack_int(p, i);
        coat_pack_tuple(p, 1);
        coat_pack_text(p, text, i == 50 ? sizeof text : 3);
        coat_pack_end(p);
    }
    coat_pack_end(p);
}

static int packing(void)
{
    struct coat_packer p;
    struct coat_error err;
    const void *bytes;
    size_t len;
    int rc;

    coat_packer_init(&p, NULL);
    pack_something(&p);
    rc = coat_packer_finish(&p, &bytes, &len, &err);
    assert_int_equal(p.code, rc);
    if (rc < 0) {
        assert_int_equal(err.code, COAT_ENOMEM);
        assert_string_equal(err.text, "out of memory");
    }
    coat_packer_release(&p);
    return rc;
}

static int packing_deeply(void)
{
    struct coat_packer p;
    const void *bytes;
    size_t len;
    int rc;

    coat_packer_init(&p, NULL);
    for (int i = 0; i < 64; i++)
        coat_pack_tuple(&p, i < 63);
    for (int i = 0; i < 64; i++)
        coat_pack_end(&p);
    rc = coat_packer_finish(&p, &bytes, &len, NULL);
    coat_packer_release(&p);
    return rc;
}

/* A packer that ran out of memory packs again after a reset. */
static int packing_again(void)
{
    struct coat_packer p;
    const void *bytes;
    size_t len;
    int rc;

    coat_packer_init(&p, NULL);
    pack_something(&p);
    rc = coat_packer_finish(&p, &bytes, &len, NULL);
    coat_packer_reset(&p);
    coat_pack_bool(&p, 1);
    assert_int_equal(coat_packer_finish(&p, &bytes, &len, NULL), 0);
    assert_int_equal(len, 1);
    coat_packer_release(&p);
    return rc;
}

static int checking(void)
{
    static const unsigned char bytes[] = "\x82\xa1\x61\xc0\xa1\x62\x81\xa1\x61\xc0";
    struct coat_error err;
    int rc = coat_check(bytes, sizeof bytes - 1, NULL, COAT_CHECK_EQUAL_KEYS, NULL, &err);

    if (rc < 0)
        assert_int_equal(err.code, COAT_ENOMEM);
    return rc;
}

static int checking_without_memory(void)
{
    static const unsigned char bytes[] = "\x82\xa1\x61\xc0\xa1\x62\x81\xa1\x61\xc0";

    return coat_check(bytes, sizeof bytes - 1, NULL, 0, NULL, NULL);
}

/* The bytes that the document encodes to, which no failure may change. */
static void write_out(const struct coat_doc *doc, struct coat_buf *out)
{
    size_t armed = fault_countdown;

    fault_countdown = 0;
    coat_buf_clear(out);
    assert_int_equal(coat_buf_reserve(out, coat_doc_size(doc)), 0);
    coat_buf_took(out, coat_doc_write(doc, coat_buf_end(out)));
    fault_countdown = armed;
}

static void assert_written(const struct coat_doc *doc, const struct coat_buf *want)
{
    struct coat_buf now = COAT_BUF_INIT;

    write_out(doc, &now);
    assert_int_equal(now.len, want->len);
    assert_memory_equal(now.bytes, want->bytes, want->len);
    coat_buf_release(&now);
}

/* Set, delete and commit across the size from which on there is an index. */
static int changing(void)
{
    struct coat_buf before = COAT_BUF_INIT;
    struct coat_doc *doc = NULL;
    char name[16], value[300];
    int rc = coat_doc_new(&doc, NULL, NULL);

    for (int i = 0; rc == 0 && i < 90; i++) {
        snprintf(name, sizeof name, "%d", i % 30);
        memset(value, 'x', sizeof value);
        memcpy(value, "\xc5\x01\x29", 3);
        value[3] = (char)i;
        write_out(doc, &before);
        if (i % 7 == 6)
            rc = coat_doc_delete(doc, name, strlen(name), NULL) < 0 ? COAT_ENOMEM : 0;
        else if (i % 31 == 30)
            rc = coat_doc_commit(doc, NULL);
        else
            rc = coat_doc_set(doc, name, strlen(name), value, sizeof value, NULL);
        if (rc < 0)
            assert_written(doc, &before);
    }
    coat_buf_release(&before);
    coat_doc_free(doc);
    return rc;
}

static int putting(void)
{
    struct coat_doc *doc = NULL;
    struct coat_packer p;
    struct coat_error err;
    int rc = coat_doc_new(&doc, NULL, &err);

    coat_packer_init(&p, NULL);
    if (rc == 0) {
        pack_something(&p);
        rc = coat_doc_put(doc, "field", &p, &err);
        assert_int_equal(coat_doc_count(doc), rc == 0);
    }
    if (rc < 0)
        assert_int_equal(err.code, COAT_ENOMEM);
    coat_packer_release(&p);
    coat_doc_free(doc);
    return rc;
}

static int parsing_a_document(void)
{
    unsigned char bytes[3 + 40 * 3];
    struct coat_doc *doc = NULL;
    struct coat_error err;
    size_t len = 0;
    int rc;

    memcpy(bytes, "\xde\x00\x28", 3);
    len = 3;
    for (int i = 0; i < 40; i++) {
        bytes[len++] = 0xa1;
        bytes[len++] = (unsigned char)('0' + i);
        bytes[len++] = 0xc0;
    }
    rc = coat_doc_parse(&doc, bytes, len, NULL, &err);
    if (rc < 0) {
        assert_int_equal(err.code, COAT_ENOMEM);
        assert_null(doc);
    }
    coat_doc_free(doc);
    return rc;
}

static void packing_survives_every_failed_allocation(void **state)
{
    (void)state;
    assert_in_range(each_allocation_fails(packing), 4, 100);
    assert_in_range(each_allocation_fails(packing_deeply), 3, 100);
    each_allocation_fails(packing_again);
}

static void checking_survives_every_failed_allocation(void **state)
{
    (void)state;
    assert_int_equal(each_allocation_fails(checking), 1);
    assert_int_equal(each_allocation_fails(checking_without_memory), 0);
}

static void a_document_survives_every_failed_allocation(void **state)
{
    (void)state;
    assert_in_range(each_allocation_fails(changing), 10, 100);
    assert_in_range(each_allocation_fails(putting), 5, 100);
    assert_int_equal(each_allocation_fails(parsing_a_document), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_survives_every_failed_allocation),
        cmocka_unit_test(checking_survives_every_failed_allocation),
        cmocka_unit_test(a_document_survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
