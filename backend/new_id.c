#include "new_id.h"

int coat_new_id_replaces(const struct coat_session *s)
{
    return s->pending.login[0] || s->pending.rotate;
}

/* An update by an id has nobody whom it could tell another one. */
static int may_renew(const struct coat_session *s, const struct coat_head *head, int64_t now_ms)
{
    int64_t period_s = s->store->options->renew_s;
    return period_s > 0 && !s->work.starts_over &&
           coat_head_may_offer(head, coat_ms_of_seconds(period_s), now_ms);
}

int coat_new_id_is_due(const struct coat_session *s, int64_t now_ms)
{
    return s->uses_offer || may_renew(s, &s->head, now_ms);
}

int coat_new_id_prepare(struct coat_session *s, int64_t now_ms, struct coat_error *err)
{
    struct coat_work *work = &s->work;
    int rc = coat_sid_hash(&s->sid, work->hash, err);
    work->draws = coat_new_id_replaces(s) || may_renew(s, &s->head, now_ms);
    if (rc < 0 || !work->draws)
        return rc;
    work->sid = s->sid;
    work->keys = s->keys;
    rc = coat_sid_draw_verifier(&work->sid, err);
    return rc < 0 ? rc : coat_sid_hash(&work->sid, work->new_hash, err);
}

/* Another request may have renewed it meanwhile, so each attempt looks at its own base. */
void coat_new_id_put(struct coat_session *s, int64_t now_ms)
{
    struct coat_work *work = &s->work;
    struct coat_head *next = &work->next;
    work->offers = 0;
    work->takes_offer = 0;
    if (coat_new_id_replaces(s)) {
        coat_head_rotate(next, work->new_hash, now_ms);
    } else if (s->uses_offer && coat_head_offers(next, work->hash)) {
        coat_head_take_offer(next, coat_ms_add(now_ms, s->store->options->grace_ms));
        work->takes_offer = 1;
    } else if (work->draws && may_renew(s, next, now_ms)) {
        coat_head_offer(next, work->new_hash, now_ms);
        work->offers = 1;
    }
}

int coat_new_id_was_put(const struct coat_session *s)
{
    return coat_new_id_replaces(s) || s->work.offers;
}
