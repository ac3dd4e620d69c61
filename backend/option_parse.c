#include "option_parse.h"

#include <string.h>

#include "api/utf8.h"
#include "node_map.h"
#include "options.h"
#include "sid.h"
#include "text.h"

/*
 * A decimal number without sign or exponent, times 10^places. Not strtod, which obeys the locale.
 * Digits beyond the places are dropped; where no places are asked for, they must be zeros.
 */
static int parse_decimal(const char *text, int places, int64_t *value)
{
    int64_t v = 0;
    int digits = 0;
    int after = -1; /* digits after the point; -1: before it */
    for (; *text; text++) {
        if (*text == '.' && after < 0) {
            after = 0;
            continue;
        }
        if (*text < '0' || *text > '9')
            return -1;
        int digit = *text - '0';
        digits++;
        if (after >= places) {
            if (places == 0 && digit != 0)
                return -1;
            continue;
        }
        if (v > (INT64_MAX - digit) / 10)
            return -1;
        v = v * 10 + digit;
        if (after >= 0)
            after++;
    }
    if (digits == 0)
        return -1;
    for (int i = after < 0 ? 0 : after; i < places; i++) {
        if (v > INT64_MAX / 10)
            return -1;
        v *= 10;
    }
    *value = v;
    return 0;
}

static int parse_number(const struct coat_option *option, const char *text, int places,
                        int64_t *value)
{
    if (option->none != COAT_NO_NONE && strcmp(text, "none") == 0) {
        *value = option->none;
        return 0;
    }
    if (parse_decimal(text, places, value) < 0 || *value < option->min || *value > option->max)
        return COAT_ECONFIG;
    return 0;
}

int coat_parse_whole(const struct coat_option *option, const char *text, void *field)
{
    return parse_number(option, text, 0, field);
}

int coat_parse_ms(const struct coat_option *option, const char *text, void *field)
{
    return parse_number(option, text, 3, field);
}

int coat_parse_int(const struct coat_option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 0, &value) < 0)
        return COAT_ECONFIG;
    *(int *)field = (int)value;
    return 0;
}

int coat_parse_size(const struct coat_option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 0, &value) < 0)
        return COAT_ECONFIG;
    *(size_t *)field = value == option->none ? SIZE_MAX : (size_t)value;
    return 0;
}

/* The bounds are in millionths. */
int coat_parse_part(const struct coat_option *option, const char *text, void *field)
{
    int64_t value;
    if (parse_number(option, text, 6, &value) < 0)
        return COAT_ECONFIG;
    *(double *)field = (double)value / 1e6;
    return 0;
}

/* Which of the names it is, or -1. */
static int find_name(const char *text, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    return -1;
}

#define FIND_NAME(text, names) find_name(text, names, sizeof(names) / sizeof(names)[0])

int coat_parse_on_conflict(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {
        [COAT_CONFLICT_MINE] = "mine",
        [COAT_CONFLICT_THEIRS] = "theirs",
        [COAT_CONFLICT_RAISE] = "raise",
    };
    int i = FIND_NAME(text, names);
    if (i < 0)
        return COAT_ECONFIG;
    *(enum coat_on_conflict *)field = (enum coat_on_conflict)i;
    return 0;
}

int coat_parse_preset(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {
        [COAT_NO_PRESET] = "", [COAT_AAL1] = "aal1", [COAT_AAL2] = "aal2", [COAT_AAL3] = "aal3"};
    int i = FIND_NAME(text, names);
    if (i < COAT_AAL1)
        return COAT_ECONFIG;
    *(enum coat_preset *)field = (enum coat_preset)i;
    return 0;
}

int coat_parse_on_max(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    int refuse = strcmp(text, "refuse") == 0;
    if (!refuse && strcmp(text, "evict") != 0)
        return COAT_ECONFIG;
    *(enum coat_on_max *)field = refuse ? COAT_MAX_REFUSE : COAT_MAX_EVICT;
    return 0;
}

int coat_parse_on_event(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {[COAT_EVENTS_NONE] = "none", [COAT_EVENTS_LOG] = "log"};
    int i = FIND_NAME(text, names);
    if (i < 0)
        return COAT_ECONFIG;
    *(enum coat_on_event *)field = (enum coat_on_event)i;
    return 0;
}

int coat_parse_show(const struct coat_option *option, const char *text, void *field)
{
    size_t len = strlen(text);
    int has_empty = len > 0 && (text[0] == ',' || text[len - 1] == ',' || strstr(text, ",,"));
    if (has_empty || coat_utf8_valid(text, len) != len)
        return COAT_ECONFIG;
    return coat_parse_text(option, text, field);
}

int coat_parse_text(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    char *copy;
    if (!coat_text_copy(&copy, *text ? text : NULL))
        return COAT_ENOMEM;
    coat_text_wipe(field);
    *(char **)field = copy;
    return 0;
}

int coat_parse_tls_version(const struct coat_option *option, const char *text, void *field)
{
    (void)option;
    static const char *const names[] = {[COAT_TLS_1_2] = "1.2", [COAT_TLS_1_3] = "1.3"};
    int i = FIND_NAME(text, names);
    if (i < 0)
        return COAT_ECONFIG;
    *(enum coat_tls_version *)field = (enum coat_tls_version)i;
    return 0;
}

static int has_control(const char *utf8)
{
    for (const unsigned char *c = (const unsigned char *)utf8; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
            return 1;
    return 0;
}

int coat_parse_node_map(const struct coat_option *option, const char *text, void *field)
{
    return *text && !coat_node_map_valid(text) ? COAT_ECONFIG
                                               : coat_parse_text(option, text, field);
}

int coat_parse_prefix(const struct coat_option *option, const char *text, void *field)
{
    size_t len = strlen(text);
    if (len == 0 || len > COAT_PREFIX_MAX || strpbrk(text, "{}") ||
        coat_utf8_valid(text, len) != len || has_control(text))
        return COAT_ECONFIG;
    return coat_parse_text(option, text, field);
}
