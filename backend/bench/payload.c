#include "bench/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"
#include "cli/json.h"

enum { FILE_MOST = 16 << 20, STARTS = 4096 };

struct entry {
    struct coat_packer packer; /* which the bytes are in */
    const void *bytes;
    size_t len;
};

struct payload {
    unsigned fields;
    enum shape shape;
    struct draw_size size;
    char *letters;            /* that texts are pieces of */
    struct coat_doc *members; /* of the file; NULL: none */
    struct entry *entries;    /* packed; of a file the first one is what it says */
    size_t entry_count;
};

/* ---- The file ------------------------------------------------------------------------------- */

static int read_file(const char *name, char **text, size_t *len, struct coat_error *err)
{
    FILE *file = fopen(name, "rb");
    *text = malloc(FILE_MOST + 1);
    *len = file && *text ? fread(*text, 1, FILE_MOST + 1, file) : 0;
    int failed = !file || ferror(file), why = errno;
    if (file)
        fclose(file);
    if (!*text)
        return coat_error_nomem(err);
    if (failed)
        return coat_error_set(err, COAT_EUSAGE, "the payload '%s' cannot be read: %s", name,
                              strerror(why));
    if (*len > FILE_MOST)
        return coat_error_set(err, COAT_EUSAGE, "the payload '%s' is larger than 16 MiB", name);
    return 0;
}

static int parse(struct payload *payload, const char *text, size_t len, struct coat_error *err)
{
    struct entry *entry = &payload->entries[0];
    int rc = json_pack(&entry->packer, text, len, err);
    if (rc == 0)
        rc = coat_packer_finish(&entry->packer, &entry->bytes, &entry->len, err);
    if (rc == 0)
        rc = coat_doc_parse(&payload->members, entry->bytes, entry->len, NULL, err);
    return rc == COAT_ECORRUPT
               ? coat_error_set(err, COAT_EUSAGE, "the payload is no object whose names are texts")
               : rc;
}

static int take_file(struct payload *payload, const char *name, struct coat_error *err)
{
    char *text;
    size_t len;
    int rc = read_file(name, &text, &len, err);
    if (rc == 0)
        rc = parse(payload, text, len, err);
    free(text);
    return rc;
}

/* Every text is a piece of one long one, so that making it costs next to nothing. */
static int make_letters(struct payload *payload, uint64_t seed, struct coat_error *err)
{
    static const char LETTERS[] =
        "abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ.";
    struct draw draw;
    size_t count = (size_t)payload->size.high + STARTS;
    payload->letters = malloc(count);
    if (!payload->letters)
        return coat_error_nomem(err);
    draw_seed(&draw, seed, UINT64_MAX);
    for (size_t i = 0; i < count; i++)
        payload->letters[i] = LETTERS[draw_below(&draw, sizeof LETTERS - 1)];
    return 0;
}

/* ---- Values --------------------------------------------------------------------------------- */

static const char *piece(const struct payload *payload, struct draw *draw)
{
    return payload->letters + draw_below(draw, STARTS);
}

static void pack_nested(const struct payload *payload, struct draw *draw, size_t size,
                        struct coat_packer *to)
{
    coat_pack_dict(to, 3);
    coat_pack_str(to, "id");
    coat_pack_int(to, (int64_t)draw_below(draw, 1000000));
    coat_pack_str(to, "range");
    coat_pack_tuple(to, 2);
    coat_pack_int(to, 1);
    coat_pack_float(to, draw_unit(draw));
    coat_pack_end(to);
    coat_pack_str(to, "tags");
    coat_pack_list(to, 2);
    coat_pack_text(to, piece(payload, draw), size / 2);
    coat_pack_text(to, piece(payload, draw), size - size / 2);
    coat_pack_end(to);
    coat_pack_end(to);
}

static void pack_value(const struct payload *payload, struct draw *draw, struct coat_packer *to)
{
    size_t size = (size_t)draw_size(&payload->size, draw);
    if (payload->shape == SHAPE_TEXT)
        coat_pack_text(to, piece(payload, draw), size);
    else if (payload->shape == SHAPE_BYTES)
        coat_pack_bytes(to, piece(payload, draw), size);
    else if (payload->shape == SHAPE_NESTED)
        pack_nested(payload, draw, size, to);
    else if (draw_bits(draw) & 1)
        coat_pack_int(to, (int64_t)(draw_bits(draw) >> draw_below(draw, 64)));
    else
        coat_pack_float(to, draw_unit(draw));
}

/* ---- Fields --------------------------------------------------------------------------------- */

static void field_name(char to[16], unsigned field)
{
    snprintf(to, 16, "field%u", field);
}

static int fill_members(const struct payload *payload, struct coat_doc *doc, struct coat_error *err)
{
    const char *name;
    const void *value;
    size_t at = 0, name_len, len;
    int rc = 0;
    while (rc == 0 && coat_doc_next(payload->members, &at, &name, &name_len, &value, &len))
        rc = coat_doc_set(doc, name, name_len, value, len, err);
    return rc;
}

static int fill_drawn(const struct payload *payload, struct draw *draw, struct coat_doc *doc,
                      struct coat_error *err)
{
    struct coat_packer packer;
    char name[16];
    int rc = 0;
    coat_packer_init(&packer, NULL);
    for (unsigned i = 0; rc == 0 && i < payload->fields; i++) {
        field_name(name, i);
        pack_value(payload, draw, &packer);
        rc = coat_doc_put(doc, name, &packer, err);
    }
    coat_packer_release(&packer);
    return rc;
}

int payload_fill(const struct payload *payload, struct draw *draw, struct coat_doc *doc,
                 struct coat_error *err)
{
    int rc =
        payload->members ? fill_members(payload, doc, err) : fill_drawn(payload, draw, doc, err);
    return rc < 0 ? rc : coat_doc_add(doc, PAYLOAD_COUNTER, strlen(PAYLOAD_COUNTER), 0, err);
}

/* ---- Entries -------------------------------------------------------------------------------- */

static int make_entry(const struct payload *payload, struct draw *draw, struct entry *entry,
                      struct coat_error *err)
{
    struct coat_packer *to = &entry->packer;
    char name[16];
    coat_pack_dict(to, payload->fields);
    for (unsigned i = 0; i < payload->fields; i++) {
        field_name(name, i);
        coat_pack_str(to, name);
        pack_value(payload, draw, to);
    }
    coat_pack_end(to);
    return coat_packer_finish(to, &entry->bytes, &entry->len, err);
}

static int make_entries(struct payload *payload, uint64_t seed, struct coat_error *err)
{
    struct draw draw;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < payload->entry_count; i++) {
        draw_seed(&draw, seed, i);
        rc = make_entry(payload, &draw, &payload->entries[i], err);
    }
    return rc;
}

void payload_entry(const struct payload *payload, uint64_t n, const void **bytes, size_t *len)
{
    const struct entry *entry = &payload->entries[n % payload->entry_count];
    *bytes = entry->bytes;
    *len = entry->len;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static int fill(struct payload *payload, const struct plan *plan, struct coat_error *err)
{
    size_t count = plan->work == WORK_CACHE && !plan->payload_file ? PAYLOAD_ENTRIES : 1;
    payload->entries = calloc(count, sizeof *payload->entries);
    if (!payload->entries)
        return coat_error_nomem(err);
    for (; payload->entry_count < count; payload->entry_count++)
        coat_packer_init(&payload->entries[payload->entry_count].packer, NULL);
    if (plan->payload_file)
        return take_file(payload, plan->payload_file, err);
    int rc = make_letters(payload, plan->seed, err);
    return rc == 0 && plan->work == WORK_CACHE ? make_entries(payload, plan->seed, err) : rc;
}

int payload_open(struct payload **out, const struct plan *plan, struct coat_error *err)
{
    struct payload *payload = *out = calloc(1, sizeof *payload);
    if (!payload)
        return coat_error_nomem(err);
    *payload = (struct payload){.fields = plan->fields, .shape = plan->shape, .size = plan->size};
    int rc = fill(payload, plan, err);
    if (rc < 0) {
        payload_close(payload);
        *out = NULL;
    }
    return rc;
}

void payload_close(struct payload *payload)
{
    if (!payload)
        return;
    for (size_t i = 0; i < payload->entry_count; i++)
        coat_packer_release(&payload->entries[i].packer);
    free(payload->entries);
    free(payload->letters);
    coat_doc_free(payload->members);
    free(payload);
}
