#include "cli/literal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/put.h"
#include "coat_value.h"

static int put_any_float(struct coat_buf *to, double number)
{
    if (isnan(number) || isinf(number))
        return put(to, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
    return put_float(to, number);
}

static int put_quoted(struct coat_buf *to, const unsigned char *bytes, size_t len, int is_text)
{
    int rc = put(to, is_text ? "'" : "b'");
    for (size_t i = 0; rc == 0 && i < len; i++) {
        unsigned char c = bytes[i];
        if (c == '\'' || c == '\\')
            rc = put_number(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c > 0x7f && !is_text))
            rc = put_number(to, "\\x%02x", c);
        else
            rc = coat_buf_append(to, &c, 1);
    }
    return rc ? rc : put(to, "'");
}

/* Beyond 64 bits, as it is stored: two's complement, the highest byte first. */
static int put_big(struct coat_buf *to, const unsigned char *bytes, size_t len)
{
    int negative = bytes[0] & 0x80;
    int rc = put(to, negative ? "-(2**" : "0x");
    if (rc == 0 && negative)
        rc = put_number(to, "%zu - 0x", 8 * len);
    for (size_t i = 0; rc == 0 && i < len; i++)
        rc = put_number(to, "%02x", bytes[i]);
    return rc == 0 && negative ? put(to, ")") : rc;
}

static int put_scalar(struct coat_buf *to, const struct coat_item *item)
{
    switch (item->kind) {
    case COAT_NIL:
        return put(to, "None");
    case COAT_BOOL:
        return put(to, item->truth ? "True" : "False");
    case COAT_INT:
        if (item->is_big)
            return put_big(to, item->bytes, item->len);
        return item->is_unsigned ? put_number(to, "%" PRIu64, item->u)
                                 : put_number(to, "%" PRId64, item->i);
    case COAT_FLOAT:
        return put_any_float(to, item->f);
    default:
        return put_quoted(to, item->bytes, item->len, item->kind == COAT_TEXT);
    }
}

/* Recursion is as deep as the check has allowed values to be. */
static int put_value(struct coat_buf *to, struct coat_cursor *c)
{
    struct coat_item item;
    if (!coat_cursor_next(c, &item))
        return 0;
    if (item.kind != COAT_LIST && item.kind != COAT_TUPLE && item.kind != COAT_DICT)
        return put_scalar(to, &item);
    int is_dict = item.kind == COAT_DICT, is_list = item.kind == COAT_LIST;
    int rc = put(to, is_dict ? "{" : is_list ? "[" : "(");
    for (size_t i = 0; rc == 0 && i < item.count; i++) {
        rc = i ? put(to, ", ") : 0;
        if (rc == 0 && is_dict && (rc = put_value(to, c)) == 0)
            rc = put(to, ": ");
        if (rc == 0)
            rc = put_value(to, c);
    }
    if (rc == 0 && item.kind == COAT_TUPLE && item.count == 1)
        rc = put(to, ",");
    return rc ? rc : put(to, is_dict ? "}" : is_list ? "]" : ")");
}

int literal_append(struct coat_buf *to, const void *bytes, size_t len)
{
    struct coat_cursor c;
    coat_cursor_init(&c, bytes, len);
    return put_value(to, &c);
}
