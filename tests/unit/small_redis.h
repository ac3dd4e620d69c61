/*
 * small_redis.h: the world of test_session_races.c: a small Redis in memory, which knows what has
 * been promised about each of its keys, and the requests on it. What no command may ever do is
 * noticed here, when it arrives.
 */
#ifndef SMALL_REDIS_H
#define SMALL_REDIS_H

#include "script_driver.h"

enum { CLIENTS = 4, KEYS = 48, IDS = 96, LATE = 16, STEPS = 400, SEEDS = 400, TRIED = 16 };
enum { TOKEN_LEN = 16, SAVE_TOKEN = 8 };

/* One key of our Redis, and what has been promised about it. */
struct key {
    char name[COAT_KEY_MAX];
    size_t len;
    int there;
    int has_ttl;
    int indexed; /* it is a member of the principal's index */
    int doomed;  /* it was logged in before somebody began to end all */
    struct stored rec;
    int known;                           /* somebody was told its id */
    unsigned char acknowledged[CLIENTS]; /* value of each client's field; 0: not there */
    unsigned char tried[CLIENTS][TRIED]; /* and what it may be as well: fate unknown */
    size_t tried_count[CLIENTS];
    int rotation_unknown; /* an id may work that nobody was told */
    int counted;          /* updates that were acknowledged, or copied from another session */
    int maybe_counted;    /* and those of which that cannot be told */
    int locked;
    unsigned char token[TOKEN_LEN];
};

struct client {
    struct coat_session *s;
    struct coat_step step;
    int busy;
    enum coat_session_op doing;
    int changes_id;
    unsigned char value; /* that its field has with the save under way */
    int changed;         /* that save changes it: deleting what is not there does not */
    int uncertain;       /* the last save: the same is tried again, or the session loaded again */
    char held[COAT_SID_LEN + 1];
};

struct late {
    struct stored args[COAT_ATTEMPT_ARGS];
    size_t count;
    struct coat_sid held; /* of its sender */
};

/* What is counted: operations that went well, and sends that may have been carried out. */
enum { UNCLEAR = COAT_OP_DESTROY + 1, ALL_ENDED, DONE_KINDS };

struct world {
    struct coat_options options;
    struct coat_store store;
    uint64_t random;
    unsigned seed;
    int64_t now_ms;
    struct key keys[KEYS];
    size_t key_count;
    struct {
        char text[COAT_SID_LEN + 1];
        struct coat_sid sid;
        const struct key *key;
    } ids[IDS]; /* that somebody was told, newest last */
    size_t id_count;
    struct client clients[CLIENTS];
    struct late late[LATE];
    size_t late_count;
    unsigned char tokens[STEPS][TOKEN_LEN]; /* of locks that were granted */
    size_t token_count;
    unsigned char counter;
    struct coat_index_op *ending; /* somebody ends all of the principal's sessions, or NULL */
    struct coat_step ending_step;
    int changed;               /* a record, or what is known about it */
    unsigned done[DONE_KINDS]; /* to see that all of it happened */
};

static unsigned draw(struct world *w, unsigned below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 33) % below;
}

static void holds(const struct world *w, int truth, const char *what)
{
    if (!truth)
        fail_msg("seed %u: %s", w->seed, what);
}

/* ---- Redis ---------------------------------------------------------------------------------- */

static struct key *find_key(struct world *w, const void *name, size_t len)
{
    for (size_t i = 0; i < w->key_count; i++)
        if (w->keys[i].len == len && memcmp(w->keys[i].name, name, len) == 0)
            return &w->keys[i];
    return NULL;
}

static int opens(const struct world *w, const struct key *key, const struct coat_sid *sid)
{
    unsigned char hash[COAT_HASH_LEN];
    assert_int_equal(coat_sid_hash(sid, hash, NULL), 0);
    return coat_head_opening((const struct coat_head *)key->rec.bytes, hash, w->now_ms, 0) ==
           COAT_OPENS;
}

static void put(struct world *w, struct key *key, struct coat_arg record, int64_t ttl_ms)
{
    w->changed = 1;
    holds(w, ttl_ms > 0 && ttl_ms <= 43200000, "a key is written with a TTL out of range");
    key->rec = stored_copy(record);
    key->there = key->has_ttl = 1;
}

static int64_t number(struct coat_arg arg)
{
    char text[24];
    snprintf(text, sizeof text, "%.*s", (int)arg.len, (const char *)arg.bytes);
    return strtoll(text, NULL, 10);
}

static int is(struct coat_arg arg, const char *word)
{
    return arg.len == strlen(word) && memcmp(arg.bytes, word, arg.len) == 0;
}

static struct coat_reply run_set(struct world *w, const struct coat_arg *args)
{
    holds(w, is(args[3], "NX"), "a plain SET");
    if (find_key(w, args[1].bytes, args[1].len))
        return NIL; /* also one that is gone: no id is ever used twice, so this never happens */
    assert_true(w->key_count < KEYS);
    struct key *key = &w->keys[w->key_count++];
    memset(key, 0, sizeof *key);
    memcpy(key->name, args[1].bytes, args[1].len);
    key->len = args[1].len;
    put(w, key, args[2], number(args[5]));
    return OK;
}

static struct key *find_member(struct world *w, struct coat_arg h);

/* The session whose lock has this key. */
static struct key *key_of_lock(struct world *w, struct coat_arg name)
{
    const char *h = (const char *)name.bytes + name.len - 1 - COAT_H_LEN;
    return find_member(w, (struct coat_arg){h, COAT_H_LEN});
}

static int is_lock(struct coat_arg name)
{
    return memcmp((const char *)name.bytes + strlen(PREFIX), "l:", 2) == 0;
}

static struct coat_reply run_lock(struct world *w, const struct coat_arg *args)
{
    struct key *key = key_of_lock(w, args[1]);
    holds(w, is(args[3], "NX") && args[2].len == TOKEN_LEN, "a lock is taken from its holder");
    if (key->locked)
        return NIL;
    for (size_t i = 0; i < w->token_count; i++)
        holds(w, memcmp(w->tokens[i], args[2].bytes, TOKEN_LEN) != 0, "a token is granted twice");
    assert_true(w->token_count < STEPS);
    memcpy(w->tokens[w->token_count++], args[2].bytes, TOKEN_LEN);
    memcpy(key->token, args[2].bytes, TOKEN_LEN);
    key->locked = 1;
    return OK;
}

static int has_lock(const struct key *key, struct coat_arg token)
{
    return key->locked && memcmp(key->token, token.bytes, TOKEN_LEN) == 0;
}

static struct coat_reply run_unlock(struct world *w, const struct coat_arg *args)
{
    struct key *key = key_of_lock(w, args[3]);
    if (!has_lock(key, args[4]))
        return INTEGER(0);
    key->locked = 0;
    return INTEGER(1);
}

/* The id works, or did until the end of its grace: a save on its way then may still land. */
static int opened(const struct world *w, const struct key *key, const struct coat_sid *sid)
{
    const struct coat_head *head = (const struct coat_head *)key->rec.bytes;
    unsigned char hash[COAT_HASH_LEN];
    assert_int_equal(coat_sid_hash(sid, hash, NULL), 0);
    int had_grace = head->until[0] < 0x40 && memcmp(head->other, hash, COAT_HASH_LEN) == 0;
    return opens(w, key, sid) || had_grace;
}

static struct coat_reply run_save(struct world *w, const struct coat_arg *args, size_t count,
                                  const struct coat_sid *held)
{
    struct key *key = find_key(w, args[3].bytes, args[3].len);
    if (count > SAVE_TOKEN && key && !has_lock(key, args[SAVE_TOKEN]))
        return INTEGER(-1);
    if (!key || !key->there)
        return INTEGER(0);
    if (memcmp(key->rec.bytes + 4, args[5].bytes, COAT_REVISION_LEN) != 0)
        return STORED(&key->rec);
    holds(w, opened(w, key, held), "a save by an id that does not work lands");
    struct stored before = key->rec;
    put(w, key, args[6], number(args[7]));
    holds(w, before.bytes[119] == 0xc0 || memcmp(before.bytes + 119, key->rec.bytes + 119, 2) == 0,
          "a principal is overwritten");
    return INTEGER(1);
}

static int is_script(const struct coat_arg *args, const struct coat_script *script)
{
    return is(args[1], script->sha1) || is(args[1], script->text);
}

static int has_principal(const struct key *key)
{
    return key->rec.bytes[COAT_HEAD_LEN] != 0xc0;
}

static struct coat_reply run_end(struct world *w, const struct coat_arg *args)
{
    struct key *key = find_key(w, args[3].bytes, args[3].len);
    if (!key || !key->there)
        return INTEGER(0);
    w->changed = 1;
    key->there = key->locked = 0;
    return INTEGER(1);
}

static struct key *find_member(struct world *w, struct coat_arg h)
{
    for (size_t i = 0; i < w->key_count; i++)
        if (memcmp(w->keys[i].name + w->keys[i].len - 1 - COAT_H_LEN, h.bytes, h.len) == 0)
            return &w->keys[i];
    fail_msg("seed %u: a member that is no session", w->seed);
    return NULL;
}

static struct coat_reply list_members(struct world *w)
{
    static struct coat_reply names[KEYS];
    size_t count = 0;
    for (size_t i = 0; i < w->key_count; i++)
        if (w->keys[i].indexed)
            names[count++] = BULK(w->keys[i].name + w->keys[i].len - 1 - COAT_H_LEN, COAT_H_LEN);
    return (struct coat_reply){.kind = COAT_REPLY_ARRAY, .items = names, .count = count};
}

static void remove_members(struct world *w, const struct coat_arg *args, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct key *key = find_member(w, args[i]);
        holds(w, !key->there || !has_principal(key), "a session that works leaves the index");
        key->indexed = 0;
    }
}

static struct coat_reply run_logout(struct world *w, const struct coat_arg *args)
{
    struct key *key = find_key(w, args[3].bytes, args[3].len);
    int64_t names_index = number(args[2]) == 3;
    if (!key || !key->there)
        return INTEGER(0);
    if (coat_head_opening((const struct coat_head *)key->rec.bytes, args[5 + names_index].bytes,
                          number(args[6 + names_index]), 0) != COAT_OPENS)
        return INTEGER(-1);
    key->there = key->locked = 0;
    if (names_index)
        remove_members(w, args + 8, 1);
    return STORED(&key->rec);
}

static struct coat_reply run_enter(struct world *w, const struct coat_arg *args, size_t count)
{
    remove_members(w, args + 7, count - 7);
    struct coat_reply members = list_members(w);
    struct key *key = find_member(w, args[4]);
    if (!key->indexed && number(args[6]) > 0 && (int64_t)members.count >= number(args[6]))
        return members;
    key->indexed = 1;
    return ENTERED;
}

static struct coat_reply run_getrange(const struct key *key, const struct coat_arg *args)
{
    size_t first = (size_t)number(args[2]), last = (size_t)number(args[3]);
    if (!key || !key->there || first >= key->rec.len)
        return BULK("", 0);
    last = last < key->rec.len ? last : key->rec.len - 1;
    return BULK((const char *)key->rec.bytes + first, last + 1 - first);
}

static struct coat_reply run(struct world *w, const struct coat_command *command,
                             const struct coat_sid *held)
{
    const struct coat_arg *args = command->args;
    struct key *key = find_key(w, args[1].bytes, args[1].len);
    int there = key && key->there;
    if (is(args[0], "GET"))
        return there ? STORED(&key->rec) : NIL;
    if (is(args[0], "PTTL"))
        return INTEGER(!there ? -2 : !key->has_ttl ? -1 : 1800000 - (int)draw(w, 400000));
    if (is(args[0], "PEXPIRE")) {
        if (there)
            key->has_ttl = 1;
        return INTEGER(there);
    }
    if (is(args[0], "SET"))
        return is_lock(args[1]) ? run_lock(w, args) : run_set(w, args);
    if (is(args[0], "EVALSHA") && draw(w, 8) == 0)
        return REFUSED("NOSCRIPT No matching script. Please use EVAL.");
    if (is(args[0], "ZRANGE"))
        return list_members(w);
    if (is(args[0], "ZREM")) {
        remove_members(w, args + 2, command->count - 2);
        return INTEGER(1);
    }
    if (is(args[0], "GETRANGE"))
        return run_getrange(key, args);
    if (is_script(args, &coat_script_enter))
        return run_enter(w, args, command->count);
    if (is_script(args, &coat_script_end))
        return run_end(w, args);
    if (is_script(args, &coat_script_save))
        return run_save(w, args, command->count, held);
    if (is_script(args, &coat_script_unlock))
        return run_unlock(w, args);
    return run_logout(w, args);
}

#endif
