#include "api/utf8.h"

size_t coat_utf8_walk(const void *text, size_t len)
{
    const unsigned char *start = text, *at = start, *end = start + len, *next;
    uint32_t c;

    while (at < end) {
        if (end - at >= 8 && coat_is_ascii(at, 8)) {
            at += 8;
            continue;
        }
        next = coat_utf8_read(at, end, &c);
        if (next == NULL)
            break;
        at = next;
    }
    return (size_t)(at - start);
}
