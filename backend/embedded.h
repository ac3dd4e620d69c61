/*
 * embedded.h: the private server of an embedded: store. It listens on a unix socket in a
 * directory of ours, belongs to no process that uses it, and keeps its data there.
 */
#ifndef COAT_BACKEND_EMBEDDED_H
#define COAT_BACKEND_EMBEDDED_H

#include "options.h"

/*
 * Find the server of an embedded: address, or start one, and wait until it answers. Then
 * o->connect.address is its unix socket, o->embedded_dir the directory, and o->prefix "coatcheck:"
 * where there was none. For any other address: does nothing. 0; COAT_ECONFIG: no server installed,
 * a directory that is not ours alone, a path too long for a socket, root without allow_root;
 * COAT_EUNAVAILABLE, COAT_ETIMEOUT: it does not start; COAT_ENOMEM.
 */
int coat_embedded_start(struct coat_options *o, struct coat_error *err);

/*
 * Stop the server that coat_embedded_start found, and wait until it is gone; its data is kept. 0,
 * also if it was gone already; COAT_EUSAGE: not an embedded: store; COAT_ETIMEOUT and others: it
 * did not stop.
 */
int coat_embedded_stop(const struct coat_options *o, struct coat_error *err);

/* The same for a directory (NULL: the default one). 1: stopped; 0: none was running there. */
int coat_embedded_stop_in(const char *dir, struct coat_error *err);

#endif
