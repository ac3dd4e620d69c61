/* system_error.h: what the system says about a socket, in our words, which no locale changes. */
#ifndef COAT_BACKEND_SYSTEM_ERROR_H
#define COAT_BACKEND_SYSTEM_ERROR_H

#include "coat_error.h"

/* COAT_EUNAVAILABLE, with the reason and the text of errno `number`; `name` is the server's. */
int coat_system_error(const char *name, int number, struct coat_error *err);

#endif
