/*
 * registry.h: the connections that the stores of one interpreter share. Stores that would connect
 * in the same way have one coat_redis between them. Not installed.
 *
 * When a script is reloaded, its stores go and equal ones come. So what the last of its users
 * (stores, channels) gives back is kept, with its connections, until it was unused for max_idle, or
 * a few others were used later; it goes when the registry is used next. One with a credentials
 * callback goes with its last user. Any number of threads; safe across fork().
 */
#ifndef COAT_API_REGISTRY_H
#define COAT_API_REGISTRY_H

#include "coat_store.h"

struct coat_connect;
struct coat_redis;
struct coat_registry;

/* 0, or COAT_ENOMEM. */
int coat_registry_new(struct coat_registry **out, struct coat_error *err);

/*
 * What it has given goes on working: it is freed when the last of that is given back. An
 * interpreter that ends finalizes in any order. NULL allowed.
 */
void coat_registry_free(struct coat_registry *registry);

/* coat_store_open, in a registry; NULL: without one. */
int coat_store_open_in(struct coat_registry *registry, struct coat_store **out,
                       const struct coat_options *o, struct coat_error *err);

/* Close what was unused for too long. Cheap where there is nothing. */
void coat_registry_sweep(struct coat_registry *registry);

/* For store.c and channel.c. 0 and *out, to be given back; or COAT_ENOMEM. */
int coat_registry_get(struct coat_registry *registry, const struct coat_connect *connect,
                      struct coat_redis **out, struct coat_error *err);
void coat_registry_give_back(struct coat_registry *registry, struct coat_redis *redis);

#endif
