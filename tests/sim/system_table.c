/* Records in a sorted table, and the rule of store_apply over it. tests/store/test_simulated.c
 * compares it with the real store. */
#include "system_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_uses.h"

struct blob *blob_new(struct bytes bytes)
{
    struct blob *blob = malloc(sizeof(*blob) + bytes.len + 1);

    assert(blob != NULL);
    blob->refs = 1;
    blob->hash = 0;
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
    free(table->keys);
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
    copy.keys = malloc((from->keys_n + 1) * sizeof(*copy.keys));
    assert(copy.keys != NULL);
    copy.keys_cap = from->keys_n + 1;
    if (from->keys_n > 0)
        memcpy(copy.keys, from->keys, from->keys_n * sizeof(*copy.keys));
    table_fini(to);
    *to = copy;
}

size_t table_place(const struct table *table, struct bytes key)
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

/* --- what stands under which key ------------------------------------------------------------- */

const struct table_key *table_key_find(const struct table *table,
                                       const uint8_t id[static WIRE_TAG_BYTES])
{
    for (size_t i = 0; i < table->keys_n; i++)
        if (memcmp(table->keys[i].id, id, WIRE_TAG_BYTES) == 0)
            return &table->keys[i];
    return NULL;
}

static struct table_key *table_key_make(struct table *table, const struct key_use *use)
{
    uint8_t id[WIRE_TAG_BYTES];
    struct table_key *key;

    memcpy(id, use->key_id, KEY_USE_ID_BYTES);
    put_u32(id + KEY_USE_ID_BYTES, use->version);
    for (size_t i = 0; i < table->keys_n; i++)
        if (memcmp(table->keys[i].id, id, WIRE_TAG_BYTES) == 0)
            return &table->keys[i];
    if (table->keys_n == table->keys_cap) {
        table->keys_cap = table->keys_cap == 0 ? 8 : 2 * table->keys_cap;
        table->keys = realloc(table->keys, table->keys_cap * sizeof(*table->keys));
        assert(table->keys != NULL);
    }
    key = &table->keys[table->keys_n++];
    memset(key, 0, sizeof(*key));
    memcpy(key->id, id, sizeof(id));
    return key;
}

/* The record comes, or goes: what was sealed stays counted. */
static void count_keys(struct table *table, uint8_t flags, struct bytes value, bool comes)
{
    struct key_uses uses;
    struct key_use use;

    if ((flags & WIRE_KEYED) == 0 || key_uses_open(value, &uses, NULL) != QK_OK)
        return;
    while (key_uses_next(&uses, &use)) {
        struct table_key *key = table_key_make(table, &use);

        key->bodies += comes ? use.bodies : (uint64_t)0 - use.bodies;
        key->sealed += comes ? use.sealed : 0;
        key->sealed_bytes += comes ? use.sealed_bytes : 0;
    }
}

static void table_remove(struct table *table, size_t at)
{
    count_keys(table, table->rows[at].flags, blob_bytes(table->rows[at].value), false);
    blob_drop(table->rows[at].key);
    blob_drop(table->rows[at].value);
    table->n--;
    memmove(&table->rows[at], &table->rows[at + 1], (table->n - at) * sizeof(table->rows[0]));
}

/* The newest sequence of the key's database. */
static uint64_t *sequence_of(struct table *table, struct bytes key)
{
    for (size_t i = 0; i < table->sequences_n; i++)
        if (memcmp(table->sequences[i].database, key.data, DATABASE_ID_BYTES) == 0)
            return &table->sequences[i].seq;
    assert(table->sequences_n < TABLE_SEQUENCES_MAX);
    memcpy(table->sequences[table->sequences_n].database, key.data, DATABASE_ID_BYTES);
    table->sequences[table->sequences_n].seq = 0;
    return &table->sequences[table->sequences_n++].seq;
}

/* The sequence that it got; 0 unless a document. */
static uint64_t table_put(struct table *table, const struct wire_op *op)
{
    size_t at = table_place(table, op->key);

    if (at < table->n && bytes_equal(blob_bytes(table->rows[at].key), op->key)) {
        count_keys(table, table->rows[at].flags, blob_bytes(table->rows[at].value), false);
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
    table->rows[at].flags = (uint8_t)(op->flags & ~WIRE_SAME_SEQ);
    count_keys(table, op->flags, op->value, true);
    if ((op->flags & WIRE_DOC) == 0)
        table->rows[at].seq = 0;
    else if ((op->flags & WIRE_SAME_SEQ) == 0)
        table->rows[at].seq = ++*sequence_of(table, op->key);
    return table->rows[at].seq;
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

/* Sorted by key, then by place. */
static int op_compare(const struct wire_op *ops, uint32_t a, uint32_t b)
{
    int order = bytes_compare(ops[a].key, ops[b].key);

    return order != 0 ? order : a < b ? -1 : 1;
}

/* No key twice, nothing written under a range that the same batch deletes: looked at between
 * neighbours in the order of keys, as the store does, so that both name the same one. */
static void judge_neighbour(struct judged *judged, const struct wire_op *ops, uint32_t n,
                            uint32_t at, uint32_t conds_n)
{
    uint32_t before = n;

    for (uint32_t i = 0; i < n; i++)
        if (i != at && op_compare(ops, i, at) < 0 &&
            (before == n || op_compare(ops, before, i) < 0))
            before = i;
    if (before < n && (bytes_equal(ops[before].key, ops[at].key) ||
                       (ops[before].type == WIRE_DELETE_RANGE &&
                        bytes_starts_with(ops[at].key, ops[before].key))))
        judge_fail(judged, conds_n + at);
}

static void judge(const struct table *table, const struct wire_op *ops, uint32_t n,
                  uint32_t conds_n, struct judged *judged)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct row *row = table_find(table, ops[i].key);

        if (ops[i].type == WIRE_PUT && ops[i].version != version_of(table, ops[i].key) + 1)
            judge_fail(judged, conds_n + i);
        if ((ops[i].flags & WIRE_SAME_SEQ) != 0 &&
            (row == NULL || row->flags != (ops[i].flags & ~WIRE_SAME_SEQ)))
            judge_fail(judged, conds_n + i);
        judge_neighbour(judged, ops, n, i, conds_n);
    }
}

/* The sequence of the document written; 0: none. */
static uint64_t perform(struct table *table, const struct wire_op *op,
                        void (*changed)(void *arg, struct bytes key), void *arg)
{
    size_t at = table_place(table, op->key);
    uint64_t seq = 0;

    if (op->type == WIRE_PUT) {
        seq = table_put(table, op);
        changed(arg, op->key);
        return seq;
    }
    if (op->type == WIRE_DELETE_RANGE && op->key.len == DATABASE_ID_BYTES)
        *sequence_of(table, op->key) = 0;
    while (at < table->n && (op->type == WIRE_DELETE
                                 ? bytes_equal(blob_bytes(table->rows[at].key), op->key)
                                 : bytes_starts_with(blob_bytes(table->rows[at].key), op->key))) {
        struct blob *key = blob_hold(table->rows[at].key);
        table_remove(table, at);
        changed(arg, blob_bytes(key));
        blob_drop(key);
    }
    return seq;
}

/* What is sealed under the tag's version, with what these operations seal under it. */
static bool within_limit(const struct table *table, const struct wire_cond *limit,
                         const struct wire_op *ops, uint32_t n)
{
    const struct table_key *key = table_key_find(table, limit->key.data);
    uint64_t sealed = key != NULL ? key->sealed : 0, bytes = key != NULL ? key->sealed_bytes : 0;

    for (uint32_t i = 0; i < n; i++) {
        struct key_uses uses;
        struct key_use use;

        if (ops[i].type != WIRE_PUT || (ops[i].flags & WIRE_KEYED) == 0 ||
            key_uses_open(ops[i].value, &uses, NULL) != QK_OK)
            continue;
        while (key_uses_next(&uses, &use)) {
            bool same = memcmp(use.key_id, limit->key.data, KEY_USE_ID_BYTES) == 0 &&
                        use.version == get_u32(limit->key.data + KEY_USE_ID_BYTES);

            sealed += same ? use.sealed : 0;
            bytes += same ? use.sealed_bytes : 0;
        }
    }
    return sealed <= limit->sealed_max && bytes <= limit->bytes_max;
}

/* `conds` stands at the batch's first condition. */
static void judge_limits(const struct table *table, struct wire_reader *conds,
                         const struct wire_op *ops, uint32_t n, struct judged *judged)
{
    struct wire_cond cond;

    for (uint32_t at = 0; wire_reader_cond(conds, &cond); at++)
        if (cond.is_limit && !within_limit(table, &cond, ops, n))
            judge_fail(judged, at);
}

static void apply_batch(struct table *table, struct wire_reader *reader, struct buf *result,
                        void (*changed)(void *arg, struct bytes key), void *arg)
{
    struct wire_result outcome = {.ok = true};
    struct wire_reader conds = *reader; /* a plain value: a copy is a bookmark */
    struct judged judged = {.ok = true};
    struct wire_cond cond;
    struct wire_op *ops = NULL;
    uint32_t conds_n = 0, n = 0, cap = 0;
    struct wire_op op;

    for (; wire_reader_cond(reader, &cond); conds_n++)
        if (!cond.is_limit && version_of(table, cond.key) != cond.version)
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
    judge_limits(table, &conds, ops, n, &judged);
    for (uint32_t i = 0; i < n && judged.ok; i++) {
        uint64_t seq = perform(table, &ops[i], changed, arg);
        outcome.seq = seq != 0 ? seq : outcome.seq;
    }
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
