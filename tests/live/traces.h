/*
 * traces.h: looking in all memory of the process for bytes of which the test itself has no copy.
 * For a program of one thread.
 */
#ifndef LIVE_TRACES_H
#define LIVE_TRACES_H

#include <stddef.h>

#include "coat_store.h"

enum { NEEDLE_MAX = 64 };

/* Bytes to look for, masked. */
struct needle {
    unsigned char masked[NEEDLE_MAX];
    size_t len;
};

struct needle live_hide(const void *bytes, size_t len);

/* The bytes, with a NUL; whoever asks for them wipes them. */
void live_show(const struct needle *n, char text[NEEDLE_MAX + 1]);

/*
 * How often they are in what the process may write to, except what is too large to be anything but
 * a sanitizer's own.
 */
int live_times_in_memory(const struct needle *n);

/* Creates, loads, rotates and destroys: no id is left of a session that is closed. */
void live_assert_sessions_leave_no_id(struct coat_store *store);

#endif
