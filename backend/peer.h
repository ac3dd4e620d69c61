/* peer.h: one server as a connection sees it: where it is, and what it is to us. */
#ifndef COAT_BACKEND_PEER_H
#define COAT_BACKEND_PEER_H

#include "connect.h"

struct coat_peer {
    struct coat_address address;
    const struct coat_connect *connect; /* borrowed */
    int is_sentinel;                    /* it has credentials of its own, and no databases */
    int must_be_master;                 /* sentinels named it: it has to say so itself, too */
};

#endif
