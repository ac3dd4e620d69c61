#include "api/nonce.h"

#include <stdio.h>
#include <string.h>

#include "sid.h"

int coat_nonce_draw(struct coat_nonce *nonce, struct coat_command *ping, struct coat_error *err)
{
    unsigned char random[(sizeof nonce->text - 1) / 2];
    int rc = coat_random(random, sizeof random, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(nonce->text + 2 * i, 3, "%02x", random[i]);
    nonce->args[0] = (struct coat_arg){"PING", 4};
    nonce->args[1] = (struct coat_arg){nonce->text, sizeof nonce->text - 1};
    *ping = (struct coat_command){.args = nonce->args, .count = 2};
    return 0;
}

int coat_nonce_answers(const struct coat_nonce *nonce, const struct coat_reply *reply)
{
    return reply->kind == COAT_REPLY_BULK && reply->len == sizeof nonce->text - 1 &&
           memcmp(reply->bytes, nonce->text, reply->len) == 0;
}
