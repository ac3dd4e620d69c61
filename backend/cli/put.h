/* put.h: pieces of text at the end of a buffer. 0, COAT_ENOMEM. */
#ifndef COAT_CLI_PUT_H
#define COAT_CLI_PUT_H

#include "api/buf.h"

int put(struct coat_buf *to, const char *text);

/* At most 47 characters. */
int put_number(struct coat_buf *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A finite one, in the fewest digits that are read as the same number again; never as an int. */
int put_float(struct coat_buf *to, double number);

#endif
