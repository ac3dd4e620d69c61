#include "run.h"

#include "module.h"
#include "api/call.h"

int core_run(struct core_state *state, struct coat_store *store, struct coat_op *op,
             int64_t timeout_ms)
{
    struct coat_call call;
    struct coat_error err;
    int rc;

    coat_call_init(&call, store, op, timeout_ms);
    do {
        Py_BEGIN_ALLOW_THREADS rc = coat_call_run(&call, &err);
        Py_END_ALLOW_THREADS
    } while (rc == COAT_EINTR && PyErr_CheckSignals() == 0);
    coat_call_release(&call);
    if (rc < 0 && rc != COAT_EINTR)
        core_raise(state, &err, "session");
    return rc < 0 ? -1 : rc;
}
