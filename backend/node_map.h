/*
 * node_map.h: the option node_map, which says under which address a node can be reached that
 * announces another one, as behind NAT or in containers.
 *
 *     10.0.0.1:6379=cache.example:7001,10.0.0.2:6379=cache.example:7002,[fd00::1]:6379=[::1]:7003
 */
#ifndef COAT_BACKEND_NODE_MAP_H
#define COAT_BACKEND_NODE_MAP_H

#include "cluster.h"

/* 1 if it is such a text. */
int coat_node_map_valid(const char *text);

/* *place becomes where it can be reached, or stays. text: valid; NULL: none. */
void coat_node_map_apply(const char *text, struct coat_place *place);

#endif
