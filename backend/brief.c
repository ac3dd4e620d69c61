#include "brief.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISSES_BORNE 3    /* before any exchange is skipped */
#define SKIP_MAX     1024 /* exchanges */

int coat_brief_choose(struct coat_brief *brief)
{
    if (brief->skip == 0)
        return 1;
    brief->skip--;
    return 0;
}

/* With each miss more it is skipped twice as long: on a slow network hardly anything is tried. */
void coat_brief_learn(struct coat_brief *brief, int came_in_time)
{
    if (came_in_time) {
        brief->misses -= brief->misses > 0;
        return;
    }
    brief->misses++;
    for (unsigned n = MISSES_BORNE; n < brief->misses; n++)
        brief->skip = brief->skip ? 2 * brief->skip : 2;
    if (brief->skip >= SKIP_MAX) {
        brief->skip = SKIP_MAX;
        brief->misses--;
    }
}

/* ---- Where we run --------------------------------------------------------------------------- */

/* The first word of a file, or "". */
static void read_word(const char *path, char *word, size_t size)
{
    FILE *f = fopen(path, "re");
    word[0] = '\0';
    if (!f)
        return;
    if (!fgets(word, (int)size, f))
        word[0] = '\0';
    fclose(f);
    word[strcspn(word, " \n")] = '\0';
}

/* cgroup v2: "max 100000" or "50000 100000"; v1: -1 or a number of microseconds. */
static int is_quota(const char *path)
{
    char word[32];
    read_word(path, word, sizeof word);
    return word[0] != '\0' && strcmp(word, "max") != 0 && word[0] != '-';
}

/* A limit of a group holds for all below it, so each up to the root counts. Changes `group`. */
static int has_quota(char *group)
{
    char path[640], *end;
    do {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        if (is_quota(path))
            return 1;
        end = strrchr(group, '/');
        if (end)
            *end = '\0';
    } while (end);
    return 0;
}

/* The group of this process, as it sees it: "0::/user.slice/..." */
static int has_quota_of_its_own(void)
{
    char line[512];
    int found = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::/", 4) == 0 && has_quota(line + 3);
    }
    if (f)
        fclose(f);
    return found;
}

int coat_brief_is_sensible(void)
{
    return !is_quota("/sys/fs/cgroup/cpu.max") &&
           !is_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") && !has_quota_of_its_own();
}
