/* Options and stores when memory runs out. */
#include <string.h>

#include "fault.h"
#include "coat_options.h"
#include "coat_session.h"
#include "coat_store.h"

/* Nobody listens there. */
static const char away[] = "unix:/nonexistent/socket";

static int set_all(struct coat_options *o, struct coat_error *err)
{
    int rc = coat_options_set(o, "url", away, err);

    if (rc == 0)
        rc = coat_options_set(o, "prefix", "shop:", err);
    if (rc == 0)
        rc = coat_options_set(o, "username", "u", err);
    if (rc == 0)
        rc = coat_options_set(o, "password", "secret", err);
    if (rc == 0)
        rc = coat_options_set(o, "idle", "600", err);
    return rc == 0 ? coat_options_env(o, err) : rc;
}

static int opening(void)
{
    struct coat_options *o = NULL;
    struct coat_store *store = NULL;
    struct coat_error err = {0};
    int rc = coat_options_new(&o, &err);

    if (rc < 0)
        assert_null(o);
    else
        rc = set_all(o, &err);
    if (rc == 0) {
        rc = coat_store_open(&store, o, &err);
        assert_int_equal(store != NULL, rc == 0);
    }
    assert_int_equal(err.code, rc);
    coat_store_close(store);
    coat_options_free(o);
    return rc;
}

static void a_store_is_opened_or_not(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(opening) >= 4);
}

static struct coat_store *store;

/* No server is what the call ends with when it has its memory. */
static int loading(void)
{
    static const char id[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct coat_session *session = NULL;
    struct coat_error err;
    int rc = coat_store_load(store, id, &session, &err);

    assert_null(session);
    assert_int_equal(err.code, rc);
    return rc == COAT_EUNAVAILABLE ? 0 : rc;
}

static int pinging(void)
{
    int rc = coat_store_ping(store, NULL);

    return rc == COAT_EUNAVAILABLE ? 0 : rc;
}

static int saving(void)
{
    struct coat_session *session = NULL;
    struct coat_packer value;
    int rc = coat_session_new(store, &session, NULL);

    if (rc < 0) {
        assert_null(session);
        return rc;
    }
    coat_packer_init(&value, NULL);
    coat_pack_text(&value, "tea", 3);
    rc = coat_doc_put(coat_session_doc(session), "cart", &value, NULL);
    coat_packer_release(&value);
    if (rc == 0)
        rc = coat_session_save(session, NULL);
    assert_null(coat_session_id(session));
    coat_session_close(session);
    return rc == COAT_EUNAVAILABLE ? 0 : rc;
}

static void a_call_without_a_server_ends_the_same_way(void **state)
{
    struct coat_options *o = NULL;

    (void)state;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    assert_int_equal(set_all(o, NULL), 0);
    assert_int_equal(coat_store_open(&store, o, NULL), 0);
    coat_options_free(o);
    assert_true(each_allocation_fails(loading) >= 1);
    each_allocation_fails(pinging);
    assert_true(each_allocation_fails(saving) >= 3);
    coat_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_opened_or_not),
        cmocka_unit_test(a_call_without_a_server_ends_the_same_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
