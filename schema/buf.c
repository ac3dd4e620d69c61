#include <stdlib.h>

#include "api/buf.h"

enum { FIRST_CAP = 256 };

int coat_buf_grow(struct coat_buf *b, size_t more)
{
    size_t need, cap;
    unsigned char *bytes;

    if (!coat_size_add(b->len, more, &need))
        return COAT_ENOMEM;
    if (!coat_size_mul(b->cap, 2, &cap) || cap < need)
        cap = need;
    if (cap < FIRST_CAP)
        cap = FIRST_CAP;
    bytes = realloc(b->bytes, cap);
    if (bytes == NULL)
        return COAT_ENOMEM;
    b->bytes = bytes;
    b->cap = cap;
    return 0;
}

void coat_buf_release(struct coat_buf *b)
{
    free(b->bytes);
    *b = (struct coat_buf)COAT_BUF_INIT;
}
