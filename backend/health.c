#include "health.h"

#include "api/error.h"

int coat_health_ask(struct coat_health *h, int64_t now_ms, coat_trial *trial,
                    struct coat_error *err)
{
    if (h->failures > 0 && now_ms < h->down_until_ms) {
        if (err)
            *err = h->why;
        return h->why.code;
    }
    h->down_until_ms = now_ms + COAT_PROBE_MS;
    *trial = h->news;
    return 0;
}

int coat_health_good(struct coat_health *h)
{
    int was_down = h->failures > 0;
    *h = (struct coat_health){.news = h->news + 1};
    return was_down;
}

/* Jitter: clients that lost a server together do not come back together. */
static int64_t pause_ms(int failures, uint32_t random)
{
    int64_t most = COAT_DOWN_MIN_MS;
    for (int i = 1; i < failures && most < COAT_DOWN_MAX_MS; i++)
        most *= 2;
    if (most > COAT_DOWN_MAX_MS)
        most = COAT_DOWN_MAX_MS;
    return COAT_DOWN_FLOOR_MS + (int64_t)(random % (uint32_t)(most - COAT_DOWN_FLOOR_MS + 1));
}

/* While it is down, only a probe says anything new. */
static int is_late(const struct coat_health *h, coat_trial trial)
{
    return h->failures > 0 && trial != h->news;
}

int coat_health_bad(struct coat_health *h, coat_trial trial, int64_t now_ms, uint32_t random,
                    const struct coat_error *why)
{
    if (is_late(h, trial))
        return 0;
    if (h->failures < 1000)
        h->failures++;
    h->news++;
    h->down_until_ms = now_ms + pause_ms(h->failures, random);
    h->why = *why;
    return h->failures == 1;
}

void coat_health_unknown(struct coat_health *h, coat_trial trial)
{
    if (!is_late(h, trial))
        h->down_until_ms = 0;
}
