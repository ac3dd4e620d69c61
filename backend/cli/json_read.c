/*
 * JSON as a value. It is taken apart first, since the head of a container says how many members
 * there are; then the parts are packed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "api/utf8.h"
#include "cli/json.h"

enum { DEPTH_MAX = 3 * (int)COAT_DEPTH_MAX + 1 }; /* a dict in our notation is three levels */

enum kind { NOTHING, TRUTH, UNTRUTH, NUMBER, TEXT, ARRAY, OBJECT };

struct part {
    enum kind kind;
    size_t at, len; /* of a text without its quotes */
    size_t count;   /* members, which follow; of an object names and values */
};

struct reader {
    const char *text;
    size_t len, at;
    struct part *parts;
    size_t count, room;
    struct coat_packer *to;
    struct coat_buf bytes; /* of the text that is packed just now */
    struct coat_error *err;
};

static int wrong(struct reader *r, size_t at, const char *why)
{
    return coat_error_set(r->err, COAT_EUSAGE, "the value, at byte %zu: %s", at, why);
}

/* ---- Taking it apart ------------------------------------------------------------------------ */

static void skip_blanks(struct reader *r)
{
    while (r->at < r->len && strchr(" \t\r\n", r->text[r->at]) && r->text[r->at])
        r->at++;
}

static int looks_at(const struct reader *r, char c)
{
    return r->at < r->len && r->text[r->at] == c;
}

/* Parts move when there are more, so they are known by their number. */
static int new_part(struct reader *r, enum kind kind, size_t *number)
{
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64, size;
        struct part *parts =
            coat_size_mul(room, sizeof *parts, &size) ? realloc(r->parts, size) : NULL;
        if (!parts)
            return coat_error_nomem(r->err);
        r->parts = parts;
        r->room = room;
    }
    *number = r->count;
    r->parts[r->count++] = (struct part){.kind = kind, .at = r->at};
    return 0;
}

static int read_word(struct reader *r)
{
    static const struct {
        const char *word;
        enum kind kind;
    } words[] = {{"null", NOTHING}, {"true", TRUTH}, {"false", UNTRUTH}};
    size_t number;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i].word);
        if (r->len - r->at >= len && memcmp(r->text + r->at, words[i].word, len) == 0) {
            int rc = new_part(r, words[i].kind, &number);
            r->at += len;
            return rc;
        }
    }
    return wrong(
        r, r->at,
        "here a value must begin: null, true, false, a number, \"a text\", [...] or {...}");
}

static size_t digits(const struct reader *r, size_t at)
{
    size_t begin = at;
    while (at < r->len && r->text[at] >= '0' && r->text[at] <= '9')
        at++;
    return at - begin;
}

static int read_number(struct reader *r)
{
    size_t number, at = r->at + (size_t)looks_at(r, '-'), whole = digits(r, at);
    int rc = new_part(r, NUMBER, &number);
    if (rc < 0)
        return rc;
    if (whole == 0 || (whole > 1 && r->text[at] == '0'))
        return wrong(r, r->at, "a number begins with a digit, and with 0 only if that is all");
    at += whole;
    if (at < r->len && r->text[at] == '.') {
        size_t more = digits(r, at + 1);
        if (more == 0)
            return wrong(r, at, "digits must follow the dot of a number");
        at += 1 + more;
    }
    if (at < r->len && (r->text[at] == 'e' || r->text[at] == 'E')) {
        at++;
        if (at < r->len && (r->text[at] == '+' || r->text[at] == '-'))
            at++;
        size_t more = digits(r, at);
        if (more == 0)
            return wrong(r, at, "digits must follow the e of a number");
        at += more;
    }
    r->parts[number].len = at - r->at;
    r->at = at;
    return 0;
}

static int read_text(struct reader *r)
{
    size_t number, begin = ++r->at;
    int rc = new_part(r, TEXT, &number);
    while (rc == 0 && r->at < r->len && r->text[r->at] != '"') {
        unsigned char c = (unsigned char)r->text[r->at];
        if (c < 0x20)
            return wrong(r, r->at, "a control character in a text is written \\u00..");
        r->at += c == '\\' && r->at + 1 < r->len ? 2 : 1;
    }
    if (rc < 0)
        return rc;
    if (r->at >= r->len)
        return wrong(r, begin - 1, "this text has no end");
    r->parts[number].len = r->at++ - begin;
    return 0;
}

static int read_value(struct reader *r, int depth);

static int read_name(struct reader *r, int depth)
{
    if (!looks_at(r, '"'))
        return wrong(r, r->at, "here a name in double quotes is missing");
    int rc = read_text(r);
    if (rc < 0)
        return rc;
    skip_blanks(r);
    if (!looks_at(r, ':'))
        return wrong(r, r->at, "a colon must follow a name");
    r->at++;
    return read_value(r, depth);
}

static int read_container(struct reader *r, int depth)
{
    size_t number, begin = r->at;
    int is_object = looks_at(r, '{');
    char end = is_object ? '}' : ']';
    if (depth == 0)
        return wrong(r, begin, "too many arrays and objects within each other");
    int rc = new_part(r, is_object ? OBJECT : ARRAY, &number);
    r->at++;
    skip_blanks(r);
    if (rc == 0 && looks_at(r, end)) {
        r->at++;
        return 0;
    }
    while (rc == 0) {
        skip_blanks(r);
        rc = is_object ? read_name(r, depth - 1) : read_value(r, depth - 1);
        if (rc < 0)
            return rc;
        r->parts[number].count++;
        skip_blanks(r);
        if (looks_at(r, end)) {
            r->at++;
            return 0;
        }
        if (!looks_at(r, ','))
            return wrong(r, r->at,
                         is_object ? "here a comma or } is missing"
                                   : "here a comma or ] is missing");
        r->at++;
    }
    return rc;
}

static int read_value(struct reader *r, int depth)
{
    skip_blanks(r);
    if (looks_at(r, '{') || looks_at(r, '['))
        return read_container(r, depth);
    if (looks_at(r, '"'))
        return read_text(r);
    if (r->at < r->len && (r->text[r->at] == '-' || digits(r, r->at)))
        return read_number(r);
    return read_word(r);
}

static int read_all(struct reader *r)
{
    int rc = read_value(r, DEPTH_MAX);
    skip_blanks(r);
    if (rc == 0 && r->at < r->len)
        return wrong(r, r->at, "the value has ended before this");
    return rc;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits behind \u; -1: they are not. */
static int32_t code_unit(const struct reader *r, size_t at, size_t end)
{
    int32_t unit = 0;
    if (end - at < 4)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        int digit = hex_digit(r->text[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static int put_code_point(struct reader *r, uint32_t c)
{
    unsigned char bytes[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; c >>= 6)
        bytes[i] = (unsigned char)(0x80 | (c & 0x3f));
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    bytes[0] = (unsigned char)(first[len] | c);
    return coat_buf_append(&r->bytes, bytes, len) < 0 ? coat_error_nomem(r->err) : 0;
}

/* At the backslash of \uXXXX, moved behind it, or behind the second of a pair. */
static int put_unicode(struct reader *r, size_t *at, size_t end)
{
    size_t begin = *at;
    int32_t unit = code_unit(r, begin + 2, end);
    if (unit < 0)
        return wrong(r, begin, "\\u is followed by four hexadecimal digits");
    *at = begin + 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return put_code_point(r, (uint32_t)unit);
    int32_t second = -1;
    if (unit < 0xdc00 && end - *at >= 6 && r->text[*at] == '\\' && r->text[*at + 1] == 'u')
        second = code_unit(r, *at + 2, end);
    if (second < 0xdc00 || second > 0xdfff)
        return wrong(r, begin, "half of a pair of surrogates, which no text can have");
    *at += 6;
    return put_code_point(r, 0x10000 + (((uint32_t)unit - 0xd800) << 10) +
                                 ((uint32_t)second - 0xdc00));
}

static int put_escaped(struct reader *r, size_t *at, size_t end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *at + 1 < end ? r->text[*at + 1] : '\0';
    const char *known = c ? strchr(from, c) : NULL;
    if (c == 'u')
        return put_unicode(r, at, end);
    if (!known)
        return wrong(r, *at, "a backslash is followed by one of \" \\ / b f n r t u");
    *at += 2;
    return coat_buf_append(&r->bytes, &to[known - from], 1) < 0 ? coat_error_nomem(r->err) : 0;
}

/* What a text says, in r->bytes. */
static int take_text(struct reader *r, const struct part *text)
{
    size_t at = text->at, end = text->at + text->len;
    int rc = 0;
    coat_buf_clear(&r->bytes);
    while (rc == 0 && at < end) {
        const char *escape = memchr(r->text + at, '\\', end - at);
        size_t plain = escape ? (size_t)(escape - (r->text + at)) : end - at;
        if (coat_utf8_valid(r->text + at, plain) != plain)
            return wrong(r, at + coat_utf8_valid(r->text + at, plain), "this is no UTF-8");
        if (coat_buf_append(&r->bytes, r->text + at, plain) < 0)
            return coat_error_nomem(r->err);
        at += plain;
        if (escape)
            rc = put_escaped(r, &at, end);
    }
    return rc;
}

static int pack_text(struct reader *r, const struct part *text)
{
    int rc = take_text(r, text);
    if (rc == 0)
        coat_pack_text(r->to, r->bytes.len ? (const char *)r->bytes.bytes : "", r->bytes.len);
    return rc;
}

/* ---- Numbers -------------------------------------------------------------------------------- */

static int pack_number(struct reader *r, const struct part *part)
{
    char *text = strndup(r->text + part->at, part->len), *end;
    if (!text)
        return coat_error_nomem(r->err);
    int is_float = strpbrk(text, ".eE") != NULL;
    errno = 0;
    if (is_float)
        coat_pack_float(r->to, strtod(text, &end));
    else if (text[0] == '-')
        coat_pack_int(r->to, strtoll(text, &end, 10));
    else
        coat_pack_uint(r->to, strtoull(text, &end, 10));
    int too_large = !is_float && errno == ERANGE;
    free(text);
    return too_large
               ? wrong(r, part->at,
                       "an int beyond 64 bits is written in hexadecimal, {\"$int\": \"0x...\"}")
               : 0;
}

/* ---- What JSON lacks ------------------------------------------------------------------------ */

static int base64_digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* In place. 1, and *len: how many bytes there are; 0: it is no base64. */
static int from_base64(unsigned char *text, size_t *len)
{
    size_t count = *len, to = 0;
    if (count % 4)
        return 0;
    size_t padding = count && text[count - 1] == '=' ? 1 + (text[count - 2] == '=') : 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = i >= count - padding ? 0 : base64_digit((char)text[i]);
        if (digit < 0)
            return 0;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 < 3)
            continue;
        text[to] = (unsigned char)(bits >> 16);
        text[to + 1] = (unsigned char)(bits >> 8);
        text[to + 2] = (unsigned char)bits;
        to += 3;
        bits = 0;
    }
    /* What the padding cuts off must be nothing. */
    for (size_t i = to - padding; i < to; i++)
        if (text[i])
            return 0;
    *len = to - padding;
    return 1;
}

static int pack_bytes(struct reader *r, const struct part *part)
{
    static const char ADVICE[] = "$bytes is a text in base64, with its padding";
    if (part->kind != TEXT)
        return wrong(r, part->at, ADVICE);
    int rc = take_text(r, part);
    if (rc < 0)
        return rc;
    size_t len = r->bytes.len;
    if (len && !from_base64(r->bytes.bytes, &len))
        return wrong(r, part->at, ADVICE);
    coat_pack_bytes(r->to, len ? r->bytes.bytes : (const unsigned char *)"", len);
    return 0;
}

/*
 * Hexadecimal digits from `at` to the end of *digits, as bytes from a zero on, which is the sign.
 * 1; 0: they are none; COAT_ENOMEM.
 */
static int from_hex(const struct coat_buf *digits, size_t at, struct coat_buf *number)
{
    size_t count = digits->len - at;
    unsigned char byte = 0;
    if (coat_buf_append(number, &byte, 1) < 0)
        return COAT_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_digit((char)digits->bytes[at + i]);
        if (digit < 0)
            return 0;
        byte = (unsigned char)(byte << 4 | digit);
        if ((count - i) % 2 == 0)
            continue;
        if (coat_buf_append(number, &byte, 1) < 0)
            return COAT_ENOMEM;
        byte = 0;
    }
    return count > 0;
}

static void negate(struct coat_buf *number)
{
    unsigned carry = 1;
    for (size_t i = number->len; i-- > 0;) {
        unsigned byte = (unsigned char)~number->bytes[i] + carry;
        number->bytes[i] = (unsigned char)byte;
        carry = byte >> 8;
    }
}

/* "-0x1f" in r->bytes. As from_hex. */
static int read_big(const struct coat_buf *text, struct coat_buf *number)
{
    size_t minus = text->len > 0 && text->bytes[0] == '-';
    if (text->len < minus + 2 || memcmp(text->bytes + minus, "0x", 2) != 0)
        return 0;
    int rc = from_hex(text, minus + 2, number);
    if (rc == 1 && minus)
        negate(number);
    return rc;
}

static int pack_big(struct reader *r, const struct part *part)
{
    static const char ADVICE[] = "$int is a text, \"0x...\" or \"-0x...\"";
    struct coat_buf number = COAT_BUF_INIT;
    if (part->kind != TEXT)
        return wrong(r, part->at, ADVICE);
    int rc = take_text(r, part);
    if (rc < 0)
        return rc;
    rc = read_big(&r->bytes, &number);
    if (rc == 1)
        coat_pack_bigint(r->to, number.bytes, number.len);
    coat_buf_release(&number);
    return rc < 0 ? coat_error_nomem(r->err) : rc ? 0 : wrong(r, part->at, ADVICE);
}

static int pack_odd_float(struct reader *r, const struct part *part)
{
    static const struct {
        const char *name;
        uint64_t bits;
    } names[] = {{"nan", UINT64_C(0x7ff8000000000000)},
                 {"inf", UINT64_C(0x7ff0000000000000)},
                 {"-inf", UINT64_C(0xfff0000000000000)}};
    const char *text = r->text + part->at;
    uint64_t bits = 0;
    double number;
    int known = 0;
    for (size_t i = 0; part->kind == TEXT && i < sizeof names / sizeof names[0]; i++)
        if (part->len == strlen(names[i].name) && memcmp(text, names[i].name, part->len) == 0) {
            bits = names[i].bits;
            known = 1;
        }
    if (part->kind == TEXT && part->len == 18 && memcmp(text, "0x", 2) == 0) {
        known = 1;
        for (size_t i = 2; i < 18; i++) {
            int digit = hex_digit(text[i]);
            known = known && digit >= 0;
            bits = bits << 4 | (uint64_t)(digit & 15);
        }
    }
    if (!known)
        return wrong(r, part->at, "$float is \"nan\", \"inf\", \"-inf\", or \"0x\" and 16 digits");
    memcpy(&number, &bits, sizeof number);
    coat_pack_float(r->to, number);
    return 0;
}

/* ---- Packing -------------------------------------------------------------------------------- */

static int pack_part(struct reader *r, size_t *number);

static int pack_members(struct reader *r, size_t *number, size_t count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = pack_part(r, number);
    coat_pack_end(r->to);
    return rc;
}

static int pack_tuple(struct reader *r, size_t *number)
{
    const struct part *array = &r->parts[*number];
    if (array->kind != ARRAY)
        return wrong(r, array->at, "$tuple is an array");
    ++*number;
    coat_pack_tuple(r->to, array->count);
    return pack_members(r, number, array->count);
}

static int pack_pairs(struct reader *r, size_t *number)
{
    const struct part *array = &r->parts[*number];
    int rc = array->kind == ARRAY ? 0 : wrong(r, array->at, "$dict is an array of pairs");
    if (rc < 0)
        return rc;
    ++*number;
    coat_pack_dict(r->to, array->count);
    for (size_t i = 0; rc == 0 && i < array->count; i++) {
        const struct part *pair = &r->parts[*number];
        if (pair->kind != ARRAY || pair->count != 2)
            return wrong(r, pair->at, "each pair of a $dict is an array of a key and a value");
        ++*number;
        rc = pack_part(r, number);
        if (rc == 0)
            rc = pack_part(r, number);
    }
    coat_pack_end(r->to);
    return rc;
}

static int is_name(const struct reader *r, const char *name)
{
    return r->bytes.len == strlen(name) && memcmp(r->bytes.bytes, name, r->bytes.len) == 0;
}

/* r->bytes: the name. */
static int pack_notation(struct reader *r, size_t at, size_t *number)
{
    static const struct {
        const char *name;
        int (*pack)(struct reader *, const struct part *);
    } scalars[] = {{"$bytes", pack_bytes}, {"$int", pack_big}, {"$float", pack_odd_float}};
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (is_name(r, scalars[i].name))
            return scalars[i].pack(r, &r->parts[(*number)++]);
    if (is_name(r, "$tuple"))
        return pack_tuple(r, number);
    if (is_name(r, "$dict"))
        return pack_pairs(r, number);
    return wrong(r, at,
                 "there are $bytes, $tuple, $dict, $float and $int; a dict with one key that "
                 "begins with $ is written {\"$dict\": [[\"$...\", value]]}");
}

static int pack_object(struct reader *r, size_t count, size_t *number)
{
    int rc = 0;
    if (count == 1 && r->parts[*number].len > 0) {
        size_t at = r->parts[*number].at;
        rc = take_text(r, &r->parts[*number]);
        if (rc < 0)
            return rc;
        if (r->bytes.bytes[0] == '$') {
            ++*number;
            return pack_notation(r, at, number);
        }
    }
    coat_pack_dict(r->to, count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = pack_text(r, &r->parts[(*number)++]);
        if (rc == 0)
            rc = pack_part(r, number);
    }
    coat_pack_end(r->to);
    return rc;
}

/* Recursion is as deep as the reader was. */
static int pack_part(struct reader *r, size_t *number)
{
    const struct part *part = &r->parts[(*number)++];
    switch (part->kind) {
    case NOTHING:
        coat_pack_nil(r->to);
        return 0;
    case TRUTH:
    case UNTRUTH:
        coat_pack_bool(r->to, part->kind == TRUTH);
        return 0;
    case NUMBER:
        return pack_number(r, part);
    case TEXT:
        return pack_text(r, part);
    case ARRAY:
        coat_pack_list(r->to, part->count);
        return pack_members(r, number, part->count);
    default:
        return pack_object(r, part->count, number);
    }
}

int json_pack(struct coat_packer *to, const char *text, size_t len, struct coat_error *err)
{
    struct reader r = {.text = text, .len = len, .to = to, .bytes = COAT_BUF_INIT, .err = err};
    size_t number = 0;
    int rc = read_all(&r);
    if (rc == 0)
        rc = pack_part(&r, &number);
    coat_buf_release(&r.bytes);
    free(r.parts);
    return rc;
}
