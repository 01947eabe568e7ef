#include "doc/replication.h"

#include <string.h>

#include "base/encode.h"

#define REPLY_DEPTH_MAX (JSON_DEPTH_MAX + 6) /* a document stands that deep in one of _bulk_get */

static enum qk_err parse(struct bytes text, json_t **ret_value)
{
    struct doc_problem problem;

    return json_parse(text, REPLY_DEPTH_MAX, &problem, ret_value);
}

/* Takes over `value`; out of memory is all that can go wrong. */
static enum qk_err write_and_drop(json_t *value, struct buf *out)
{
    enum qk_err err = value == NULL ? QK_ERR_NOMEM : json_write(value, out);

    json_decref(value);
    return err;
}

/* --- _changes --- */

static enum qk_err revs_of(const json_t *changes, json_t *revs)
{
    const json_t *change;
    size_t i;

    if (!json_is_array(changes) || json_array_size(changes) == 0)
        return QK_ERR_INVALID;
    json_array_foreach(changes, i, change)
    {
        json_t *rev = json_object_get(change, "rev");

        if (!json_is_string(rev))
            return QK_ERR_INVALID;
        if (json_array_append(revs, rev) != 0)
            return QK_ERR_NOMEM;
    }
    return QK_OK;
}

/* A document may come twice in a page that was made while it changed. */
static enum qk_err row_add(const json_t *row, json_t *diff, struct replication_page *page)
{
    const json_t *id = json_object_get(row, "id");
    json_t *revs;
    enum qk_err err;
    size_t had;

    if (!json_is_string(id) || json_string_length(id) == 0)
        return QK_ERR_INVALID;
    revs = json_object_getn(diff, json_string_value(id), json_string_length(id));
    if (revs == NULL) {
        revs = json_array();
        if (json_object_setn_new(diff, json_string_value(id), json_string_length(id), revs) != 0)
            return QK_ERR_NOMEM;
    }
    had = json_array_size(revs);
    err = revs_of(json_object_get(row, "changes"), revs);
    page->rows_n++;
    page->revs_n += json_array_size(revs) - had;
    return err;
}

enum qk_err replication_read_changes(struct bytes reply, struct buf *out,
                                     struct replication_page *ret_page)
{
    struct replication_page page = {0};
    json_t *value = NULL, *diff = json_object();
    const json_t *rows, *row;
    enum qk_err err = diff == NULL ? QK_ERR_NOMEM : parse(reply, &value);
    size_t i;

    if (err != QK_OK)
        goto out;
    rows = json_object_get(value, "results");
    page.last_seq = json_object_get(value, "last_seq");
    err = json_is_array(rows) && page.last_seq != NULL && !json_is_null(page.last_seq)
              ? QK_OK
              : QK_ERR_INVALID;
    if (err != QK_OK)
        goto out;
    json_array_foreach(rows, i, row)
    {
        if (err == QK_OK)
            err = row_add(row, diff, &page);
    }
    if (json_integer_value(json_object_get(value, "pending")) > 0)
        page.pending = (uint64_t)json_integer_value(json_object_get(value, "pending"));
    if (err == QK_OK)
        err = json_write(diff, out);
    if (err == QK_OK) {
        json_incref(page.last_seq);
        *ret_page = page;
    }

out:
    json_decref(diff);
    json_decref(value);
    return err;
}

/* --- _revs_diff --- */

static enum qk_err missing_add(json_t *missing, const char *id, size_t id_len, const json_t *revs)
{
    const json_t *rev;
    size_t i;

    if (!json_is_array(revs))
        return QK_ERR_INVALID;
    json_array_foreach(revs, i, rev)
    {
        if (!json_is_string(rev))
            return QK_ERR_INVALID;
        if (json_array_append_new(missing,
                                  json_pack("{s:s%, s:s%}", "id", id, id_len, "rev",
                                            json_string_value(rev), json_string_length(rev))) != 0)
            return QK_ERR_NOMEM;
    }
    return QK_OK;
}

enum qk_err replication_read_diff(struct bytes reply, json_t **ret_missing)
{
    json_t *value = NULL, *missing = json_array(), *each;
    enum qk_err err = missing == NULL ? QK_ERR_NOMEM : parse(reply, &value);
    const char *id;
    size_t id_len;

    if (err == QK_OK && !json_is_object(value))
        err = QK_ERR_INVALID;
    if (err == QK_OK) {
        json_object_keylen_foreach(value, id, id_len, each)
        {
            if (err == QK_OK)
                err = missing_add(missing, id, id_len, json_object_get(each, "missing"));
        }
    }
    json_decref(value);
    if (err != QK_OK) {
        json_decref(missing);
        return err;
    }
    *ret_missing = missing;
    return QK_OK;
}

/* --- _bulk_get --- */

enum qk_err replication_write_bulk_get(const json_t *missing, size_t at, size_t n, struct buf *out)
{
    json_t *docs = json_array();

    for (size_t i = 0; i < n && docs != NULL; i++) {
        if (json_array_append(docs, json_array_get(missing, at + i)) != 0) {
            json_decref(docs);
            docs = NULL;
        }
    }
    return write_and_drop(docs == NULL ? NULL : json_pack("{s:o}", "docs", docs), out);
}

/* Bytes of contents that are not in the document; UINT64_MAX: nobody said. */
static uint64_t stubs_bytes(const json_t *doc)
{
    const json_t *one;
    const char *name;
    uint64_t bytes = 0;

    json_object_foreach(json_object_get(doc, "_attachments"), name, one)
    {
        json_int_t length = json_integer_value(json_object_get(one, "length"));

        if (!json_is_true(json_object_get(one, "stub")))
            continue;
        if (!json_is_integer(json_object_get(one, "length")) || length < 0 ||
            (uint64_t)length > UINT64_MAX / 2 - bytes)
            return UINT64_MAX;
        bytes += (uint64_t)length;
    }
    return bytes;
}

static bool has_stubs(const json_t *doc)
{
    const json_t *one;
    const char *name;

    json_object_foreach(json_object_get(doc, "_attachments"), name, one)
    {
        if (json_is_true(json_object_get(one, "stub")))
            return true;
    }
    return false;
}

static enum qk_err doc_add(json_t *doc, json_t *docs, struct replication_docs *found)
{
    json_t *id = json_object_get(doc, "_id"), *rev = json_object_get(doc, "_rev");
    json_t *list = stubs_bytes(doc) <= REPLICATION_BRIEF_BYTES ? found->brief : found->lengthy;

    if (!json_is_string(id) || !json_is_string(rev))
        return QK_ERR_INVALID;
    if (!has_stubs(doc))
        return json_array_append(docs, doc) == 0 ? QK_OK : QK_ERR_NOMEM;
    return json_array_append_new(list, json_pack("{s:O, s:O}", "id", id, "rev", rev)) == 0
               ? QK_OK
               : QK_ERR_NOMEM;
}

/* One element of "results": its documents that came, each with an id and a revision of its own. */
static enum qk_err result_add(const json_t *result, json_t *docs, struct replication_docs *found)
{
    const json_t *each, *list = json_object_get(result, "docs");
    enum qk_err err = json_is_array(list) ? QK_OK : QK_ERR_INVALID;
    size_t i;

    json_array_foreach(list, i, each)
    {
        json_t *doc = json_object_get(each, "ok");

        if (doc == NULL && json_object_get(each, "error") != NULL)
            found->failed_n++;
        else if (err == QK_OK)
            err = doc_add(doc, docs, found);
    }
    return err;
}

void replication_docs_fini(struct replication_docs *docs)
{
    json_decref(docs->brief);
    json_decref(docs->lengthy);
    *docs = (struct replication_docs){.brief = NULL};
}

enum qk_err replication_read_bulk_get(struct bytes reply, struct buf *out,
                                      struct replication_docs *ret_docs)
{
    struct replication_docs found = {.brief = json_array(), .lengthy = json_array()};
    json_t *value = NULL, *docs = json_array(), *result;
    const json_t *results;
    enum qk_err err = QK_ERR_NOMEM;
    size_t i;

    if (docs != NULL && found.brief != NULL && found.lengthy != NULL)
        err = parse(reply, &value);
    if (err != QK_OK)
        goto out;
    results = json_object_get(value, "results");
    err = json_is_array(results) ? QK_OK : QK_ERR_INVALID;
    json_array_foreach(results, i, result)
    {
        if (err == QK_OK)
            err = result_add(result, docs, &found);
    }
    if (err != QK_OK)
        goto out;
    found.docs_n = json_array_size(docs);
    err = write_and_drop(json_pack("{s:b, s:O}", "new_edits", 0, "docs", docs), out);

out:
    json_decref(docs);
    json_decref(value);
    if (err == QK_OK)
        *ret_docs = found;
    else
        replication_docs_fini(&found);
    return err;
}

/* The slash of a design document is one of the path, all others are escaped. */
void replication_put_doc_path(const json_t *missing, struct buf *out)
{
    const struct bytes design = bytes_str("_design/");
    struct bytes id = json_bytes(json_object_get(missing, "id"));

    buf_put_u8(out, '/');
    if (bytes_starts_with(id, design)) {
        buf_put_bytes(out, design);
        id = bytes_slice(id, design.len, id.len);
    }
    percent_encode(id, out);
}

enum qk_err replication_read_bulk_docs(struct bytes reply, size_t *ret_failed_n)
{
    json_t *value = NULL, *each;
    enum qk_err err = parse(reply, &value);
    size_t i, failed_n = 0;

    if (err == QK_OK && !json_is_array(value))
        err = QK_ERR_INVALID;
    if (err == QK_OK) {
        json_array_foreach(value, i, each) failed_n += json_object_get(each, "error") != NULL;
        *ret_failed_n = failed_n;
    }
    json_decref(value);
    return err;
}

/* --- queries --- */

void replication_put_since(const json_t *since, struct buf *out)
{
    struct buf text = BUF_INIT(out->max);

    if (json_is_string(since))
        percent_encode(json_bytes(since), out);
    else if (json_write(since, &text) == QK_OK)
        percent_encode(buf_bytes(&text), out);
    else
        out->failed = QK_ERR_NOMEM;
    buf_fini(&text);
}

/* --- checkpoints --- */

static const json_t *session_of(const json_t *log)
{
    const json_t *session = json_object_get(log, "session_id");

    return json_is_string(session) ? session : NULL;
}

/* The recorded sequence of that session in a history; NULL if it is not there. */
static const json_t *recorded_of(const json_t *log, const json_t *session)
{
    const json_t *each;
    size_t i;

    json_array_foreach(json_object_get(log, "history"), i, each)
    {
        if (json_equal(session_of(each), session))
            return json_object_get(each, "recorded_seq");
    }
    return NULL;
}

const json_t *replication_common_seq(const json_t *source_log, const json_t *target_log)
{
    const json_t *each, *session = session_of(source_log), *found = NULL;
    size_t i;

    if (session == NULL || session_of(target_log) == NULL)
        return NULL;
    if (json_equal(session, session_of(target_log)))
        return json_object_get(source_log, "source_last_seq");
    /* The newest session that both know: what was recorded of it at the target is there, whatever
     * the source says of later ones. */
    json_array_foreach(json_object_get(source_log, "history"), i, each)
    {
        if (found == NULL && session_of(each) != NULL)
            found = recorded_of(target_log, session_of(each));
    }
    return found;
}

static json_t *seq_json(const json_t *seq)
{
    return seq == NULL ? json_integer(0) : json_deep_copy(seq);
}

json_t *replication_session_json(const struct replication_session *session)
{
    const struct replication_counts *counts = &session->counts;

    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "session_id",
                     session->id, "start_time", session->start_time, "end_time", session->end_time,
                     "start_last_seq", seq_json(session->start_seq), "end_last_seq",
                     seq_json(session->recorded_seq), "recorded_seq",
                     seq_json(session->recorded_seq), "missing_checked",
                     (json_int_t)counts->missing_checked, "missing_found",
                     (json_int_t)counts->missing_found, "docs_read", (json_int_t)counts->docs_read,
                     "docs_written", (json_int_t)counts->docs_written, "doc_write_failures",
                     (json_int_t)counts->doc_write_failures);
}

/* The sessions before, without an earlier checkpoint of this one. */
static enum qk_err history_keep(const json_t *log, const char *session_id, json_t *history)
{
    json_t *each;
    size_t i;

    json_array_foreach(json_object_get(log, "history"), i, each)
    {
        const char *id = json_string_value(json_object_get(each, "session_id"));

        if (id == NULL || strcmp(id, session_id) == 0 ||
            json_array_size(history) == REPLICATION_HISTORY_MAX)
            continue;
        if (json_array_append(history, each) != 0)
            return QK_ERR_NOMEM;
    }
    return QK_OK;
}

enum qk_err replication_write_log(const json_t *log, const struct replication_session *session,
                                  struct buf *out)
{
    json_t *history = json_array(), *value = NULL;
    json_t *rev = json_object_get(log, "_rev");
    enum qk_err err = QK_ERR_NOMEM;

    if (history == NULL || json_array_append_new(history, replication_session_json(session)) != 0)
        goto out;
    err = history_keep(log, session->id, history);
    if (err != QK_OK)
        goto out;
    value =
        json_pack("{s:s, s:o, s:i, s:O}", "session_id", session->id, "source_last_seq",
                  seq_json(session->recorded_seq), "replication_id_version", 4, "history", history);
    if (value == NULL || (json_is_string(rev) && json_object_set(value, "_rev", rev) != 0)) {
        err = QK_ERR_NOMEM;
        goto out;
    }
    err = json_write(value, out);

out:
    json_decref(history);
    json_decref(value);
    return err;
}
