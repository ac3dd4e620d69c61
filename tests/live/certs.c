#include "live/certs.h"

#include <stdio.h>
#include <stdlib.h>

/* Where the sources were when this was compiled: "", or a path with a slash at its end. */
#define SOURCES_LEN ((int)(sizeof __FILE__ - sizeof "tests/live/certs.c"))

int live_certs_make(char directory[LIVE_CERTS_MAX])
{
    char command[1024];
    const char *srcdir = getenv("srcdir"); /* tests/run runs in another folder than make */
    snprintf(directory, LIVE_CERTS_MAX, "/tmp/coatcheck-certs.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    if (srcdir)
        snprintf(command, sizeof command, "sh '%s/tests/certs.sh' %s", srcdir, directory);
    else
        snprintf(command, sizeof command, "sh '%.*stests/certs.sh' %s", SOURCES_LEN, __FILE__,
                 directory);
    return system(command) == 0 ? 0 : -1;
}

int live_certs_remove(const char *directory)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}
