#include "option_table.h"

#include <limits.h>
#include <string.h>

#include "api/error.h"
#include "options.h"
#include "record.h"

#define FIELD(name) offsetof(struct coat_options, name)

/*
 * Bounds: a time in ms, added to the present, stays far below 2^53, and a wait fits poll(). 400
 * days is the longest that browsers keep a cookie.
 */
const struct coat_option coat_option_table[] = {
    {"url", NULL, NULL, 0, 0, 0, COAT_NO_NONE, ""},
    {"prefix", NULL, coat_parse_prefix, FIELD(prefix), 0, 0, COAT_NO_NONE,
     "1 to 64 bytes of UTF-8 without braces and control characters, for example shop:"},
    {"idle", "1800", coat_parse_whole, FIELD(idle_s), 1, COAT_IDLE_MAX_S, 0,
     "whole seconds from 1 to 2147483647, or none"},
    {"lifetime", "43200", coat_parse_whole, FIELD(lifetime_s), 1, 34560000, COAT_NO_NONE,
     "whole seconds from 1 to 34560000 (400 days)"},
    {"anonymous_idle", NULL, coat_parse_whole, FIELD(anonymous_idle_s), 1, COAT_IDLE_MAX_S, 0,
     "whole seconds from 1 to 2147483647, or none"},
    {"preset", NULL, coat_parse_preset, FIELD(preset), 0, 0, COAT_NO_NONE, "aal1, aal2 or aal3"},
    /* Up to the year 9999: a time in milliseconds would end every session that is ever made. */
    {"not_before", NULL, coat_parse_ms, FIELD(not_before_ms), 0, 253402300800000, 0,
     "seconds (not milliseconds) since 1970, or none"},
    {"renew", NULL, coat_parse_whole, FIELD(renew_s), 1, 34560000, 0,
     "whole seconds from 1 to 34560000 (400 days), or none"},
    {"grace", "10", coat_parse_ms, FIELD(grace_ms), 0, 3600000, COAT_NO_NONE,
     "seconds from 0 to 3600"},
    {"lock_ttl", "30", coat_parse_ms, FIELD(lock_ttl_ms), 1, 3600000, COAT_NO_NONE,
     "seconds from 0.001 to 3600"},
    {"timeout", "1", coat_parse_ms, FIELD(timeout_ms), 1, 3600000, COAT_NO_NONE,
     "seconds from 0.001 to 3600"},
    {"connect_timeout", "0.5", coat_parse_ms, FIELD(connect_timeout_ms), 1, 3600000, COAT_NO_NONE,
     "seconds from 0.001 to 3600"},
    {"max_connections", "8", coat_parse_int, FIELD(connect.max_connections), 1, 4096, COAT_NO_NONE,
     "a number from 1 to 4096"},
    {"touch_below", "0.9", coat_parse_part, FIELD(touch_below), 1000, 1000000, COAT_NO_NONE,
     "a part from 0.001 to 1"},
    {"stale", "30", coat_parse_ms, FIELD(stale_ms), 0, 3600000, COAT_NO_NONE,
     "seconds from 0 to 3600"},
    {"on_conflict", "mine", coat_parse_on_conflict, FIELD(on_conflict.always), 0, 0, COAT_NO_NONE,
     "mine, theirs or raise"},
    {"max_sessions", "none", coat_parse_whole, FIELD(max_sessions), 1, 10000, 0,
     "a number from 1 to 10000, or none"},
    {"on_max", "evict", coat_parse_on_max, FIELD(on_max), 0, 0, COAT_NO_NONE, "evict or refuse"},
    {"confirm", "0", coat_parse_whole, FIELD(confirm), 0, 100, COAT_NO_NONE,
     "a number of replicas from 0 to 100"},
    {"on_event", "none", coat_parse_on_event, FIELD(on_event), 0, 0, COAT_NO_NONE, "log or none"},
    {"show", NULL, coat_parse_show, FIELD(show), 0, 0, COAT_NO_NONE,
     "names of fields with commas between, for example device,seen_at"},
    {"max_bytes", "1048576", coat_parse_size, FIELD(limits.max_bytes), 1, 536870912, -1,
     "a number from 1 to 536870912 (512 MiB), or none"},
    {"max_depth", "64", coat_parse_size, FIELD(limits.max_depth), 1, 1024, -1,
     "a number from 1 to 1024, or none"},
    {"max_fields", "16384", coat_parse_size, FIELD(limits.max_fields), 1, INT32_MAX, -1,
     "a number from 1 to 2147483647, or none"},
    {"max_items", "262144", coat_parse_size, FIELD(limits.max_items), 1, INT32_MAX, -1,
     "a number from 1 to 2147483647, or none"},
    {"username", NULL, coat_parse_text, FIELD(connect.username), 0, 0, COAT_NO_NONE, "text"},
    {"password", NULL, coat_parse_text, FIELD(connect.password), 0, 0, COAT_NO_NONE, "text"},
    {"password_file", NULL, coat_parse_text, FIELD(connect.password_file), 0, 0, COAT_NO_NONE,
     "text"},
    {"max_idle", "300", coat_parse_ms, FIELD(connect.max_idle_ms), 1, 86400000, 0,
     "seconds from 0.001 to 86400, or none"},
    {"max_age", "3600", coat_parse_ms, FIELD(connect.max_age_ms), 1, 86400000, 0,
     "seconds from 0.001 to 86400, or none"},
    {"sentinel_username", NULL, coat_parse_text, FIELD(connect.sentinel_username), 0, 0,
     COAT_NO_NONE, "text"},
    {"sentinel_password", NULL, coat_parse_text, FIELD(connect.sentinel_password), 0, 0,
     COAT_NO_NONE, "text"},
    {"node_map", NULL, coat_parse_node_map, FIELD(connect.node_map), 0, 0, COAT_NO_NONE,
     "announced=reachable addresses with commas between, for example "
     "10.0.0.1:6379=localhost:7001"},
    {"spin_us", "50", coat_parse_whole, FIELD(spin_us), 0, 1000, COAT_NO_NONE,
     "whole microseconds from 0 to 1000"},
    {"verify", "0", coat_parse_int, FIELD(verify), 0, 1, COAT_NO_NONE, "0 or 1"},
    {"tls_ca_file", NULL, coat_parse_text, FIELD(connect.tls.ca_file), 0, 0, COAT_NO_NONE,
     "a path"},
    {"tls_ca_dir", NULL, coat_parse_text, FIELD(connect.tls.ca_dir), 0, 0, COAT_NO_NONE, "a path"},
    {"tls_cert_file", NULL, coat_parse_text, FIELD(connect.tls.cert_file), 0, 0, COAT_NO_NONE,
     "a path"},
    {"tls_key_file", NULL, coat_parse_text, FIELD(connect.tls.key_file), 0, 0, COAT_NO_NONE,
     "a path"},
    {"tls_key_password", NULL, coat_parse_text, FIELD(connect.tls.key_password), 0, 0, COAT_NO_NONE,
     "text"},
    {"tls_server_name", NULL, coat_parse_text, FIELD(connect.tls.server_name), 0, 0, COAT_NO_NONE,
     "a host name"},
    {"tls_min_version", "1.2", coat_parse_tls_version, FIELD(connect.tls.min_version), 0, 0,
     COAT_NO_NONE, "1.2 or 1.3"},
    {"allow_root", "0", coat_parse_int, FIELD(allow_root), 0, 1, COAT_NO_NONE, "0 or 1"},
};

_Static_assert(sizeof coat_option_table / sizeof coat_option_table[0] == COAT_OPTION_COUNT,
               "option_table.h says how many rows there are");

int coat_option_find(const char *name)
{
    for (int i = 0; i < COAT_OPTION_COUNT; i++)
        if (strcmp(name, coat_option_table[i].name) == 0)
            return i;
    return -1;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to insert, delete or change. b is shorter than 32. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

int coat_option_unknown(const char *name, int shown, struct coat_error *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > 24 || strspn(name, "abcdefghijklmnopqrstuvwxyz_") != len)
        return coat_error_set(err, COAT_ECONFIG,
                              "there is no such option; the URL's parameters and the options "
                              "are lower-case words such as idle or max_bytes, variables of the "
                              "environment capitals such as COATCHECK_IDLE");
    int nearest = 0;
    for (int i = 1; i < COAT_OPTION_COUNT; i++)
        if (distance(name, coat_option_table[i].name) <
            distance(name, coat_option_table[nearest].name))
            nearest = i;
    const char *what = shown ? name : "of this name";
    if (2 * distance(name, coat_option_table[nearest].name) <= len)
        return coat_error_set(err, COAT_ECONFIG, "there is no option %s; did you mean %s?", what,
                              coat_option_table[nearest].name);
    return coat_error_set(err, COAT_ECONFIG,
                          "there is no option %s; coat_options.h and Python's "
                          "help(coatcheck.Store) say which there are",
                          what);
}
