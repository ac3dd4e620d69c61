/* open_store.h: a store as a program has it, where bare_store.h is not enough. */
#ifndef LIVE_OPEN_STORE_H
#define LIVE_OPEN_STORE_H

#include "coat_store.h"

/*
 * For `url`, with the prefix shop:, a generous timeout, and further options as name, value, ...,
 * NULL. Fails the test where it cannot.
 */
struct coat_store *live_open_store(const char *url, ...);

#endif
