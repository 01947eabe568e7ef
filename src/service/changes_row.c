/* What a feed of changes writes. Revisions come from the authenticated clear part of the records;
 * a body is opened only where it is asked for. */
#include <inttypes.h>

#include "service/changes_private.h"
#include "service/doc_name.h"
#include "service/read.h"

static enum qk_err put_seq(struct changes *changes, uint64_t seq)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];
    enum qk_err err = visible_seq_format(&changes->visible, seq, text);

    if (err == QK_OK)
        buf_printf(&changes->stream.out, "\"%s\"", text);
    return err;
}

/* With seq_interval only some rows say where they stand, by what is left of the limit: so the first
 * row of a batch as large as the interval does. */
static enum qk_err put_row_seq(struct changes *changes, uint64_t seq)
{
    const struct changes_wish *wish = &changes->wish;

    if (wish->seq_interval == 0 || (wish->limit - changes->rows_n) % wish->seq_interval == 0)
        return put_seq(changes, seq);
    buf_put_str(&changes->stream.out, "null");
    return QK_OK;
}

static void put_revisions(struct changes *changes, const struct doc_record *record)
{
    unsigned n = changes->wish.all_leaves ? record->leaves_n : 1;
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
                           const struct doc_record *record)
{
    const struct document_options options = {.conflicts = changes->wish.conflicts,
                                             .record = record};
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err;

    err =
        stored_open(changes->service, changes->database, name, &record->leaves[0], &plain, &parts);
    if (err == QK_OK) {
        buf_put_str(&changes->stream.out, ",\"doc\":");
        document_write(id, &record->leaves[0], &parts, &options, &changes->stream.out);
    }
    if (err == QK_ERR_DESTROYED) {
        buf_put_str(&changes->stream.out, ",\"doc\":null");
        err = QK_OK;
    }
    buf_fini(&plain);
    return err;
}

static void put_row_head(struct changes *changes)
{
    struct buf *out = &changes->stream.out;

    if (changes->wish.feed == CHANGES_EVENTSOURCE)
        buf_put_str(out, "data: ");
    else if (changes->wish.feed != CHANGES_CONTINUOUS)
        buf_put_str(out, changes->rows_n == 0 ? "\n" : ",\n");
}

static enum qk_err put_row_tail(struct changes *changes, uint64_t seq)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err = QK_OK;

    if (changes->wish.feed == CHANGES_EVENTSOURCE) {
        buf_put_str(out, "\nid: ");
        err = put_row_seq(changes, seq);
        buf_put_str(out, "\n\n");
    } else if (changes->wish.feed == CHANGES_CONTINUOUS) {
        buf_put_u8(out, '\n');
    }
    return err;
}

static enum qk_err put_row(struct changes *changes, struct bytes name, struct bytes id,
                           uint64_t seq, const struct doc_record *record)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    put_row_head(changes);
    buf_put_str(out, "{\"seq\":");
    err = put_row_seq(changes, seq);
    buf_put_str(out, ",\"id\":");
    json_write_string(id, out);
    put_revisions(changes, record);
    if (record->leaves[0].deleted)
        buf_put_str(out, ",\"deleted\":true");
    if (changes->wish.include_docs && err == QK_OK)
        err = put_doc(changes, name, id, record);
    buf_put_u8(out, '}');
    if (err == QK_OK)
        err = put_row_tail(changes, seq);
    changes->rows_n++;
    return err;
}

enum qk_err changes_row_shown(struct changes *changes, const struct doc_record *record,
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
enum qk_err changes_row_put(struct changes *changes, const struct store_row *row)
{
    struct bytes name = record_key_name(row->key), id;
    struct doc_record record;
    enum qk_err err;
    bool shown;

    err = stored_decode(changes->service, changes->database, name, row->record.version,
                        row->record.value, &record);
    if (err != QK_OK)
        return err;
    err = changes_row_shown(changes, &record, &shown);
    if (err == QK_OK && shown)
        err = doc_name_to_id(changes->service, changes->database, changes->visible.ids_hidden, name,
                             &changes->id, &id);
    if (err == QK_OK && shown && changes_filter_takes_id(&changes->filter, id))
        err = put_row(changes, name, id, row->record.seq, &record);
    doc_record_fini(&record);
    return err;
}

void changes_head_put(struct changes *changes)
{
    if (changes->wish.feed == CHANGES_NORMAL || changes->wish.feed == CHANGES_LONGPOLL)
        buf_put_str(&changes->stream.out, "{\"results\":[");
}

enum qk_err changes_tail_put(struct changes *changes)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    if (changes->wish.feed == CHANGES_EVENTSOURCE)
        return QK_OK;
    buf_put_str(out, changes->wish.feed == CHANGES_CONTINUOUS ? "{" : "\n],\n");
    buf_put_str(out, "\"last_seq\":");
    err = put_seq(changes, changes->last_seq);
    buf_printf(out, ",\"pending\":%" PRIu64 "}\n", changes->pending);
    return err;
}

void changes_beat_put(struct changes *changes)
{
    buf_put_str(&changes->stream.out,
                changes->wish.feed == CHANGES_EVENTSOURCE ? "event: heartbeat\ndata: \n\n" : "\n");
}
