#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coat_version.h"
#include "api/error.h"
#include "api/utf8.h"

const char *coat_version(void)
{
    return COAT_VERSION;
}

const char *coat_code_name(int code)
{
#define NAME(code)                                                                                 \
    case code:                                                                                     \
        return #code
    switch (code) {
        NAME(COAT_ENOMEM);
        NAME(COAT_EUSAGE);
        NAME(COAT_ENOTSTORABLE);
        NAME(COAT_ELIMIT);
        NAME(COAT_ECORRUPT);
        NAME(COAT_EFORMAT);
        NAME(COAT_ECONFIG);
        NAME(COAT_EDENIED);
        NAME(COAT_EUNAVAILABLE);
        NAME(COAT_ETIMEOUT);
        NAME(COAT_EFOREIGN);
        NAME(COAT_EUNCERTAIN);
        NAME(COAT_EGONE);
        NAME(COAT_EREPLACED);
        NAME(COAT_ECONFLICT);
        NAME(COAT_EINTR);
    default:
        return "unknown code";
    }
#undef NAME
}

__attribute__((format(printf, 4, 0))) static int
fill(struct coat_error *err, int code, const char *reason, const char *text, va_list args)
{
    int full;

    if (err == NULL)
        return code;
    memset(err, 0, sizeof *err);
    err->code = code;
    snprintf(err->reason, sizeof err->reason, "%s", reason);
    full = vsnprintf(err->text, sizeof err->text, text, args);
    if (full < 0)
        err->text[0] = '\0';
    else if ((size_t)full >= sizeof err->text) /* a character that was cut in two goes altogether */
        err->text[coat_utf8_valid(err->text, strlen(err->text))] = '\0';
    return code;
}

int coat_error_set(struct coat_error *err, int code, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    fill(err, code, "", text, args);
    va_end(args);
    return code;
}

int coat_error_because(struct coat_error *err, int code, const char *reason, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    fill(err, code, reason, text, args);
    va_end(args);
    return code;
}

int coat_error_nomem(struct coat_error *err)
{
    return coat_error_set(err, COAT_ENOMEM, "out of memory");
}
