/*
 * coat_error.h: how every function of coatcheck fails.
 *
 * A function that can fail returns a negative code below, and describes the failure in the
 * `struct coat_error` that the caller passed as its last argument, which may be NULL. It writes
 * there only when it fails, and then all of it: the struct needs no preparation and can be used
 * again. What is in it is safe to log: no session id, password or stored value is ever put there
 * (names of fields are).
 */
#ifndef COAT_ERROR_H
#define COAT_ERROR_H

#include <stddef.h>

#if defined(__GNUC__)
#    define COAT_API __attribute__((visibility("default")))
#else
#    define COAT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One code for each thing that a caller would do differently. */
enum coat_code {
    COAT_ENOMEM = -1,       /* memory could not be allocated; everything is as before */
    COAT_EUSAGE = -2,       /* a call that makes no sense: a mistake in the calling program */
    COAT_ENOTSTORABLE = -3, /* the value cannot be stored: not plain data */
    COAT_ELIMIT = -4,       /* plain data, but beyond a limit; `reason` names it ("max_depth") */
    COAT_ECORRUPT = -5,     /* bytes that are not ours, or damaged; `offset` says where */
    COAT_EFORMAT = -6,      /* a record of a newer format: leave it alone, upgrade this host */
    COAT_ECONFIG = -7,      /* a wrong option or URL: `text` says what to write instead */
    COAT_EDENIED = -8,      /* the server wants other credentials or permissions */
    COAT_EUNAVAILABLE = -9, /* the store cannot be reached or used; `reason` is one word why */
    COAT_ETIMEOUT = -10,    /* as COAT_EUNAVAILABLE: the deadline of the call has passed */
    COAT_EFOREIGN = -11,    /* a reply that belongs to another request; its connection is closed */
    COAT_EUNCERTAIN = -12,  /* the reply was lost: the write may or may not have landed; or
                               (`reason` "confirm") too few replicas have it */
    COAT_EGONE = -13,       /* the session has ended meanwhile, and its fields with it */
    COAT_EREPLACED = -14,   /* its id was replaced meanwhile; nothing was written */
    COAT_ECONFLICT = -15,   /* both sides changed one field, and the policy is to raise */
    COAT_EINTR = -16,       /* a signal came; call again to go on (never from a public call) */
    COAT_ETOOMANY = -17,    /* the principal has as many sessions as may be */
    COAT_EBUSY = -18,       /* others took every place for a session until the deadline */
    COAT_ELOCKLOST = -19    /* the lock ran out before the save; nothing was written */
};

struct coat_error {
    int code;        /* one of enum coat_code */
    size_t offset;   /* of the byte at fault, where bytes were read; otherwise 0 */
    char path[192];  /* of the value at fault, as in ['cart'][2]; "" is the whole value */
    char reason[24]; /* one word: the limit, or the server's error ("OOM"); may be "" */
    char text[320];  /* one sentence, in one line: what, why, what to do; ends with no full stop */
    int fault;       /* for the library itself */
    void *reserved[3]; /* for later versions */
};

/* The name of a code as it is written above, "COAT_ELIMIT"; "unknown code" for others. */
COAT_API const char *coat_code_name(int code);

/* The version of the library that runs, to be compared with COAT_VERSION of the headers. */
COAT_API const char *coat_version(void);

#ifdef __cplusplus
}
#endif

#endif
