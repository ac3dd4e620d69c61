#include "entry.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/wire.h"
#include "coat_error.h"

/* 1 if it is an int of 64 bits. */
static int is_int(const void *value, size_t len, int64_t *number)
{
    struct coat_wire_head h;
    const unsigned char *at = value;
    if (!coat_wire_read(at, at + len, 1, &h) || h.kind != COAT_INT)
        return 0;
    *number = h.v.i;
    return h.form == COAT_WIRE_INT_SIGNED;
}

int coat_entry_put(struct coat_buf *to, const void *value, size_t len)
{
    static const unsigned char head[COAT_ENTRY_HEAD] = {COAT_ENTRY_MAGIC, COAT_ENTRY_FORMAT};
    char digits[COAT_ENTRY_INT_MAX + 1];
    int64_t number;
    if (is_int(value, len, &number)) {
        int n = snprintf(digits, sizeof digits, "%" PRId64, number);
        return coat_buf_append(to, digits, (size_t)n);
    }
    int rc = coat_buf_append(to, head, sizeof head);
    return rc < 0 ? rc : coat_buf_append(to, value, len);
}

int coat_entry_digits(const void *digits, size_t len, int64_t *number)
{
    const unsigned char *at = digits;
    int negative = len > 0 && at[0] == '-';
    uint64_t n = 0;
    if (len > COAT_ENTRY_INT_MAX || len == (size_t)negative)
        return COAT_ECORRUPT;
    if (len > 1 && at[negative] == '0')
        return COAT_ECORRUPT;
    for (size_t i = (size_t)negative; i < len; i++) {
        if (at[i] < '0' || at[i] > '9' || n > (UINT64_MAX - 9) / 10)
            return COAT_ECORRUPT;
        n = 10 * n + (uint64_t)(at[i] - '0');
    }
    if (n > (uint64_t)INT64_MAX + (uint64_t)negative)
        return COAT_ECORRUPT;
    *number = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

int coat_entry_value(const void *entry, size_t entry_len, unsigned char *room, const void **value,
                     size_t *len)
{
    const unsigned char *at = entry;
    int64_t number;
    if (entry_len > COAT_ENTRY_HEAD && at[0] == COAT_ENTRY_MAGIC && at[1] == COAT_ENTRY_FORMAT) {
        *value = at + COAT_ENTRY_HEAD;
        *len = entry_len - COAT_ENTRY_HEAD;
        return 0;
    }
    if (coat_entry_digits(at, entry_len, &number) < 0)
        return COAT_ECORRUPT;
    *value = room;
    *len = (size_t)(coat_wire_put_int(room, number) - room);
    return 0;
}
