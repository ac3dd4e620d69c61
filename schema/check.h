/* check.h: checking a value in the middle of bytes, for whoever reads what stands around it. */
#ifndef COAT_CHECK_H
#define COAT_CHECK_H

#include "api/value.h"

/* An open container. All offsets and counts fit, since COAT_BYTES_MAX does. */
struct coat_level {
    uint32_t left;  /* values still to come; in a dict, keys and values: even before a key */
    uint32_t head;  /* offset of its first byte */
    uint32_t stop;  /* of a tuple: offset where it has to end */
    uint32_t keys;  /* of a dict: where its own begin in coat_checker.keys */
    uint16_t odd;   /* of a dict: values in keys that are neither text nor bytes */
    uint8_t kind;   /* enum coat_kind */
    uint8_t in_key; /* its members are part of a key */
};

struct coat_checker {
    const unsigned char *start; /* offsets count from here */
    const unsigned char *at;    /* what comes next */
    const unsigned char *end;
    size_t max_depth;
    size_t max_items;
    size_t items; /* seen so far */
    unsigned flags;
    uint32_t *keys; /* of the open dicts, where flags ask; NULL until the first */
    struct coat_error *err;
    /* The first is not open: it holds the value itself. Here, and not in the walk, since a
     * document walks once for each field, and so much stack is not had for nothing. */
    struct coat_level levels[COAT_DEPTH_MAX + 1];
};

/* The bytes are held to limits->max_bytes. 0 or COAT_ELIMIT. Nothing to release unless flags. */
int coat_checker_init(struct coat_checker *c, const void *bytes, size_t len,
                      const struct coat_limits *limits, unsigned flags, struct coat_error *err);
void coat_checker_release(struct coat_checker *c);

/* One value from c->at on, with all in it; c->at is then after it. */
int coat_checker_value(struct coat_checker *c);

/* Nothing may follow. */
int coat_checker_end(struct coat_checker *c);

/* The failure at a byte: COAT_ECORRUPT with a text such as "the value at byte 5 is cut off". */
int coat_checker_corrupt(struct coat_checker *c, const unsigned char *at, const char *what,
                         const char *fault);

/* Count one more value, which begins at `at`: 0 or COAT_ELIMIT. */
int coat_checker_count(struct coat_checker *c, const unsigned char *at);

#endif
