/* The private server of embedded:. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "embedded.h"
#include "live/bare_store.h"

static char dir[64];  /* of the test */
static char own[80];  /* of the server, in it; not there at first */
static char url[128]; /* embedded:own?allow_root=1 */

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/coatcheck-embedded.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(own, sizeof own, "%s/state", dir);
    snprintf(url, sizeof url, "embedded:%s?allow_root=1", own);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct coat_options *options(const char *text)
{
    struct coat_options *o;
    struct coat_error err;
    assert_int_equal(coat_options_new(&o, NULL), 0);
    if (coat_options_set(o, "url", text, &err) < 0)
        fail_msg("%s", err.text);
    return o;
}

static struct coat_options *started(const char *text)
{
    struct coat_options *o = options(text);
    struct coat_error err;
    if (coat_embedded_start(o, &err) < 0)
        fail_msg("%s", err.text);
    return o;
}

static void stop(struct coat_options *o)
{
    struct coat_error err;
    if (coat_embedded_stop(o, &err) < 0)
        fail_msg("%s", err.text);
    coat_options_free(o);
}

/* The text or number that the server answers. */
static const char *ask(const struct coat_options *o, const char *words)
{
    static struct simple_op s;
    char socket[128];
    snprintf(socket, sizeof socket, "unix:%s", o->connect.address.path);
    struct coat_store *store = live_store_new(socket, NULL);
    int rc = live_ask(store, words, &s);
    live_store_free(store);
    if (rc != 0)
        fail_msg("%s: %d %s", words, rc, s.loss.text);
    if (s.kind == COAT_REPLY_INTEGER)
        snprintf(s.text, sizeof s.text, "%lld", s.integer);
    return s.text;
}

static pid_t server_pid(void)
{
    char path[128], line[32];
    snprintf(path, sizeof path, "%s/redis.pid", own);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    return (pid_t)atol(line);
}

/* ---- Its life ------------------------------------------------------------------------------- */

static void it_is_started_keeps_its_data_and_is_stopped(void **state)
{
    (void)state;
    struct coat_options *o = started(url);
    assert_int_equal(o->connect.address.scheme, COAT_SCHEME_UNIX);
    assert_string_equal(o->embedded_dir, own);
    assert_string_equal(o->prefix, "coatcheck:");
    assert_string_equal(ask(o, "SET a kept"), "OK");
    char socket[128];
    snprintf(socket, sizeof socket, "%s", o->connect.address.path);
    stop(o);
    assert_int_equal(access(socket, F_OK), -1);
    o = started(url);
    assert_string_equal(ask(o, "GET a"), "kept");
    stop(o);
}

static void a_given_prefix_stays(void **state)
{
    (void)state;
    struct coat_options *o = options(url);
    assert_int_equal(coat_options_set(o, "prefix", "shop:", NULL), 0);
    assert_int_equal(coat_embedded_start(o, NULL), 0);
    assert_string_equal(o->prefix, "shop:");
    stop(o);
}

static void who_comes_later_finds_it(void **state)
{
    (void)state;
    struct coat_options *first = started(url);
    ask(first, "SET a 1");
    struct coat_options *second = started(url);
    assert_string_equal(ask(second, "INCR a"), "2");
    coat_options_free(second);
    stop(first);
}

static void many_processes_start_one_server(void **state)
{
    (void)state;
    enum { CHILDREN = 6 };
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct coat_options *o = options(url);
            int rc = coat_embedded_start(o, NULL);
            if (rc == 0)
                ask(o, "INCR starts");
            _exit(rc != 0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct coat_options *o = started(url);
    assert_string_equal(ask(o, "GET starts"), "6");
    stop(o);
}

static void what_was_acknowledged_survives_a_crash(void **state)
{
    (void)state;
    struct coat_options *o = started(url);
    ask(o, "SET a 1 | CONFIG SET appendfsync always | SET b 2");
    assert_int_equal(kill(server_pid(), SIGKILL), 0);
    coat_options_free(o);
    o = started(url);
    assert_string_equal(ask(o, "GET b"), "2");
    stop(o);
}

static void it_leaves_no_zombie(void **state)
{
    (void)state;
    struct coat_options *o = started(url);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    stop(o);
}

static void it_starts_where_children_are_ignored(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    struct coat_options *o = started(url);
    signal(SIGCHLD, SIG_DFL);
    stop(o);
}

static void it_keeps_no_descriptor_of_the_program_open(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0); /* not close-on-exec */
    struct coat_options *o = started(url);
    close(ends[1]);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 1000), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    stop(o);
}

static void it_gets_nothing_of_the_environment(void **state)
{
    (void)state;
    char path[128], environment[4096] = "";
    setenv("COATCHECK_PASSWORD", "SECRET", 1);
    struct coat_options *o = started(url);
    unsetenv("COATCHECK_PASSWORD");
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)server_pid());
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && read(fd, environment, sizeof environment - 1) > 0);
    close(fd);
    assert_null(memmem(environment, sizeof environment, "SECRET", 6));
    stop(o);
}

static void stopping_twice_is_fine(void **state)
{
    (void)state;
    struct coat_options *o = started(url);
    assert_int_equal(coat_embedded_stop(o, NULL), 0);
    assert_int_equal(coat_embedded_stop(o, NULL), 0);
    coat_options_free(o);
}

static void the_default_directory_is_below_the_state_home(void **state)
{
    (void)state;
    char want[128];
    setenv("XDG_STATE_HOME", dir, 1);
    struct coat_options *o = started("embedded:?allow_root=1");
    unsetenv("XDG_STATE_HOME");
    snprintf(want, sizeof want, "%s/coatcheck", dir);
    assert_string_equal(o->embedded_dir, want);
    struct stat st;
    assert_int_equal(stat(want, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    stop(o);
    char *home = strdup(getenv("HOME") ? getenv("HOME") : "/");
    setenv("HOME", dir, 1);
    o = started("embedded:?allow_root=1");
    setenv("HOME", home, 1);
    free(home);
    snprintf(want, sizeof want, "%s/.local/state/coatcheck", dir);
    assert_string_equal(o->embedded_dir, want);
    stop(o);
}

static void only_embedded_stores_can_be_stopped(void **state)
{
    (void)state;
    struct coat_options *o = options("redis://h");
    assert_int_equal(coat_embedded_start(o, NULL), 0);
    assert_int_equal(o->connect.address.scheme, COAT_SCHEME_TCP);
    assert_int_equal(coat_embedded_stop(o, NULL), COAT_EUSAGE);
    coat_options_free(o);
}

/* ---- What keeps it from starting ------------------------------------------------------------ */

static void assert_refused(const char *text, int code, const char *says)
{
    struct coat_error err = {0};
    struct coat_options *o = options(text);
    int rc = coat_embedded_start(o, &err);
    if (rc != code || !strstr(err.text, says))
        fail_msg("%s: %d %s", text, rc, err.text);
    assert_int_equal(o->connect.address.scheme, COAT_SCHEME_EMBEDDED);
    assert_null(o->embedded_dir);
    coat_options_free(o);
}

static void without_a_server_installed_it_says_what_to_install(void **state)
{
    (void)state;
    char *path = strdup(getenv("PATH"));
    setenv("PATH", dir, 1);
    assert_refused(url, COAT_ECONFIG, "apt install redis-server");
    setenv("PATH", path, 1);
    free(path);
}

static void a_directory_that_is_open_to_others_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(own, 0700), 0);
    assert_int_equal(chmod(own, 0750), 0);
    assert_refused(url, COAT_ECONFIG, "chmod 700");
}

static void a_directory_that_is_a_file_or_a_link_is_refused(void **state)
{
    (void)state;
    char target[96];
    snprintf(target, sizeof target, "%s/target", dir);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, own), 0);
    assert_refused(url, COAT_ECONFIG, "directory");
    assert_int_equal(unlink(own), 0);
    int fd = open(own, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_refused(url, COAT_ECONFIG, "directory");
}

static void a_directory_that_cannot_be_made_is_refused(void **state)
{
    (void)state;
    assert_refused("embedded:/proc/no/such?allow_root=1", COAT_ECONFIG, "cannot be made");
}

/* As root: another user's directory, and root itself. Otherwise root's. */
static void another_users_directory_is_refused(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        assert_int_equal(mkdir(own, 0700), 0);
        assert_int_equal(chown(own, 12345, 12345), 0);
        assert_refused(url, COAT_ECONFIG, "another user");
    } else {
        assert_refused("embedded:/", COAT_ECONFIG, "another user");
    }
}

static void root_must_say_so(void **state)
{
    (void)state;
    char text[128];
    if (geteuid() != 0) {
        stop(started(url)); /* nothing to allow: nothing to ask for */
        return;
    }
    snprintf(text, sizeof text, "embedded:%s", own);
    assert_refused(text, COAT_ECONFIG, "allow_root=1");
}

static void a_path_too_long_for_a_socket_is_refused(void **state)
{
    (void)state;
    char text[256] = "embedded:/";
    memset(text + strlen(text), 'a', 100);
    strcat(text, "?allow_root=1");
    assert_refused(text, COAT_ECONFIG, "shorter");
}

static void a_server_that_ends_at_once_is_noticed_and_its_log_named(void **state)
{
    (void)state;
    char path[128];
    assert_int_equal(mkdir(own, 0700), 0);
    snprintf(path, sizeof path, "%s/appendonlydir", own); /* where it wants a directory */
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof path, "%s/appendonly.aof", own); /* where Redis 6.2 wants a file */
    assert_int_equal(mkdir(path, 0700), 0);
    int64_t start = coat_monotonic_ms();
    assert_refused(url, COAT_EUNAVAILABLE, "redis.log");
    assert_true(coat_monotonic_ms() - start < 8000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_started_keeps_its_data_and_is_stopped),
        TEST(a_given_prefix_stays),
        TEST(who_comes_later_finds_it),
        TEST(many_processes_start_one_server),
        TEST(what_was_acknowledged_survives_a_crash),
        TEST(it_leaves_no_zombie),
        TEST(it_starts_where_children_are_ignored),
        TEST(it_keeps_no_descriptor_of_the_program_open),
        TEST(it_gets_nothing_of_the_environment),
        TEST(stopping_twice_is_fine),
        TEST(the_default_directory_is_below_the_state_home),
        TEST(only_embedded_stores_can_be_stopped),
        TEST(without_a_server_installed_it_says_what_to_install),
        TEST(a_directory_that_is_open_to_others_is_refused),
        TEST(a_directory_that_is_a_file_or_a_link_is_refused),
        TEST(a_directory_that_cannot_be_made_is_refused),
        TEST(another_users_directory_is_refused),
        TEST(root_must_say_so),
        TEST(a_path_too_long_for_a_socket_is_refused),
        TEST(a_server_that_ends_at_once_is_noticed_and_its_log_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
