/* One document of a _find: opened, asked, and written whole or in part. */
#include <assert.h>

#include "service/query/find_private.h"
#include "service/read.h"

/* Steps of a selector that take as long as a byte that is written. */
#define STEPS_PER_BYTE 8

static enum qk_err remember(struct buf *last, struct bytes now)
{
    buf_reset(last);
    buf_put_bytes(last, now);
    return buf_error(last);
}

/* The document as CouchDB's selectors see it, with _id, _rev and what else is asked for. Conflicts
 * that the reader may not know of are not there. */
static enum qk_err write_conflicts(struct find *find, const struct find_hit *hit,
                                   const struct document_parts *parts)
{
    struct document_options options = {0};
    struct doc_record record = DOC_RECORD_EMPTY;
    bool shown = true;
    enum qk_err err;
    unsigned i;

    err = stored_decode(find->service, find->visible.database, hit->name, hit->version, hit->value,
                        &record);
    for (i = 0; err == QK_OK && shown && i < record.leaves_n; i++)
        err = visible_key(&find->visible, record.leaves[i].key_id, &shown);
    options.conflicts = shown;
    options.record = &record;
    if (err == QK_OK)
        document_write(hit->id, &hit->leaf, parts, &options, &find->text);
    doc_record_fini(&record);
    return err;
}

static enum qk_err open_document(struct find *find, const struct find_hit *hit, json_t **ret_doc)
{
    static const struct document_options no_options = {0};
    struct doc_problem problem = {0};
    struct document_parts parts;
    enum qk_err err;

    buf_reset(&find->plain);
    buf_reset(&find->text);
    err = stored_open(find->service, find->visible.database, hit->name, &hit->leaf, &find->plain,
                      &parts);
    if (err == QK_OK && find->wish.conflicts)
        err = write_conflicts(find, hit, &parts);
    else if (err == QK_OK)
        document_write(hit->id, &hit->leaf, &parts, &no_options, &find->text);
    if (err == QK_OK)
        err = buf_error(&find->text);
    find->stream.turn_bytes += find->text.len;
    if (err == QK_OK)
        err = json_parse(buf_bytes(&find->text), JSON_DEPTH_MAX + 2, &problem, ret_doc);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
}

static enum qk_err project(const struct find *find, const json_t *doc, struct buf *out)
{
    json_t *part = json_object();
    enum qk_err err = part == NULL ? QK_ERR_NOMEM : QK_OK;
    const json_t *value;
    size_t i;

    for (i = 0; i < find->wish.fields_n && err == QK_OK; i++)
        if (field_get(&find->wish.fields[i], doc, &value) == FIELD_FOUND)
            err = field_set(&find->wish.fields[i], part, (json_t *)(uintptr_t)value);
    if (err == QK_OK)
        err = json_write(part, out);
    json_decref(part);
    return err;
}

static enum qk_err put(struct find *find, const json_t *doc)
{
    struct buf *out = &find->stream.out;

    buf_put_str(out, find->counts.returned_n++ == 0 ? "\r\n" : ",\r\n");
    find->left--;
    if (find->wish.fields_n > 0)
        return project(find, doc, out);
    buf_put_bytes(out, buf_bytes(&find->text));
    return buf_error(out);
}

static enum qk_err judge(struct find *find, const struct find_hit *hit, const json_t *doc)
{
    bool match;
    enum qk_err err = selector_match(find->wish.selector, doc, &match);

    find->stream.turn_bytes += selector_steps(find->wish.selector) / STEPS_PER_BYTE;
    if (err == QK_ERR_TOO_BIG) { /* told of in a warning, as what cannot be read */
        find->counts.costly_n++;
        return QK_OK;
    }
    if (err != QK_OK || !match)
        return err;
    find->has_last = true;
    err = remember(&find->last_id, hit->id);
    if (err == QK_OK)
        err = remember(&find->last_key, hit->key);
    if (err != QK_OK)
        return err;
    if (find->skip > 0) {
        find->skip--;
        return QK_OK;
    }
    return put(find, doc);
}

enum qk_err find_row_take(struct find *find, const struct find_hit *hit)
{
    json_t *doc = NULL;
    enum qk_err err;

    assert(find->left > 0);

    find->counts.docs_n++;
    err = open_document(find, hit, &doc);
    if (err == QK_OK)
        err = judge(find, hit, doc);
    json_decref(doc);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED) {
        find->counts.unreadable_n++; /* the others are told all the same, and this in a warning */
        err = QK_OK;
    }
    /* A large document's memory is not kept for the small ones after it. */
    if (find->text.cap > STREAM_PIECE_BYTES) {
        buf_fini(&find->text);
        buf_fini(&find->plain);
    }
    return err;
}
