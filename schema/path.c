#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/path.h"
#include "api/utf8.h"
#include "api/wire.h"

enum {
    STEP_MAX = 64, /* bytes of one step of a path */
    STEP_HEAD = 24 /* of them, at most, before the dots of a shortened one */
};

/* One step being written. Units (a character, an escape, a number) are kept or left out whole. */
struct step {
    char text[STEP_MAX];
    unsigned char width[STEP_MAX]; /* at the first byte of each unit: its length */
    size_t len;
    size_t tail; /* where what follows the dots begins; 0: nothing was left out yet */
};

static const char DOTS[] = "...";
enum { DOTS_LEN = sizeof DOTS - 1 };

/* Leave out units from `tail` on until there is room for `more` bytes. */
static void leave_out(struct step *s, size_t more)
{
    size_t end = s->tail;

    while (s->len - (end - s->tail) + more > STEP_MAX)
        end += s->width[end];
    memmove(s->text + s->tail, s->text + end, s->len - end);
    memmove(s->width + s->tail, s->width + end, s->len - end);
    s->len -= end - s->tail;
}

static void put(struct step *s, const char *unit, size_t len)
{
    if (s->len + len > STEP_MAX) {
        if (s->tail == 0) {
            size_t left;

            while (s->tail + s->width[s->tail] <= STEP_HEAD)
                s->tail += s->width[s->tail];
            leave_out(s, len + DOTS_LEN);
            left = s->len - s->tail;
            memmove(s->text + s->tail + DOTS_LEN, s->text + s->tail, left);
            memmove(s->width + s->tail + DOTS_LEN, s->width + s->tail, left);
            memcpy(s->text + s->tail, DOTS, DOTS_LEN);
            s->tail += DOTS_LEN;
            s->len += DOTS_LEN;
        } else {
            leave_out(s, len);
        }
    }
    memcpy(s->text + s->len, unit, len);
    s->width[s->len] = (unsigned char)len;
    s->len += len;
}

static void put_str(struct step *s, const char *unit)
{
    put(s, unit, strlen(unit));
}

/* ---- Keys in Python's notation ------------------------------------------------------------- */

static char quote_for(const void *text, size_t len)
{
    return memchr(text, '\'', len) != NULL && memchr(text, '"', len) == NULL ? '"' : '\'';
}

/* A byte below 0x80. */
static void put_ascii(struct step *s, unsigned char c, char quote)
{
    char unit[8];

    if (c == '\n')
        put_str(s, "\\n");
    else if (c == '\r')
        put_str(s, "\\r");
    else if (c == '\t')
        put_str(s, "\\t");
    else if (c < 0x20 || c == 0x7f)
        put(s, unit, (size_t)snprintf(unit, sizeof unit, "\\x%02x", c));
    else if (c == '\\' || c == quote)
        put(s, (char[]){'\\', (char)c}, 2);
    else
        put(s, (char[]){(char)c}, 1);
}

/* Characters that would change how a line of a log looks, or not be seen in it. */
static int is_invisible(uint32_t c)
{
    return c < 0xa1 || c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) || c == 0x3000 ||
           (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff ||
           (c >= 0xfff0 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || c >= 0xe0000;
}

static void put_text(struct step *s, const unsigned char *text, size_t len)
{
    const unsigned char *end = text + len, *next;
    char quote = quote_for(text, len), unit[12];
    uint32_t c;

    put(s, &quote, 1);
    for (; text < end && (next = coat_utf8_read(text, end, &c)) != NULL; text = next) {
        if (c < 0x80)
            put_ascii(s, (unsigned char)c, quote);
        else if (is_invisible(c))
            put(s, unit,
                (size_t)snprintf(unit, sizeof unit,
                                 c < 0x100     ? "\\x%02" PRIx32
                                 : c < 0x10000 ? "\\u%04" PRIx32
                                               : "\\U%08" PRIx32,
                                 c));
        else
            put(s, (const char *)text, (size_t)(next - text));
    }
    put(s, &quote, 1);
}

static void put_bytes(struct step *s, const unsigned char *bytes, size_t len)
{
    char quote = quote_for(bytes, len), unit[8];

    put(s, (char[]){'b', quote}, 2);
    for (size_t i = 0; i < len; i++)
        if (bytes[i] < 0x80)
            put_ascii(s, bytes[i], quote);
        else
            put(s, unit, (size_t)snprintf(unit, sizeof unit, "\\x%02x", bytes[i]));
    put(s, &quote, 1);
}

/* As Python writes it: the fewest digits that lead back, an exponent from 1e16 and below 1e-4. */
static void put_float(struct step *s, double f)
{
    char text[40], *c, *end = text;
    int digits = 1, exponent;

    while (snprintf(text, sizeof text, "%.*e", digits - 1, f),
           digits < DBL_DECIMAL_DIG && strtod(text, NULL) != f)
        digits++;
    exponent = atoi(strchr(text, 'e') + 1);
    if (exponent >= -4 && exponent < 16)
        snprintf(text, sizeof text, "%.*f", exponent < digits - 1 ? digits - 1 - exponent : 1, f);
    else
        snprintf(text, sizeof text, "%.*e", digits - 1, f);
    /* The locale's decimal point may be anything. */
    for (c = text; *c != '\0'; c++)
        if ((*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || *c == 'e')
            *end++ = *c;
        else if (end == text || end[-1] != '.')
            *end++ = '.';
    put(s, text, (size_t)(end - text));
}

/* Tuples deeper than this within a key are shown by dots. */
enum { TUPLES_SHOWN = 4 };

static const unsigned char *put_key(struct step *s, const unsigned char *at, int depth)
{
    struct coat_wire_head h;
    char unit[24];

    at = coat_wire_read(at, at, 0, &h);
    switch (h.kind) {
    case COAT_NIL:
        put_str(s, "None");
        return at;
    case COAT_BOOL:
        put_str(s, h.v.truth ? "True" : "False");
        return at;
    case COAT_INT:
        if (h.form == COAT_WIRE_INT_SIGNED)
            snprintf(unit, sizeof unit, "%" PRId64, h.v.i);
        else
            snprintf(unit, sizeof unit, "%" PRIu64, h.v.u);
        put_str(s, unit);
        return at;
    case COAT_FLOAT:
        put_float(s, h.v.f);
        return at;
    case COAT_TEXT:
        put_text(s, at, h.len);
        return at + h.len;
    case COAT_BYTES:
        put_bytes(s, at, h.len);
        return at + h.len;
    case COAT_TUPLE:
        put_str(s, "(");
        if (depth == TUPLES_SHOWN) {
            put_str(s, DOTS);
            at = h.list + h.v.span;
        } else {
            for (size_t i = 0; i < h.len; i++) {
                if (i > 0)
                    put_str(s, ", ");
                at = put_key(s, at, depth + 1);
            }
            if (h.len == 1)
                put_str(s, ",");
        }
        put_str(s, ")");
        return at;
    case COAT_LIST:
    case COAT_DICT:
        break; /* never a key */
    }
    return at;
}

/* ---- The path ------------------------------------------------------------------------------ */

/*
 * Once a path was shortened, reserved[0] is the offset after its dots. What stands before them are
 * the outermost steps so far, and makes way for those that are further out.
 */
enum { PATH_TAIL = 112 }; /* bytes that stay after the dots */

static size_t path_cut(const struct coat_error *err)
{
    return (size_t)(uintptr_t)err->reserved[0];
}

static void set_path_cut(struct coat_error *err, size_t cut)
{
    err->reserved[0] = (void *)(uintptr_t)cut;
}

/* Past the step at p. A shortened key may lack a quote: then the whole path is one step. */
static const char *after_step(const char *p)
{
    char quote = '\0';

    for (; *p != '\0'; p++) {
        if (quote != '\0') {
            if (*p == '\\' && p[1] != '\0')
                p++;
            else if (*p == quote)
                quote = '\0';
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else if (*p == ']') {
            return p + 1;
        }
    }
    return p;
}

/* The steps of `path` from which on at most PATH_TAIL bytes are left. */
static const char *path_tail(const char *path)
{
    const char *end = path + strlen(path), *p = path;

    while (end - p > PATH_TAIL)
        p = after_step(p);
    return p;
}

static void prepend(struct coat_error *err, const struct step *s)
{
    size_t len = strlen(err->path), cut = path_cut(err);
    const char *rest = err->path; /* of the path, what stays */

    if (s->len + len < sizeof err->path) {
        if (cut > 0)
            set_path_cut(err, cut + s->len);
        memmove(err->path + s->len, rest, len + 1);
    } else {
        rest = cut > 0 ? rest + cut : path_tail(rest);
        len = strlen(rest);
        memmove(err->path + s->len + DOTS_LEN, rest, len + 1);
        memcpy(err->path + s->len, DOTS, DOTS_LEN);
        set_path_cut(err, s->len + DOTS_LEN);
    }
    memcpy(err->path, s->text, s->len);
}

/* STEP_MAX, dots, PATH_TAIL and the NUL. */
_Static_assert(STEP_MAX + DOTS_LEN + PATH_TAIL < sizeof((struct coat_error *)0)->path,
               "a shortened path fits");

static void begin(struct step *s)
{
    s->len = s->tail = 0;
    put_str(s, "[");
}

static void finish(struct step *s, struct coat_error *err)
{
    put_str(s, "]");
    prepend(err, s);
}

void coat_path_prepend_index(struct coat_error *err, size_t index)
{
    struct step s;
    char unit[24];

    if (err == NULL)
        return;
    begin(&s);
    snprintf(unit, sizeof unit, "%zu", index);
    put_str(&s, unit);
    finish(&s, err);
}

void coat_path_prepend_key(struct coat_error *err, const void *key)
{
    struct step s;

    if (err == NULL)
        return;
    begin(&s);
    put_key(&s, key, 0);
    finish(&s, err);
}

void coat_path_prepend_text(struct coat_error *err, const char *text, size_t len)
{
    struct step s;

    if (err == NULL)
        return;
    begin(&s);
    put_text(&s, (const unsigned char *)(len > 0 ? text : ""), len);
    finish(&s, err);
}
