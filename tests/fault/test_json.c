/* Values as JSON, without memory. */
#include "fault.h"

#include <string.h>

#include "cli/json.h"

static const char TEXT[] =
    "{\"$dict\": [[{\"$tuple\": [1, {\"$bytes\": \"AP8=\"}]}, {\"$int\": \"-0x1ffffffffffffffffff\"}],"
    " [\"text\\n\", [null, true, 1.5, {\"$float\": \"nan\"}, {\"a\": \"\\u00e9\"}]]]}";

static int there_and_back(void)
{
    struct coat_packer p;
    struct coat_buf json = COAT_BUF_INIT;
    struct coat_error err;
    const void *value;
    size_t len;
    coat_packer_init(&p, NULL);
    int rc = json_pack(&p, TEXT, strlen(TEXT), &err);
    if (rc == 0)
        rc = coat_packer_finish(&p, &value, &len, &err);
    if (rc == 0)
        rc = json_append(&json, value, len);
    coat_buf_release(&json);
    coat_packer_release(&p);
    return rc;
}

static void json_survives_every_failed_allocation(void **state)
{
    (void)state;
    each_allocation_fails(there_and_back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
