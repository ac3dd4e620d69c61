#include "api/utf8.h"

static int is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The length of the sequence at s, which is none of ASCII, or 0 if it is none; RFC 3629, section 4.
 */
static inline size_t sequence(const unsigned char *s, size_t len)
{
    unsigned char least = 0x80, most = 0xbf; /* of the second byte */

    if (s[0] < 0xe0)
        return len >= 2 && s[0] >= 0xc2 && is_tail(s[1]) ? 2 : 0;
    if (s[0] < 0xf0) {
        if (s[0] == 0xe0)
            least = 0xa0;
        else if (s[0] == 0xed)
            most = 0x9f;
        return len >= 3 && s[1] >= least && s[1] <= most && is_tail(s[2]) ? 3 : 0;
    }
    if (s[0] == 0xf0)
        least = 0x90;
    else if (s[0] == 0xf4)
        most = 0x8f;
    return len >= 4 && s[0] <= 0xf4 && s[1] >= least && s[1] <= most && is_tail(s[2]) &&
                   is_tail(s[3])
               ? 4
               : 0;
}

size_t coat_utf8_walk(const void *text, size_t len, struct coat_utf8_extent *x)
{
    const unsigned char *s = text;
    unsigned char top = 0;
    size_t at = 0, chars = 0, step;

    while (at < len) {
        if (s[at] >= 0x80) {
            step = sequence(s + at, len - at);
            if (step == 0)
                break;
            if (s[at] > top)
                top = s[at];
        } else {
            step = len - at >= 8 && coat_is_ascii(s + at, 8) ? 8 : 1;
            chars += step - 1;
        }
        chars++;
        at += step;
    }
    *x = (struct coat_utf8_extent){chars, top};
    return at;
}
