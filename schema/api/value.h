/* value.h: values, for the upper layers, beyond the public calls. Not installed. */
#ifndef COAT_API_VALUE_H
#define COAT_API_VALUE_H

#include "coat_value.h"

/* The limits that hold: the defaults for NULL, and nothing beyond what is possible at all. */
struct coat_limits coat_limits_effective(const struct coat_limits *limits);

/* After coat_packer_finish: how many values at all levels, and how deep. */
size_t coat_packer_items(const struct coat_packer *p);
size_t coat_packer_depth(const struct coat_packer *p);

#endif
