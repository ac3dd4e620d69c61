/*
 * fault.h: what a connect that failed says of the server. The reason in coat_error is for people;
 * this is what the code goes by. Not installed.
 */
#ifndef COAT_API_FAULT_H
#define COAT_API_FAULT_H

#include "coat_error.h"

enum coat_fault {
    COAT_FAULT_AWAY,    /* it, or the way to it, is not there: what is not said otherwise */
    COAT_FAULT_HERE,    /* something is short in this process or on this host */
    COAT_FAULT_REPLICA, /* it is no master, and may be one in a moment */
    COAT_FAULT_FULL,    /* it has as many clients as it allows */
    COAT_FAULT_TRUST    /* one side refuses the other's certificate, until somebody changes that */
};

/* Notes it in *err (NULL allowed), which is filled in already. Returns code. */
static inline int coat_fault_note(struct coat_error *err, enum coat_fault fault, int code)
{
    if (err)
        err->fault = (int)fault;
    return code;
}

/* No other try can go better, whenever and wherever: these are the same for all nodes. */
static inline int coat_fault_lasts(const struct coat_error *why)
{
    return why->code == COAT_EDENIED || why->code == COAT_ECONFIG || why->fault == COAT_FAULT_TRUST;
}

/* Of two failures, which one says more about what to do: that it took too long says least. */
static inline int coat_fault_tells(const struct coat_error *why)
{
    return coat_fault_lasts(why) ? 2 : why->code != COAT_ETIMEOUT;
}

#endif
