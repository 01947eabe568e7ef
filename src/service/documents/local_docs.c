/* _local_docs: the _local documents of a database, as CouchDB lists them, with the parameters of
 * _all_docs. There is no count of them, and no offset. Where ids are hidden the rows are in no
 * order. */
#include <stdlib.h>
#include <string.h>

#include "service/documents/all_docs.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/documents/local.h"
#include "service/params.h"
#include "service/read.h"
#include "service/request.h"
#include "service/stream.h"
#include "service/submit.h"
#include "service/visible.h"
#include "store/store.h"

struct local_docs {
    struct stream stream;
    struct service *service;
    struct visible visible;
    struct all_docs_wish wish;
    struct store_cursor *cursor;
    struct buf scratch, id; /* secret */
    bool begun;
    uint64_t rows_n, skip;
    size_t key_at;
};

static void local_docs_free(void *arg)
{
    struct local_docs *local = arg;

    store_cursor_close(local->cursor);
    all_docs_wish_fini(&local->wish);
    visible_fini(&local->visible);
    stream_fini(&local->stream);
    buf_fini(&local->scratch);
    buf_fini(&local->id);
    free(local);
}

static enum qk_err local_docs_turn(void *arg)
{
    return visible_turn(&((struct local_docs *)arg)->visible);
}

/* --- rows --- */

static void row_begin(struct local_docs *local, struct bytes id, bool found)
{
    struct buf *out = &local->stream.out;

    buf_put_str(out, local->rows_n++ == 0 ? "\n{" : ",\n{");
    if (found) {
        buf_put_str(out, "\"id\":");
        json_write_string(id, out);
        buf_put_u8(out, ',');
    }
    buf_put_str(out, "\"key\":");
    json_write_string(id, out);
}

static enum qk_err row_doc(struct local_docs *local, struct bytes name, struct bytes id,
                           const struct doc_leaf *leaf)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err =
        stored_open(local->service, local->visible.database, name, leaf, &plain, &parts);

    if (err == QK_OK) {
        buf_put_str(&local->stream.out, ",\"doc\":");
        local_put_json(id, leaf, &parts, &local->stream.out);
    } else if (err == QK_ERR_DESTROYED) {
        buf_put_str(&local->stream.out, ",\"doc\":null,\"error\":\"key_destroyed\"");
        err = QK_OK;
    }
    buf_fini(&plain);
    return err;
}

static enum qk_err row_put(struct local_docs *local, struct bytes name, struct bytes id,
                           const struct doc_leaf *leaf)
{
    struct buf *out = &local->stream.out;
    enum qk_err err = QK_OK;

    if (local->skip > 0) {
        local->skip--;
        return QK_OK;
    }
    row_begin(local, id, true);
    buf_printf(out, ",\"value\":{\"rev\":\"0-%u\"}", leaf->revision.generation);
    if (local->wish.include_docs)
        err = row_doc(local, name, id, leaf);
    buf_put_u8(out, '}');
    return err;
}

/* The row of a record, unless it is not shown. */
static enum qk_err row_record(struct local_docs *local, struct bytes name, struct bytes id,
                              const struct doc_record *record, bool *ret_shown)
{
    enum qk_err err = visible_key(&local->visible, record->leaves[0].key_id, ret_shown);

    return err == QK_OK && *ret_shown ? row_put(local, name, id, &record->leaves[0]) : err;
}

static enum qk_err full_id(struct local_docs *local, struct bytes bare)
{
    buf_reset(&local->id);
    buf_put_str(&local->id, LOCAL_PREFIX);
    buf_put_bytes(&local->id, bare);
    return buf_error(&local->id);
}

static enum qk_err step_row(struct local_docs *local, bool *ret_last)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    struct store_row row;
    struct bytes name, bare;
    bool shown;
    enum qk_err err = store_cursor_next(local->cursor, &row);

    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    name = record_key_name(row.key);
    err = doc_name_to_local(local->service, local->visible.database, local->visible.ids_hidden,
                            name, &local->scratch, &bare);
    if (err == QK_OK)
        err = full_id(local, bare);
    if (err != QK_OK || all_docs_wish_place(&local->wish, buf_bytes(&local->id)) != 0)
        return err;
    err = stored_decode(local->service, local->visible.database, name, row.record.version,
                        row.record.value, &record);
    if (err == QK_OK)
        err = row_record(local, name, buf_bytes(&local->id), &record, &shown);
    doc_record_fini(&record);
    return err;
}

static enum qk_err key_put(struct local_docs *local, struct bytes id)
{
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct doc_problem ignored = {0};
    struct bytes name = BYTES_NONE;
    struct record_key key;
    bool shown = false;
    enum qk_err err = QK_OK;

    if (local_is_id(id) && local_id_check(id, &ignored) == QK_OK) {
        err = doc_name_of_local(local->service, local->visible.database, local->visible.ids_hidden,
                                bytes_slice(id, strlen(LOCAL_PREFIX), id.len), &key);
        if (err == QK_OK) {
            name = record_key_name(record_key_bytes(&key));
            err = stored_get(local->service, local->visible.database, name, &stored);
        }
        if (err == QK_ERR_TOO_BIG) /* nothing here has such an id */
            err = QK_OK;
    }
    if (err == QK_OK && stored.record.leaves_n > 0)
        err = row_record(local, name, id, &stored.record, &shown);
    if (err == QK_OK && !shown) {
        row_begin(local, id, false);
        buf_put_str(&local->stream.out, ",\"error\":\"not_found\"}");
    }
    stored_fini(&stored);
    return err;
}

static enum qk_err step_key(struct local_docs *local, bool *ret_last)
{
    size_t keys_n = json_array_size(local->wish.keys);
    size_t at = local->key_at++;

    *ret_last = at >= keys_n;
    if (*ret_last)
        return QK_OK;
    at = local->wish.descending ? keys_n - 1 - at : at;
    return key_put(local, json_bytes(json_array_get(local->wish.keys, at)));
}

static enum qk_err local_docs_step(void *arg, bool *ret_end)
{
    struct local_docs *local = arg;
    enum qk_err err = QK_OK;

    if (!local->begun)
        buf_put_str(&local->stream.out, "{\"total_rows\":null,\"offset\":null,\"rows\":[");
    local->begun = true;
    if (local->rows_n >= local->wish.limit)
        *ret_end = true;
    else
        err = local->wish.keys != NULL ? step_key(local, ret_end) : step_row(local, ret_end);
    if (*ret_end)
        buf_put_str(&local->stream.out, "\n]}\n");
    return err;
}

/* --- the request --- */

static void local_docs_flushed(void *arg, enum qk_err err)
{
    static const uint8_t prefix[] = {0xff, 'l'};
    struct local_docs *local = arg;
    struct exchange *exchange = local->stream.exchange;
    struct record_key key =
        record_document(local->visible.database, bytes_of(prefix, sizeof(prefix)));

    if (err == QK_OK && !service_is_open(local->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = store_cursor_open_prefix(local->service->store, record_key_bytes(&key),
                                       local->wish.descending, &local->cursor);
    if (err == QK_OK) {
        stream_start(&local->stream);
        return;
    }
    submit_reply_err(local->service, exchange, err);
    local_docs_free(local);
}

static void local_docs_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct local_docs *local;
    enum qk_err err;

    if (database == NULL)
        return;
    local = calloc(1, sizeof(*local));
    if (local == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    local->service = service;
    local->scratch = BUF_SECRET_INIT(2 * DOC_ID_BYTES_MAX);
    local->id = BUF_SECRET_INIT(2 * DOC_ID_BYTES_MAX);
    stream_init(&local->stream, service, exchange, local_docs_step, local_docs_free, local);
    local->stream.turn = local_docs_turn;
    err = visible_init(&local->visible, service, exchange, database);
    if (err == QK_OK)
        err = all_docs_wish_parse(&exchange->request, &local->wish, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        local_docs_free(local);
        return;
    }
    local->skip = local->wish.skip;
    store_flush_to_read(service->store, local_docs_flushed, local);
}

void handle_local_docs(struct service *service, struct exchange *exchange)
{
    if (exchange->request.method != METHOD_POST || request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, local_docs_ready);
}
