#include "view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/buf.h"
#include "api/error.h"
#include "entry.h"
#include "store.h"

/* A name has neither. */
#define WITHIN  "\x1f" /* behind the name of a namespace come the names in it */
#define BESIDES "\n"

/* What a view is made from: names as they are found, then sorted. */
struct making {
    struct coat_buf bytes;
    size_t count;
    struct coat_view_name names[COAT_VIEW_NAMES_MAX];
};

static int same(const struct making *m, const struct coat_view_name *a,
                const struct coat_view_name *b)
{
    return a->len == b->len && memcmp(m->bytes.bytes + a->at, m->bytes.bytes + b->at, a->len) == 0;
}

static int is_before(const struct making *m, const struct coat_view_name *a,
                     const struct coat_view_name *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(m->bytes.bytes + a->at, m->bytes.bytes + b->at, len);
    return order < 0 || (order == 0 && a->len < b->len);
}

/* The name whose key was appended last: to its place, or it is there. */
static int place(struct making *m, struct coat_view_name name, struct coat_error *err)
{
    size_t at = 0;
    while (at < m->count && is_before(m, &m->names[at], &name))
        at++;
    if (at < m->count && same(m, &m->names[at], &name)) {
        m->names[at].own |= name.own;
        return 0;
    }
    if (m->count == COAT_VIEW_NAMES_MAX)
        return coat_error_set(err, COAT_EUSAGE,
                              "a view of a cache has at most %d names, with those of the "
                              "namespaces that it is in",
                              COAT_VIEW_NAMES_MAX);
    memmove(&m->names[at + 1], &m->names[at], (m->count - at) * sizeof name);
    m->names[at] = name;
    m->count++;
    return 0;
}

static int add_parents(struct making *m, const struct coat_view *parent, struct coat_error *err)
{
    for (size_t i = 0; parent && i < parent->count; i++) {
        struct coat_arg key = coat_view_key(parent, i);
        struct coat_view_name name = {m->bytes.len, key.len, 0};
        if (coat_buf_append(&m->bytes, key.bytes, key.len) < 0)
            return coat_error_nomem(err);
        place(m, name, err);
    }
    return 0;
}

static int add_own(struct making *m, const struct coat_store *store, const struct coat_view *parent,
                   const char *text, size_t len, struct coat_error *err)
{
    struct coat_view_name name = {m->bytes.len, 0, 1};
    struct coat_arg path = coat_view_path(parent);
    int rc = coat_entry_generation(&m->bytes, store->options->prefix, path.bytes, path.len, text,
                                   len, err);
    if (rc < 0)
        return rc;
    name.len = m->bytes.len - name.at;
    return place(m, name, err);
}

/* Behind the keys: the path, and the id. */
static int finish(struct making *m, struct coat_view *to, const struct coat_view *parent,
                  const char *name, size_t len)
{
    int rc;
    to->path = m->bytes.len;
    struct coat_arg path = coat_view_path(parent);
    rc = coat_buf_append(&m->bytes, path.bytes, path.len);
    if (rc == 0 && name)
        rc = coat_buf_append(&m->bytes, name, len);
    if (rc == 0 && name)
        rc = coat_buf_append(&m->bytes, WITHIN, 1);
    to->path_len = m->bytes.len - to->path;
    to->id = m->bytes.len;
    for (size_t i = 0; rc == 0 && i < m->count; i++) {
        size_t at = m->names[i].at;
        rc = coat_buf_reserve(&m->bytes, m->names[i].len + 1); /* so that it does not move */
        if (rc == 0)
            coat_buf_append(&m->bytes, m->bytes.bytes + at, m->names[i].len);
        if (rc == 0)
            coat_buf_append(&m->bytes, BESIDES, 1);
    }
    to->id_len = m->bytes.len - to->id;
    return rc;
}

static int take(struct coat_view **out, const struct making *m, const struct coat_view *head)
{
    struct coat_view *view = malloc(sizeof *view + m->bytes.len);
    if (!view)
        return COAT_ENOMEM;
    *view = *head;
    view->count = m->count;
    memcpy(view->names, m->names, sizeof view->names);
    memcpy(view->bytes, m->bytes.bytes, m->bytes.len);
    *out = view;
    return 0;
}

int coat_view_new(struct coat_view **out, const struct coat_store *store,
                  const struct coat_view *parent, enum coat_view_kind kind,
                  const char *const *names, const size_t *lens, size_t count,
                  struct coat_error *err)
{
    struct making m = {0};
    struct coat_view head = {0};
    *out = NULL;
    assert(kind != COAT_VIEW_NAMESPACE || count == 1);
    if (count == 0)
        return coat_error_set(err, COAT_EUSAGE, "what is cached with tags has at least one");
    int rc = add_parents(&m, parent, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_own(&m, store, parent, names[i], lens[i], err);
    if (rc == 0) {
        int spaces = kind == COAT_VIEW_NAMESPACE;
        if (finish(&m, &head, parent, spaces ? names[0] : NULL, spaces ? lens[0] : 0) < 0 ||
            take(out, &m, &head) < 0)
            rc = coat_error_nomem(err);
    }
    coat_buf_release(&m.bytes);
    return rc;
}

void coat_view_free(struct coat_view *view)
{
    free(view);
}

const char *coat_view_id(const struct coat_view *view, size_t *len)
{
    *len = view->id_len;
    return (const char *)view->bytes + view->id;
}

size_t coat_view_own(const struct coat_view *view)
{
    size_t own = 0;
    for (size_t i = 0; i < view->count; i++)
        own += (size_t)view->names[i].own;
    return own;
}

struct coat_arg coat_view_key(const struct coat_view *view, size_t nth)
{
    return (struct coat_arg){view->bytes + view->names[nth].at, view->names[nth].len};
}

struct coat_arg coat_view_path(const struct coat_view *view)
{
    return view ? (struct coat_arg){view->bytes + view->path, view->path_len}
                : (struct coat_arg){"", 0};
}
