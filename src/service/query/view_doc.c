/* include_docs: the document of a row, or the one that its value names by `_id` (and `_rev`). What
 * is missing, deleted, or not the reader's to see is null. */
#include "service/doc_name.h"
#include "service/read.h"
#include "service/query/view_read.h"

struct linked {
    struct bytes id; /* of the row, or into `value` */
    bool has_revision, revision_is_foreign;
    struct revision revision;
    json_t *value;
};

static enum qk_err linked_of(const struct index_row *row, struct linked *ret_linked)
{
    struct doc_problem problem;
    json_t *id, *rev;
    enum qk_err err;

    *ret_linked = (struct linked){.id = row->id};
    if (row->value.len == 0 || row->value.data[0] != '{')
        return QK_OK;
    err = json_parse(row->value, JSON_WRITE_DEPTH_MAX, &problem, &ret_linked->value);
    if (err != QK_OK)
        return err == QK_ERR_INVALID ? QK_OK : err;
    id = json_object_get(ret_linked->value, "_id");
    rev = json_object_get(ret_linked->value, "_rev");
    if (json_is_string(id))
        ret_linked->id = json_bytes(id);
    if (json_is_string(rev)) {
        ret_linked->has_revision = true;
        ret_linked->revision_is_foreign =
            revision_parse(json_bytes(rev), &ret_linked->revision) != QK_OK;
    }
    return QK_OK;
}

static const struct doc_leaf *linked_leaf(const struct linked *linked,
                                          const struct doc_record *record)
{
    const struct doc_leaf *leaf;

    if (record->leaves_n == 0 || linked->revision_is_foreign)
        return NULL;
    leaf = linked->has_revision ? doc_record_find(record, &linked->revision) : &record->leaves[0];
    return leaf == NULL || leaf->deleted ? NULL : leaf;
}

/* With `conflicts` the reply tells of all leaves: the reader must be allowed each of them. */
static enum qk_err is_shown(struct view_read *read, const struct doc_record *record,
                            const struct doc_leaf *leaf, bool *ret_shown)
{
    enum qk_err err = visible_key(&read->visible, leaf->key_id, ret_shown);
    unsigned i;

    if (!read->wishes[read->wish_at].conflicts)
        return err;
    for (i = 0; err == QK_OK && *ret_shown && i < record->leaves_n; i++)
        err = visible_key(&read->visible, record->leaves[i].key_id, ret_shown);
    return err;
}

static enum qk_err write_leaf(struct view_read *read, struct bytes name, struct bytes id,
                              const struct doc_record *record, const struct doc_leaf *leaf)
{
    const struct view_wish *asked = &read->wishes[read->wish_at];
    const struct document_options options = {.conflicts = asked->conflicts, .record = record};
    const struct leaf_at at = {read->database, name, id};
    const struct contents_wish wish = {.contents = asked->attachments};
    const struct contents_document document = {&at, leaf, &options, &wish, NULL};

    return pump_document(&read->pump, read->service, &document, "}", &read->stream.out);
}

static enum qk_err write_linked(struct view_read *read, const struct linked *linked)
{
    struct buf *out = &read->stream.out;
    size_t begin = out->len;
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    const struct doc_leaf *leaf = NULL;
    struct record_key key;
    bool shown = false;
    enum qk_err err = QK_ERR_TOO_BIG;

    if (linked->id.len > 0 && linked->id.len <= DOC_ID_BYTES_MAX)
        err = doc_name_of_id(read->service, read->database, read->ids_hidden, linked->id, &key);
    if (err == QK_ERR_TOO_BIG) {
        buf_put_str(out, "null}");
        return QK_OK;
    }
    if (err == QK_OK)
        err = stored_get(read->service, read->database, record_key_name(record_key_bytes(&key)),
                         &stored);
    if (err == QK_OK)
        leaf = linked_leaf(linked, &stored.record);
    if (leaf != NULL)
        err = is_shown(read, &stored.record, leaf, &shown);
    if (err == QK_OK && shown)
        err = write_leaf(read, record_key_name(record_key_bytes(&key)), linked->id, &stored.record,
                         leaf);
    stored_fini(&stored);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED) {
        out->len = begin;
        shown = false;
        err = QK_OK;
    }
    if (err == QK_OK && !shown)
        buf_put_str(out, "null}");
    return err;
}

enum qk_err view_doc_put(struct view_read *read, const struct index_row *row)
{
    struct linked linked;
    enum qk_err err = linked_of(row, &linked);

    buf_put_str(&read->stream.out, ",\"doc\":");
    if (err == QK_OK)
        err = write_linked(read, &linked);
    json_decref(linked.value);
    return err;
}
