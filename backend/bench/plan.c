#include "bench/plan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "cli/output.h"
#include "coat_version.h"
#include "options.h"
#include "sid.h"

static const char HELP[] =
    "usage: coatcheck-bench [options] workload\n"
    "\n"
    "What a session store costs on this machine, with this server and these sessions. Workloads:\n"
    "\n"
    "  read                load a session, look at a field: a request that changes nothing\n"
    "  write               load one, change a field, save it\n"
    "  mixed               both, by --ratio\n"
    "  login-logout        make a session, log in (a new id), log out\n"
    "  conflict            write, of all threads on one session\n"
    "  cache               get and set entries of a cache, by --ratio\n"
    "\n"
    "  --sessions N        how many there are, or entries of the cache (1000)\n"
    "  --fields N          of a session (8)\n"
    "  --values SHAPE      text, bytes, numbers or nested (text)\n"
    "  --size SIZE         of a value in bytes: 64, 2k; 16..4k; lognormal:MEDIAN:SIGMA (64)\n"
    "  --payload FILE      an object in JSON, whose members are the fields, in place of these\n"
    "  --threads N         that call at once (1)\n"
    "  --connections N     of all of them; fewer than threads wait for each other (as threads)\n"
    "  --pipeline N        cache: so many keys in one operation (1)\n"
    "  --ratio R:W         mixed, cache: reads for writes (9:1)\n"
    "  --zipf S            which session: by Zipf's law with this exponent (0: each as likely)\n"
    "  --seed N            the same seed, the same keys, sizes and values (1)\n"
    "  --duration SECONDS  of each round (2)\n"
    "  --count N           operations of each round, in place of a duration\n"
    "  --warm-up SECONDS   before the first round, not counted (1)\n"
    "  --repeat N          rounds (5): each figure comes with its spread over them\n"
    "  --rate N            begin so many operations each second (as fast as they end)\n"
    "  --baseline          the same bytes by plain GET and SET of hiredis, round by round in turn\n"
    "  --json FILE, --csv FILE, --html FILE    what was measured; - is the output\n"
    "  --url URL, --prefix P    and every other option of a store, as in --timeout 5; else from\n"
    "                      the environment, COATCHECK_URL, ...\n"
    "  --help, --version\n"
    "\n"
    "Times are of CLOCK_MONOTONIC, from before the first call of an operation until after its last\n"
    "one, waits for a connection and retries included; those of failures are not among them. Which\n"
    "session is used is drawn before. A percentile is wrong by 0.05 % at most, and mean and maximum\n"
    "are exact. Without --rate a thread begins an operation when its last one has ended, so while\n"
    "the server stands still few are begun, and percentiles hide that (coordinated omission). With\n"
    "--rate a time counts from when the operation was meant to begin, however late it did.\n"
    "\n"
    "Its keys are under a prefix that it has drawn, or under --prefix, which must hold no others;\n"
    "it deletes them at the end, also when it is interrupted. Nothing else is touched.\n"
    "\n"
    "It ends with 0: done; 1: done, but some operations failed, were not begun, or updates were\n"
    "lost; 2: called wrongly; 3: the store is not available; 5: the output could not be written;\n"
    "130: interrupted.\n";

/* ---- Values of options ---------------------------------------------------------------------- */

static int complain(const char *text)
{
    fputs("coatcheck-bench: ", stderr);
    output_escaped(stderr, text);
    fputc('\n', stderr);
    return -1;
}

static int cannot_be(const char *name, const char *given, const char *wanted)
{
    char text[256];
    snprintf(text, sizeof text, "--%s cannot be '%.60s': it is %s", name, given, wanted);
    return complain(text);
}

struct number {
    const char *name;
    double least, most;
    int whole;
    double number;
    int given;
};

static int read_number(struct number *number, const char *text)
{
    char *end, wanted[96];
    double value = strtod(text, &end);
    int plain = text[strspn(text, "0123456789.")] == 0 && end != text && !*end;
    if (plain && value >= number->least && value <= number->most &&
        (!number->whole || value == floor(value))) {
        number->number = value;
        number->given = 1;
        return 0;
    }
    snprintf(wanted, sizeof wanted, "a %snumber from %.15g to %.15g", number->whole ? "whole " : "",
             number->least, number->most);
    return cannot_be(number->name, text, wanted);
}

static int read_word(const char *name, const char *value, const char *const *words, int count,
                     const char *wanted)
{
    for (int i = 0; i < count; i++)
        if (strcmp(value, words[i]) == 0)
            return i;
    return cannot_be(name, value, wanted);
}

static int read_ratio(struct plan *plan, const char *value)
{
    unsigned reads, writes;
    char end;
    if (value[strspn(value, "0123456789:")] != 0 || strlen(value) > 13 ||
        sscanf(value, "%u:%u%c", &reads, &writes, &end) != 2 || reads > 100000 || writes > 100000 ||
        reads + writes == 0)
        return cannot_be("ratio", value, "two whole numbers, as in 9:1");
    plan->reads = reads;
    plan->writes = writes;
    return 0;
}

/* ---- The options ---------------------------------------------------------------------------- */

static const char *const workloads[WORKLOADS] = {"read",         "write",    "mixed",
                                                 "login-logout", "conflict", "cache"};
static const char *const shapes[SHAPES] = {"text", "bytes", "numbers", "nested"};

const char *workload_name(enum workload workload)
{
    return workloads[workload];
}

enum {
    SESSIONS,
    FIELDS,
    THREADS,
    CONNECTIONS,
    PIPELINE,
    ZIPF,
    SEED,
    DURATION,
    COUNT,
    WARM_UP,
    REPEAT,
    RATE,
    NUMBERS
};

struct line {
    struct plan *plan;
    struct number numbers[NUMBERS];
    const char *word, *ratio, *size, *prefix;
};

static void begin(struct line *line, struct plan *plan)
{
    *line = (struct line){.plan = plan,
                          .numbers = {
                              [SESSIONS] = {"sessions", 1, 1e8, 1, 1000, 0},
                              [FIELDS] = {"fields", 1, 1000, 1, 8, 0},
                              [THREADS] = {"threads", 1, 1024, 1, 1, 0},
                              [CONNECTIONS] = {"connections", 1, 4096, 1, 0, 0},
                              [PIPELINE] = {"pipeline", 1, 10000, 1, 1, 0},
                              [ZIPF] = {"zipf", 0, 5, 0, 0, 0},
                              [SEED] = {"seed", 0, 9007199254740992, 1, 1, 0},
                              [DURATION] = {"duration", 0.1, 86400, 0, 2, 0},
                              [COUNT] = {"count", 1, 1e12, 1, 0, 0},
                              [WARM_UP] = {"warm-up", 0, 3600, 0, 1, 0},
                              [REPEAT] = {"repeat", 1, 1000, 1, 5, 0},
                              [RATE] = {"rate", 0.1, 1e8, 0, 0, 0},
                          }};
    plan->reads = 9;
    plan->writes = 1;
    plan->size = (struct draw_size){.kind = SIZE_FIXED, .low = 64, .high = 64};
}

static int is_secret(const char *name)
{
    return strcmp(name, "password") == 0 || strcmp(name, "sentinel_password") == 0 ||
           strcmp(name, "tls_key_password") == 0;
}

/* --tls-ca-file FILE: the option tls_ca_file of the store. */
static int set_option(struct line *line, const char *flag, const char *value)
{
    static const char ADVICE[] =
        "a password among the arguments can be seen by every user of this host; put it into the "
        "environment (COATCHECK_URL, COATCHECK_PASSWORD) or into a file (--password-file)";
    struct coat_options *o = line->plan->options;
    struct coat_error err;
    char name[40];
    snprintf(name, sizeof name, "%s", flag);
    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    if (is_secret(name))
        return complain(ADVICE);
    if (coat_options_set(o, name, value, &err) < 0)
        return complain(err.text);
    if (o->connect.password || o->connect.sentinel_password || o->connect.tls.key_password)
        return complain(ADVICE);
    if (strcmp(name, "prefix") == 0)
        line->prefix = value;
    return 0;
}

/* Where a text goes; NULL: it is no option of ours with a text. */
static const char **place_of(struct line *line, const char *name)
{
    struct plan *plan = line->plan;
    return strcmp(name, "json") == 0      ? &plan->json
           : strcmp(name, "csv") == 0     ? &plan->csv
           : strcmp(name, "html") == 0    ? &plan->html
           : strcmp(name, "payload") == 0 ? &plan->payload_file
                                          : NULL;
}

static int set_named(struct line *line, const char *name, const char *value)
{
    struct plan *plan = line->plan;
    const char **place = place_of(line, name);
    for (size_t i = 0; i < NUMBERS; i++)
        if (strcmp(name, line->numbers[i].name) == 0)
            return read_number(&line->numbers[i], value);
    if (place) {
        *place = value;
        return 0;
    }
    if (strcmp(name, "ratio") == 0)
        return line->ratio = value, read_ratio(plan, value);
    if (strcmp(name, "size") == 0) {
        line->size = value;
        return draw_size_read(&plan->size, value)
                   ? 0
                   : cannot_be(name, value, "64, 2k, 16..4k or lognormal:MEDIAN:SIGMA");
    }
    if (strcmp(name, "values") == 0) {
        int shape = read_word(name, value, shapes, SHAPES, "text, bytes, numbers or nested");
        plan->shape = shape < 0 ? SHAPE_TEXT : (enum shape)shape;
        return shape < 0 ? -1 : 0;
    }
    return set_option(line, name, value);
}

/* --name VALUE, or --name=VALUE. How many arguments that are; -1: it is wrong. */
static int read_flag(struct line *line, char *const *argv)
{
    char name[40];
    const char *flag = argv[0] + 2, *equals = strchr(flag, '=');
    size_t len = equals ? (size_t)(equals - flag) : strlen(flag);
    if (strcmp(flag, "baseline") == 0)
        return line->plan->baseline = 1;
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), flag);
    const char *value = equals ? equals + 1 : argv[1];
    if (!value)
        return complain("the last option lacks its value; see coatcheck-bench --help");
    return set_named(line, name, value) < 0 ? -1 : equals ? 1 : 2;
}

static int read_word_of(struct line *line, const char *word)
{
    if (line->word)
        return complain("two workloads; one is run at a time");
    line->word = word;
    int found = -1;
    for (int i = 0; i < WORKLOADS; i++)
        if (strcmp(word, workloads[i]) == 0)
            found = i;
    if (found < 0)
        return cannot_be("workload", word, "one of those that coatcheck-bench --help lists");
    line->plan->work = (enum workload)found;
    return 1;
}

static int read_line(struct line *line, char *const *argv)
{
    while (*argv) {
        int used = strncmp(*argv, "--", 2) == 0 ? read_flag(line, argv) : read_word_of(line, *argv);
        if (used < 0)
            return -1;
        argv += used;
    }
    return line->word ? 0 : complain("no workload; see coatcheck-bench --help");
}

/* ---- What goes together --------------------------------------------------------------------- */

static int is_output(const char *name)
{
    return name && strcmp(name, "-") == 0;
}

static int check(const struct line *line)
{
    const struct plan *plan = line->plan;
    int cache = plan->work == WORK_CACHE;
    if (is_output(plan->json) + is_output(plan->csv) + is_output(plan->html) > 1)
        return complain("only one of --json, --csv and --html can be the output");
    if (line->numbers[PIPELINE].given && !cache)
        return complain("--pipeline is for the workload cache: a request has one session");
    if (line->ratio && !cache && plan->work != WORK_MIXED)
        return complain("--ratio is for the workloads mixed and cache");
    if (line->numbers[DURATION].given && line->numbers[COUNT].given)
        return complain("a round ends after --duration or after --count, not after both");
    if (plan->payload_file && (line->size || line->numbers[FIELDS].given || plan->shape))
        return complain("--payload says what is stored; then --fields, --values and --size do not");
    if (plan->baseline && plan->options->connect.tls.on)
        return complain("--baseline is without TLS, which hiredis does by a library of its own");
    if (plan->baseline && plan->options->connect.kind == COAT_CLUSTER)
        return complain("--baseline is for one server: plain GET and SET do not find their way in "
                        "a cluster");
    return 0;
}

static void take_numbers(struct plan *plan, const struct number *numbers)
{
    plan->sessions = plan->work == WORK_CONFLICT ? 1 : (uint64_t)numbers[SESSIONS].number;
    plan->fields = (unsigned)numbers[FIELDS].number;
    plan->threads = (unsigned)numbers[THREADS].number;
    plan->pipeline = (unsigned)numbers[PIPELINE].number;
    plan->zipf = numbers[ZIPF].number;
    plan->seed = (uint64_t)numbers[SEED].number;
    plan->duration_s = numbers[DURATION].number;
    plan->count = (uint64_t)numbers[COUNT].number;
    plan->warm_up_s = numbers[WARM_UP].number;
    plan->rounds = (unsigned)numbers[REPEAT].number;
    plan->rate = numbers[RATE].number;
}

/* One that nobody else has, where none was given. */
static int draw_prefix(struct plan *plan, struct coat_error *err)
{
    unsigned char bytes[8];
    char prefix[48];
    int rc = coat_random(bytes, sizeof bytes, err);
    size_t len = (size_t)snprintf(prefix, sizeof prefix, "coatcheck-bench:");
    for (size_t i = 0; rc == 0 && i < sizeof bytes; i++)
        len += (size_t)snprintf(prefix + len, sizeof prefix - len, "%02x", bytes[i]);
    snprintf(prefix + len, sizeof prefix - len, ":");
    plan->own_prefix = 1;
    return rc < 0 ? rc : coat_options_set(plan->options, "prefix", prefix, err);
}

/* A thread has a connection, unless told otherwise. */
static int set_connections(struct line *line, struct coat_error *err)
{
    const struct number *said = &line->numbers[CONNECTIONS];
    char text[16];
    snprintf(text, sizeof text, "%u", said->given ? (unsigned)said->number : line->plan->threads);
    return coat_options_set(line->plan->options, "max_connections", text, err);
}

/* A session that is seldom used is to be there at the end all the same. */
static int set_idle(struct plan *plan, struct coat_error *err)
{
    const struct coat_options *o = plan->options;
    int idle = coat_option_find("idle");
    char text[24];
    if (plan->work == WORK_CACHE || o->preset != COAT_NO_PRESET || o->by_name[idle] ||
        o->by_env[idle])
        return 0;
    snprintf(text, sizeof text, "%lld", (long long)plan_keep_s(plan));
    return coat_options_set(plan->options, "idle", text, err);
}

static int complete(struct line *line)
{
    struct plan *plan = line->plan;
    struct coat_error err;
    take_numbers(plan, line->numbers);
    int rc = plan->work == WORK_CACHE ? coat_options_env_cache(plan->options, &err)
                                      : coat_options_env(plan->options, &err);
    if (rc == 0 && !line->prefix)
        rc = draw_prefix(plan, &err);
    if (rc == 0)
        rc = set_connections(line, &err);
    if (rc == 0)
        rc = set_idle(plan, &err);
    return rc < 0 ? complain(err.text) : check(line);
}

const char *plan_prefix(const struct plan *plan)
{
    return plan->options->prefix;
}

int64_t plan_keep_s(const struct plan *plan)
{
    double round = plan->count && plan->rate > 0 ? (double)plan->count / plan->rate
                   : plan->count                 ? (double)plan->count / 20
                                                 : plan->duration_s;
    double all = plan->warm_up_s + round * plan->rounds * (plan->baseline ? 2 : 1);
    return 900 + (int64_t)(2 * all < 30 * 86400.0 ? 2 * all : 30 * 86400.0);
}

int plan_kinds(const struct plan *plan, const char *names[KINDS_MAX])
{
    switch (plan->work) {
    case WORK_MIXED:
        names[0] = "read";
        names[1] = "write";
        return 2;
    case WORK_CACHE:
        names[0] = "get";
        names[1] = "set";
        return 2;
    default:
        names[0] = workload_name(plan->work);
        return 1;
    }
}

enum plan_result plan_read(struct plan *plan, int argc, char **argv)
{
    struct line line;
    struct coat_error err;
    *plan = (struct plan){0};
    for (int i = 1; i < argc; i++) {
        int help = strcmp(argv[i], "--help") == 0;
        if (!help && strcmp(argv[i], "--version") != 0)
            continue;
        if (help)
            fputs(HELP, stdout);
        else
            printf("coatcheck-bench %s\n", coat_version());
        return PLAN_SAID;
    }
    begin(&line, plan);
    if (coat_options_new(&plan->options, &err) < 0) {
        complain(err.text);
        return PLAN_WRONG;
    }
    return read_line(&line, argv + 1) < 0 || complete(&line) < 0 ? PLAN_WRONG : PLAN_READY;
}

void plan_release(struct plan *plan)
{
    coat_options_free(plan->options);
    plan->options = NULL;
}
