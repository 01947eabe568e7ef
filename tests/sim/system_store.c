/* The store without LMDB: the same rule over a sorted table in memory, a second table for what the
 * disk holds. Nothing compares it with the real one yet. Over 500 lines, as it stands for the whole
 * of store.h and every part works on the same two tables. */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct blob *blob_new(struct bytes bytes)
{
    struct blob *blob = malloc(sizeof(*blob) + bytes.len + 1);

    assert(blob != NULL);
    blob->refs = 1;
    blob->len = bytes.len;
    if (bytes.len > 0)
        memcpy(blob->data, bytes.data, bytes.len);
    return blob;
}

struct blob *blob_hold(struct blob *blob)
{
    blob->refs++;
    return blob;
}

void blob_drop(struct blob *blob)
{
    if (blob != NULL && --blob->refs == 0)
        free(blob);
}

/* --- the table ------------------------------------------------------------------------------- */

void table_fini(struct table *table)
{
    for (size_t i = 0; i < table->n; i++) {
        blob_drop(table->rows[i].key);
        blob_drop(table->rows[i].value);
    }
    free(table->rows);
    memset(table, 0, sizeof(*table));
}

void table_copy(const struct table *from, struct table *to)
{
    struct table copy = *from;

    copy.rows = malloc((from->n + 1) * sizeof(*copy.rows));
    assert(copy.rows != NULL);
    copy.cap = from->n + 1;
    for (size_t i = 0; i < from->n; i++) {
        copy.rows[i] = from->rows[i];
        copy.rows[i].key->refs++;
        copy.rows[i].value->refs++;
    }
    table_fini(to);
    *to = copy;
}

/* The first row not below `key`. */
static size_t table_place(const struct table *table, struct bytes key)
{
    size_t low = 0, high = table->n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(blob_bytes(table->rows[middle].key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct row *table_find(const struct table *table, struct bytes key)
{
    size_t at = table_place(table, key);

    return at < table->n && bytes_equal(blob_bytes(table->rows[at].key), key) ? &table->rows[at]
                                                                              : NULL;
}

static void table_remove(struct table *table, size_t at)
{
    blob_drop(table->rows[at].key);
    blob_drop(table->rows[at].value);
    table->n--;
    memmove(&table->rows[at], &table->rows[at + 1], (table->n - at) * sizeof(table->rows[0]));
}

static void table_put(struct table *table, const struct wire_op *op)
{
    size_t at = table_place(table, op->key);

    if (at < table->n && bytes_equal(blob_bytes(table->rows[at].key), op->key)) {
        blob_drop(table->rows[at].value);
    } else {
        if (table->n == table->cap) {
            table->cap = table->cap == 0 ? 32 : 2 * table->cap;
            table->rows = realloc(table->rows, table->cap * sizeof(*table->rows));
            assert(table->rows != NULL);
        }
        memmove(&table->rows[at + 1], &table->rows[at], (table->n - at) * sizeof(table->rows[0]));
        table->rows[at].key = blob_new(op->key);
        table->n++;
    }
    table->rows[at].value = blob_new(op->value);
    table->rows[at].version = op->version;
    table->rows[at].flags = op->flags;
}

uint64_t table_hash(const struct table *table)
{
    uint64_t value = table->n;

    for (size_t i = 0; i < table->n; i++) {
        const struct row *row = &table->rows[i];
        value = value * 1099511628211u ^ check_hash(blob_bytes(row->key));
        value = value * 1099511628211u ^ check_hash(blob_bytes(row->value));
        value = value * 1099511628211u ^ row->version ^ ((uint64_t)row->flags << 56);
    }
    return value;
}

/* --- the rule -------------------------------------------------------------------------------- */

struct judged {
    bool ok;
    uint32_t failed;
};

static void judge_fail(struct judged *judged, uint32_t at)
{
    if (judged->ok || at < judged->failed)
        judged->failed = at;
    judged->ok = false;
}

static uint64_t version_of(const struct table *table, struct bytes key)
{
    const struct row *row = table_find(table, key);

    return row != NULL ? row->version : 0;
}

static void judge_pair(struct judged *judged, const struct wire_op *ops, uint32_t n, uint32_t at,
                       uint32_t conds_n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool later = i < at;
        if (i == at)
            continue;
        if (bytes_equal(ops[i].key, ops[at].key) && later)
            judge_fail(judged, conds_n + at);
        else if (ops[i].type == WIRE_DELETE_RANGE && ops[at].key.len > ops[i].key.len &&
                 bytes_starts_with(ops[at].key, ops[i].key))
            judge_fail(judged, conds_n + at);
    }
}

static void judge(const struct table *table, const struct wire_op *ops, uint32_t n,
                  uint32_t conds_n, struct judged *judged)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ops[i].type == WIRE_PUT && ops[i].version != version_of(table, ops[i].key) + 1)
            judge_fail(judged, conds_n + i);
        judge_pair(judged, ops, n, i, conds_n);
    }
}

static void perform(struct table *table, const struct wire_op *op,
                    void (*changed)(void *arg, struct bytes key), void *arg)
{
    size_t at = table_place(table, op->key);

    if (op->type == WIRE_PUT) {
        table_put(table, op);
        changed(arg, op->key);
        return;
    }
    while (at < table->n && (op->type == WIRE_DELETE
                                 ? bytes_equal(blob_bytes(table->rows[at].key), op->key)
                                 : bytes_starts_with(blob_bytes(table->rows[at].key), op->key))) {
        struct blob *key = blob_hold(table->rows[at].key);
        table_remove(table, at);
        changed(arg, blob_bytes(key));
        blob_drop(key);
    }
}

static void apply_batch(struct table *table, struct wire_reader *reader, struct buf *result,
                        void (*changed)(void *arg, struct bytes key), void *arg)
{
    struct wire_result outcome = {.ok = true};
    struct judged judged = {.ok = true};
    struct wire_cond cond;
    struct wire_op *ops = NULL;
    uint32_t conds_n = 0, n = 0, cap = 0;
    struct wire_op op;

    for (; wire_reader_cond(reader, &cond); conds_n++)
        if (version_of(table, cond.key) != cond.version)
            judge_fail(&judged, conds_n);
    while (wire_reader_op(reader, &op)) {
        if (n == cap) {
            cap = cap == 0 ? 16 : 2 * cap;
            ops = realloc(ops, cap * sizeof(*ops));
            assert(ops != NULL);
        }
        ops[n++] = op;
    }
    judge(table, ops, n, conds_n, &judged);
    for (uint32_t i = 0; i < n && judged.ok; i++)
        perform(table, &ops[i], changed, arg);
    if (!judged.ok)
        outcome = (struct wire_result){.ok = false, .failed = judged.failed};
    if (result != NULL)
        wire_result_put(result, &outcome);
    free(ops);
}

enum qk_err table_apply(struct table *table, struct bytes command, struct buf *result,
                        void (*changed)(void *arg, struct bytes key), void *arg)
{
    struct wire_reader reader;
    enum wire_kind kind;
    enum qk_err err = wire_command_check(command, &kind);

    if (err != QK_OK)
        return err == QK_ERR_UNSUPPORTED ? err : QK_OK;
    err = wire_reader_open(command, &reader);
    while (err == QK_OK && wire_reader_batch(&reader))
        apply_batch(table, &reader, result, changed, arg);
    return err;
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

    if (local->mem == NULL || machine_of(store)->sys->bug == BUG_FORGET_PEERS)
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
    struct blob *prefix, *last;
};

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
    size_t at = table_place(table, blob_bytes(cursor->last ? cursor->last : cursor->prefix));

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
    if (m->raft != NULL)
        m->raft->disk.store_applied = m->disk.index;
}

/* The writer's transaction is durable: whole or not at all. */
void store_sim_commit(struct machine *m)
{
    struct flush *flush = m->flushes;

    m->committing = false;
    if (m->raft != NULL && m->raft->alive && engine_installing(m->raft->engine)) {
        commit_soon(m); /* the file is about to be swapped */
        return;
    }
    if (system_crash_point(m))
        return;
    to_disk(m);
    m->flushes = NULL;
    if (m->raft != NULL && m->raft->alive)
        world_settle(m->sys->w, m->raft,
                     engine_synced(m->raft->engine, m->sys->w->now, m->disk.index));
    while (flush != NULL && m->alive) {
        struct flush *next = flush->next;

        flush->cb(flush->arg, QK_OK);
        free(flush);
        flush = next;
    }
    while (flush != NULL) { /* it fell in world_settle */
        struct flush *next = flush->next;
        free(flush);
        flush = next;
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
