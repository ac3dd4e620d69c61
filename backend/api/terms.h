/* terms.h: what a call asks of the connections that it uses. Not installed. */
#ifndef COAT_API_TERMS_H
#define COAT_API_TERMS_H

#include <stddef.h>
#include <stdint.h>

struct coat_terms {
    int64_t deadline_ms;        /* of the monotonic clock */
    int64_t connect_timeout_ms; /* for one connection, within that */
    size_t reply_bytes_max;     /* of the replies of one pipeline together */
};

#endif
