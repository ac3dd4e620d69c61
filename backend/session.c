#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "api/error.h"
#include "merge.h"

/* ---- What the operations share ------------------------------------------------------------- */

static void release_work(struct coat_work *work)
{
    coat_attempt_release(&work->attempt);
    coat_room_free(work->room);
    coat_doc_free(work->doc);
    coat_buf_release(&work->record);
    OPENSSL_cleanse(&work->sid, sizeof work->sid);
    memset(work, 0, sizeof *work);
}

void coat_session_done(struct coat_session *s, struct coat_step *step, int rc)
{
    if (rc == COAT_ECORRUPT) {
        coat_store_note(s->store, COAT_COUNT_CORRUPT);
        coat_session_note(s, COAT_LIFE_CORRUPT, NULL);
    }
    release_work(&s->work);
    *step = (struct coat_step){.kind = COAT_STEP_DONE, .rc = rc, .close = rc == COAT_EFOREIGN};
}

void coat_session_note(struct coat_session *s, enum coat_life_kind kind, const char *reason)
{
    coat_life_note(&s->op.life, s->store, kind, s->keys.public_id, s->principal, reason);
}

static void clear_pending(struct coat_session *s)
{
    coat_doc_free(s->pending.carry);
    s->pending = (struct coat_pending){.idle_s = -1};
}

static void set_doc(struct coat_session *s, struct coat_doc *doc)
{
    if (doc != s->doc)
        coat_doc_free(s->doc);
    s->doc = doc;
}

void coat_session_reset(struct coat_session *s, enum coat_session_state state, struct coat_doc *doc)
{
    OPENSSL_cleanse(&s->sid, sizeof s->sid);
    OPENSSL_cleanse(s->id, sizeof s->id);
    s->principal[0] = 0;
    s->state = state;
    s->lock.held = 0; /* a logout ends it, too */
    clear_pending(s);
    set_doc(s, doc);
}

void coat_session_adopt(struct coat_session *s, const struct coat_head *head, const char *principal,
                        struct coat_doc *doc)
{
    s->head = *head;
    memmove(s->principal, principal, strlen(principal) + 1); /* may be our own */
    s->state = COAT_SESSION_STORED;
    clear_pending(s);
    set_doc(s, doc);
}

void coat_session_note_ttl(struct coat_session *s, int64_t ttl_ms, int64_t at_ms)
{
    s->left_ms = ttl_ms;
    s->left_at_ms = at_ms;
}

void coat_session_expire(struct coat_session *s, int64_t ttl_ms, int64_t now_ms,
                         struct coat_step *step)
{
    struct coat_attempt *a = &s->work.attempt;
    s->work.ttl_ms = ttl_ms;
    s->work.asked_ms = now_ms;
    coat_attempt_begin(a, COAT_LOSS_FAILS, s->keys.record, s->keys.len);
    coat_attempt_command(a, "PEXPIRE");
    coat_attempt_arg(a, s->keys.record, s->keys.len);
    coat_attempt_number(a, ttl_ms);
    coat_attempt_send(a, step);
}

void coat_session_identify(struct coat_session *s, const struct coat_sid *sid,
                           const struct coat_keys *keys)
{
    s->sid = *sid;
    s->keys = *keys;
    coat_sid_write(sid, s->id);
}

int coat_session_too_old(const struct coat_store *store, const struct coat_head *head)
{
    return coat_head_created_ms(head) < store->options->not_before_ms;
}

const char *coat_session_over(const struct coat_store *store, const struct coat_head *head,
                              int64_t now_ms)
{
    if (coat_head_deadline_ms(head) <= now_ms)
        return "deadline";
    return coat_session_too_old(store, head) ? "not_before" : NULL;
}

int coat_session_empty_doc(const struct coat_session *s, struct coat_doc **doc,
                           struct coat_error *err)
{
    return coat_doc_new(doc, &s->store->options->limits, err);
}

/* Says whose record it is, and what in it is meant. Returns rc. */
static int name_record(const struct coat_session *s, const char *what, int rc,
                       struct coat_error *err)
{
    if (!err || rc == COAT_ENOMEM)
        return rc;
    char text[sizeof err->text];
    size_t left = sizeof text - COAT_PUBLIC_ID_LEN - strlen(what) - sizeof "session : ";
    snprintf(text, sizeof text, "session %s%s: %.*s", s->keys.public_id, what, (int)left,
             err->text);
    memcpy(err->text, text, sizeof text);
    return rc;
}

int coat_session_read_record(const struct coat_session *s, const struct coat_reply *reply,
                             struct coat_record *record, struct coat_error *err)
{
    int rc = coat_record_parse(record, reply->bytes, reply->len, err);
    if (rc < 0)
        return name_record(s, "", rc, err);
    if (memcmp(record->head.tag, s->keys.tag, COAT_TAG_LEN) != 0)
        return coat_attempt_foreign(err);
    return 0;
}

int coat_session_read_fields(const struct coat_session *s, const struct coat_record *record,
                             struct coat_doc **doc, struct coat_error *err)
{
    char what[48];
    int rc =
        coat_doc_parse(doc, record->fields, record->fields_len, &s->store->options->limits, err);
    if (rc == 0)
        return 0;
    if (err)
        err->offset += record->fields_at;
    snprintf(what, sizeof what, ", in its fields (from byte %zu on)", record->fields_at);
    return name_record(s, what, rc, err);
}

/* ---- Making and closing -------------------------------------------------------------------- */

static int new_session(struct coat_store *store, struct coat_session **out, struct coat_error *err)
{
    struct coat_session *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return coat_error_nomem(err);
    s->store = store;
    s->pending.idle_s = -1;
    return 0;
}

int coat_session_new(struct coat_store *store, struct coat_session **out, struct coat_error *err)
{
    int rc = new_session(store, out, err);
    if (rc < 0)
        return rc;
    (*out)->state = COAT_SESSION_NEW;
    rc = coat_session_empty_doc(*out, &(*out)->doc, err);
    if (rc < 0) {
        coat_session_close(*out);
        *out = NULL;
    }
    return rc;
}

int coat_session_for_id(struct coat_store *store, const char *id, size_t len,
                        struct coat_session **out, struct coat_error *err)
{
    struct coat_sid sid;
    struct coat_keys keys;
    *out = NULL;
    if (!coat_sid_read(&sid, id, len)) {
        coat_store_note(store, COAT_COUNT_MALFORMED_ID);
        return 0;
    }
    int rc = coat_keys_make(&keys, store->options->prefix, &sid, err);
    if (rc == 0)
        rc = new_session(store, out, err);
    if (rc == 0) {
        (*out)->state = COAT_SESSION_UNLOADED;
        coat_session_identify(*out, &sid, &keys);
    }
    OPENSSL_cleanse(&sid, sizeof sid);
    return rc < 0 ? rc : 1;
}

void coat_session_close(struct coat_session *s)
{
    if (!s)
        return;
    release_work(&s->work);
    coat_life_drop(&s->op.life);
    clear_pending(s);
    coat_doc_free(s->doc);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

/* ---- Operations ---------------------------------------------------------------------------- */

struct coat_op *coat_session_op(struct coat_session *s, enum coat_session_op which)
{
    static const struct coat_op ops[] = {
        [COAT_OP_LOAD] = {.step = coat_load_step, .kind = COAT_KIND_LOAD},
        [COAT_OP_SAVE] = {.step = coat_save_step, .kind = COAT_KIND_SAVE},
        [COAT_OP_UPDATE] = {.step = coat_save_step, .kind = COAT_KIND_SAVE},
        [COAT_OP_LOCK] = {.step = coat_lock_step, .kind = COAT_KIND_LOCK},
        [COAT_OP_UNLOCK] = {.step = coat_unlock_step, .kind = COAT_KIND_UNLOCK},
        [COAT_OP_DESTROY] = {.step = coat_destroy_step, .kind = COAT_KIND_DESTROY},
    };
    release_work(&s->work); /* of one that was abandoned */
    coat_life_drop(&s->op.life);
    s->op = ops[which];
    s->work.starts_over = which == COAT_OP_UPDATE;
    return &s->op;
}

int coat_session_save(struct coat_session *s, struct coat_error *err)
{
    return coat_store_run(s->store, coat_session_op(s, COAT_OP_SAVE), err);
}

int coat_session_destroy(struct coat_session *s, struct coat_error *err)
{
    return coat_store_run(s->store, coat_session_op(s, COAT_OP_DESTROY), err);
}

int coat_session_unlock(struct coat_session *s, struct coat_error *err)
{
    return coat_store_run(s->store, coat_session_op(s, COAT_OP_UNLOCK), err);
}

/* ---- What the next save is to do ----------------------------------------------------------- */

/* The names as a document: its index finds them again, and its limits hold for them. */
static int make_carry(const struct coat_session *s, const char *const *names, size_t count,
                      struct coat_doc **out, struct coat_error *err)
{
    static const unsigned char NIL = 0xc0;
    struct coat_doc *carry = NULL;
    int rc = coat_session_empty_doc(s, &carry, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const void *value;
        size_t len = strlen(names[i]), value_len;
        /* What an earlier login, not yet saved, did not let through stays behind. */
        if (!s->pending.carry || coat_doc_get(s->pending.carry, names[i], len, &value, &value_len))
            rc = coat_doc_set(carry, names[i], len, &NIL, 1, err);
    }
    if (rc < 0) {
        coat_doc_free(carry);
        return rc;
    }
    *out = carry;
    return 0;
}

int coat_session_login(struct coat_session *s, const char *principal, const char *const *carry,
                       size_t count, struct coat_error *err)
{
    const char *now = coat_session_principal(s);
    if (s->state == COAT_SESSION_UNLOADED)
        return coat_error_set(err, COAT_EUSAGE, "login: load the session first");
    if (!coat_principal_valid(principal))
        return coat_error_set(err, COAT_EUSAGE, "login: a principal is UTF-8 text of 1 to %d bytes",
                              COAT_PRINCIPAL_MAX);
    if (now && strcmp(now, principal) != 0)
        return coat_error_set(err, COAT_EUSAGE,
                              "login: the session belongs to another principal; destroy it first, "
                              "then log in afresh");
    if (carry) {
        struct coat_doc *names = NULL;
        int rc = make_carry(s, carry, count, &names, err);
        if (rc < 0 || (rc = coat_merge_drop(s->doc, names, err)) < 0) {
            coat_doc_free(names);
            return rc;
        }
        coat_doc_free(s->pending.carry);
        s->pending.carry = names;
    }
    memcpy(s->pending.login, principal, strlen(principal) + 1);
    return 0;
}

int coat_session_rotate(struct coat_session *s, struct coat_error *err)
{
    if (s->state == COAT_SESSION_UNLOADED)
        return coat_error_set(err, COAT_EUSAGE, "rotate: load the session first");
    s->pending.rotate = 1;
    return 0;
}

int coat_session_set_idle(struct coat_session *s, int64_t idle_s, struct coat_error *err)
{
    if (s->state == COAT_SESSION_UNLOADED)
        return coat_error_set(err, COAT_EUSAGE, "set_idle: load the session first");
    if (idle_s < 0 || idle_s > COAT_IDLE_MAX_S)
        return coat_error_set(err, COAT_EUSAGE,
                              "set_idle: an idle timeout is 0 (until the deadline) to %lld "
                              "seconds, and this is %lld",
                              (long long)COAT_IDLE_MAX_S, (long long)idle_s);
    s->pending.idle_s = idle_s;
    return 0;
}

/* ---- Looking at it ------------------------------------------------------------------------- */

struct coat_doc *coat_session_doc(struct coat_session *s)
{
    return s->doc;
}

static int is_stored(const struct coat_session *s)
{
    return s->state == COAT_SESSION_STORED;
}

const char *coat_session_id(const struct coat_session *s)
{
    return is_stored(s) ? s->id : NULL;
}

const char *coat_session_public_id(const struct coat_session *s)
{
    return is_stored(s) ? s->keys.public_id : NULL;
}

const char *coat_session_principal(const struct coat_session *s)
{
    if (s->pending.login[0])
        return s->pending.login;
    return s->principal[0] ? s->principal : NULL;
}

int64_t coat_session_created_ms(const struct coat_session *s)
{
    return is_stored(s) ? coat_head_created_ms(&s->head) : 0;
}

int64_t coat_session_deadline_ms(const struct coat_session *s)
{
    return is_stored(s) ? coat_head_deadline_ms(&s->head) : 0;
}

int64_t coat_session_idle_after(const struct coat_session *s, int64_t idle_s)
{
    const struct coat_options *o = s->store->options;
    int logs_in = s->pending.login[0] && !s->principal[0];
    return logs_in && o->anonymous_idle_s > 0 && idle_s == o->anonymous_idle_s ? o->idle_s : idle_s;
}

int64_t coat_session_idle_s(const struct coat_session *s)
{
    const struct coat_options *o = s->store->options;
    if (s->pending.idle_s >= 0)
        return s->pending.idle_s;
    if (is_stored(s))
        return coat_session_idle_after(s, coat_head_idle_s(&s->head));
    return o->anonymous_idle_s > 0 && !s->pending.login[0] ? o->anonymous_idle_s : o->idle_s;
}

int coat_session_is_new(const struct coat_session *s)
{
    return s->state == COAT_SESSION_NEW || s->state == COAT_SESSION_STALE;
}

int coat_session_modified(const struct coat_session *s)
{
    int login = s->pending.login[0] != 0;
    switch (s->state) {
    case COAT_SESSION_UNLOADED:
        return 0;
    case COAT_SESSION_NEW:
        return login || coat_doc_modified(s->doc);
    case COAT_SESSION_STALE:
        return login;
    case COAT_SESSION_STORED:
        break;
    }
    return login || s->pending.rotate || coat_session_idle_s(s) != coat_head_idle_s(&s->head) ||
           coat_doc_modified(s->doc);
}

int coat_session_stale(const struct coat_session *s)
{
    return s->state == COAT_SESSION_STALE;
}

int coat_session_merged(const struct coat_session *s)
{
    return s->merged;
}
