/* _all_docs: read point -> flush -> (count the rows before the first one, for "offset") -> rows
 * from a cursor, or one look-up a key with `keys`. Rows come from the clear, authenticated part of
 * each record; bodies are opened only for include_docs.
 * Where ids are hidden the rows come from sorted_rows.h instead of a cursor. (Over 500 lines: the
 * phases of one reply, which share one struct.) */
#include "service/documents/all_docs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "service/documents/contents_pump.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/read.h"
#include "service/request.h"
#include "service/seq.h"
#include "service/documents/sorted_rows.h"
#include "service/stream.h"
#include "service/submit.h"
#include "service/visible.h"
#include "store/store.h"

/* Exact up to here, null beyond, as CouchDB's is when it does not know: a page far inside a large
 * database must not cost a walk over all that lies before it. A walk over up to 100,000 took 40
 * times what a page of 500 documents with their bodies itself does. */
#define OFFSET_ROWS_MAX 2000

enum phase { PHASE_COUNT, PHASE_GATHER, PHASE_HEAD, PHASE_ROWS, PHASE_KEYS, PHASE_TAIL };

struct all_docs {
    struct stream stream;
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    struct all_docs_wish wish;
    struct visible visible;
    struct store_cursor *cursor;
    struct store_stats stats;
    enum phase phase;
    uint64_t counted; /* rows before the start */
    uint64_t walked;  /* records looked at for that */
    bool offset_known;
    uint64_t rows_n;           /* written */
    uint64_t skip;             /* still to be skipped */
    size_t key_at;             /* next of wish.keys */
    struct buf id;             /* secret: of the row, where ids are hidden */
    struct sorted_rows sorted; /* of a database whose ids are hidden */
    bool design;               /* _design_docs */
    struct contents_pump pump;
    json_t *queries; /* of .../queries, or NULL */
    size_t query_at; /* the one that `wish` is of */
};

static void all_docs_free(struct all_docs *all)
{
    pump_fini(&all->pump);
    store_cursor_close(all->cursor);
    all_docs_wish_fini(&all->wish);
    visible_fini(&all->visible);
    stream_fini(&all->stream);
    buf_fini(&all->id);
    sorted_rows_fini(&all->sorted);
    json_decref(all->queries);
    free(all);
}

static enum qk_err all_docs_turn(void *arg)
{
    return visible_turn(&((struct all_docs *)arg)->visible);
}

static void all_docs_ended(void *arg)
{
    all_docs_free(arg);
}

/* --- where the range begins and ends --- */

/* The smallest record key that is greater than every document with an id <= `id`. */
static struct record_key key_above(const struct all_docs *all, struct bytes id)
{
    struct record_key key = record_document(all->database, bytes_slice(id, 0, DOC_ID_BYTES_MAX));

    if (id.len < DOC_ID_BYTES_MAX)
        key.data[key.len++] = 0;
    else if (key.data[key.len - 1] < 0xff) /* never 0xff in UTF-8; cut text may end anywhere */
        key.data[key.len - 1]++;
    return key;
}

static struct record_key key_at_or_below(const struct all_docs *all, struct bytes id)
{
    return record_document(all->database, bytes_slice(id, 0, DOC_ID_BYTES_MAX));
}

/* The first key after all documents. */
static struct record_key key_after_all(const struct all_docs *all)
{
    return doc_name_end(all->database);
}

/* From the start of the order to the end; the rows are compared again, so the ends may lie a little
 * too far out. */
static enum qk_err open_rows(struct all_docs *all)
{
    const struct all_docs_wish *wish = &all->wish;
    const struct buf *low = wish->descending ? &wish->end : &wish->start;
    const struct buf *high = wish->descending ? &wish->start : &wish->end;
    bool has_low = wish->descending ? wish->has_end : wish->has_start;
    bool has_high = wish->descending ? wish->has_start : wish->has_end;
    struct record_key from = key_at_or_below(all, has_low ? buf_bytes(low) : BYTES_NONE);
    struct record_key to = has_high ? key_above(all, buf_bytes(high)) : key_after_all(all);

    return store_cursor_open(all->service->store, record_key_bytes(&from), record_key_bytes(&to),
                             wish->descending, &all->cursor);
}

/* What lies before the start. */
static enum qk_err open_count(struct all_docs *all)
{
    const struct all_docs_wish *wish = &all->wish;
    struct record_key start = wish->descending ? key_above(all, buf_bytes(&wish->start))
                                               : key_at_or_below(all, buf_bytes(&wish->start));
    struct record_key from = key_at_or_below(all, BYTES_NONE);
    struct record_key to = key_after_all(all);

    if (wish->descending)
        from = start;
    else
        to = start;
    return store_cursor_open(all->service->store, record_key_bytes(&from), record_key_bytes(&to),
                             wish->descending, &all->cursor);
}

/* --- rows --- */

static void row_begin(struct all_docs *all, struct bytes id)
{
    struct buf *out = &all->stream.out;

    if (all->rows_n++ > 0)
        buf_put_u8(out, ',');
    buf_put_str(out, "\n{\"id\":");
    json_write_string(id, out);
    buf_put_str(out, ",\"key\":");
    json_write_string(id, out);
}

static void row_value(struct all_docs *all, const struct doc_leaf *leaf)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];
    struct buf *out = &all->stream.out;

    revision_format(&leaf->revision, revision);
    buf_put_str(out, ",\"value\":{\"rev\":\""); /* not by printf: once for each row */
    buf_put_str(out, revision);
    buf_put_str(out, leaf->deleted ? "\",\"deleted\":true}" : "\"}");
}

/* A damaged record does not hide the others: its row says so, in the shape that CouchDB has for
 * keys it cannot serve. */
static void row_damaged(struct all_docs *all, struct bytes id)
{
    row_begin(all, id);
    buf_put_str(&all->stream.out,
                ",\"error\":\"corrupt\",\"reason\":\"the stored record does not authenticate\"}");
}

static void row_destroyed(struct all_docs *all, struct bytes id, const struct doc_leaf *leaf)
{
    row_begin(all, id);
    row_value(all, leaf);
    buf_put_str(&all->stream.out, ",\"doc\":null,\"error\":\"key_destroyed\"}");
}

/* `record` NULL: nobody asked for conflicts. */
static enum qk_err row_doc(struct all_docs *all, struct bytes name, struct bytes id,
                           const struct doc_leaf *leaf, const struct doc_record *record)
{
    const struct document_options options = {.conflicts = record != NULL, .record = record};
    const struct leaf_at at = {all->database, name, id};
    const struct contents_wish wish = {.contents = all->wish.attachments};
    const struct contents_document document = {&at, leaf, &options, &wish, NULL};
    struct buf *out = &all->stream.out;
    size_t before = out->len, rows_n = all->rows_n;
    enum qk_err err = QK_OK;

    if (leaf->deleted) {
        row_begin(all, id);
        row_value(all, leaf);
        buf_put_str(out, ",\"doc\":null}");
        return QK_OK;
    }
    row_begin(all, id);
    row_value(all, leaf);
    buf_put_str(out, ",\"doc\":");
    err = pump_document(&all->pump, all->service, &document, "}", out);
    if (err != QK_OK)
        out->len = before; /* as if the row had not been begun */
    if (err != QK_OK)
        all->rows_n = rows_n;
    return err;
}

static enum qk_err row_put(struct all_docs *all, struct bytes name, struct bytes id,
                           const struct doc_leaf *leaf, const struct doc_record *record)
{
    enum qk_err err = QK_OK;

    if (all->wish.include_docs) {
        err = row_doc(all, name, id, leaf, record);
    } else {
        row_begin(all, id);
        row_value(all, leaf);
        buf_put_u8(&all->stream.out, '}');
    }
    if (err == QK_ERR_DESTROYED) {
        row_destroyed(all, id, leaf);
        err = QK_OK;
    }
    if (err == QK_ERR_CORRUPT) {
        row_damaged(all, id);
        err = QK_OK;
    }
    return err;
}

/* True if the row is not wanted because of `skip`. */
static bool row_skip(struct all_docs *all)
{
    if (all->skip == 0)
        return false;
    all->skip--;
    return true;
}

/* QK_ERR_NOT_FOUND: none now or, with *ret_last, no more. */
static enum qk_err next_row(struct all_docs *all, struct store_row *ret_row, bool *ret_last)
{
    enum qk_err err;

    if (all->visible.ids_hidden)
        return sorted_rows_next(&all->sorted, ret_row, ret_last);
    err = store_cursor_next(all->cursor, ret_row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    return err;
}

/* The row with all leaves of its document. */
static enum qk_err row_put_whole(struct all_docs *all, const struct store_row *row, struct bytes id)
{
    struct bytes name = record_key_name(row->key);
    struct doc_record record = DOC_RECORD_EMPTY;
    enum qk_err err = stored_decode(all->service, all->database, name, row->record.version,
                                    row->record.value, &record);

    if (err == QK_OK)
        err = row_put(all, name, id, &record.leaves[0], &record);
    doc_record_fini(&record);
    return err;
}

static enum qk_err step_row(struct all_docs *all, bool *ret_last)
{
    struct store_row row;
    struct doc_leaf leaf;
    struct bytes name, id;
    enum qk_err err;
    bool shown;
    int place;

    *ret_last = all->rows_n >= all->wish.limit;
    if (*ret_last)
        return QK_OK;
    err = next_row(all, &row, ret_last);
    if (err != QK_OK)
        return err == QK_ERR_NOT_FOUND ? QK_OK : err;
    name = record_key_name(row.key);
    err = doc_name_to_id(all->service, all->database, all->visible.ids_hidden, name, &all->id, &id);
    if (err != QK_OK)
        return err;
    place = all_docs_wish_place(&all->wish, id);
    *ret_last = place > 0;
    if (place != 0)
        return QK_OK;
    err = visible_row(&all->visible, &row, &leaf, &shown);
    if (err == QK_ERR_CORRUPT) {
        if (shown && !row_skip(all))
            row_damaged(all, id);
        return QK_OK;
    }
    if (err != QK_OK || !shown || leaf.deleted || row_skip(all))
        return err;
    if (all->wish.conflicts)
        return row_put_whole(all, &row, id);
    return row_put(all, name, id, &leaf, NULL);
}

/* --- rows of given keys --- */

static void key_missing(struct all_docs *all, struct bytes key)
{
    struct buf *out = &all->stream.out;

    buf_put_str(out, all->rows_n++ == 0 ? "\n{\"key\":" : ",\n{\"key\":");
    json_write_string(key, out);
    buf_put_str(out, ",\"error\":\"not_found\"}");
}

static enum qk_err key_put(struct all_docs *all, struct bytes key)
{
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key record_key = {.len = 0};
    struct bytes name = BYTES_NONE;
    bool shown = all->visible.everything;
    enum qk_err err;

    err = doc_name_of_id(all->service, all->database, all->visible.ids_hidden, key, &record_key);
    if (err == QK_OK) {
        name = record_key_name(record_key_bytes(&record_key));
        if (doc_name_is_document(name) &&
            (!all->design || bytes_starts_with(key, bytes_str(ALL_DOCS_DESIGN))))
            err = stored_get(all->service, all->database, name, &stored);
    }
    if (err == QK_ERR_TOO_BIG) /* nothing here has such an id */
        err = QK_OK;
    if (err == QK_OK && stored.record.leaves_n > 0)
        err = visible_key(&all->visible, stored.record.leaves[0].key_id, &shown);
    if (err == QK_ERR_CORRUPT && shown) {
        row_damaged(all, key);
        err = QK_OK;
    } else if ((err == QK_OK || err == QK_ERR_CORRUPT) && (stored.record.leaves_n == 0 || !shown)) {
        key_missing(all, key);
        err = QK_OK;
    } else if (err == QK_OK) {
        err = row_put(all, name, key, &stored.record.leaves[0],
                      all->wish.conflicts ? &stored.record : NULL);
    }
    stored_fini(&stored);
    return err;
}

static enum qk_err step_key(struct all_docs *all, bool *ret_last)
{
    size_t keys_n = json_array_size(all->wish.keys);
    size_t at;

    *ret_last = all->key_at >= keys_n || all->rows_n >= all->wish.limit;
    if (*ret_last)
        return QK_OK;
    at = all->wish.descending ? keys_n - 1 - all->key_at : all->key_at;
    all->key_at++;
    if (row_skip(all))
        return QK_OK;
    return key_put(all, json_bytes(json_array_get(all->wish.keys, at)));
}

/* --- the phases --- */

static enum qk_err step_count(struct all_docs *all, bool *ret_last)
{
    struct store_row row;
    struct doc_leaf leaf;
    enum qk_err err;
    bool shown;

    *ret_last = all->walked++ >= OFFSET_ROWS_MAX;
    if (*ret_last) {
        all->offset_known = false;
        return QK_OK;
    }
    err = store_cursor_next(all->cursor, &row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    err = visible_row(&all->visible, &row, &leaf, &shown);
    if (shown && (err == QK_ERR_CORRUPT || (err == QK_OK && !leaf.deleted)))
        all->counted++;
    return err == QK_ERR_CORRUPT ? QK_OK : err;
}

static enum qk_err put_head(struct all_docs *all)
{
    struct buf *out = &all->stream.out;
    uint64_t offset = all->counted + (all->wish.skip < UINT64_MAX / 2 ? all->wish.skip : 0);
    char seq[SEQ_TEXT_BYTES_MAX + 1];
    enum qk_err err = QK_OK;

    if (offset > all->stats.doc_count)
        offset = all->stats.doc_count;
    if (all->queries != NULL)
        buf_put_str(out, all->query_at == 0 ? "{\"results\":[\r\n" : ",\r\n");
    if (all->design)
        buf_put_str(out, "{\"total_rows\":null");
    else
        buf_printf(out, "{\"total_rows\":%" PRIu64, all->stats.doc_count);
    if (all->wish.update_seq) {
        err = visible_seq_format(&all->visible, all->stats.seq, seq);
        if (err != QK_OK)
            return err;
        buf_printf(out, ",\"update_seq\":\"%s\"", seq);
    }
    if (all->offset_known)
        buf_printf(out, ",\"offset\":%" PRIu64 ",\"rows\":[", offset);
    else
        buf_put_str(out, ",\"offset\":null,\"rows\":[");
    return err;
}

/* Saturating. */
static size_t rows_wanted(const struct all_docs_wish *wish)
{
    return wish->limit > SIZE_MAX - wish->skip ? SIZE_MAX : (size_t)(wish->limit + wish->skip);
}

static enum qk_err all_docs_open(struct all_docs *all)
{
    all->skip = all->wish.skip;
    all->rows_n = all->key_at = all->counted = all->walked = 0;
    all->phase = PHASE_HEAD;
    all->offset_known = all->wish.keys == NULL && !all->design;
    if (all->wish.keys != NULL)
        return QK_OK;
    if (all->visible.ids_hidden) {
        all->phase = PHASE_GATHER;
        return QK_OK;
    }
    if (!all->wish.has_start || all->design)
        return open_rows(all);
    all->phase = PHASE_COUNT;
    return open_count(all);
}

static void all_docs_sort(struct all_docs *all)
{
    sorted_rows_fini(&all->sorted);
    sorted_rows_init(&all->sorted, &all->visible, all->wish.descending, rows_wanted(&all->wish),
                     all_docs_wish_place, &all->wish);
}

/* The next of several queries begins where the one before it ended. */
static enum qk_err next_query(struct all_docs *all)
{
    struct doc_problem ignored = {0}; /* all were checked */
    enum qk_err err;

    store_cursor_close(all->cursor);
    all->cursor = NULL;
    all_docs_wish_fini(&all->wish);
    err = all_docs_wish_query(&all->stream.exchange->request,
                              json_array_get(all->queries, all->query_at), &all->wish, &ignored);
    if (err != QK_OK)
        return err;
    if (all->design)
        all_docs_wish_design(&all->wish);
    all_docs_sort(all);
    return all_docs_open(all);
}

static enum qk_err step_tail(struct all_docs *all, bool *ret_end)
{
    struct buf *out = &all->stream.out;

    buf_put_str(out, "\n]}");
    if (all->queries != NULL && ++all->query_at < json_array_size(all->queries))
        return next_query(all);
    buf_put_str(out, all->queries != NULL ? "\r\n]}\n" : "\n");
    *ret_end = true;
    return QK_OK;
}

static enum qk_err all_docs_step(void *arg, bool *ret_end)
{
    struct all_docs *all = arg;
    enum qk_err err = QK_OK;
    bool last = false;

    if (all->pump.active)
        return pump_step(&all->pump, &all->stream.out);
    switch (all->phase) {
    case PHASE_COUNT:
        err = step_count(all, &last);
        if (err != QK_OK || !last)
            return err;
        store_cursor_close(all->cursor);
        all->cursor = NULL;
        all->phase = PHASE_HEAD;
        return open_rows(all);
    case PHASE_GATHER:
        err = sorted_rows_gather(&all->sorted, &last);
        if (err != QK_OK || !last)
            return err;
        all->counted = all->sorted.before_n;
        all->phase = PHASE_HEAD;
        return QK_OK;
    case PHASE_HEAD:
        all->phase = all->wish.keys != NULL ? PHASE_KEYS : PHASE_ROWS;
        return put_head(all);
    case PHASE_ROWS:
        err = step_row(all, &last);
        break;
    case PHASE_KEYS:
        err = step_key(all, &last);
        break;
    case PHASE_TAIL:
        return step_tail(all, ret_end);
    }
    if (err == QK_OK && last)
        all->phase = PHASE_TAIL;
    return err;
}

static void all_docs_flushed(void *arg, enum qk_err err)
{
    struct all_docs *all = arg;
    struct exchange *exchange = all->stream.exchange;

    if (err == QK_OK && !service_is_open(all->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = all_docs_open(all);
    if (err == QK_OK) {
        stream_start(&all->stream);
        return;
    }
    submit_reply_err(all->service, exchange, err);
    all_docs_free(all);
}

static enum qk_err all_docs_parse(struct all_docs *all, const struct request *request,
                                  struct doc_problem *problem)
{
    enum qk_err err = all_docs_queries_parse(request, &all->queries, problem);

    all->design = bytes_equal(request->segments[1], bytes_str("_design_docs"));
    if (err == QK_OK && json_array_size(all->queries) > 0)
        err = all_docs_wish_query(request, json_array_get(all->queries, 0), &all->wish, problem);
    else if (err == QK_OK)
        err = all_docs_wish_parse(request, &all->wish, problem);
    if (err == QK_OK && all->design)
        all_docs_wish_design(&all->wish);
    return err;
}

static void all_docs_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct all_docs *all;
    enum qk_err err;

    if (database == NULL)
        return;
    all = calloc(1, sizeof(*all));
    if (all == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    all->service = service;
    all->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    memcpy(all->database, database->id, DATABASE_ID_BYTES);
    stream_init(&all->stream, service, exchange, all_docs_step, all_docs_ended, all);
    all->stream.turn = all_docs_turn;
    err = visible_init(&all->visible, service, exchange, database);
    if (err == QK_OK)
        err = all_docs_parse(all, &exchange->request, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        all_docs_free(all);
        return;
    }
    if (all->queries != NULL && json_array_size(all->queries) == 0) {
        exchange_reply_json(exchange, 200, json_pack("{s:[]}", "results"));
        all_docs_free(all);
        return;
    }
    all_docs_sort(all);
    visible_stats(&all->visible, &all->stats);
    store_flush_to_read(service->store, all_docs_flushed, all);
}

void handle_all_docs(struct service *service, struct exchange *exchange)
{
    if (exchange->request.method != METHOD_POST || request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, all_docs_ready);
}
