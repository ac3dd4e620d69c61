#include "system_error.h"

#include <errno.h>

#include "api/error.h"

static const struct {
    int number;
    const char *reason, *text;
} failures[] = {
    {ECONNREFUSED, "refused", "connection refused; is the server running there?"},
    {ENOENT, "missing", "there is no such socket; is the server running?"},
    {ECONNRESET, "reset", "the server reset the connection"},
    {EPIPE, "closed", "the server closed the connection"},
    {EACCES, "permission", "this process may not use it"},
    {EPERM, "permission", "this process may not use it"},
    {ENETUNREACH, "unreachable", "there is no way to this network"},
    {EHOSTUNREACH, "unreachable", "there is no way to this host"},
    {ETIMEDOUT, "timeout", "the server's host does not answer"},
    {EMFILE, "descriptors", "this process has too many open files"},
    {ENFILE, "descriptors", "this system has too many open files"},
    {ENOBUFS, "memory", "the system is short of memory"},
    {ENOMEM, "memory", "the system is short of memory"},
};

int coat_system_error(const char *name, int number, struct coat_error *err)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].number == number)
            return coat_error_because(err, COAT_EUNAVAILABLE, failures[i].reason, "%s: %s", name,
                                      failures[i].text);
    return coat_error_because(err, COAT_EUNAVAILABLE, "io", "%s: system error %d", name, number);
}
