/* Records, on the files of tests/data. */
#include "bytes.h"

#include "coat_doc.h"
#include "record.h"

/* The whole record: its head, its principal, and its fields. The offset counts from its start. */
static int read_record(const unsigned char *bytes, size_t len, struct coat_record *record,
                       struct coat_error *err)
{
    struct coat_doc *doc = NULL;
    int rc = coat_record_parse(record, bytes, len, err);

    if (rc < 0)
        return rc;
    rc = coat_doc_parse(&doc, record->fields, record->fields_len, NULL, err);
    if (rc < 0)
        err->offset += record->fields_at;
    coat_doc_free(doc);
    return rc;
}

static void every_good_record_is_read_and_written_as_it_was(void **state)
{
    FILE *f = open_data("good_records.txt");
    char line[4096], *parts;

    (void)state;
    while (next_row(f, line, sizeof line, &parts)) {
        size_t len, head_len;
        unsigned char *bytes = unhex(line, &len), *again = malloc(len);
        char principal[COAT_PRINCIPAL_MAX + 1] = "";
        struct coat_record record;
        struct coat_error err;

        assert_non_null(again);
        if (read_record(bytes, len, &record, &err) < 0)
            fail_msg("%s: %s", line, err.text);
        memcpy(principal, record.principal ? record.principal : "", record.principal_len);
        head_len = (size_t)(coat_record_write(again, &record.head, principal) - again);
        assert_int_equal(head_len, record.fields_at);
        assert_int_equal(head_len + record.fields_len, len);
        assert_memory_equal(again, bytes, head_len);
        free(again);
        free(bytes);
    }
    fclose(f);
}

static void every_bad_record_is_refused_at_its_fault(void **state)
{
    FILE *f = open_data("bad_records.txt");
    char line[4096], *code, *offset;

    (void)state;
    while (next_row(f, line, sizeof line, &code)) {
        size_t len;
        unsigned char *bytes = unhex(line, &len);
        struct coat_record record;
        struct coat_error err;

        offset = next_cell(code);
        if (read_record(bytes, len, &record, &err) == 0)
            fail_msg("%s passes", line);
        if (strcmp(coat_code_name(err.code), code) != 0 || err.offset != strtoul(offset, NULL, 10))
            fail_msg("%s: not %s at %s, but %s at %zu: %s", line, code, offset,
                     coat_code_name(err.code), err.offset, err.text);
        free(bytes);
    }
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_good_record_is_read_and_written_as_it_was),
        cmocka_unit_test(every_bad_record_is_refused_at_its_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
