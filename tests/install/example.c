/* Creates, loads, changes and destroys a session:  ./example unix:/run/redis/redis.sock */
#include <coatcheck/coatcheck.h>
#include <stdio.h>

static int64_t visits(struct coat_session *session)
{
    struct coat_cursor c;
    struct coat_item item;

    if (!coat_doc_cursor(coat_session_doc(session), "visits", &c) || !coat_cursor_next(&c, &item))
        return 0;
    return item.kind == COAT_INT ? item.i : 0;
}

static int visit(struct coat_session *session, struct coat_error *err)
{
    struct coat_packer value;
    int rc;

    coat_packer_init(&value, NULL);
    coat_pack_int(&value, visits(session) + 1);
    rc = coat_doc_put(coat_session_doc(session), "visits", &value, err);
    coat_packer_release(&value);
    return rc < 0 ? rc : coat_session_save(session, err);
}

static int two_requests(struct coat_store *store, struct coat_error *err)
{
    struct coat_session *first = NULL, *second = NULL;
    int rc;

    if ((rc = coat_session_new(store, &first, err)) == 0 && (rc = visit(first, err)) == 0 &&
        /* The id is the cookie's value; it opens the session in the next request. */
        (rc = coat_store_load(store, coat_session_id(first), &second, err)) == 1 &&
        (rc = visit(second, err)) == 0) {
        printf("visit %d of %s\n", (int)visits(second), coat_session_public_id(second));
        rc = coat_session_destroy(second, err); /* a logout; 1 if it ended the session */
    }
    coat_session_close(first);
    coat_session_close(second);
    return rc;
}

int main(int argc, char **argv)
{
    struct coat_options *options = NULL;
    struct coat_store *store = NULL;
    struct coat_error err = {.text = "the session was gone"};
    int done = argc == 2 && coat_options_new(&options, &err) == 0 &&
               coat_options_set(options, "url", argv[1], &err) == 0 &&
               coat_options_set(options, "prefix", "example:", &err) == 0 &&
               coat_store_open(&store, options, &err) == 0 && two_requests(store, &err) == 1;

    if (!done)
        fprintf(stderr, "example: %s\n", argc == 2 ? err.text : "give one URL");
    coat_store_close(store);
    coat_options_free(options);
    return !done;
}
