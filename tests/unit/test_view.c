/* The names of a view: which views have the same entries, and which names there can be. */
#include "script_driver.h"

#include "view.h"

static struct script t;

static struct coat_view *make(const struct coat_view *parent, enum coat_view_kind kind,
                              const char *one, const char *two)
{
    const char *names[] = {one, two};
    size_t lens[] = {strlen(one), two ? strlen(two) : 0};
    struct coat_view *view;
    assert_int_equal(coat_view_new(&view, &t.store, parent, kind, names, lens, two ? 2 : 1, NULL),
                     0);
    return view;
}

#define NAMESPACE(parent, name) make(parent, COAT_VIEW_NAMESPACE, name, NULL)
#define TAGS(parent, one, two)  make(parent, COAT_VIEW_TAGS, one, two)

static void assert_names(struct coat_view *view, size_t own, const char *id)
{
    size_t len;
    const char *said = coat_view_id(view, &len);
    assert_int_equal(len, strlen(id));
    assert_memory_equal(said, id, len);
    assert_int_equal(coat_view_own(view), own);
    coat_view_free(view);
}

static void a_name_is_a_key(void **state)
{
    (void)state;
    struct coat_view *view = NAMESPACE(NULL, "a");
    struct coat_arg key = coat_view_key(view, 0);
    assert_int_equal(view->count, 1);
    assert_int_equal(key.len, 10);
    assert_memory_equal(key.bytes, "shop:c:g:a", 10);
    assert_names(view, 1, "shop:c:g:a\n");
}

static void tags_are_in_no_order_and_each_once(void **state)
{
    (void)state;
    assert_names(TAGS(NULL, "b", "a"), 2, "shop:c:g:a\nshop:c:g:b\n");
    assert_names(TAGS(NULL, "a", "b"), 2, "shop:c:g:a\nshop:c:g:b\n");
    assert_names(TAGS(NULL, "ab", "a"), 2, "shop:c:g:a\nshop:c:g:ab\n");
    assert_names(TAGS(NULL, "a", "a"), 1, "shop:c:g:a\n");
}

static void names_in_a_namespace_are_its_own(void **state)
{
    (void)state;
    struct coat_view *outer = NAMESPACE(NULL, "b");
    struct coat_view *inner = NAMESPACE(outer, "a");
    assert_names(TAGS(outer, "a", "b"), 2,
                 "shop:c:g:b\nshop:c:g:b\x1f"
                 "a\nshop:c:g:b\x1f"
                 "b\n");
    coat_view_free(outer);
    assert_names(NAMESPACE(inner, "c"), 1,
                 "shop:c:g:b\nshop:c:g:b\x1f"
                 "a\nshop:c:g:b\x1f"
                 "a\x1f"
                 "c\n");
    coat_view_free(inner);
}

static void tags_do_not_change_what_names_mean(void **state)
{
    (void)state;
    struct coat_view *tagged = TAGS(NULL, "b", "c");
    assert_names(NAMESPACE(tagged, "a"), 1, "shop:c:g:a\nshop:c:g:b\nshop:c:g:c\n");
    assert_names(TAGS(tagged, "b", "d"), 2, "shop:c:g:b\nshop:c:g:c\nshop:c:g:d\n");
    coat_view_free(tagged);
}

static void names_have_limits(void **state)
{
    (void)state;
    static char name[514];
    memset(name, 'x', 513);
    const char *names[] = {name};
    const char *nine[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9"};
    size_t lens[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, len = 512;
    struct coat_error err;
    struct coat_view *view, *outer;
    assert_int_equal(
        coat_view_new(&outer, &t.store, NULL, COAT_VIEW_NAMESPACE, names, &len, 1, &err), 0);
    for (len = 0; len <= 513; len += 513) {
        assert_int_equal(coat_view_new(&view, &t.store, NULL, COAT_VIEW_TAGS, names, &len, 1, &err),
                         COAT_EUSAGE);
        assert_null(view);
    }
    len = 1;
    assert_int_equal(coat_view_new(&view, &t.store, outer, COAT_VIEW_TAGS, names, &len, 1, &err),
                     COAT_EUSAGE);
    assert_non_null(strstr(err.text, "512"));
    coat_view_free(outer);
    assert_int_equal(coat_view_new(&view, &t.store, NULL, COAT_VIEW_TAGS, nine, lens, 0, &err),
                     COAT_EUSAGE);
    assert_int_equal(coat_view_new(&view, &t.store, NULL, COAT_VIEW_TAGS, nine, lens, 9, &err),
                     COAT_EUSAGE);
    assert_int_equal(coat_view_new(&view, &t.store, NULL, COAT_VIEW_TAGS, nine, lens, 8, &err), 0);
    assert_int_equal(
        coat_view_new(&outer, &t.store, view, COAT_VIEW_NAMESPACE, nine + 8, lens, 1, &err),
        COAT_EUSAGE);
    assert_null(outer);
    coat_view_free(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_key),
        cmocka_unit_test(tags_are_in_no_order_and_each_once),
        cmocka_unit_test(names_in_a_namespace_are_its_own),
        cmocka_unit_test(tags_do_not_change_what_names_mean),
        cmocka_unit_test(names_have_limits),
    };
    script_init(&t);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
