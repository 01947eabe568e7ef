#include "service/documents/revs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/tree.h"
#include "service/doc_name.h"
#include "store/store.h"

static enum qk_err revs_copy(struct service *service, const uint8_t *database, struct revs *revs)
{
    struct bytes name = record_key_name(record_key_bytes(&revs->key));
    struct record record;
    enum qk_err err = store_get(service->store, record_key_bytes(&revs->key), &record);

    if (err == QK_ERR_NOT_FOUND)
        return QK_OK;
    if (err == QK_ERR_CORRUPT)
        stored_damaged(service, database, name);
    if (err != QK_OK)
        return err;
    revs->seq = record.seq;
    buf_put_bytes(&revs->value, record.value);
    err = buf_error(&revs->value);
    return err != QK_OK ? err
                        : stored_decode(service, database, name, record.version,
                                        buf_bytes(&revs->value), &revs->record);
}

enum qk_err revs_read(struct visible *visible, bool hidden, struct bytes id, struct revs *revs)
{
    enum qk_err err = doc_name_of_id(visible->service, visible->database, hidden, id, &revs->key);
    bool shown = true;
    unsigned i;

    if (err == QK_OK)
        err = revs_copy(visible->service, visible->database, revs);
    for (i = 0; err == QK_OK && shown && i < revs->record.leaves_n; i++)
        err = visible_key(visible, revs->record.leaves[i].key_id, &shown);
    return err == QK_OK && !shown ? QK_ERR_DENIED : err;
}

static enum qk_err revs_room(struct revs *revs, size_t names_n)
{
    assert(revs->items == NULL);

    revs->items = calloc(names_n + revs->record.leaves_n + 1, sizeof(*revs->items));
    return revs->items == NULL ? QK_ERR_NOMEM : QK_OK;
}

enum qk_err revs_all(struct revs *revs)
{
    enum qk_err err = revs_room(revs, 0);

    while (err == QK_OK && revs->items_n < revs->record.leaves_n) {
        revs->items[revs->items_n].leaf = &revs->record.leaves[revs->items_n];
        revs->items_n++;
    }
    return err;
}

/* The leaves of one name; false if there is none. Each leaf is an answer once, so there is room. */
static bool name_leaves(struct revs *revs, struct bytes name, bool latest, bool *seen)
{
    struct revision revision;
    bool found = false;
    unsigned i;

    if (revision_parse(name, &revision) != QK_OK)
        return false;
    for (i = 0; i < revs->record.leaves_n; i++) {
        const struct doc_leaf *leaf = &revs->record.leaves[i];

        if (latest ? !doc_leaf_descends(leaf, &revision)
                   : !revision_equal(&leaf->revision, &revision))
            continue;
        found = true;
        if (!seen[i])
            revs->items[revs->items_n++].leaf = leaf;
        seen[i] = true;
    }
    return found;
}

enum qk_err revs_named(struct revs *revs, const json_t *names, bool latest)
{
    bool *seen = calloc(revs->record.leaves_n + 1, sizeof(*seen));
    enum qk_err err = seen == NULL ? QK_ERR_NOMEM : revs_room(revs, json_array_size(names));
    size_t i;

    for (i = 0; err == QK_OK && i < json_array_size(names); i++) {
        struct bytes name = json_bytes(json_array_get(names, i));

        if (!name_leaves(revs, name, latest, seen))
            revs->items[revs->items_n++].missing = name;
    }
    free(seen);
    return err;
}

void revs_fini(struct revs *revs)
{
    doc_record_fini(&revs->record);
    buf_fini(&revs->value);
    free(revs->items);
    revs->items = NULL;
    revs->items_n = 0;
}

enum qk_err revs_names_check(const json_t *names, struct doc_problem *ret_problem)
{
    struct revision revision;
    size_t i;

    if (!json_is_array(names))
        return doc_problem_set(ret_problem, 400, "bad_request", "`revs` must be an array.");
    if (json_array_size(names) > REVS_NAMED_MAX)
        return doc_problem_set(ret_problem, 413, "too_large", "at most %d revisions fit a request",
                               REVS_NAMED_MAX);
    for (i = 0; i < json_array_size(names); i++) {
        if (revision_parse(json_bytes(json_array_get(names, i)), &revision) == QK_ERR_INVALID)
            return doc_problem_set(ret_problem, 400, "bad_request", "Invalid rev format");
    }
    return QK_OK;
}
