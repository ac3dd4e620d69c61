#include "api/wire.h"

void coat_cursor_init(struct coat_cursor *c, const void *bytes, size_t len)
{
    c->at = bytes;
    c->end = len > 0 ? c->at + len : c->at; /* NULL has no bytes to step over */
}

int coat_cursor_next(struct coat_cursor *c, struct coat_item *item)
{
    struct coat_wire_head h;

    if (c->at == c->end)
        return 0;
    c->at = coat_wire_read(c->at, c->end, 0, &h);
    *item = (struct coat_item){.kind = h.kind};
    switch (h.kind) {
    case COAT_NIL:
        break;
    case COAT_BOOL:
        item->truth = h.v.truth;
        break;
    case COAT_INT:
        if (h.form == COAT_WIRE_INT_SIGNED) {
            item->i = h.v.i;
            break;
        }
        if (h.form == COAT_WIRE_INT_UNSIGNED) {
            item->is_unsigned = 1;
            item->u = h.v.u;
            break;
        }
        item->is_big = 1;
        /* fallthrough */
    case COAT_TEXT:
    case COAT_BYTES:
        item->bytes = c->at;
        item->len = h.len;
        c->at += h.len;
        break;
    case COAT_FLOAT:
        item->f = h.v.f;
        break;
    case COAT_LIST:
    case COAT_TUPLE:
    case COAT_DICT:
        item->count = h.len;
        break;
    }
    return 1;
}

int coat_cursor_skip(struct coat_cursor *c)
{
    if (c->at == c->end)
        return 0;
    c->at = coat_wire_skip(c->at, c->end);
    return 1;
}
