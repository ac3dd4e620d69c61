/* Prints the defaults of all options as the library has them, for the table in docs/guide.md. */
#include <stdio.h>

#include "options.h"

int main(void)
{
    static const char *const on_conflict[] = {"mine", "theirs", "raise"};
    struct coat_options *o;
    if (coat_options_new(&o, NULL) < 0)
        return 1;
    printf("idle %lld\n", (long long)o->idle_s);
    printf("lifetime %lld\n", (long long)o->lifetime_s);
    printf("grace %lld\n", (long long)o->grace_ms / 1000);
    printf("lock_ttl %lld\n", (long long)o->lock_ttl_ms / 1000);
    printf("timeout %.1f\n", (double)o->timeout_ms / 1000);
    printf("connect_timeout %.1f\n", (double)o->connect_timeout_ms / 1000);
    printf("max_connections %d\n", o->connect.max_connections);
    printf("touch_below %.1f\n", o->touch_below);
    printf("stale %lld\n", (long long)o->stale_ms / 1000);
    printf("on_conflict %s\n", on_conflict[o->on_conflict.always]);
    printf("on_max %s\n", o->on_max == COAT_MAX_EVICT ? "evict" : "refuse");
    printf("confirm %lld\n", (long long)o->confirm);
    printf("max_bytes %zu\n", o->limits.max_bytes);
    printf("max_depth %zu\n", o->limits.max_depth);
    printf("max_fields %zu\n", o->limits.max_fields);
    printf("max_items %zu\n", o->limits.max_items);
    printf("max_idle %lld\n", (long long)o->connect.max_idle_ms / 1000);
    printf("max_age %lld\n", (long long)o->connect.max_age_ms / 1000);
    printf("spin_us %lld\n", (long long)o->spin_us);
    printf("verify %d\n", o->verify);
    printf("tls_min_version %s\n", o->connect.tls.min_version == COAT_TLS_1_2 ? "1.2" : "1.3");
    printf("allow_root %d\n", o->allow_root);
    coat_options_free(o);
    return 0;
}
