#include "service/designs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/document.h"
#include "keys/keyring.h"
#include "service/doc_name.h"
#include "service/keys_current.h"
#include "service/read.h"
#include "service/timer_uv.h"
#include "store/store.h"

#define PREFIX "_design/"
#define TURN_RECORDS 2048
#define TURN_BYTES (1 * MIB)
#define PAUSE_MS 1u /* a timer of 0 would fire in the same turn of the loop */
#define KEYS_MS 20u

struct designs_waiter {
    struct designs_waiter *next;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
};

/* READING until all were read at one moment; a change meanwhile begins it again. */
enum designs_state { DESIGNS_READING, DESIGNS_THERE, DESIGNS_DEAD };

struct designs {
    struct designs *next; /* in service->designs, the one used last first */
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    bool ids_hidden;
    enum designs_state state;
    bool flushing, changed; /* changed: while it was read */
    enum qk_err err;        /* for those who wait */
    uint64_t epoch;
    struct design *list;
    size_t n, cap, bytes;
    struct designs_waiter *waiters;
    struct timer *timer;
    struct store_cursor *cursor;
    struct buf id, plain, text; /* secret */
};

/* --- life --- */

static void list_free(struct designs *designs)
{
    while (designs->n > 0)
        json_decref(designs->list[--designs->n].json);
    free(designs->list); /* key ids: nothing to wipe */
    designs->list = NULL;
    designs->cap = designs->bytes = 0;
}

static void reading_stop(struct designs *designs)
{
    store_cursor_close(designs->cursor);
    designs->cursor = NULL;
    buf_fini(&designs->id);
    buf_fini(&designs->plain);
    buf_fini(&designs->text);
}

static void freed(void *arg)
{
    free(arg);
}

static void unlink_it(struct designs *designs)
{
    struct designs **link = &designs->service->designs;

    while (*link != NULL && *link != designs)
        link = &(*link)->next;
    if (*link == designs)
        *link = designs->next;
}

static void link_it(struct designs *designs)
{
    designs->next = designs->service->designs;
    designs->service->designs = designs;
}

/* Nobody finds it any more. It goes once those who wait are told and no flush is under way. */
static void kill_it(struct designs *designs, enum qk_err why)
{
    unlink_it(designs);
    designs->state = DESIGNS_DEAD;
    designs->err = why;
    list_free(designs);
    reading_stop(designs);
    timer_start(designs->timer, 0);
}

static void tell(struct designs *designs, enum qk_err err)
{
    struct designs_waiter *waiter = designs->waiters, *next;

    designs->waiters = NULL;
    for (; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->cb(waiter->arg, err);
        free(waiter);
    }
}

static void store_changed(void *arg, struct bytes key);

void designs_close(struct service *service)
{
    if (service->designs_watched)
        store_unwatch(service->store, store_changed, service);
    service->designs_watched = false;
    while (service->designs != NULL)
        kill_it(service->designs, QK_ERR_SEALED);
}

/* --- what happens to the store --- */

static bool is_design(struct designs *designs, struct bytes name)
{
    struct buf scratch = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    struct bytes id;
    bool is = true; /* a name that cannot be read may be one */

    if (!doc_name_is_document(name))
        return false;
    if (doc_name_to_id(designs->service, designs->database, designs->ids_hidden, name, &scratch,
                       &id) == QK_OK)
        is = bytes_starts_with(id, bytes_str(PREFIX));
    buf_fini(&scratch);
    return is;
}

static void one_changed(struct designs *designs, struct bytes key)
{
    if (key.len > DATABASE_ID_BYTES && !is_design(designs, record_key_name(key)))
        return;
    if (designs->state == DESIGNS_READING)
        designs->changed = true;
    else
        kill_it(designs, QK_ERR_CLOSED);
}

static void store_changed(void *arg, struct bytes key)
{
    struct service *service = arg;
    struct designs *designs = service->designs, *next;
    size_t len = key.len < DATABASE_ID_BYTES ? key.len : DATABASE_ID_BYTES;

    for (; designs != NULL; designs = next) {
        next = designs->next;
        if (len == 0 || memcmp(designs->database, key.data, len) == 0)
            one_changed(designs, key);
    }
}

/* --- reading --- */

static enum qk_err list_add(struct designs *designs, const struct doc_leaf *leaf, json_t *json)
{
    size_t cap = designs->cap == 0 ? 8 : 2 * designs->cap;
    struct design *wide;

    if (designs->n == designs->cap) {
        wide = reallocarray(designs->list, cap, sizeof(*wide));
        if (wide == NULL)
            return QK_ERR_NOMEM;
        designs->list = wide;
        designs->cap = cap;
    }
    designs->list[designs->n].json = json;
    memcpy(designs->list[designs->n].key_id, leaf->key_id, DOC_KEY_ID_BYTES);
    designs->n++;
    return QK_OK;
}

/* One whose key was destroyed is gone; one that is damaged stands there as such. */
static enum qk_err leaf_read(struct designs *designs, struct bytes name, struct bytes id,
                             const struct doc_leaf *leaf, json_t **ret_json)
{
    static const struct document_options options = {0};
    struct doc_problem problem;
    struct document_parts parts;
    enum qk_err err;

    buf_reset(&designs->plain);
    buf_reset(&designs->text);
    err = stored_open(designs->service, designs->database, name, leaf, &designs->plain, &parts);
    if (err == QK_OK) {
        designs->bytes += parts.body.len;
        document_write(id, leaf, &parts, &options, &designs->text);
        err = buf_error(&designs->text);
    }
    if (err == QK_OK)
        err = json_parse(buf_bytes(&designs->text), JSON_WRITE_DEPTH_MAX, &problem, ret_json);
    return err == QK_OK && designs->bytes > DESIGNS_BYTES_MAX ? QK_ERR_TOO_BIG : err;
}

static enum qk_err design_take(struct designs *designs, const struct store_row *row,
                               struct bytes name, struct bytes id)
{
    struct service *service = designs->service;
    struct doc_place place = {service->origin_id, designs->database, name, row->record.version};
    struct doc_leaf leaf = {.deleted = false};
    json_t *json = NULL;
    unsigned leaves_n;
    enum qk_err err = doc_record_decode_winner(keyring_integrity_key(service->keyring), &place,
                                               row->record.value, &leaf, &leaves_n);

    if (err == QK_OK && leaf.deleted)
        return QK_OK;
    if (err == QK_OK)
        err = leaf_read(designs, name, id, &leaf, &json);
    if (err == QK_ERR_DESTROYED)
        return QK_OK;
    if (err == QK_ERR_CORRUPT || err == QK_ERR_INVALID)
        err = QK_OK;
    if (err == QK_OK)
        err = list_add(designs, &leaf, json);
    if (err != QK_OK)
        json_decref(json);
    return err;
}

static enum qk_err row_take(struct designs *designs, const struct store_row *row)
{
    struct bytes name = record_key_name(row->key), id;
    enum qk_err err;

    if (!doc_name_is_document(name))
        return QK_OK;
    err = doc_name_to_id(designs->service, designs->database, designs->ids_hidden, name,
                         &designs->id, &id);
    if (err == QK_ERR_CORRUPT)
        return QK_OK; /* verify names it */
    if (err != QK_OK || !bytes_starts_with(id, bytes_str(PREFIX)))
        return err;
    return design_take(designs, row, name, id);
}

static enum qk_err cursor_open(struct designs *designs)
{
    struct record_key prefix =
        record_document(designs->database, designs->ids_hidden ? BYTES_NONE : bytes_str(PREFIX));

    return store_cursor_open_prefix(designs->service->store, record_key_bytes(&prefix), false,
                                    &designs->cursor);
}

static enum qk_err rows_take(struct designs *designs, bool *ret_last)
{
    size_t bytes = designs->bytes;
    struct store_row row;
    enum qk_err err = QK_OK;
    unsigned n;

    for (n = 0; err == QK_OK && n < TURN_RECORDS && designs->bytes - bytes < TURN_BYTES; n++) {
        err = store_cursor_next(designs->cursor, &row);
        *ret_last = err == QK_ERR_NOT_FOUND;
        if (err == QK_OK)
            err = row_take(designs, &row);
    }
    return *ret_last ? QK_OK : err;
}

static void flushed(void *arg, enum qk_err err);

static void reading_begin(struct designs *designs)
{
    list_free(designs);
    reading_stop(designs);
    designs->state = DESIGNS_READING;
    designs->changed = false;
    designs->flushing = true;
    store_flush_to_read(designs->service->store, flushed, designs);
}

static void reading_turn(struct designs *designs)
{
    bool last = false;
    enum qk_err err = designs->cursor == NULL ? cursor_open(designs) : QK_OK;

    if (err == QK_OK)
        err = rows_take(designs, &last);
    if (err != QK_OK) {
        kill_it(designs, err);
    } else if (!last) {
        timer_start(designs->timer, PAUSE_MS);
    } else if (designs->changed) {
        reading_begin(designs);
    } else {
        reading_stop(designs);
        designs->state = DESIGNS_THERE;
        designs->epoch = ++designs->service->designs_epoch;
        tell(designs, QK_OK);
    }
}

static void tick(void *arg)
{
    struct designs *designs = arg;

    if (designs->state == DESIGNS_DEAD) {
        tell(designs, designs->err);
        if (!designs->flushing)
            timer_free(designs->timer, freed, designs);
    } else if (designs->state == DESIGNS_READING && !designs->flushing) {
        if (keys_are_current(designs->service))
            reading_turn(designs);
        else
            timer_start(designs->timer, KEYS_MS);
    }
}

static void flushed(void *arg, enum qk_err err)
{
    struct designs *designs = arg;

    designs->flushing = false;
    if (designs->state != DESIGNS_DEAD && err != QK_OK)
        kill_it(designs, err);
    else
        timer_start(designs->timer, PAUSE_MS);
}

/* --- for who looks --- */

static struct designs *lookup(struct service *service, const uint8_t *database)
{
    struct designs *designs = service->designs;

    while (designs != NULL && memcmp(designs->database, database, DATABASE_ID_BYTES) != 0)
        designs = designs->next;
    return designs;
}

const struct designs *designs_find(struct service *service,
                                   const uint8_t database[static DATABASE_ID_BYTES])
{
    struct designs *designs = lookup(service, database);

    if (designs == NULL || designs->state != DESIGNS_THERE)
        return NULL;
    unlink_it(designs);
    link_it(designs);
    return designs;
}

static void make_room(struct service *service)
{
    struct designs *designs, *last = NULL;
    size_t n = 0;

    for (designs = service->designs; designs != NULL; designs = designs->next, n++)
        if (designs->state == DESIGNS_THERE)
            last = designs;
    if (n >= DESIGNS_DATABASES_MAX && last != NULL)
        kill_it(last, QK_ERR_CLOSED);
}

static enum qk_err designs_new(struct service *service, const struct catalog_database *database,
                               struct designs **ret_designs)
{
    struct designs *designs = calloc(1, sizeof(*designs));
    enum qk_err err = designs == NULL ? QK_ERR_NOMEM : QK_OK;

    if (err == QK_OK)
        err = timer_new(service->loop, tick, designs, &designs->timer);
    if (err == QK_OK && !service->designs_watched) {
        err = store_watch(service->store, BYTES_NONE, store_changed, service);
        service->designs_watched = err == QK_OK;
        if (err != QK_OK) {
            timer_free(designs->timer, freed, designs);
            return err;
        }
    }
    if (err != QK_OK) {
        free(designs);
        return err;
    }
    designs->service = service;
    designs->ids_hidden = database->ids_hidden;
    designs->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    designs->plain = designs->text = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 1 * MIB);
    memcpy(designs->database, database->id, DATABASE_ID_BYTES);
    link_it(designs);
    *ret_designs = designs;
    return QK_OK;
}

enum qk_err designs_wait(struct service *service, const struct catalog_database *database,
                         void (*cb)(void *arg, enum qk_err err), void *arg)
{
    struct designs_waiter *waiter = malloc(sizeof(*waiter));
    struct designs *designs = lookup(service, database->id);
    enum qk_err err = waiter == NULL ? QK_ERR_NOMEM : QK_OK;

    assert(designs == NULL || designs->state == DESIGNS_READING);

    if (err == QK_OK && designs == NULL) {
        make_room(service);
        err = designs_new(service, database, &designs);
        if (err == QK_OK)
            reading_begin(designs);
    }
    if (err != QK_OK) {
        free(waiter);
        return err;
    }
    *waiter = (struct designs_waiter){designs->waiters, cb, arg};
    designs->waiters = waiter;
    return QK_OK;
}

size_t designs_n(const struct designs *designs)
{
    return designs->n;
}

const struct design *designs_at(const struct designs *designs, size_t at)
{
    assert(at < designs->n);

    return &designs->list[at];
}

uint64_t designs_epoch(const struct designs *designs)
{
    return designs->epoch;
}
