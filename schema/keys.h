/* keys.h: which keys of a dict Python calls equal. */
#ifndef COAT_KEYS_H
#define COAT_KEYS_H

#include <stddef.h>
#include <stdint.h>

/*
 * `offsets`: where in `bytes` the keys of one dict begin, checked or packed here, in their order;
 * it is sorted otherwise. Returns 1 and *second, the offset of the first key that equals an
 * earlier one, or 0.
 */
int coat_keys_equal(const unsigned char *bytes, uint32_t *offsets, size_t count, size_t *second);

#endif
