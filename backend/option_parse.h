/* option_parse.h: what an option is, and how the text of its value is read. */
#ifndef COAT_BACKEND_OPTION_PARSE_H
#define COAT_BACKEND_OPTION_PARSE_H

#include <stddef.h>
#include <stdint.h>

struct coat_option;

/*
 * Stores the value of `text` at `field`, which points to what the parser makes. 0; COAT_ECONFIG: it
 * is no such value; COAT_ENOMEM. After a failure *field is as it was.
 */
typedef int coat_parse_fn(const struct coat_option *option, const char *text, void *field);

#define COAT_NO_NONE INT64_MIN /* coat_option.none: "none" is no value */

/* Everything that is known about one. */
struct coat_option {
    const char *name;
    const char *standard; /* the value where none is given; NULL: none */
    coat_parse_fn *parse;
    size_t field;      /* where in struct coat_options */
    int64_t min, max;  /* of a number, in the units of the field */
    int64_t none;      /* what "none" means there */
    const char *right; /* what it must be, for messages */
};

/* Numbers within the bounds. */
coat_parse_fn coat_parse_whole; /* int64_t */
coat_parse_fn coat_parse_ms;    /* int64_t, from seconds */
coat_parse_fn coat_parse_int;   /* int */
coat_parse_fn coat_parse_size;  /* size_t; none: SIZE_MAX */
coat_parse_fn coat_parse_part;  /* double; its bounds are in millionths */

/* char *, of which "" makes NULL; what was there before is wiped. */
coat_parse_fn coat_parse_text;
coat_parse_fn coat_parse_node_map;
coat_parse_fn coat_parse_prefix; /* may not be empty */
coat_parse_fn coat_parse_show;

coat_parse_fn coat_parse_on_conflict; /* enum coat_on_conflict */
coat_parse_fn coat_parse_on_max;      /* enum coat_on_max */
coat_parse_fn coat_parse_on_event;    /* enum coat_on_event */
coat_parse_fn coat_parse_preset;      /* enum coat_preset */
coat_parse_fn coat_parse_tls_version; /* enum coat_tls_version */

#endif
