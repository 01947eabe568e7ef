/* What a feed of changes writes. Revisions come from the authenticated clear part of the records;
 * a body is opened only where it is asked for. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "service/feeds/changes_private.h"
#include "service/documents/contents_document.h"
#include "service/doc_name.h"
#include "service/leaf_write.h"

/* A turn of the loop ends after STREAM_TURN_STEPS rows: what costs as much as one of them. */
#define PARSED_BYTES_STEP (1 * KIB)
#define JUDGED_STEPS_STEP 5000u

/* One document that changed. */
struct changes_place {
    struct bytes name, id;
    uint64_t seq;
    const struct doc_record *record;
};

/* --- a row --- */

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

/* `passes`: for each leaf, whether the filter lets it through. */
static void put_revisions(struct changes *changes, const struct doc_record *record,
                          const bool *passes)
{
    char text[REVISION_TEXT_BYTES_MAX + 1];
    const char *before = "";
    unsigned i;

    buf_put_str(&changes->stream.out, ",\"changes\":[");
    for (i = 0; i < record->leaves_n; i++) {
        if (!passes[i])
            continue;
        revision_format(&record->leaves[i].revision, text);
        buf_printf(&changes->stream.out, "%s{\"rev\":\"%s\"}", before, text);
        before = ",";
    }
    buf_put_u8(&changes->stream.out, ']');
}

/* Appends a leaf as the document it is. QK_ERR_DESTROYED: its key is gone, nothing is appended. */
static enum qk_err put_leaf(struct changes *changes, const struct changes_place *place,
                            const struct doc_leaf *leaf, bool conflicts, struct buf *out)
{
    const struct document_options options = {.conflicts = conflicts, .record = place->record};
    const struct leaf_at at = {changes->database, place->name, place->id};

    return leaf_write(changes->service, &at, leaf, &options, out);
}

/* The same as a value, for who looks into it. */
static enum qk_err leaf_json(struct changes *changes, const struct changes_place *place,
                             const struct doc_leaf *leaf, bool conflicts, json_t **ret_doc)
{
    struct buf text = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 1 * MIB);
    struct doc_problem problem = {0};
    enum qk_err err = put_leaf(changes, place, leaf, conflicts, &text);

    if (err == QK_OK)
        err = json_parse(buf_bytes(&text), JSON_WRITE_DEPTH_MAX, &problem, ret_doc);
    stream_spend(&changes->stream, text.len / PARSED_BYTES_STEP);
    buf_fini(&text);
    return err;
}

static enum qk_err put_fields(struct changes *changes, const struct changes_place *place)
{
    json_t *doc = NULL, *shown = NULL;
    enum qk_err err =
        leaf_json(changes, place, &place->record->leaves[0], changes->wish.conflicts, &doc);

    if (err == QK_OK)
        err = changes_filter_project(&changes->filter, doc, &shown);
    if (err == QK_OK)
        err = json_write(shown, &changes->stream.out);
    json_decref(shown);
    json_decref(doc);
    return err;
}

/* The document with the contents of its attachments: those leave in further steps of the stream. */
static enum qk_err begin_contents(struct changes *changes, const struct changes_place *place)
{
    const struct document_options options = {.conflicts = changes->wish.conflicts,
                                             .record = place->record};
    const struct leaf_at at = {changes->database, place->name, place->id};
    const struct contents_wish wish = {.contents = true};
    const struct contents_document document = {
        .at = &at, .leaf = &place->record->leaves[0], .options = &options, .wish = &wish};
    struct contents *contents = calloc(1, sizeof(*contents));
    uint64_t length;
    enum qk_err err;

    if (contents == NULL)
        return QK_ERR_NOMEM;
    contents_init(contents, changes->service, changes->database);
    err = contents_put_document(contents, &document);
    if (err == QK_OK)
        err = contents_seal(contents, &length);
    if (err == QK_OK) {
        changes->contents = contents;
        changes->row_seq = place->seq;
        changes->phase = CHANGES_CONTENTS;
        return QK_OK;
    }
    contents_fini(contents);
    free(contents);
    return err;
}

static enum qk_err put_doc(struct changes *changes, const struct changes_place *place)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    buf_put_str(out, ",\"doc\":");
    if (changes->filter.fields_n > 0)
        err = put_fields(changes, place);
    else if (changes->wish.attachments && place->record->leaves[0].attachments.len > 0)
        err = begin_contents(changes, place);
    else
        err = put_leaf(changes, place, &place->record->leaves[0], changes->wish.conflicts, out);
    if (err != QK_ERR_DESTROYED)
        return err;
    buf_put_str(out, "null");
    return QK_OK;
}

static enum qk_err put_row_tail(struct changes *changes, uint64_t seq)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err = QK_OK;

    if (changes->wish.form.kind == FEED_EVENTSOURCE) {
        buf_put_str(out, "\nid: ");
        err = put_row_seq(changes, seq);
        buf_put_str(out, "\n\n");
    } else if (changes->wish.form.kind == FEED_CONTINUOUS) {
        buf_put_u8(out, '\n');
    }
    return err;
}

static enum qk_err end_row(struct changes *changes, uint64_t seq)
{
    enum qk_err err;

    buf_put_u8(&changes->stream.out, '}');
    err = put_row_tail(changes, seq);
    changes->rows_n++;
    return err;
}

static enum qk_err put_row(struct changes *changes, const struct changes_place *place,
                           const bool *passes)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    feed_form_row(&changes->wish.form, changes->rows_n == 0, out);
    buf_put_str(out, "{\"seq\":");
    err = put_row_seq(changes, place->seq);
    buf_put_str(out, ",\"id\":");
    json_write_string(place->id, out);
    put_revisions(changes, place->record, passes);
    if (place->record->leaves[0].deleted)
        buf_put_str(out, ",\"deleted\":true");
    if (changes->wish.include_docs && err == QK_OK)
        err = put_doc(changes, place);
    return err == QK_OK && changes->contents == NULL ? end_row(changes, place->seq) : err;
}

enum qk_err changes_row_step(struct changes *changes)
{
    bool end = false;
    enum qk_err err = contents_step(changes->contents, &changes->stream.out, &end);

    if (err != QK_OK || !end)
        return err;
    changes_contents_free(changes);
    changes->phase = CHANGES_ROWS;
    return end_row(changes, changes->row_seq);
}

void changes_contents_free(struct changes *changes)
{
    if (changes->contents == NULL)
        return;
    contents_fini(changes->contents);
    free(changes->contents);
    changes->contents = NULL;
}

/* --- which rows --- */

/* A body that nobody can open any more matches nothing. */
static enum qk_err leaf_passes(struct changes *changes, const struct changes_place *place,
                               const struct doc_leaf *leaf, bool *ret_passes)
{
    json_t *doc = NULL;
    enum qk_err err = leaf_json(changes, place, leaf, true, &doc);

    if (err == QK_OK)
        err = changes_filter_takes_doc(&changes->filter, doc, ret_passes);
    stream_spend(&changes->stream, changes_filter_cost(&changes->filter) / JUDGED_STEPS_STEP);
    json_decref(doc);
    return err == QK_ERR_DESTROYED ? QK_OK : err;
}

/* The leaves that the row is to name: none, and there is no row. */
static enum qk_err record_passes(struct changes *changes, const struct changes_place *place,
                                 bool passes[static DOC_RECORD_LEAVES_MAX], bool *ret_any)
{
    unsigned n = changes->wish.all_leaves ? place->record->leaves_n : 1, i;
    bool takes = changes_filter_takes_id(&changes->filter, place->id);
    enum qk_err err = QK_OK;

    *ret_any = false;
    for (i = 0; err == QK_OK && i < place->record->leaves_n; i++) {
        passes[i] = takes && i < n && !changes_filter_asks_doc(&changes->filter);
        if (takes && i < n && changes_filter_asks_doc(&changes->filter))
            err = leaf_passes(changes, place, &place->record->leaves[i], &passes[i]);
        *ret_any = *ret_any || passes[i];
    }
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

static enum qk_err record_put(struct changes *changes, struct changes_place *place)
{
    bool passes[DOC_RECORD_LEAVES_MAX], any = false;
    enum qk_err err =
        doc_name_to_id(changes->service, changes->database, changes->visible.ids_hidden,
                       place->name, &changes->id, &place->id);

    if (err == QK_OK)
        err = record_passes(changes, place, passes, &any);
    return err == QK_OK && any ? put_row(changes, place, passes) : err;
}

/* A feed that leaves a change out would make its reader miss it for ever: a damaged record ends the
 * reply with an error. */
enum qk_err changes_row_put(struct changes *changes, const struct store_row *row)
{
    struct doc_record record;
    struct changes_place place = {
        .name = record_key_name(row->key), .seq = row->record.seq, .record = &record};
    enum qk_err err;
    bool shown;

    err = stored_decode(changes->service, changes->database, place.name, row->record.version,
                        row->record.value, &record);
    if (err != QK_OK)
        return err;
    assert(record.leaves_n >= 1 && record.leaves_n <= DOC_RECORD_LEAVES_MAX);
    err = changes_row_shown(changes, &record, &shown);
    if (err == QK_OK && shown && changes->script != NULL)
        err = changes_script_add(changes->script, row, &record);
    else if (err == QK_OK && shown)
        err = record_put(changes, &place);
    doc_record_fini(&record);
    return err;
}

static enum qk_err place_id(struct changes *changes, struct changes_place *place)
{
    return doc_name_to_id(changes->service, changes->database, changes->visible.ids_hidden,
                          place->name, &changes->id, &place->id);
}

enum qk_err changes_row_leaf(struct changes *changes, const struct store_row *row,
                             const struct doc_record *record, const struct doc_leaf *leaf,
                             struct buf *out)
{
    struct changes_place place = {.name = record_key_name(row->key), .record = record};
    enum qk_err err = place_id(changes, &place);

    return err == QK_OK ? put_leaf(changes, &place, leaf, true, out) : err;
}

enum qk_err changes_row_judged(struct changes *changes, const struct store_row *row,
                               const bool *passes)
{
    struct doc_record record;
    struct changes_place place = {
        .name = record_key_name(row->key), .seq = row->record.seq, .record = &record};
    enum qk_err err = stored_decode(changes->service, changes->database, place.name,
                                    row->record.version, row->record.value, &record);
    bool any = false;
    unsigned i;

    if (err != QK_OK)
        return err;
    for (i = 0; i < record.leaves_n; i++)
        any = any || passes[i];
    if (any)
        err = place_id(changes, &place);
    if (err == QK_OK && any)
        err = put_row(changes, &place, passes);
    doc_record_fini(&record);
    return err;
}

enum qk_err changes_tail_put(struct changes *changes)
{
    struct buf *out = &changes->stream.out;
    enum qk_err err;

    if (changes->wish.form.kind == FEED_EVENTSOURCE)
        return QK_OK;
    feed_form_tail(&changes->wish.form, out);
    buf_put_str(out, "\"last_seq\":");
    err = put_seq(changes, changes->last_seq);
    buf_printf(out, ",\"pending\":%" PRIu64 "}\n", changes->pending);
    return err;
}
