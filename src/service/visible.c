#include "service/visible.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/read.h"

#define KEYS_FIRST 16

enum qk_err visible_init(struct visible *visible, struct service *service,
                         struct exchange *exchange, const struct catalog_database *database)
{
    *visible = (struct visible){
        .service = service, .exchange = exchange, .generation = service->catalog_generation};
    memcpy(visible->database, database->id, DATABASE_ID_BYTES);
    visible->ids_hidden = database->ids_hidden;
    visible->everything = authorize_user(service, &exchange->request.who, ACCESS_CLUSTER) == QK_OK;
    if (visible->everything)
        return QK_OK;
    return seq_key_derive(keyring_index_key(service->keyring), database->id, &visible->seq_key);
}

void visible_fini(struct visible *visible)
{
    free(visible->keys);
    secret_free(visible->seq_key);
    *visible = (struct visible){0};
}

static enum qk_err judge(const struct visible *visible, const uint8_t *key_id, bool *ret_shown)
{
    enum qk_err err = authorize_key(visible->service, &visible->exchange->request.who, key_id,
                                    ACCESS_KEY_DECRYPT);

    *ret_shown = err == QK_OK;
    return err == QK_ERR_DENIED ? QK_OK : err;
}

/* What became visible meanwhile stays hidden to the end: the reply is one moment's. */
static enum qk_err judge_again(struct visible *visible)
{
    enum qk_err err = QK_OK;
    bool shown;
    size_t i;

    for (i = 0; err == QK_OK && i < visible->keys_n; i++) {
        if (!visible->keys[i].shown)
            continue;
        err = judge(visible, visible->keys[i].id, &shown);
        if (err == QK_OK && !shown)
            err = QK_ERR_DENIED;
    }
    return err;
}

enum qk_err visible_turn(struct visible *visible)
{
    const struct service *service = visible->service;
    const struct request *request = &visible->exchange->request;
    const struct catalog_database *database;
    enum qk_err err;

    database = catalog_database_find(service->catalog, request->segments[0]);
    if (database != NULL && memcmp(database->id, visible->database, DATABASE_ID_BYTES) != 0)
        database = NULL; /* dropped, and another one made of the same name */
    err = authorize_database(service, &request->who, database, ACCESS_DB_READ);
    if (err == QK_OK && visible->everything)
        return authorize_user(service, &request->who, ACCESS_CLUSTER);
    if (err == QK_OK && visible->generation != service->catalog_generation)
        err = judge_again(visible);
    if (err == QK_OK)
        visible->generation = service->catalog_generation;
    return err;
}

bool visible_database_is_there(const struct visible *visible)
{
    const struct service *service = visible->service;
    const struct catalog_database *database;

    database =
        service->catalog == NULL
            ? NULL
            : catalog_database_find(service->catalog, visible->exchange->request.segments[0]);
    return database != NULL && memcmp(database->id, visible->database, DATABASE_ID_BYTES) == 0;
}

/* Handles of secrets are few, and feeds may be thousands. */
void visible_rest(struct visible *visible)
{
    secret_free(visible->seq_key);
    visible->seq_key = NULL;
}

static void forget_hidden(struct visible *visible)
{
    size_t kept = 0, i;

    for (i = 0; i < visible->keys_n; i++)
        if (visible->keys[i].shown)
            visible->keys[kept++] = visible->keys[i];
    visible->keys_n = kept;
}

enum qk_err visible_renew(struct visible *visible)
{
    enum qk_err err = visible_turn(visible);

    forget_hidden(visible);
    if (err == QK_OK && !visible->everything && visible->seq_key == NULL)
        err = seq_key_derive(keyring_index_key(visible->service->keyring), visible->database,
                             &visible->seq_key);
    return err;
}

static size_t key_place(const struct visible *visible, const uint8_t *key_id, bool *ret_found)
{
    size_t low = 0, high = visible->keys_n;

    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(visible->keys[middle].id, key_id, KEY_ID_BYTES);

        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return *ret_found ? high : low;
}

static enum qk_err key_insert(struct visible *visible, size_t at, const uint8_t *key_id, bool shown)
{
    size_t cap = visible->keys_cap == 0 ? KEYS_FIRST : 2 * visible->keys_cap;
    struct visible_key *keys;

    if (visible->keys_n == visible->keys_cap) {
        keys = reallocarray(visible->keys, cap, sizeof(*keys)); /* ids and answers: no secret */
        if (keys == NULL)
            return QK_ERR_NOMEM;
        visible->keys = keys;
        visible->keys_cap = cap;
    }
    memmove(visible->keys + at + 1, visible->keys + at,
            (visible->keys_n - at) * sizeof(*visible->keys));
    memcpy(visible->keys[at].id, key_id, KEY_ID_BYTES);
    visible->keys[at].shown = shown;
    visible->keys_n++;
    return QK_OK;
}

enum qk_err visible_key(struct visible *visible, const uint8_t key_id[static KEY_ID_BYTES],
                        bool *ret_shown)
{
    enum qk_err err;
    bool found;
    size_t at;

    *ret_shown = visible->everything;
    if (visible->everything)
        return QK_OK;
    at = key_place(visible, key_id, &found);
    if (found) {
        *ret_shown = visible->keys[at].shown;
        return QK_OK;
    }
    err = judge(visible, key_id, ret_shown);
    return err == QK_OK ? key_insert(visible, at, key_id, *ret_shown) : err;
}

enum qk_err visible_row(struct visible *visible, const struct store_row *row,
                        struct doc_leaf *ret_leaf, bool *ret_shown)
{
    struct service *service = visible->service;
    struct bytes name = record_key_name(row->key);
    struct doc_place place = {service->origin_id, visible->database, name, row->record.version};
    unsigned leaves_n;
    enum qk_err err = doc_record_decode_winner(keyring_integrity_key(service->keyring), &place,
                                               row->record.value, ret_leaf, &leaves_n);

    if (err == QK_ERR_CORRUPT)
        stored_damaged(service, visible->database, name);
    *ret_shown = visible->everything;
    return err == QK_OK ? visible_key(visible, ret_leaf->key_id, ret_shown) : err;
}

/* What the reader may decrypt among the keys that anybody has a grant on. */
struct visible_sum {
    const struct visible *visible;
    struct store_stats *stats;
};

static bool sum_key(void *arg, const struct catalog_grants *grants)
{
    const struct visible_sum *sum = arg;
    const struct visible *visible = sum->visible;
    struct store_key_stats key;
    bool shown;

    if (judge(visible, grants->key_id, &shown) != QK_OK)
        return false;
    if (!shown)
        return true;
    store_database_key_stats(visible->service->store, visible->database, grants->key_id, &key);
    sum->stats->doc_count += key.doc_count;
    sum->stats->del_count += key.del_count;
    sum->stats->bytes += key.bytes;
    return true;
}

void visible_stats(const struct visible *visible, struct store_stats *ret_stats)
{
    struct visible_sum sum = {visible, ret_stats};

    store_database_stats(visible->service->store, visible->database, ret_stats);
    if (visible->everything)
        return;
    *ret_stats = (struct store_stats){.seq = ret_stats->seq};
    catalog_grants_each(visible->service->catalog, sum_key, &sum);
}

enum qk_err visible_seq_format(const struct visible *visible, uint64_t seq,
                               char ret_text[static SEQ_TEXT_BYTES_MAX + 1])
{
    assert(visible->everything || visible->seq_key != NULL); /* it rests */
    if (!visible->everything)
        return seq_format_sealed(visible->seq_key, visible->database, seq, ret_text);
    seq_format(visible->database, seq, ret_text);
    return QK_OK;
}

enum qk_err visible_seq_parse(const struct visible *visible, struct bytes text, uint64_t *ret_seq)
{
    if (!visible->everything)
        return seq_parse_sealed(visible->seq_key, visible->database, text, ret_seq);
    return seq_parse(visible->database, text, ret_seq);
}
