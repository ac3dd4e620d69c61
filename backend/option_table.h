/* option_table.h: all options there are. */
#ifndef COAT_BACKEND_OPTION_TABLE_H
#define COAT_BACKEND_OPTION_TABLE_H

#include "coat_error.h"
#include "option_parse.h"

enum { COAT_OPTION_URL = 0, COAT_OPTION_COUNT = 43 };

/* The first one is the URL, which has no parser here: url.h. */
extern const struct coat_option coat_option_table[];

/* The place of an option in the table, or -1. */
int coat_option_find(const char *name);

/*
 * COAT_ECONFIG: there is none of that name, with the nearest one. shown 0: without the name, which
 * may be a piece of a mistyped secret.
 */
int coat_option_unknown(const char *name, int shown, struct coat_error *err);

#endif
