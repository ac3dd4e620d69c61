/* Any text as a URL: understood or refused, alone and as an option. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct coat_error err;
    struct coat_url url;
    struct coat_options *o;
    char *text = malloc(len + 1);

    if (!text)
        return 0;
    if (len)
        memcpy(text, bytes, len);
    text[len] = '\0';
    int rc = coat_url_parse(&url, text, &err);
    if (rc == 0 && (url.address.db < 0 || (url.address.host && url.address.port < 1)))
        abort();
    if (rc == 0)
        coat_url_release(&url);
    if (rc < 0 && rc != COAT_ECONFIG && rc != COAT_ENOMEM)
        abort();
    if (coat_options_new(&o, NULL) == 0) {
        int set = coat_options_set(o, "url", text, &err);
        if ((rc < 0 && set == 0) || (set < 0 && o->connect.address.scheme != COAT_SCHEME_NONE))
            abort();
        coat_options_set(o, "prefix", text, NULL);
        coat_options_set(o, "idle", text, NULL);
        coat_options_set(o, "timeout", text, NULL);
        coat_options_set(o, text, "1", NULL);
        if (o->idle_s < 0 || o->timeout_ms < 1)
            abort();
        coat_options_free(o);
    }
    free(text);
    return 0;
}
