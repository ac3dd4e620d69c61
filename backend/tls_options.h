/* tls_options.h: what TLS is asked to do. What does it is in tls.h. */
#ifndef COAT_BACKEND_TLS_OPTIONS_H
#define COAT_BACKEND_TLS_OPTIONS_H

#include "coat_error.h"

#define COAT_TLS_HOST_SIZE 256 /* with its NUL; a DNS name has at most 253 letters */

enum coat_tls_version { COAT_TLS_1_2, COAT_TLS_1_3 };

/* Texts are NULL where nothing was given. All zeros: no TLS. */
struct coat_tls_options {
    int on;          /* the URL asks for it */
    char *ca_file;   /* who is trusted; with neither of these, whom the system trusts: */
    char *ca_dir;    /* OpenSSL's default paths, or SSL_CERT_FILE and SSL_CERT_DIR */
    char *cert_file; /* who we are; with no key_file it holds the key, too */
    char *key_file;
    char *key_password; /* wiped when it is freed */
    char *server_name;  /* the name to verify; without: the host of the address */
    enum coat_tls_version min_version;
};

/* 1 if what one opens can be used for the other. */
int coat_tls_options_equal(const struct coat_tls_options *a, const struct coat_tls_options *b);

/* 1; 0: no memory, and *to is all zeros. */
int coat_tls_options_copy(struct coat_tls_options *to, const struct coat_tls_options *from);

/* Frees the texts, wipes the password. Legal on zeros. */
void coat_tls_options_release(struct coat_tls_options *o);

/* 0, or COAT_ECONFIG: options that do not go together. */
int coat_tls_options_check(const struct coat_tls_options *o, struct coat_error *err);

#endif
