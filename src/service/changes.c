/* _changes, feed normal: read point -> flush -> rows from the cursor by sequence, each document
 * once at its newest. Revisions come from the authenticated clear part of the records. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/read.h"
#include "service/seq.h"
#include "service/stream.h"
#include "service/submit.h"
#include "service/visible.h"
#include "store/store.h"

/* `pending` is counted up to here and estimated from the sequences beyond. */
#define PENDING_ROWS_MAX 10000

enum phase { PHASE_HEAD, PHASE_ROWS, PHASE_PENDING, PHASE_TAIL };

struct changes {
    struct stream stream;
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    struct visible visible;
    struct store_cursor *cursor;
    struct store_stats stats; /* as of the read point */
    uint64_t end;             /* the newest sequence when the rows began */
    enum phase phase;
    uint64_t since, limit;
    bool since_now, descending, include_docs, all_leaves;
    uint64_t rows_n;
    uint64_t last_seq;
    uint64_t pending;
    uint64_t walked; /* rows looked at for that */
    struct buf id;   /* secret: of the row, where ids are hidden */
};

static void changes_free(struct changes *changes)
{
    store_cursor_close(changes->cursor);
    visible_fini(&changes->visible);
    stream_fini(&changes->stream);
    buf_fini(&changes->id);
    free(changes);
}

static enum qk_err changes_turn(void *arg)
{
    return visible_turn(&((struct changes *)arg)->visible);
}

static void changes_ended(void *arg)
{
    changes_free(arg);
}

/* --- rows --- */

static enum qk_err put_seq(struct changes *changes, uint64_t seq)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];
    enum qk_err err = visible_seq_format(&changes->visible, seq, text);

    if (err == QK_OK)
        buf_printf(&changes->stream.out, "\"%s\"", text);
    return err;
}

static void put_revisions(struct changes *changes, const struct doc_record *record)
{
    unsigned n = changes->all_leaves ? record->leaves_n : 1;
    char text[REVISION_TEXT_BYTES_MAX + 1];
    unsigned i;

    buf_put_str(&changes->stream.out, ",\"changes\":[");
    for (i = 0; i < n; i++) {
        revision_format(&record->leaves[i].revision, text);
        buf_printf(&changes->stream.out, "%s{\"rev\":\"%s\"}", i == 0 ? "" : ",", text);
    }
    buf_put_u8(&changes->stream.out, ']');
}

static enum qk_err put_doc(struct changes *changes, struct bytes name, struct bytes id,
                           const struct doc_leaf *leaf)
{
    static const struct document_options plain_options = {0};
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err;

    err = stored_open(changes->service, changes->database, name, leaf, &plain, &parts);
    if (err == QK_OK) {
        buf_put_str(&changes->stream.out, ",\"doc\":");
        document_write(id, leaf, &parts, &plain_options, &changes->stream.out);
    }
    if (err == QK_ERR_DESTROYED) {
        buf_put_str(&changes->stream.out, ",\"doc\":null");
        err = QK_OK;
    }
    buf_fini(&plain);
    return err;
}

static enum qk_err put_row(struct changes *changes, struct bytes name, uint64_t seq,
                           const struct doc_record *record)
{
    struct buf *out = &changes->stream.out;
    struct bytes id;
    enum qk_err err = doc_name_to_id(changes->service, changes->database,
                                     changes->visible.ids_hidden, name, &changes->id, &id);

    if (err != QK_OK)
        return err;
    buf_put_str(out, changes->rows_n++ == 0 ? "\n{\"seq\":" : ",\n{\"seq\":");
    err = put_seq(changes, seq);
    buf_put_str(out, ",\"id\":");
    json_write_string(id, out);
    put_revisions(changes, record);
    if (record->leaves[0].deleted)
        buf_put_str(out, ",\"deleted\":true");
    if (changes->include_docs && err == QK_OK)
        err = put_doc(changes, name, id, &record->leaves[0]);
    buf_put_u8(out, '}');
    return err;
}

/* Every leaf has to be: the row names them all if it is asked to. */
static enum qk_err record_shown(struct changes *changes, const struct doc_record *record,
                                bool *ret_shown)
{
    enum qk_err err = QK_OK;
    unsigned i;

    *ret_shown = true;
    for (i = 0; err == QK_OK && *ret_shown && i < record->leaves_n; i++)
        err = visible_key(&changes->visible, record->leaves[i].key_id, ret_shown);
    return err;
}

/* A feed that leaves a change out would make its reader miss it for ever: a damaged record ends the
 * reply with an error. */
static enum qk_err step_row(struct changes *changes, bool *ret_last)
{
    struct doc_record record;
    struct store_row row;
    struct bytes name;
    enum qk_err err;
    bool shown;

    *ret_last = changes->rows_n >= changes->limit;
    if (*ret_last)
        return QK_OK;
    err = store_cursor_next(changes->cursor, &row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    /* Made since the rows began: the next request's, or a slow reader's feed would never end. */
    if (row.record.seq > changes->end) {
        *ret_last = !changes->descending;
        return QK_OK;
    }
    name = record_key_name(row.key);
    err = stored_decode(changes->service, changes->database, name, row.record.version,
                        row.record.value, &record);
    if (err != QK_OK)
        return err;
    changes->last_seq = row.record.seq;
    err = record_shown(changes, &record, &shown);
    if (err == QK_OK && shown)
        err = put_row(changes, name, row.record.seq, &record);
    doc_record_fini(&record);
    return err;
}

/* --- pending --- */

/* Of who does not see everything only the rows shown count, and nothing is estimated: the sequences
 * count what is hidden. */
static enum qk_err pending_row(struct changes *changes, const struct store_row *row)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    bool shown = true;
    enum qk_err err;

    changes->walked++;
    if (!changes->visible.everything) {
        err = stored_decode(changes->service, changes->database, record_key_name(row->key),
                            row->record.version, row->record.value, &record);
        if (err == QK_OK)
            err = record_shown(changes, &record, &shown);
        doc_record_fini(&record);
        if (err != QK_OK)
            return err;
    }
    changes->pending += shown ? 1 : 0;
    return QK_OK;
}

static enum qk_err step_pending(struct changes *changes, bool *ret_last)
{
    uint64_t left =
        changes->stats.seq > changes->last_seq ? changes->stats.seq - changes->last_seq : 0;
    struct store_row row;
    enum qk_err err;

    /* Documents behind the last row are at most as many as the sequences there. */
    *ret_last = changes->descending || changes->walked >= PENDING_ROWS_MAX ||
                (left > PENDING_ROWS_MAX && changes->visible.everything);
    if (*ret_last) {
        if (changes->visible.everything)
            changes->pending = changes->descending ? 0 : left;
        return QK_OK;
    }
    err = store_cursor_next(changes->cursor, &row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    return pending_row(changes, &row);
}

static enum qk_err put_tail(struct changes *changes)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    buf_put_str(out, "\n],\n\"last_seq\":");
    err = put_seq(changes, changes->last_seq);
    buf_printf(out, ",\"pending\":%" PRIu64 "}\n", changes->pending);
    return err;
}

/* --- the phases --- */

static enum phase phase_after_rows(struct changes *changes)
{
    if (changes->rows_n >= changes->limit)
        return PHASE_PENDING;
    /* All was read: what was committed at the read point is covered, shown or superseded. */
    if (!changes->descending && changes->last_seq < changes->stats.seq)
        changes->last_seq = changes->stats.seq;
    return PHASE_TAIL;
}

/* Where the rows end, taken in the turn of the loop whose view of the store the first rows are of:
 * a document that was written again since the read point has moved behind it, and must not be
 * missed for that. A list of one turn is therefore one moment. */
static uint64_t rows_end(const struct changes *changes)
{
    struct store_stats now;

    store_database_stats(changes->service->store, changes->database, &now);
    return now.seq;
}

static enum qk_err changes_step(void *arg, bool *ret_end)
{
    struct changes *changes = arg;
    enum qk_err err = QK_OK;
    bool last = false;

    switch (changes->phase) {
    case PHASE_HEAD:
        buf_put_str(&changes->stream.out, "{\"results\":[");
        changes->end = rows_end(changes);
        changes->phase = PHASE_ROWS;
        break;
    case PHASE_ROWS:
        err = step_row(changes, &last);
        if (err == QK_OK && last)
            changes->phase = phase_after_rows(changes);
        break;
    case PHASE_PENDING:
        err = step_pending(changes, &last);
        if (err == QK_OK && last)
            changes->phase = PHASE_TAIL;
        break;
    case PHASE_TAIL:
        err = put_tail(changes);
        *ret_end = true;
        break;
    }
    return err;
}

static void changes_flushed(void *arg, enum qk_err err)
{
    struct changes *changes = arg;

    if (err == QK_OK && !service_is_open(changes->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = store_changes_open(changes->service->store, changes->database, changes->since,
                                 changes->descending, &changes->cursor);
    if (err == QK_OK) {
        stream_start(&changes->stream);
        return;
    }
    submit_reply_err(changes->service, changes->stream.exchange, err);
    changes_free(changes);
}

/* --- the request --- */

static enum qk_err changes_since(const struct request *request, struct changes *changes,
                                 struct doc_problem *problem)
{
    struct bytes text;

    if (!request_param(request, "since", &text))
        return QK_OK;
    changes->since_now = bytes_equal(text, bytes_str("now"));
    if (changes->since_now || visible_seq_parse(&changes->visible, text, &changes->since) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "Malformed sequence supplied in 'since' parameter.");
}

/* What this version does not do must not be ignored: a client would take the rows for filtered. */
static enum qk_err changes_feed(const struct request *request, struct doc_problem *problem)
{
    struct bytes text;

    if (request_param(request, "feed", &text) && !bytes_equal(text, bytes_str("normal")))
        return doc_problem_set(problem, 501, "not_implemented",
                               "this version of Quorumkeep has the normal feed only");
    if (request_param(request, "filter", &text))
        return doc_problem_set(problem, 501, "not_implemented",
                               "this version of Quorumkeep has no filters of feeds");
    return QK_OK;
}

static enum qk_err changes_params(const struct request *request, struct changes *changes,
                                  struct doc_problem *problem)
{
    struct bytes style;
    enum qk_err err;

    changes->limit = UINT64_MAX;
    err = changes_feed(request, problem);
    if (err == QK_OK)
        err = changes_since(request, changes, problem);
    if (err == QK_OK)
        err = param_u64(request, "limit", &changes->limit, problem);
    if (err == QK_OK)
        err = param_bool(request, "descending", &changes->descending, problem);
    if (err == QK_OK)
        err = param_bool(request, "include_docs", &changes->include_docs, problem);
    if (changes->limit == 0)
        changes->limit = 1; /* as CouchDB has it */
    changes->all_leaves =
        request_param(request, "style", &style) && bytes_equal(style, bytes_str("all_docs"));
    return err;
}

static void changes_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct changes *changes;
    enum qk_err err;

    if (database == NULL)
        return;
    changes = calloc(1, sizeof(*changes));
    if (changes == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    changes->service = service;
    changes->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    memcpy(changes->database, database->id, DATABASE_ID_BYTES);
    stream_init(&changes->stream, service, exchange, changes_step, changes_ended, changes);
    changes->stream.turn = changes_turn;
    err = visible_init(&changes->visible, service, exchange, database);
    if (err == QK_OK)
        err = changes_params(&exchange->request, changes, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        changes_free(changes);
        return;
    }
    store_database_stats(service->store, changes->database, &changes->stats);
    if (changes->since_now)
        changes->since = changes->stats.seq;
    changes->last_seq = changes->since;
    store_flush_to_read(service->store, changes_flushed, changes);
}

void handle_changes(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, changes_ready);
}
