/*
 * slot.h: the hash slot of a key, by which Redis Cluster says which node holds it.
 *
 * Source: the Redis Cluster specification: CRC16 (XMODEM: polynomial 0x1021, from zero, high bit
 * first) modulo 16384, of what stands between the first { and the first } after it where that is
 * not empty, otherwise of the whole key.
 */
#ifndef COAT_BACKEND_SLOT_H
#define COAT_BACKEND_SLOT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COAT_SLOTS 16384u

static inline uint16_t coat_crc16(const void *bytes, size_t len)
{
    /* Four bits at a time: a key is short, and sixteen entries stay in the cache. */
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    const unsigned char *at = bytes;
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc = ((crc << 4) ^ table[((crc >> 12) ^ (at[i] >> 4)) & 15]) & 0xffff;
        crc = ((crc << 4) ^ table[((crc >> 12) ^ at[i]) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

static inline unsigned coat_slot(const void *key, size_t len)
{
    const char *open = len ? memchr(key, '{', len) : NULL;
    if (open) {
        size_t rest = len - (size_t)(open + 1 - (const char *)key);
        const char *close = memchr(open + 1, '}', rest);
        if (close && close > open + 1)
            return coat_crc16(open + 1, (size_t)(close - open - 1)) % COAT_SLOTS;
    }
    return coat_crc16(key, len) % COAT_SLOTS;
}

#endif
