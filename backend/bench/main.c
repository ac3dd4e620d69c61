/* The benchmark of a store: coatcheck-bench --help. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/run.h"
#include "bench/table.h"
#include "cli/output.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILURES = 1, /* it was measured, but not all went well */
    EXIT_WRONG = 2,
    EXIT_NOT_AVAILABLE = 3,
    EXIT_UNWRITTEN = 5,
    EXIT_INTERRUPTED = 130
};

static atomic_int stop;

/* The second one ends it at once. */
static void interrupted(int number)
{
    (void)number;
    atomic_store(&stop, 1);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = interrupted, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void complain(const char *text)
{
    fputs("coatcheck-bench: ", stderr);
    output_escaped(stderr, text);
    fputc('\n', stderr);
}

/* ---- Writing -------------------------------------------------------------------------------- */

typedef void print_fn(const struct result *result, FILE *to);

static int unwritten(const char *name)
{
    char text[256];
    snprintf(text, sizeof text, "%.150s cannot be written: %s", name, strerror(errno));
    complain(text);
    return EXIT_UNWRITTEN;
}

/* name: "-" is the output; NULL: not wanted. */
static int write_one(const struct result *result, const char *name, print_fn *print)
{
    if (!name)
        return EXIT_DONE;
    FILE *to = strcmp(name, "-") == 0 ? stdout : fopen(name, "w");
    if (!to)
        return unwritten(name);
    print(result, to);
    int failed = fflush(to) != 0 || ferror(to);
    if (to != stdout)
        failed |= fclose(to) != 0;
    return failed ? unwritten(to == stdout ? "the output" : name) : EXIT_DONE;
}

static int is_output(const char *name)
{
    return name && strcmp(name, "-") == 0;
}

/* The table, where the output is not for one of the others. */
static int write_all(const struct result *result)
{
    const struct plan *plan = result->plan;
    int taken = is_output(plan->json) || is_output(plan->csv) || is_output(plan->html);
    int exits[] = {
        write_one(result, taken ? NULL : "-", table_print),
        write_one(result, plan->json, export_json),
        write_one(result, plan->csv, export_csv),
        write_one(result, plan->html, page_print),
    };
    int worst = EXIT_DONE;
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++)
        worst = exits[i] > worst ? exits[i] : worst;
    return worst;
}

/* Before anything is measured: can that be opened? What is there already stays as it is. */
static int can_write(const char *name)
{
    if (!name || is_output(name))
        return EXIT_DONE;
    FILE *file = fopen(name, "a");
    if (!file)
        return unwritten(name);
    fclose(file);
    return EXIT_DONE;
}

static int can_write_all(const struct plan *plan)
{
    int json = can_write(plan->json), csv = can_write(plan->csv), html = can_write(plan->html);
    return json ? json : csv ? csv : html;
}

/* ---- Running -------------------------------------------------------------------------------- */

static int has_failures(const struct result *result)
{
    for (size_t s = 0; s < result->side_count; s++) {
        const struct side *side = &result->sides[s];
        if (side->not_begun || side->lost_updates > 0)
            return 1;
        for (int i = 0; i < FAILURES; i++)
            if (side->failed[i])
                return 1;
    }
    return 0;
}

static void say_keys(const struct result *result)
{
    char text[200];
    if (result->keys_left == 0)
        return;
    snprintf(text, sizeof text,
             "keys under '%.80s' may be left; Redis deletes them, the last one after %lld s",
             plan_prefix(result->plan), (long long)plan_keep_s(result->plan));
    complain(text);
}

/* Is it what was asked for that is wrong, not the server? */
static int is_wrong(int rc)
{
    return rc == COAT_EUSAGE || rc == COAT_ECONFIG || rc == COAT_ELIMIT || rc == COAT_ENOTSTORABLE;
}

static int run(const struct plan *plan)
{
    struct result result;
    struct coat_error err = {0};
    catch_signals();
    int rc = run_plan(&result, plan, &stop, &err);
    int exit = EXIT_DONE;
    if (rc < 0) {
        complain(err.text);
        exit = is_wrong(rc) ? EXIT_WRONG : EXIT_NOT_AVAILABLE;
    } else if (atomic_load(&stop)) {
        complain("interrupted");
        exit = EXIT_INTERRUPTED;
    }
    say_keys(&result);
    if (result.rounds && exit != EXIT_WRONG) {
        int written = write_all(&result);
        exit = exit ? exit : written ? written : has_failures(&result) ? EXIT_FAILURES : EXIT_DONE;
    }
    result_release(&result);
    return exit;
}

int main(int argc, char **argv)
{
    struct plan plan;
    enum plan_result read = plan_read(&plan, argc, argv);
    int exit = read == PLAN_SAID    ? EXIT_DONE
               : read == PLAN_WRONG ? EXIT_WRONG
                                    : can_write_all(&plan);
    if (read == PLAN_READY && exit == EXIT_DONE)
        exit = run(&plan);
    plan_release(&plan);
    return exit;
}
