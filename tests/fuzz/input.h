/* input.h: the bytes of a fuzzer, taken one after the other. */
#ifndef TESTS_INPUT_H
#define TESTS_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next *len bytes, or as many as there are. */
static inline const uint8_t *take(struct input *in, size_t *len)
{
    const uint8_t *at = in->at;

    if (*len > in->left)
        *len = in->left;
    in->at += *len;
    in->left -= *len;
    return at;
}

/* 0 at the end. */
static inline unsigned take_byte(struct input *in)
{
    size_t one = 1;
    const uint8_t *at = take(in, &one);

    return one ? *at : 0;
}

#endif
