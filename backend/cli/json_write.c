/* A value as JSON. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "api/utf8.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/put.h"

/* ---- Scalars -------------------------------------------------------------------------------- */

static int put_text(struct coat_buf *to, const unsigned char *text, size_t len)
{
    const unsigned char *at = text, *end = text + len;
    int rc = put(to, "\"");
    while (rc == 0 && at < end) {
        uint32_t c = 0;
        const unsigned char *next = coat_utf8_read(at, end, &c);
        if (output_is_control(c))
            rc = put_number(to, "\\u%04x", (unsigned)c);
        else if (c == '"' || c == '\\')
            rc = put_number(to, "\\%c", (int)c);
        else
            rc = coat_buf_append(to, at, (size_t)(next - at));
        at = next;
    }
    return rc ? rc : put(to, "\"");
}

static int put_bytes(struct coat_buf *to, const unsigned char *bytes, size_t len)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int rc = put(to, "{\"$bytes\": \"");
    for (size_t i = 0; rc == 0 && i < len; i += 3) {
        size_t left = len - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {DIGITS[three >> 18], DIGITS[three >> 12 & 63],
                        left > 1 ? DIGITS[three >> 6 & 63] : '=',
                        left > 2 ? DIGITS[three & 63] : '='};
        rc = coat_buf_append(to, four, sizeof four);
    }
    return rc ? rc : put(to, "\"}");
}

static int put_any_float(struct coat_buf *to, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (isnan(number))
        return bits == UINT64_C(0x7ff8000000000000)
                   ? put(to, "{\"$float\": \"nan\"}")
                   : put_number(to, "{\"$float\": \"0x%016" PRIx64 "\"}", bits);
    if (isinf(number))
        return put(to, number < 0 ? "{\"$float\": \"-inf\"}" : "{\"$float\": \"inf\"}");
    return put_float(to, number);
}

/* Two's complement, the highest byte first: its amount in hexadecimal, which takes no arithmetic
 * but a carry. */
static int put_big(struct coat_buf *to, const unsigned char *bytes, size_t len)
{
    int negative = bytes[0] & 0x80, carry = 1, rc = put(to, "{\"$int\": \"");
    if (rc == 0)
        rc = put(to, negative ? "-0x" : "0x");
    size_t at = to->len;
    if (rc == 0)
        rc = coat_buf_reserve(to, 2 * len);
    if (rc < 0)
        return rc;
    to->len += 2 * len;
    for (size_t i = len; i-- > 0;) {
        unsigned byte = negative ? (unsigned char)~bytes[i] + (unsigned)carry : bytes[i];
        carry = byte > 0xff;
        to->bytes[at + 2 * i] = (unsigned char)"0123456789abcdef"[byte >> 4 & 15];
        to->bytes[at + 2 * i + 1] = (unsigned char)"0123456789abcdef"[byte & 15];
    }
    return put(to, "\"}");
}

static int put_scalar(struct coat_buf *to, const struct coat_item *item)
{
    switch (item->kind) {
    case COAT_NIL:
        return put(to, "null");
    case COAT_BOOL:
        return put(to, item->truth ? "true" : "false");
    case COAT_INT:
        if (item->is_big)
            return put_big(to, item->bytes, item->len);
        return item->is_unsigned ? put_number(to, "%" PRIu64, item->u)
                                 : put_number(to, "%" PRId64, item->i);
    case COAT_FLOAT:
        return put_any_float(to, item->f);
    case COAT_TEXT:
        return put_text(to, item->bytes, item->len);
    default:
        return put_bytes(to, item->bytes, item->len);
    }
}

/* ---- Containers ----------------------------------------------------------------------------- */

/* Can it be an object that nobody takes for one of ours? `members`: where its first key is. */
static int is_object(const struct coat_item *dict, struct coat_cursor members)
{
    struct coat_item key;
    for (size_t i = 0; i < dict->count; i++) {
        coat_cursor_next(&members, &key);
        if (key.kind != COAT_TEXT || (dict->count == 1 && key.len > 0 && key.bytes[0] == '$'))
            return 0;
        coat_cursor_skip(&members);
    }
    return 1;
}

static int put_value(struct coat_buf *to, struct coat_cursor *c);

static int put_members(struct coat_buf *to, struct coat_cursor *c, size_t count)
{
    int rc = put(to, "[");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = i ? put(to, ", ") : 0;
        if (rc == 0)
            rc = put_value(to, c);
    }
    return rc ? rc : put(to, "]");
}

static int put_pairs(struct coat_buf *to, struct coat_cursor *c, size_t count, int object)
{
    int rc = put(to, object ? "{" : "{\"$dict\": [");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = put(to, i ? object ? ", " : ", [" : object ? "" : "[");
        if (rc == 0)
            rc = put_value(to, c);
        if (rc == 0)
            rc = put(to, object ? ": " : ", ");
        if (rc == 0)
            rc = put_value(to, c);
        if (rc == 0 && !object)
            rc = put(to, "]");
    }
    return rc ? rc : put(to, object ? "}" : "]}");
}

/* Recursion is as deep as the check has allowed values to be. */
static int put_value(struct coat_buf *to, struct coat_cursor *c)
{
    struct coat_item item;
    if (!coat_cursor_next(c, &item))
        return 0;
    if (item.kind == COAT_DICT)
        return put_pairs(to, c, item.count, is_object(&item, *c));
    if (item.kind == COAT_LIST)
        return put_members(to, c, item.count);
    if (item.kind != COAT_TUPLE)
        return put_scalar(to, &item);
    int rc = put(to, "{\"$tuple\": ");
    if (rc == 0)
        rc = put_members(to, c, item.count);
    return rc ? rc : put(to, "}");
}

int json_append(struct coat_buf *to, const void *bytes, size_t len)
{
    struct coat_cursor c;
    coat_cursor_init(&c, bytes, len);
    return put_value(to, &c);
}
