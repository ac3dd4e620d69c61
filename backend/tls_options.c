#include "tls_options.h"

#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "text.h"

int coat_tls_options_equal(const struct coat_tls_options *a, const struct coat_tls_options *b)
{
    return a->on == b->on && a->min_version == b->min_version &&
           coat_text_equal(a->ca_file, b->ca_file) && coat_text_equal(a->ca_dir, b->ca_dir) &&
           coat_text_equal(a->cert_file, b->cert_file) &&
           coat_text_equal(a->key_file, b->key_file) &&
           coat_text_equal(a->key_password, b->key_password) &&
           coat_text_equal(a->server_name, b->server_name);
}

int coat_tls_options_copy(struct coat_tls_options *to, const struct coat_tls_options *from)
{
    *to = (struct coat_tls_options){.on = from->on, .min_version = from->min_version};
    if (coat_text_copy(&to->ca_file, from->ca_file) && coat_text_copy(&to->ca_dir, from->ca_dir) &&
        coat_text_copy(&to->cert_file, from->cert_file) &&
        coat_text_copy(&to->key_file, from->key_file) &&
        coat_text_copy(&to->key_password, from->key_password) &&
        coat_text_copy(&to->server_name, from->server_name))
        return 1;
    coat_tls_options_release(to);
    return 0;
}

void coat_tls_options_release(struct coat_tls_options *o)
{
    coat_text_wipe(&o->key_password);
    free(o->ca_file);
    free(o->ca_dir);
    free(o->cert_file);
    free(o->key_file);
    free(o->server_name);
    *o = (struct coat_tls_options){0};
}

int coat_tls_options_check(const struct coat_tls_options *o, struct coat_error *err)
{
    static const struct coat_tls_options none;
    struct coat_tls_options given = *o;
    given.on = 0;
    if (!o->on && !coat_tls_options_equal(&given, &none))
        return coat_error_set(
            err, COAT_ECONFIG,
            "there are tls_ options, but the URL asks for no TLS; write rediss:// "
            "instead of redis://, or leave them away");
    if (!o->cert_file && (o->key_file || o->key_password))
        return coat_error_set(err, COAT_ECONFIG,
                              "tls_key_file and tls_key_password need the certificate of that "
                              "key; set tls_cert_file");
    if (o->server_name && strlen(o->server_name) >= COAT_TLS_HOST_SIZE)
        return coat_error_set(err, COAT_ECONFIG,
                              "option tls_server_name is longer than a host name can be");
    return 0;
}
