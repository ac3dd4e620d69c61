/* certs.h: the certificates that tests/certs.sh makes, in a directory of their own. */
#ifndef LIVE_CERTS_H
#define LIVE_CERTS_H

enum { LIVE_CERTS_MAX = 64 };

/* 0, and the directory's path; otherwise -1. */
int live_certs_make(char directory[LIVE_CERTS_MAX]);

/* As a cmocka teardown wants it: 0 if they are gone. */
int live_certs_remove(const char *directory);

#endif
