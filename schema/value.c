#include "api/value.h"

const char *coat_kind_name(enum coat_kind kind)
{
    switch (kind) {
    case COAT_NIL:
        return "nil";
    case COAT_BOOL:
        return "bool";
    case COAT_INT:
        return "int";
    case COAT_FLOAT:
        return "float";
    case COAT_TEXT:
        return "text";
    case COAT_BYTES:
        return "bytes";
    case COAT_LIST:
        return "list";
    case COAT_TUPLE:
        return "tuple";
    case COAT_DICT:
        return "dict";
    }
    return "unknown kind";
}

struct coat_limits coat_limits_effective(const struct coat_limits *limits)
{
    struct coat_limits l = COAT_LIMITS_DEFAULT;

    if (limits != NULL)
        l = *limits;
    if (l.max_depth > COAT_DEPTH_MAX)
        l.max_depth = COAT_DEPTH_MAX;
    if (l.max_bytes > COAT_BYTES_MAX)
        l.max_bytes = COAT_BYTES_MAX;
    return l;
}
