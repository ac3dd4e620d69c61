/*
 * script.h: the Lua that runs inside Redis. What each script is for, and why it is enough, is in
 * docs/protocol.md.
 */
#ifndef COAT_BACKEND_SCRIPT_H
#define COAT_BACKEND_SCRIPT_H

#include <stddef.h>

struct coat_script {
    const char *text;
    size_t len;
    char sha1[41]; /* of the text: its name for EVALSHA; checked by a test */
};

/*
 * KEYS record lock, ARGV expected-revision record ttl_ms [token]: write the record if it still has
 * that revision. 1 done, 0 gone, -1 lock lost, or the record that is there.
 */
extern const struct coat_script coat_script_save;

/*
 * KEYS record lock [index], ARGV verifier-hash now_ms [member]: delete the record if the verifier
 * opens it, then the member of the index. 0 gone, -1 it does not, or the first bytes of the record,
 * which hold its principal.
 */
extern const struct coat_script coat_script_logout;

/*
 * KEYS record lock, ARGV principal (encoded): delete the record unless it belongs to another
 * principal. 1 or 2 deleted, 0 gone, -1 another principal.
 */
extern const struct coat_script coat_script_end;

/*
 * KEYS index, ARGV member score cap [members to drop]...: enter a session. ENTERED, or, where the
 * index is full, all its members, the first to end first. No other command of a login answers so:
 * a reply that comes twice is then none to the next.
 */
extern const struct coat_script coat_script_enter;

/* KEYS lock, ARGV token: give a lock back. 1, or 0 if it is not held with this token. */
extern const struct coat_script coat_script_unlock;

/*
 * KEYS entry, ARGV by first ttl_ms: add to an entry of a cache, which keeps its TTL; where there is
 * none, make one that is `first` ('': make none), with this TTL (0: none). What it is then, or nil.
 */
extern const struct coat_script coat_script_incr;

/*
 * KEYS lock entry, ARGV token fill_ttl_ms: take the lock of who makes an entry's value, if nobody
 * has it. {1 it is ours (0: another's), the entry or nil, its PTTL}.
 */
extern const struct coat_script coat_script_claim;

/*
 * KEYS lock entry, ARGV token entry ttl_ms: give the lock back, and write the entry, if it is the
 * one that was there when the lock was taken. An empty entry, with a TTL: write nothing. A TTL of
 * 0: none. 1 done; 0: the lock is not ours any more; -1: the entry is another one.
 */
extern const struct coat_script coat_script_fill;

/*
 * KEYS entry, ARGV sha1-in-hex entry ttl_ms: write the entry in place of the one with that SHA-1. A
 * TTL of 0: none. 1 done; 0: there is none; -1: it is another one; -2: it is this one already.
 */
extern const struct coat_script coat_script_swap;

#endif
