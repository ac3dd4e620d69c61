#include "spin.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_AGAIN_AFTER 64 /* exchanges */

int64_t coat_spin_budget_us(struct coat_spin *spin, int64_t bound_us)
{
    if (spin->usual_us > bound_us && ++spin->skipped < TRY_AGAIN_AFTER)
        return 0;
    spin->skipped = 0;
    return bound_us;
}

void coat_spin_learn(struct coat_spin *spin, int64_t took_us)
{
    if (took_us < spin->usual_us || spin->usual_us == 0)
        spin->usual_us = took_us;
    else
        spin->usual_us += (took_us - spin->usual_us + 7) / 8;
}

/* ---- Where we run --------------------------------------------------------------------------- */

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 2;
}

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

/* The group's own folder, as this process sees it: "0::/user.slice/..." */
static int has_quota_of_its_own(void)
{
    char line[512], path[640];
    int found = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", line + 3);
        found = is_quota(path);
    }
    if (f)
        fclose(f);
    return found;
}

int coat_spin_is_sensible(void)
{
    return processors() > 1 && !is_quota("/sys/fs/cgroup/cpu.max") &&
           !is_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") && !has_quota_of_its_own();
}
