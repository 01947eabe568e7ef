/* The apply rule: keyless, pure. A batch is first judged against the state before it (conditions,
 * versions of what it writes, no key twice), reading each record once; only then written to the
 * pending table, which cannot fail but for memory. What apply does depends on the commands before
 * and on nothing else: neither on what is in the file already nor on any clock. */
#include "store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/seen.h"

/* One operation with what it found. */
struct planned {
    struct wire_op op;
    uint32_t at; /* its place in the batch */
    bool found;
    struct format_record before; /* its value is borrowed: this turn of the loop only */
    size_t before_bytes;
};

struct plan {
    struct store *store;
    struct seen *seen; /* of the command */
    struct planned *ops;
    size_t ops_n, ops_cap;
    uint32_t failed;
    bool ok;
    bool has_limits;
};

static bool whole_database(const struct wire_op *op)
{
    return op->type == WIRE_DELETE_RANGE && op->key.len == DATABASE_ID_BYTES;
}

static enum qk_err plan_add(struct plan *plan, const struct wire_op *op, uint32_t at)
{
    struct planned *planned;

    if (plan->ops_n == plan->ops_cap) {
        size_t cap = plan->ops_cap == 0 ? 16 : plan->ops_cap * 2;
        struct planned *ops = reallocarray(plan->ops, cap, sizeof *ops);

        if (ops == NULL)
            return QK_ERR_NOMEM;
        plan->ops = ops;
        plan->ops_cap = cap;
    }
    planned = &plan->ops[plan->ops_n++];
    *planned = (struct planned){.op = *op, .at = at};
    return QK_OK;
}

static enum qk_err plan_lookup(const struct plan *plan, struct planned *planned)
{
    enum qk_err err = store_lookup(plan->store, planned->op.key, &planned->before);

    planned->found = err == QK_OK;
    if (planned->found)
        planned->before_bytes = planned->op.key.len + planned->before.value.len;
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static void plan_fail(struct plan *plan, uint32_t at)
{
    if (plan->ok || at < plan->failed)
        plan->failed = at;
    plan->ok = false;
}

/* 0: there is no such record. */
static enum qk_err version_of(const struct plan *plan, struct bytes key, uint64_t *ret_version)
{
    struct format_record record = {.version = 0};
    enum qk_err err;

    if (seen_find(plan->seen, key, ret_version))
        return QK_OK;
    err = store_lookup(plan->store, key, &record);
    if (err != QK_OK && err != QK_ERR_NOT_FOUND)
        return err;
    *ret_version = err == QK_OK ? record.version : 0;
    seen_add(plan->seen, key, *ret_version);
    return QK_OK;
}

static enum qk_err judge_conds(struct plan *plan, struct wire_reader *reader, uint32_t *ret_conds_n)
{
    struct wire_cond cond;
    uint32_t at = 0;

    for (; wire_reader_cond(reader, &cond); at++) {
        uint64_t version;
        enum qk_err err;

        if (cond.is_limit) { /* when the operations are known */
            plan->has_limits = true;
            continue;
        }
        err = version_of(plan, cond.key, &version);
        if (err != QK_OK)
            return err;
        if (version != cond.version)
            plan_fail(plan, at);
    }
    *ret_conds_n = at;
    return QK_OK;
}

/* The document that only gets another sealing: there, and deleted or not as the write says. */
static bool same_document(const struct planned *planned)
{
    return planned->found && planned->before.flags == (planned->op.flags & ~WIRE_SAME_SEQ);
}

static enum qk_err judge_ops(struct plan *plan, struct wire_reader *reader, uint32_t conds_n)
{
    struct wire_op op;

    for (uint32_t at = conds_n; wire_reader_op(reader, &op); at++) {
        enum qk_err err = plan_add(plan, &op, at);
        struct planned *planned;

        if (err != QK_OK)
            return err;
        planned = &plan->ops[plan->ops_n - 1];
        if (op.type == WIRE_DELETE_RANGE)
            continue;
        err = plan_lookup(plan, planned);
        if (err != QK_OK)
            return err;
        if (op.type == WIRE_PUT && op.version != (planned->found ? planned->before.version : 0) + 1)
            plan_fail(plan, at);
        if ((op.flags & WIRE_SAME_SEQ) != 0 && !same_document(planned))
            plan_fail(plan, at);
    }
    return QK_OK;
}

/* What the operations seal under the tag's version. Whatever they take away, they never unseal. */
static void sealed_by(const struct plan *plan, struct bytes tag, uint64_t *sealed, uint64_t *bytes)
{
    for (size_t i = 0; i < plan->ops_n; i++) {
        const struct wire_op *op = &plan->ops[i].op;
        struct key_uses uses;
        struct key_use use;

        if (op->type != WIRE_PUT || (op->flags & WIRE_KEYED) == 0 ||
            key_uses_open(op->value, &uses, NULL) != QK_OK)
            continue;
        while (key_uses_next(&uses, &use)) {
            if (memcmp(use.key_id, tag.data, KEY_USE_ID_BYTES) != 0 ||
                use.version != get_u32(tag.data + KEY_USE_ID_BYTES))
                continue;
            *sealed += use.sealed;
            *bytes += use.sealed_bytes;
        }
    }
}

/* `conds` stands at the batch's first condition. */
static void judge_limits(struct plan *plan, struct wire_reader *conds)
{
    struct wire_cond cond;

    for (uint32_t at = 0; wire_reader_cond(conds, &cond); at++) {
        struct store_key_stats stats;

        if (!cond.is_limit)
            continue;
        store_key_stats(plan->store, cond.key.data, get_u32(cond.key.data + KEY_USE_ID_BYTES),
                        &stats);
        sealed_by(plan, cond.key, &stats.sealed, &stats.sealed_bytes);
        if (stats.sealed > cond.sealed_max || stats.sealed_bytes > cond.bytes_max)
            plan_fail(plan, at);
    }
}

static int planned_compare(const void *a, const void *b)
{
    const struct planned *const *x = a, *const *y = b;
    int order = bytes_compare((*x)->op.key, (*y)->op.key);

    return order != 0 ? order : (*x)->at < (*y)->at ? -1 : 1;
}

/* No key twice, and nothing written under a range that the same batch deletes: sorted, either
 * stands next to its like. */
static enum qk_err judge_keys(struct plan *plan)
{
    const struct planned **sorted;

    if (plan->ops_n < 2)
        return QK_OK;
    sorted = calloc(plan->ops_n, sizeof *sorted);
    if (sorted == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < plan->ops_n; i++)
        sorted[i] = &plan->ops[i];
    qsort(sorted, plan->ops_n, sizeof *sorted, planned_compare);
    for (size_t i = 1; i < plan->ops_n; i++) {
        const struct wire_op *before = &sorted[i - 1]->op, *op = &sorted[i]->op;

        if (bytes_equal(before->key, op->key) ||
            (before->type == WIRE_DELETE_RANGE && bytes_starts_with(op->key, before->key)))
            plan_fail(plan, sorted[i]->at);
    }
    free(sorted);
    return QK_OK;
}

/* A range within a database becomes single removals, so that statistics and the change feed stay
 * exact: what is visible under the prefix is the same everywhere, wherever it lies. */
static enum qk_err expand_key(struct plan *plan, struct bytes key, uint32_t at)
{
    struct wire_op op = {.type = WIRE_DELETE, .key = key};
    struct planned *planned;
    enum qk_err err;

    if (plan->ops_n >= BATCH_RECORDS_MAX) {
        plan_fail(plan, at);
        return QK_OK;
    }
    err = plan_add(plan, &op, at);
    if (err != QK_OK)
        return err;
    planned = &plan->ops[plan->ops_n - 1];
    err = plan_lookup(plan, planned);
    if (err == QK_OK && !planned->found)
        plan->ops_n--; /* it is hidden, or removed already */
    return err;
}

static enum qk_err expand_pending(struct plan *plan, struct bytes prefix, uint32_t at)
{
    const struct pending *pending = &plan->store->pending;

    for (size_t i = 0; i < pending->buckets_n; i++) {
        const struct pending_entry *entry = pending->buckets[i];

        for (; entry != NULL && plan->ok; entry = entry->same) {
            enum qk_err err;

            if (entry->type != PENDING_PUT || !bytes_starts_with(pending_key(entry), prefix))
                continue;
            err = expand_key(plan, pending_key(entry), at);
            if (err != QK_OK)
                return err;
        }
    }
    return QK_OK;
}

static enum qk_err expand_file(struct plan *plan, struct bytes prefix, uint32_t at)
{
    MDB_val key = db_val(prefix), row;
    enum qk_err err = QK_OK;
    MDB_cursor *cursor;
    MDB_txn *txn;
    int rc;

    err = store_turn(plan->store, &txn);
    if (err != QK_OK)
        return err;
    rc = mdb_cursor_open(txn, plan->store->db.tables[FORMAT_RECORDS], &cursor);
    if (rc != 0)
        return db_err(rc);
    rc = mdb_cursor_get(cursor, &key, &row, MDB_SET_RANGE);
    while (rc == 0 && err == QK_OK && plan->ok && bytes_starts_with(db_bytes(key), prefix)) {
        if (pending_find(&plan->store->pending, db_bytes(key), false) == NULL)
            err = expand_key(plan, db_bytes(key), at);
        rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (err == QK_OK && rc != 0 && rc != MDB_NOTFOUND)
        err = db_err(rc);
    return err;
}

static enum qk_err judge_ranges(struct plan *plan)
{
    size_t ops_n = plan->ops_n; /* what expansion adds is no range */

    for (size_t i = 0; i < ops_n && plan->ok; i++) {
        struct wire_op op = plan->ops[i].op;
        uint32_t at = plan->ops[i].at;
        enum qk_err err;

        if (op.type != WIRE_DELETE_RANGE || whole_database(&op))
            continue;
        err = expand_pending(plan, op.key, at);
        if (err == QK_OK)
            err = expand_file(plan, op.key, at);
        if (err != QK_OK)
            return err;
    }
    return QK_OK;
}

/* Whoever follows all writes is told of this one, before the pending table has it. */
static void observe(const struct store *store, const struct planned *planned,
                    const struct pending_entry *entry)
{
    const struct store_observer *observer = &store->observer;
    struct format_record now = {entry->version, entry->seq, entry->stamp, entry->flags,
                                planned->op.value};
    struct record before = format_record_public(&planned->before);
    struct record after = format_record_public(&now);

    if (observer->changed != NULL)
        observer->changed(observer->arg, store->applying, planned->op.key,
                          planned->found ? &before : NULL,
                          entry->type == PENDING_PUT ? &after : NULL);
}

/* What stands under which key. A value that lies in the file with its checksum right begins with
 * its list, since no other was ever applied. */
static enum qk_err perform_tallies(struct store *store, const struct planned *planned)
{
    const struct wire_op *op = &planned->op;
    struct tally_record record = {
        .database = op->key.data, .flags = planned->before.flags, .bytes = planned->before_bytes};
    enum qk_err err = QK_OK;

    if (planned->found && (planned->before.flags & WIRE_KEYED) != 0) {
        err = key_uses_open(planned->before.value, &record.uses, NULL);
        if (err == QK_OK)
            err = tallies_remove(&store->tallies, &record);
        else
            err = store_damaged(store, FORMAT_RECORDS, op->key);
    }
    if (err != QK_OK || op->type != WIRE_PUT || (op->flags & WIRE_KEYED) == 0)
        return err;
    record.flags = op->flags;
    record.bytes = op->key.len + op->value.len;
    err = key_uses_open(op->value, &record.uses, NULL);
    return err == QK_OK ? tallies_add(&store->tallies, &record) : err;
}

static enum qk_err perform_drop(struct store *store, struct bytes database)
{
    struct pending_entry entry = {.type = PENDING_DROP};
    struct space *space;

    if (spaces_make(&store->spaces, database.data, &space) != QK_OK)
        return QK_ERR_NOMEM;
    entry.stamp = ++store->applied.stamp;
    spaces_drop(&store->spaces, space, entry.stamp);
    if (tallies_drop(&store->tallies, database.data) != QK_OK)
        return QK_ERR_NOMEM;
    if (store->observer.changed != NULL)
        store->observer.changed(store->observer.arg, store->applying, database, NULL, NULL);
    return pending_add(&store->pending, &store->open, &entry, database, BYTES_NONE);
}

/* What the batches behind this one have to look up again. */
static void plan_forget(const struct plan *plan)
{
    for (size_t i = 0; i < plan->ops_n; i++) {
        const struct wire_op *op = &plan->ops[i].op;

        if (op->type == WIRE_DELETE_RANGE)
            seen_forget_all(plan->seen);
        else
            seen_forget(plan->seen, op->key);
    }
}

static enum qk_err perform_op(struct store *store, const struct planned *planned, uint64_t *ret_seq)
{
    const struct wire_op *op = &planned->op;
    struct pending_entry entry = {.type = op->type == WIRE_PUT ? PENDING_PUT : PENDING_REMOVE,
                                  .version = op->version,
                                  .flags = (uint8_t)(op->flags & ~WIRE_SAME_SEQ)};
    enum qk_err err;

    if (whole_database(op))
        return perform_drop(store, op->key);
    if (op->type == WIRE_DELETE_RANGE || (op->type == WIRE_DELETE && !planned->found))
        return QK_OK; /* expanded; or nothing there to remove */
    entry.stamp = ++store->applied.stamp;
    err = apply_stats(store, &planned->op, planned->found ? &planned->before : NULL, &entry);
    if (err == QK_OK)
        err = perform_tallies(store, planned);
    if (err != QK_OK)
        return err;
    if (entry.seq != 0)
        *ret_seq = entry.seq;
    observe(store, planned, &entry);
    return pending_add(&store->pending, &store->open, &entry, op->key, op->value);
}

static enum qk_err judge_batch(struct plan *plan, struct wire_reader *reader)
{
    struct wire_reader conds = *reader;
    uint32_t conds_n = 0;
    enum qk_err err = judge_conds(plan, reader, &conds_n);

    if (err == QK_OK)
        err = judge_ops(plan, reader, conds_n);
    if (err == QK_OK && plan->has_limits)
        judge_limits(plan, &conds);
    if (err == QK_OK)
        err = judge_keys(plan);
    if (err == QK_OK && plan->ok)
        err = judge_ranges(plan);
    return err;
}

static enum qk_err apply_batch(struct store *store, struct wire_reader *reader, struct seen *seen,
                               struct buf *result)
{
    struct plan plan = {.store = store, .seen = seen, .ok = true};
    struct wire_result outcome = {.ok = true};
    enum qk_err err = judge_batch(&plan, reader);

    if (err == QK_OK && !plan.ok)
        outcome = (struct wire_result){.ok = false, .failed = plan.failed};
    if (plan.ok)
        plan_forget(&plan);
    for (size_t i = 0; i < plan.ops_n && err == QK_OK && plan.ok; i++)
        err = perform_op(store, &plan.ops[i], &outcome.seq);
    free(plan.ops);
    if (err == QK_OK && result != NULL) {
        wire_result_put(result, &outcome);
        err = buf_error(result);
    }
    return err;
}

/* Watchers hear of what this command wrote: the entries behind `last`, or all of the open batch. */
static void apply_notify(struct store *store, const struct pending_entry *last)
{
    const struct pending_entry *entry = last == NULL ? store->open.head : last->next;
    const struct pending_entry *end = store->open.tail;

    if (store->watches_n == 0)
        return;
    for (; entry != NULL; entry = entry == end ? NULL : entry->next)
        if (entry->type != PENDING_LOCAL)
            store_notify(store, pending_key(entry));
}

static enum qk_err apply_command(struct store *store, struct bytes command, struct buf *result)
{
    struct seen seen = {.n = 0};
    struct wire_reader reader;
    enum wire_kind kind;
    enum qk_err err = wire_command_check(command, &kind);

    if (err == QK_ERR_UNSUPPORTED)
        return err;
    if (err != QK_OK) /* malformed: nowhere does it change anything */
        return QK_OK;
    err = wire_reader_open(command, &reader);
    while (err == QK_OK && wire_reader_batch(&reader))
        err = apply_batch(store, &reader, &seen, result);
    return err;
}

enum qk_err store_apply(struct store *store, uint64_t index, uint64_t term, bool last,
                        struct bytes command, struct buf *result)
{
    const struct pending_entry *tail = store->open.tail;
    enum qk_err err = QK_OK;

    assert(index > 0);
    assert(!store->closing);
    if (index <= store->applied.index)
        return QK_OK;
    store->applying = index;
    store->partial = true; /* until its last command, nothing of an index goes to the file */
    if (command.len > 0)
        err = apply_command(store, command, result);
    if (err != QK_OK)
        return err;
    if (last) {
        store->applied.index = index;
        store->applied.term = term;
        store->open.dirty = true;
        store->partial = false;
    }
    apply_notify(store, tail);
    writer_schedule(store);
    return QK_OK;
}
