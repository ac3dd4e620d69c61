/*
 * cache_url.h: what stands in the URL of a cache, or in its environment, and is not for the
 * library: callers in C say TTLs with each call, and caches of Python read these themselves.
 */
#ifndef COAT_BACKEND_CACHE_URL_H
#define COAT_BACKEND_CACHE_URL_H

#include <stddef.h>

/* Is it the name of such an option: "ttl", "ttl_jitter", ...? In small letters or capitals. */
int coat_cache_url_is_own(const char *name, size_t len);

/*
 * The URL without them, from malloc(); NULL: there is no memory. ttl, if not NULL: its value of
 * "ttl", "" where it has none or one that is too long to be a number.
 */
char *coat_cache_url_rest(const char *url, char ttl[32]);

#endif
