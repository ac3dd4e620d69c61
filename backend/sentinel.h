/* sentinel.h: what a Redis Sentinel says. Reads replies only; topology.c keeps what they say. */
#ifndef COAT_BACKEND_SENTINEL_H
#define COAT_BACKEND_SENTINEL_H

#include "cluster.h"

/*
 * The reply of the sentinel `name` to SENTINEL GET-MASTER-ADDR-BY-NAME. 0 and *place; COAT_ECONFIG:
 * it watches no such service; COAT_EUNAVAILABLE ("protocol"): that is no sentinel's answer; or what
 * its refusal means.
 */
int coat_sentinel_master(const struct coat_reply *reply, const char *name, const char *service,
                         struct coat_place *place, struct coat_error *err);

#endif
