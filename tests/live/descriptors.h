/* descriptors.h: how many files and sockets the test's process has open. */
#ifndef LIVE_DESCRIPTORS_H
#define LIVE_DESCRIPTORS_H

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

/* only_inherited: those that a program started by exec() would have. */
static inline int live_descriptors(int only_inherited)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    int n = 0;
    if (!d)
        abort();
    while ((e = readdir(d))) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || fd == dirfd(d))
            continue;
        n += !only_inherited || !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    closedir(d);
    return n;
}

#endif
