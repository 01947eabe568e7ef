/* The store without LMDB: tables in memory (system_table.c), one for what is applied and one for
 * what the disk holds. */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t blob_hash(struct blob *blob)
{
    if (blob->hash == 0)
        blob->hash = check_hash(blob_bytes(blob));
    return blob->hash;
}

uint64_t table_hash(const struct table *table)
{
    uint64_t value = table->n;

    for (size_t i = 0; i < table->n; i++) {
        const struct row *row = &table->rows[i];
        value = value * 1099511628211u ^ blob_hash(row->key);
        value = value * 1099511628211u ^ blob_hash(row->value);
        value = value * 1099511628211u ^ row->version ^ ((uint64_t)row->flags << 56);
    }
    for (size_t i = 0; i < table->keys_n; i++)
        value = value * 1099511628211u ^ table->keys[i].bodies ^ (table->keys[i].sealed << 32);
    return value;
}

/* --- store/store.h --------------------------------------------------------------------------- */

enum qk_err store_get(struct store *store, struct bytes key, struct record *ret_record)
{
    const struct row *row = table_find(&machine_of(store)->mem, key);

    if (row == NULL)
        return QK_ERR_NOT_FOUND;
    *ret_record = (struct record){
        .version = row->version, .flags = row->flags, .value = blob_bytes(row->value)};
    return QK_OK;
}

enum qk_err store_admit(const struct store *store)
{
    (void)store;
    return QK_OK;
}

const char *store_error(const struct store *store)
{
    (void)store;
    return "";
}

uint64_t store_applied(const struct store *store)
{
    return machine_of(store)->mem.index;
}

uint64_t store_applied_term(const struct store *store)
{
    return machine_of(store)->mem.term;
}

uint64_t store_synced(const struct store *store)
{
    return machine_of(store)->disk.index;
}

void store_key_stats(const struct store *store, const uint8_t key_id[static KEY_USE_ID_BYTES],
                     uint32_t version, struct store_key_stats *ret_stats)
{
    uint8_t id[WIRE_TAG_BYTES];
    const struct table_key *key;

    memcpy(id, key_id, KEY_USE_ID_BYTES);
    put_u32(id + KEY_USE_ID_BYTES, version);
    key = table_key_find(&machine_of(store)->mem, id);
    *ret_stats = (struct store_key_stats){0};
    if (key == NULL)
        return;
    ret_stats->bodies = key->bodies;
    ret_stats->sealed = key->sealed;
    ret_stats->sealed_bytes = key->sealed_bytes;
}

size_t store_pending_bytes(const struct store *store)
{
    (void)store;
    return 0;
}

static void compact_end(struct machine *m, enum qk_err err)
{
    store_cb cb = m->compacted_cb;

    m->compacted_cb = NULL;
    if (cb != NULL)
        cb(m->compacted_arg, err);
}

static void compacted(struct machine *m, void *arg)
{
    (void)arg;
    compact_end(m, QK_OK);
}

/* A table has no free pages: only the time that it takes is here. */
enum qk_err store_compact(struct store *store, store_cb cb, void *arg)
{
    struct machine *m = machine_of(store);

    if (machine_mute(m))
        return QK_ERR_CLOSED;
    if (m->compacted_cb != NULL)
        return QK_ERR_BUSY;
    m->compacted_cb = cb;
    m->compacted_arg = arg;
    system_later(m, 1 + sim_below(m->sys->w, 300), compacted, NULL);
    return QK_OK;
}

void store_figures(const struct store *store, struct store_figures *ret_figures)
{
    (void)store;
    memset(ret_figures, 0, sizeof(*ret_figures));
}

static void commit_soon(struct machine *m)
{
    struct system *sys = m->sys;
    /* README.md, What was found: before a first deal is final a slow disk may lock both out. */
    bool slow = !sys->over && (sys->final_epoch > 0 || sys->slow_first);
    uint64_t at = 1 + sim_below(sys->w, slow ? sys->commit_max : 20);

    if (m->committing || machine_mute(m))
        return;
    m->committing = true;
    if (slow && sim_chance(sys->w, sys->slow_disk))
        at += sim_below(sys->w, 3000);
    system_push(m, at, SYS_COMMIT, 0, NULL, 0);
}

/* A bug: it calls back before anything is on the disk. */
static void flush_lies(struct machine *m, void *arg)
{
    (void)arg;
    while (m->flushes != NULL && m->alive) {
        struct flush *flush = m->flushes;

        m->flushes = flush->next;
        flush->cb(flush->arg, QK_OK);
        free(flush);
    }
}

void store_flush(struct store *store, store_cb cb, void *arg)
{
    struct machine *m = machine_of(store);
    struct flush *flush = calloc(1, sizeof(*flush)), **tail = &m->flushes;

    assert(flush != NULL);
    flush->cb = cb;
    flush->arg = arg;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = flush;
    commit_soon(m);
    if (m->sys->bug == BUG_ERASE_UNSYNCED)
        system_later(m, 0, flush_lies, NULL);
}

enum qk_err store_watch(struct store *store, struct bytes prefix, store_watch_cb cb, void *arg)
{
    struct machine *m = machine_of(store);

    assert(m->watches_n < SYSTEM_WATCHES_MAX);
    m->watches[m->watches_n++] = (struct watch){blob_new(prefix), cb, arg};
    return QK_OK;
}

void store_unwatch(struct store *store, store_watch_cb cb, void *arg)
{
    struct machine *m = machine_of(store);

    for (unsigned i = m->watches_n; i-- > 0;)
        if (m->watches[i].cb == cb && m->watches[i].arg == arg) {
            blob_drop(m->watches[i].prefix);
            m->watches[i] = m->watches[--m->watches_n];
        }
}

void store_sim_told(struct machine *m, struct bytes key)
{
    for (unsigned i = 0; i < m->watches_n; i++)
        if (key.len == 0 || bytes_starts_with(key, blob_bytes(m->watches[i].prefix)))
            m->watches[i].cb(m->watches[i].arg, key);
}

static struct local *local_find(struct machine *m, const char *name)
{
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++)
        if (strcmp(m->locals[i].name, name) == 0)
            return &m->locals[i];
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++)
        if (m->locals[i].name[0] == 0) {
            snprintf(m->locals[i].name, sizeof(m->locals[i].name), "%s", name);
            return &m->locals[i];
        }
    abort();
}

enum qk_err store_local_get(struct store *store, const char *name, struct bytes *ret_value)
{
    struct local *local = local_find(machine_of(store), name);

    if (local->mem == NULL || machine_of(store)->sys->bug == BUG_FORGET_PEERS ||
        (machine_of(store)->sys->bug == BUG_MARKS_LOST && strcmp(name, "watermarks") == 0))
        return QK_ERR_NOT_FOUND;
    *ret_value = blob_bytes(local->mem);
    return QK_OK;
}

enum qk_err store_local_put(struct store *store, const char *name, struct bytes value, store_cb cb,
                            void *arg)
{
    struct machine *m = machine_of(store);
    struct local *local = local_find(m, name);

    blob_drop(local->mem);
    local->mem = value.len > 0 ? blob_new(value) : NULL;
    if (cb != NULL)
        store_flush(store, cb, arg);
    else
        commit_soon(m);
    return QK_OK;
}

/* --- cursors: over what is in the file ------------------------------------------------------- */

struct store_cursor {
    struct machine *m;
    struct blob *prefix, *last; /* of all that is to come, and the one that came last */
    struct blob *from;          /* NULL: the prefix */
};

enum qk_err store_cursor_open(struct store *store, struct bytes from, struct bytes to,
                              bool descending, struct store_cursor **ret_cursor)
{
    struct store_cursor *cursor = calloc(1, sizeof(*cursor));

    assert(cursor != NULL && !descending && to.len == 0);
    cursor->m = machine_of(store);
    cursor->prefix = blob_new(BYTES_NONE);
    cursor->from = blob_new(from);
    *ret_cursor = cursor;
    return QK_OK;
}

enum qk_err store_cursor_open_prefix(struct store *store, struct bytes prefix, bool descending,
                                     struct store_cursor **ret_cursor)
{
    struct store_cursor *cursor = calloc(1, sizeof(*cursor));

    assert(cursor != NULL && !descending);
    cursor->m = machine_of(store);
    cursor->prefix = blob_new(prefix);
    *ret_cursor = cursor;
    return QK_OK;
}

enum qk_err store_cursor_next(struct store_cursor *cursor, struct store_row *ret_row)
{
    const struct table *table = &cursor->m->disk;
    const struct blob *from = cursor->from != NULL ? cursor->from : cursor->prefix;
    size_t at = table_place(table, blob_bytes(cursor->last != NULL ? cursor->last : from));

    if (cursor->last != NULL && at < table->n &&
        bytes_equal(blob_bytes(table->rows[at].key), blob_bytes(cursor->last)))
        at++;
    if (at == table->n ||
        !bytes_starts_with(blob_bytes(table->rows[at].key), blob_bytes(cursor->prefix)))
        return QK_ERR_NOT_FOUND;
    blob_drop(cursor->last);
    cursor->last = blob_hold(table->rows[at].key);
    ret_row->key = blob_bytes(cursor->last);
    ret_row->record = (struct record){.version = table->rows[at].version,
                                      .flags = table->rows[at].flags,
                                      .value = blob_bytes(table->rows[at].value)};
    return QK_OK;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (cursor == NULL)
        return;
    blob_drop(cursor->prefix);
    blob_drop(cursor->from);
    blob_drop(cursor->last);
    free(cursor);
}

/* --- life ------------------------------------------------------------------------------------ */

static void locals_copy(struct machine *m, bool to_disk)
{
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++) {
        struct local *local = &m->locals[i];
        struct blob **from = to_disk ? &local->mem : &local->disk;
        struct blob **to = to_disk ? &local->disk : &local->mem;

        blob_drop(*to);
        *to = *from != NULL ? blob_hold(*from) : NULL;
    }
}

void store_sim_open(struct machine *m)
{
    table_copy(&m->disk, &m->mem);
    locals_copy(m, false);
}

static void to_disk(struct machine *m)
{
    table_copy(&m->mem, &m->disk);
    locals_copy(m, true);
    rollback_durable(m);
    if (m->raft != NULL)
        m->raft->disk.store_applied = m->disk.index;
}

/* The writer's transaction is durable: whole or not at all. */
void store_sim_commit(struct machine *m)
{
    unsigned due = 0;

    m->committing = false;
    if (m->raft != NULL && m->raft->alive && engine_installing(m->raft->engine)) {
        commit_soon(m); /* the file is about to be swapped */
        return;
    }
    if (system_crash_point(m))
        return;
    to_disk(m);
    for (const struct flush *flush = m->flushes; flush != NULL; flush = flush->next)
        due++;
    if (m->raft != NULL && m->raft->alive)
        world_settle(m->sys->w, m->raft,
                     engine_synced(m->raft->engine, m->sys->w->now, m->disk.index));
    /* If it falls meanwhile, store_sim_close tells the others. */
    for (; due > 0 && m->alive && m->flushes != NULL; due--) {
        struct flush *flush = m->flushes;

        m->flushes = flush->next;
        flush->cb(flush->arg, QK_OK);
        free(flush);
    }
}

void store_sim_applied(struct machine *m)
{
    commit_soon(m);
}

/* A crash may come before or after the commit that is under way. */
void store_sim_close(struct machine *m, bool crash)
{
    struct flush *flush = m->flushes;

    compact_end(m, QK_ERR_CLOSED);
    if (crash && m->committing && sim_chance(m->sys->w, 300) && m->raft != NULL &&
        m->mem.index >= m->disk.index)
        to_disk(m);
    if (crash && m->committing && m->sys->bug == BUG_TORN_COMMIT && m->raft != NULL) {
        m->disk.index = m->mem.index;
        m->raft->disk.store_applied = m->mem.index;
    }
    m->committing = false;
    m->flushes = NULL;
    while (flush != NULL) {
        struct flush *next = flush->next;
        flush->cb(flush->arg, QK_ERR_CLOSED);
        free(flush);
        flush = next;
    }
}

void store_sim_wipe(struct machine *m)
{
    table_fini(&m->mem);
    table_fini(&m->disk);
    table_fini(&m->staged);
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++) {
        blob_drop(m->locals[i].mem);
        blob_drop(m->locals[i].disk);
        memset(&m->locals[i], 0, sizeof(m->locals[i]));
    }
}
