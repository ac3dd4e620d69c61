#include "refusal.h"

#include <string.h>

#include "api/error.h"

struct meaning {
    const char *sign; /* what stands in the server's text, first of all its word */
    const char *word;
    int code;
    const char *advice;
};

/*
 * The last rows are what a server says without a word of its own, when a script may not do
 * something. Sources: Redis 6.2 and 7.0, server.c (shared objects), script.c and scripting.c.
 */
static const struct meaning MEANINGS[] = {
    {"NOAUTH", "NOAUTH", COAT_EDENIED,
     "the server asks for a password: set the options username and password"},
    {"WRONGPASS", "WRONGPASS", COAT_EDENIED, "the server does not accept the username or password"},
    {"NOPERM", "NOPERM", COAT_EDENIED,
     "the server's ACL does not let this user run a command or touch a key that coatcheck needs: "
     "give it the line that the command coatcheck acl prints"},
    {"WRONGTYPE", "WRONGTYPE", COAT_ECORRUPT,
     "under one of our keys lies something that is not a string; it is left alone: find out what "
     "else writes under this prefix"},
    {"OOM", "OOM", COAT_EUNAVAILABLE,
     "the server has reached its maxmemory: give it more, or shorten lifetimes"},
    {"READONLY", "READONLY", COAT_EUNAVAILABLE,
     "the server is a replica and takes no writes: point the url at the master"},
    {"LOADING", "LOADING", COAT_EUNAVAILABLE,
     "the server is still loading its data: try again soon"},
    {"BUSY", "BUSY", COAT_EUNAVAILABLE,
     "a script of somebody keeps the server busy: try again, or end it with SCRIPT KILL"},
    {"MASTERDOWN", "MASTERDOWN", COAT_EUNAVAILABLE,
     "the server is a replica that has lost its master: point the url at the master"},
    {"CLUSTERDOWN", "CLUSTERDOWN", COAT_EUNAVAILABLE,
     "the cluster does not serve now: see CLUSTER INFO"},
    {"MOVED", "MOVED", COAT_EUNAVAILABLE,
     "the server belongs to a cluster: write the url as redis+cluster:// or rediss+cluster://"},
    {"ASK", "ASK", COAT_EUNAVAILABLE,
     "the server belongs to a cluster: write the url as redis+cluster:// or rediss+cluster://"},
    {"TRYAGAIN", "TRYAGAIN", COAT_EUNAVAILABLE,
     "the cluster is moving the session to another node: try again soon"},
    {"MISCONF", "MISCONF", COAT_EUNAVAILABLE,
     "the server refuses writes because it cannot save to disk: see its log"},
    {"NOREPLICAS", "NOREPLICAS", COAT_EUNAVAILABLE,
     "the server refuses writes because it has too few replicas"},
    {"executing the script can't", "NOPERM", COAT_EDENIED,
     "the server's ACL does not let this user's scripts run a command or touch a key that "
     "coatcheck needs: give it the line that the command coatcheck acl prints"},
    {"ACL failure in script", "NOPERM", COAT_EDENIED,
     "the server's ACL does not let this user's scripts run a command or touch a key that "
     "coatcheck needs: give it the line that the command coatcheck acl prints"},
};

static int is_word_char(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_';
}

/* The length of the word in capitals that an error begins with. */
static size_t word_len(const struct coat_reply *reply)
{
    size_t n = 0;
    while (n < reply->len && is_word_char(reply->bytes[n]))
        n++;
    return n;
}

int coat_refusal_is(const struct coat_reply *reply, const char *word)
{
    size_t len = strlen(word);
    return reply->kind == COAT_REPLY_ERROR && word_len(reply) == len &&
           memcmp(reply->bytes, word, len) == 0;
}

static int contains(const struct coat_reply *reply, const char *text)
{
    return memmem(reply->bytes, reply->len, text, strlen(text)) != NULL;
}

/* Before Redis 7: "ERR Error running script (call to f_...): @user_script:1: OOM command not..." */
static int speaks_of(const struct coat_reply *reply, const char *sign)
{
    return coat_refusal_is(reply, "ERR") && contains(reply, "script") && contains(reply, sign);
}

static const struct meaning *meaning_of(const struct coat_reply *reply)
{
    const size_t n = sizeof MEANINGS / sizeof *MEANINGS;
    for (size_t i = 0; i < n; i++)
        if (coat_refusal_is(reply, MEANINGS[i].sign))
            return &MEANINGS[i];
    for (size_t i = 0; i < n; i++)
        if (speaks_of(reply, MEANINGS[i].sign))
            return &MEANINGS[i];
    return NULL;
}

int coat_refusal_means(const struct coat_reply *reply, const char *word)
{
    const struct meaning *m = reply->kind == COAT_REPLY_ERROR ? meaning_of(reply) : NULL;
    return m && strcmp(m->word, word) == 0;
}

/* As much of an error as surely repeats nothing of ours: servers put that in quotes. */
static int quotable_len(const struct coat_reply *reply)
{
    int n = 0;
    while ((size_t)n < reply->len && n < 80 && reply->bytes[n] >= ' ' && reply->bytes[n] <= '~' &&
           !strchr("'`\"", reply->bytes[n]))
        n++;
    return n;
}

int coat_refusal(const struct coat_reply *reply, struct coat_error *err)
{
    const struct meaning *m = meaning_of(reply);
    if (m)
        return coat_error_because(err, m->code, m->word, "%s (it answered %s)", m->advice, m->word);
    if (coat_refusal_is(reply, "ERR") && contains(reply, "unknown command"))
        return coat_error_because(err, COAT_EUNAVAILABLE, "command",
                                  "the server does not know a command that coatcheck needs: it is "
                                  "a sentinel (whose url is redis+sentinel://), is older than "
                                  "Redis 6.2, or has commands renamed");
    char word[sizeof err->reason];
    size_t len = word_len(reply) < sizeof word ? word_len(reply) : sizeof word - 1;
    memcpy(word, reply->bytes, len);
    word[len] = 0;
    return coat_error_because(err, COAT_EUNAVAILABLE, word,
                              "the server refused the command for a reason that coatcheck does not "
                              "know: it answered \"%.*s\"",
                              quotable_len(reply), reply->bytes);
}
