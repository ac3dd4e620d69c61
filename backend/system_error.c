#include "system_error.h"

#include <errno.h>

#include "api/error.h"
#include "api/fault.h"

static const struct {
    int number;
    const char *reason, *text;
    enum coat_fault fault;
} failures[] = {
    {ECONNREFUSED, "refused", "connection refused; is the server running there?", COAT_FAULT_AWAY},
    {ENOENT, "missing", "there is no such socket; is the server running?", COAT_FAULT_AWAY},
    {ECONNRESET, "reset", "the server reset the connection", COAT_FAULT_AWAY},
    {EPIPE, "closed", "the server closed the connection", COAT_FAULT_AWAY},
    {EACCES, "permission", "this process may not use it", COAT_FAULT_AWAY},
    {EPERM, "permission", "this process may not use it", COAT_FAULT_AWAY},
    {ENETUNREACH, "unreachable", "there is no way to this network", COAT_FAULT_AWAY},
    {EHOSTUNREACH, "unreachable", "there is no way to this host", COAT_FAULT_AWAY},
    {ETIMEDOUT, "timeout", "the server's host does not answer", COAT_FAULT_AWAY},
    {EMFILE, "descriptors", "this process has too many open files", COAT_FAULT_HERE},
    {ENFILE, "descriptors", "this system has too many open files", COAT_FAULT_HERE},
    {ENOBUFS, "memory", "the system is short of memory", COAT_FAULT_HERE},
    {ENOMEM, "memory", "the system is short of memory", COAT_FAULT_HERE},
};

int coat_system_error(const char *name, int number, struct coat_error *err)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].number == number)
            return coat_fault_note(err, failures[i].fault,
                                   coat_error_because(err, COAT_EUNAVAILABLE, failures[i].reason,
                                                      "%s: %s", name, failures[i].text));
    return coat_error_because(err, COAT_EUNAVAILABLE, "io", "%s: system error %d", name, number);
}
