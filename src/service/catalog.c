/* catalog_open -> watch -> flush -> scan of the whole space -> the keys that changed meanwhile ->
 * open. From then on a changed key is read again inside apply, so memory and store agree at every
 * index. After a snapshot was swapped in everything is read anew. */
#include "service/catalog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "secret/secret.h"
#include "service/catalog_record.h"
#include "service/catalog_table.h"
#include "service/designs.h"
#include "service/keys_current.h"
#include "store/store.h"

#define CHANGED_BYTES_MAX (8 * MIB)

/* One reading of the space; outlives a catalog that was closed meanwhile. */
struct catalog_load {
    struct catalog *catalog; /* NULL: closed meanwhile */
    catalog_open_cb cb;      /* NULL: a reload */
    void *arg;
};

struct catalog {
    struct service *service;
    struct catalog_load *load; /* under way, else NULL */
    struct buf changed;        /* keys that changed during it */
    bool again;                /* everything changed during it */
    enum qk_err err;           /* of the last reading */
    struct catalog_table tables[CATALOG_KINDS_N];
};

static void catalog_empty(struct catalog *catalog)
{
    unsigned kind;

    for (kind = 0; kind < CATALOG_KINDS_N; kind++)
        catalog_table_fini(&catalog->tables[kind]);
}

static void catalog_damaged(const struct service *service, enum qk_err err)
{
    const char *where = store_error(service->store);

    log_error("catalog", "a record of the catalog was not read: %s%s%s", qk_err_text(err),
              where[0] == '\0' ? "" : ": ", where);
}

static enum qk_err catalog_put(struct catalog *catalog, struct bytes key,
                               const struct record *record)
{
    struct catalog_entry *entry = NULL;
    enum qk_err err;

    err = catalog_entry_open(catalog->service, key, record->version, record->value, &entry);
    if (err == QK_OK && entry != NULL)
        err = catalog_table_put(&catalog->tables[entry->kind], entry);
    if (err != QK_OK)
        catalog_entry_free(entry);
    return err;
}

static void tell_follower(struct service *service, bool closing)
{
    const struct catalog_follower *follower = service->catalog_follower;

    if (follower != NULL && closing)
        follower->closing(service);
    else if (follower != NULL)
        follower->dropped(service);
}

/* Brings one key in line with the store. What cannot be read is as if it were not there: denied. */
static enum qk_err catalog_refresh(struct catalog *catalog, struct bytes key)
{
    size_t databases_n = catalog->tables[CATALOG_DATABASE].n;
    struct record record;
    unsigned kind;
    enum qk_err err;

    for (kind = 0; kind < CATALOG_KINDS_N; kind++)
        catalog_table_remove(&catalog->tables[kind], key);
    err = store_get(catalog->service->store, key, &record);
    if (err == QK_ERR_NOT_FOUND) {
        if (catalog->tables[CATALOG_DATABASE].n < databases_n)
            tell_follower(catalog->service, false);
        return QK_OK;
    }
    if (err == QK_OK)
        err = catalog_put(catalog, key, &record);
    if (err != QK_OK)
        catalog_damaged(catalog->service, err);
    return err;
}

/* --- reading everything --- */

static enum qk_err catalog_scan(struct catalog *catalog)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err;

    record_space_id(RECORD_CATALOG, space);
    err = store_cursor_open_prefix(catalog->service->store, bytes_of(space, sizeof(space)), false,
                                   &cursor);
    if (err != QK_OK)
        return err;
    while ((err = store_cursor_next(cursor, &row)) == QK_OK) {
        err = catalog_put(catalog, row.key, &row.record);
        if (err != QK_OK)
            break;
    }
    store_cursor_close(cursor);
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static enum qk_err catalog_catch_up(struct catalog *catalog)
{
    enum qk_err err = buf_error(&catalog->changed);
    size_t at;

    for (at = 0; err == QK_OK && at < catalog->changed.len; at += CATALOG_KEY_BYTES)
        err = catalog_refresh(catalog,
                              bytes_slice(buf_bytes(&catalog->changed), at, CATALOG_KEY_BYTES));
    buf_fini(&catalog->changed);
    return err;
}

static enum qk_err catalog_load_start(struct catalog *catalog, catalog_open_cb cb, void *arg);

/* A reload that fails leaves the node without names, rather than with an old name of an old id:
 * catalog_check says so until the next one. */
static void catalog_load_end(struct catalog *catalog, struct catalog_load *load, enum qk_err err)
{
    struct service *service = catalog->service;

    catalog->err = err;
    if (err != QK_OK) {
        catalog_damaged(service, err);
        catalog_empty(catalog);
    }
    service->catalog_generation++;
    if (load->cb == NULL)
        return;
    if (err == QK_OK) {
        service->catalog_opening = NULL;
        service->catalog = catalog;
        tell_follower(service, false); /* some may have been dropped meanwhile */
    } else {
        catalog_close(service);
    }
    load->cb(load->arg, err);
}

static void catalog_flushed(void *arg, enum qk_err err)
{
    struct catalog_load *load = arg;
    struct catalog *catalog = load->catalog;

    if (catalog == NULL) {
        if (load->cb != NULL)
            load->cb(load->arg, QK_ERR_CLOSED);
        free(load);
        return;
    }
    catalog->load = NULL;
    catalog_empty(catalog);
    if (err == QK_OK && catalog->again) {
        catalog->again = false;
        err = catalog_load_start(catalog, load->cb, load->arg);
        if (err == QK_OK) {
            free(load);
            return;
        }
    }
    if (err == QK_OK)
        err = catalog_scan(catalog);
    if (err == QK_OK)
        err = catalog_catch_up(catalog);
    catalog_load_end(catalog, load, err);
    free(load);
}

static enum qk_err catalog_load_start(struct catalog *catalog, catalog_open_cb cb, void *arg)
{
    struct catalog_load *load = calloc(1, sizeof(*load));

    if (load == NULL)
        return QK_ERR_NOMEM;
    *load = (struct catalog_load){catalog, cb, arg};
    catalog->load = load;
    store_flush(catalog->service->store, catalog_flushed, load);
    return QK_OK;
}

/* --- keeping current --- */

static void catalog_changed(void *arg, struct bytes key)
{
    struct catalog *catalog = arg;
    bool everything = key.len != CATALOG_KEY_BYTES;

    catalog->service->catalog_generation++;
    if (everything && catalog->load == NULL) {
        catalog->err = catalog_load_start(catalog, NULL, NULL);
        if (catalog->err != QK_OK)
            catalog_damaged(catalog->service, catalog->err);
    } else if (everything) {
        catalog->again = true;
    } else if (catalog->load != NULL || !keys_are_current(catalog->service)) {
        buf_put_bytes(&catalog->changed, key); /* until it can be opened */
    } else if (catalog_refresh(catalog, key) != QK_OK) {
        /* Already logged; the entry is gone, so that its use is denied. */
        return;
    }
}

void catalog_keys_changed(struct service *service)
{
    struct catalog *catalog = service->catalog;

    if (catalog == NULL || catalog->load != NULL || !keys_are_current(service))
        return;
    service->catalog_generation++;
    if (catalog->err != QK_OK)
        catalog_changed(catalog, BYTES_NONE);
    else if (catalog_catch_up(catalog) != QK_OK)
        catalog_changed(catalog, BYTES_NONE); /* more than were remembered */
}

/* --- open and close --- */

enum qk_err catalog_open(struct service *service, catalog_open_cb cb, void *arg)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct catalog *catalog;
    enum qk_err err;

    assert(service->keyring != NULL && service->store != NULL);
    assert(service->catalog == NULL && service->catalog_opening == NULL && cb != NULL);

    catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL)
        return QK_ERR_NOMEM;
    catalog->service = service;
    catalog->changed = BUF_INIT(CHANGED_BYTES_MAX);
    record_space_id(RECORD_CATALOG, space);
    err = store_watch(service->store, bytes_of(space, sizeof(space)), catalog_changed, catalog);
    if (err != QK_OK) {
        free(catalog);
        return err;
    }
    service->catalog_opening = catalog;
    err = catalog_load_start(catalog, cb, arg);
    if (err != QK_OK)
        catalog_close(service);
    return err;
}

void catalog_close(struct service *service)
{
    struct catalog *catalog =
        service->catalog != NULL ? service->catalog : service->catalog_opening;

    if (catalog == NULL)
        return;
    designs_close(service);
    tell_follower(service, true);
    service->catalog = NULL;
    service->catalog_opening = NULL;
    if (catalog->load != NULL)
        catalog->load->catalog = NULL;
    if (service->store != NULL)
        store_unwatch(service->store, catalog_changed, catalog);
    catalog_empty(catalog);
    buf_fini(&catalog->changed);
    free(catalog);
}

/* --- looking up --- */

enum qk_err catalog_check(const struct catalog *catalog)
{
    return catalog->load != NULL ? QK_ERR_BUSY : catalog->err;
}

bool catalog_is_current(const struct catalog *catalog)
{
    return catalog_check(catalog) == QK_OK && catalog->changed.len == 0 &&
           buf_error(&catalog->changed) == QK_OK;
}

static const struct catalog_entry *catalog_find(const struct catalog *catalog,
                                                enum catalog_kind kind, struct bytes name)
{
    return catalog_table_find(&catalog->tables[kind], name);
}

const struct catalog_database *catalog_database_find(const struct catalog *catalog,
                                                     struct bytes name)
{
    const struct catalog_entry *entry = catalog_find(catalog, CATALOG_DATABASE, name);

    return entry == NULL ? NULL : &entry->database;
}

const struct user *catalog_user_find(const struct catalog *catalog, struct bytes name)
{
    const struct catalog_entry *entry = catalog_find(catalog, CATALOG_USER, name);

    return entry == NULL ? NULL : &entry->user;
}

const struct catalog_grants *catalog_grants_find(const struct catalog *catalog,
                                                 const uint8_t key_id[static KEY_ID_BYTES])
{
    const struct catalog_entry *entry =
        catalog_find(catalog, CATALOG_GRANTS, bytes_of(key_id, KEY_ID_BYTES));

    return entry == NULL ? NULL : &entry->grants;
}

const struct catalog_table *catalog_table_of(const struct catalog *catalog, enum catalog_kind kind)
{
    return &catalog->tables[kind];
}

const struct login_token *catalog_token_find(const struct catalog *catalog,
                                             const uint8_t id[static PRINCIPAL_TOKEN_BYTES])
{
    const struct catalog_entry *entry =
        catalog_find(catalog, CATALOG_TOKEN, bytes_of(id, PRINCIPAL_TOKEN_BYTES));

    return entry == NULL ? NULL : &entry->token;
}

void catalog_token_cond(const struct catalog *catalog,
                        const uint8_t id[static PRINCIPAL_TOKEN_BYTES],
                        struct wire_command *command)
{
    const struct catalog_entry *entry =
        catalog_find(catalog, CATALOG_TOKEN, bytes_of(id, PRINCIPAL_TOKEN_BYTES));

    assert(entry != NULL);

    wire_command_cond(command, bytes_of(entry->key, CATALOG_KEY_BYTES), entry->version);
}

const struct catalog_database *catalog_database_of(const struct catalog *catalog,
                                                   const uint8_t id[static DATABASE_ID_BYTES])
{
    const struct catalog_table *table = &catalog->tables[CATALOG_DATABASE];

    for (size_t i = 0; i < table->n; i++)
        if (memcmp(table->items[i]->database.id, id, DATABASE_ID_BYTES) == 0)
            return &table->items[i]->database;
    return NULL;
}

const struct key_policy *catalog_policy_find(const struct catalog *catalog)
{
    const struct catalog_entry *entry = catalog_find(catalog, CATALOG_POLICY, BYTES_NONE);

    return entry == NULL ? NULL : &entry->policy;
}

static uint64_t version_of(const struct catalog *catalog, enum catalog_kind kind, struct bytes name)
{
    const struct catalog_entry *entry = catalog_find(catalog, kind, name);

    return entry == NULL ? 0 : entry->version;
}

uint64_t catalog_policy_version(const struct catalog *catalog)
{
    return version_of(catalog, CATALOG_POLICY, BYTES_NONE);
}

void catalog_policy_cond(const struct catalog *catalog, struct wire_command *command)
{
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_policy_key(catalog->service, key);

    if (err == QK_OK)
        wire_command_cond(command, bytes_of(key, sizeof(key)), catalog_policy_version(catalog));
    else if (command->failed == QK_OK)
        command->failed = err;
}

uint64_t catalog_user_version(const struct catalog *catalog, struct bytes name)
{
    return version_of(catalog, CATALOG_USER, name);
}

uint64_t catalog_grants_version(const struct catalog *catalog,
                                const uint8_t key_id[static KEY_ID_BYTES])
{
    return version_of(catalog, CATALOG_GRANTS, bytes_of(key_id, KEY_ID_BYTES));
}

void catalog_user_cond(const struct catalog *catalog, struct bytes name,
                       struct wire_command *command)
{
    const struct catalog_entry *entry = catalog_find(catalog, CATALOG_USER, name);

    assert(entry != NULL);

    wire_command_cond(command, bytes_of(entry->key, CATALOG_KEY_BYTES), entry->version);
}

void catalog_grants_cond(const struct catalog *catalog, const uint8_t key_id[static KEY_ID_BYTES],
                         struct wire_command *command)
{
    const struct catalog_entry *entry =
        catalog_find(catalog, CATALOG_GRANTS, bytes_of(key_id, KEY_ID_BYTES));
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err;

    if (entry != NULL) {
        wire_command_cond(command, bytes_of(entry->key, CATALOG_KEY_BYTES), entry->version);
        return;
    }
    err = catalog_grants_key(catalog->service, key_id, key);
    if (err == QK_OK)
        wire_command_cond(command, bytes_of(key, sizeof(key)), 0);
    else if (command->failed == QK_OK)
        command->failed = err;
}

size_t catalog_databases_n(const struct catalog *catalog)
{
    return catalog->tables[CATALOG_DATABASE].n;
}

size_t catalog_users_n(const struct catalog *catalog)
{
    return catalog->tables[CATALOG_USER].n;
}

void catalog_databases_each(const struct catalog *catalog,
                            bool (*each)(void *arg, const struct catalog_database *database),
                            void *arg)
{
    const struct catalog_table *table = &catalog->tables[CATALOG_DATABASE];
    size_t i;

    for (i = 0; i < table->n; i++) {
        if (!each(arg, &table->items[i]->database))
            return;
    }
}

void catalog_users_each(const struct catalog *catalog,
                        bool (*each)(void *arg, const struct user *user), void *arg)
{
    const struct catalog_table *table = &catalog->tables[CATALOG_USER];
    size_t i;

    for (i = 0; i < table->n; i++) {
        if (!each(arg, &table->items[i]->user))
            return;
    }
}

void catalog_grants_each(const struct catalog *catalog,
                         bool (*each)(void *arg, const struct catalog_grants *grants), void *arg)
{
    const struct catalog_table *table = &catalog->tables[CATALOG_GRANTS];
    size_t i;

    for (i = 0; i < table->n; i++) {
        if (!each(arg, &table->items[i]->grants))
            return;
    }
}
