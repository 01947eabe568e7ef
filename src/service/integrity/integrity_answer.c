/* What a member is told of the records here: sums, and rows. */
#include <string.h>

#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

#define ROWS_N 4000
#define ROWS_AT_LEAST 16
#define ROWS_US 2000 /* of the loop, for one question */
#define ROWS_BYTES (128 * KIB)

static void put_sum(struct buf *out, const struct multiset *sum)
{
    uint8_t *at = buf_extend(out, MULTISET_BYTES);

    if (at != NULL)
        multiset_encode(sum, at);
}

static enum qk_err put_spaces(const struct accumulator *sums, struct buf *out)
{
    for (size_t i = 0; i < sums->spaces_n; i++) {
        struct multiset sum;

        accumulator_space_total(sums->spaces[i], &sum);
        buf_put(out, sums->spaces[i]->id, DATABASE_ID_BYTES);
        put_sum(out, &sum);
    }
    return buf_error(out);
}

static enum qk_err put_buckets(const struct accumulator *sums, const uint8_t *database,
                               struct buf *out)
{
    const struct accumulator_space *space = accumulator_space(sums, database);

    for (unsigned i = 0; i < ACCUMULATOR_BUCKETS && space != NULL; i++)
        put_sum(out, &space->buckets[i]);
    return buf_error(out);
}

static enum qk_err put_sums(struct integrity *integrity, const struct peer_sums_want *want,
                            uint64_t index, struct buf *out)
{
    struct accumulator sums = {0};
    struct multiset total;
    enum qk_err err;

    if (want->detail == PEER_SUMS_TOTAL) {
        err = accumulator_total(&integrity->sums, index, &total);
        if (err == QK_OK)
            put_sum(out, &total);
        return err == QK_OK ? buf_error(out) : err;
    }
    err = accumulator_copy(&integrity->sums, index, &sums);
    if (err == QK_OK && want->detail == PEER_SUMS_SPACES)
        err = put_spaces(&sums, out);
    else if (err == QK_OK)
        err = put_buckets(&sums, want->database, out);
    accumulator_fini(&sums);
    return err;
}

void integrity_answer_sums(struct integrity *integrity, const uint8_t *node_id,
                           const struct peer_sums_want *want)
{
    struct peer_message message = {.kind = PEER_SUMS};
    struct buf out = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    uint64_t index = store_applied(integrity->service->store);

    if (want->index < index)
        index = want->index;
    if (integrity->live && integrity_drain(integrity) && integrity->live &&
        put_sums(integrity, want, index, &out) == QK_OK)
        message.as.sums.index = index;
    else
        buf_reset(&out);
    message.as.sums.request = want->request;
    message.as.sums.detail = want->detail;
    message.as.sums.standing = (uint8_t)integrity->standing;
    message.as.sums.sums = buf_bytes(&out);
    hub_send(integrity->service->cluster, node_id, false, &message);
    buf_fini(&out);
}

void integrity_row_of(const struct store_row *row, struct integrity_row *ret_row)
{
    const struct record *record = &row->record;
    struct multiset_row head = {record->version, record->seq, record->stamp, record->flags,
                                record->value};
    uint8_t digest[HASH_BYTES];

    multiset_digest(row->key, &head, digest);
    ret_row->name = record_key_name(row->key);
    ret_row->version = record->version;
    ret_row->stamp = record->stamp;
    memcpy(ret_row->digest, digest, INTEGRITY_ROW_DIGEST_BYTES);
}

static bool is_full(unsigned n, const struct buf *rows, uint64_t until_us)
{
    return n >= ROWS_N || rows->len >= ROWS_BYTES ||
           (n >= ROWS_AT_LEAST && timer_now_us() >= until_us);
}

static void row_take(const struct store_row *row, uint32_t buckets, struct buf *rows)
{
    struct integrity_row one;

    if ((buckets & 1u << accumulator_bucket(row->key)) == 0)
        return;
    integrity_row_of(row, &one);
    integrity_row_put(&one, rows);
}

/* Rows of the buckets behind `last`, which becomes the last one looked at. */
static enum qk_err rows_read(struct store *store, const struct peer_rows_want *want,
                             struct buf *rows, struct record_key *last, bool *ret_end)
{
    uint64_t until_us = timer_now_us() + ROWS_US;
    bool first = want->from.len == 0;
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err = store_cursor_open(store, record_key_bytes(last), BYTES_NONE, false, &cursor);

    if (err != QK_OK)
        return err;
    for (unsigned n = 0; err == QK_OK && !is_full(n, rows, until_us); n++) {
        err = store_cursor_next(cursor, &row);
        if (err == QK_OK && memcmp(row.key.data, want->database, DATABASE_ID_BYTES) != 0)
            err = QK_ERR_NOT_FOUND;
        if (err != QK_OK)
            break;
        if (first || !bytes_equal(row.key, record_key_bytes(last)))
            row_take(&row, want->buckets, rows);
        memcpy(last->data, row.key.data, row.key.len);
        last->len = (uint16_t)row.key.len;
    }
    store_cursor_close(cursor);
    *ret_end = err == QK_ERR_NOT_FOUND;
    return *ret_end || err == QK_OK ? buf_error(rows) : err;
}

void integrity_answer_rows(struct integrity *integrity, const uint8_t *node_id,
                           const struct peer_rows_want *want)
{
    struct store *store = integrity->service->store;
    struct peer_message message = {.kind = PEER_ROWS};
    struct buf rows = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    struct store_position at;
    struct record_key last;
    bool end = false;

    message.as.rows.request = want->request;
    last = record_document(want->database, want->from);
    if (integrity->element_key != NULL && store_file_position(store, &at) == QK_OK &&
        rows_read(store, want, &rows, &last, &end) == QK_OK) {
        message.as.rows.index = at.index;
        message.as.rows.stamp = at.stamp;
        message.as.rows.end = end;
        message.as.rows.next = record_key_name(record_key_bytes(&last));
        message.as.rows.rows = buf_bytes(&rows);
    }
    hub_send(integrity->service->cluster, node_id, false, &message);
    buf_fini(&rows);
}
