/*
 * Any bytes as the replies to a pipeline: whole, and cut in two, must be understood alike. The
 * first byte says how many replies are wanted, the second where to cut.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resp.h"

#define MAX_BYTES ((size_t)1 << 16)

/* Looks at every byte; a sum to compare by. */
static uint64_t walk(const struct coat_reply *reply, unsigned depth)
{
    uint64_t sum = (uint64_t)reply->kind * 31 + (uint64_t)reply->integer + reply->len;
    if (depth > COAT_RESP_DEPTH_MAX)
        abort();
    for (size_t i = 0; i < reply->len; i++)
        sum = sum * 31 + (unsigned char)reply->bytes[i];
    for (size_t i = 0; i < reply->count; i++)
        sum = sum * 31 + walk(&reply->items[i], depth + 1);
    return sum;
}

static int read_in(const char *bytes, size_t len, size_t cut, size_t wanted, uint64_t *sum)
{
    struct coat_resp resp;
    coat_resp_init(&resp, MAX_BYTES);
    int rc = coat_resp_begin(&resp, wanted, NULL);
    if (rc == 0)
        rc = coat_resp_feed(&resp, bytes, cut, NULL);
    if (rc == 0 && cut < len)
        rc = coat_resp_feed(&resp, bytes + cut, len - cut, NULL);
    else if (rc == 1 && cut < len)
        rc = COAT_EUNAVAILABLE; /* more than was wanted */
    *sum = 0;
    for (size_t i = 0; rc == 1 && i < wanted; i++)
        *sum = *sum * 31 + walk(&resp.replies[i], 0);
    coat_resp_release(&resp);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 3)
        return 0;
    size_t wanted = bytes[0] % 4u + 1;
    size_t cut = bytes[1] % (len - 2);
    uint64_t whole_sum, cut_sum;
    int whole = read_in((const char *)bytes + 2, len - 2, len - 2, wanted, &whole_sum);
    int parts = read_in((const char *)bytes + 2, len - 2, cut, wanted, &cut_sum);
    if (whole != parts || whole_sum != cut_sum)
        abort();
    return 0;
}
