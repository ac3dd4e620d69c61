/* literal.h: a stored value as Python would write it, (1, b'x', {'a': None}), for people. */
#ifndef COAT_CLI_LITERAL_H
#define COAT_CLI_LITERAL_H

#include "api/buf.h"

/* bytes: a value that has been checked. Appended to *to. 0, COAT_ENOMEM. */
int literal_append(struct coat_buf *to, const void *bytes, size_t len);

#endif
