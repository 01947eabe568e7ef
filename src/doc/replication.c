#include "doc/replication.h"

#include <string.h>

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

/* One element of "results": its documents that came, each with an id and a revision of its own. */
static enum qk_err result_add(const json_t *result, json_t *docs, size_t *failed_n)
{
    const json_t *each, *list = json_object_get(result, "docs");
    size_t i;

    if (!json_is_array(list))
        return QK_ERR_INVALID;
    json_array_foreach(list, i, each)
    {
        json_t *doc = json_object_get(each, "ok");

        if (doc == NULL && json_object_get(each, "error") != NULL) {
            ++*failed_n;
            continue;
        }
        if (!json_is_string(json_object_get(doc, "_id")) ||
            !json_is_string(json_object_get(doc, "_rev")))
            return QK_ERR_INVALID;
        if (json_array_append(docs, doc) != 0)
            return QK_ERR_NOMEM;
    }
    return QK_OK;
}

enum qk_err replication_read_bulk_get(struct bytes reply, struct buf *out, size_t *ret_docs_n,
                                      size_t *ret_failed_n)
{
    json_t *value = NULL, *docs = json_array(), *result;
    const json_t *results;
    enum qk_err err = docs == NULL ? QK_ERR_NOMEM : parse(reply, &value);
    size_t i, failed_n = 0;

    if (err != QK_OK)
        goto out;
    results = json_object_get(value, "results");
    err = json_is_array(results) ? QK_OK : QK_ERR_INVALID;
    json_array_foreach(results, i, result)
    {
        if (err == QK_OK)
            err = result_add(result, docs, &failed_n);
    }
    if (err != QK_OK)
        goto out;
    *ret_docs_n = json_array_size(docs);
    *ret_failed_n = failed_n;
    err = write_and_drop(json_pack("{s:b, s:O}", "new_edits", 0, "docs", docs), out);

out:
    json_decref(docs);
    json_decref(value);
    return err;
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

void replication_put_escaped(struct bytes text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];

        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
            (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("-._~", byte) != NULL))
            buf_put_u8(out, byte);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

void replication_put_since(const json_t *since, struct buf *out)
{
    struct buf text = BUF_INIT(out->max);

    if (json_is_string(since))
        replication_put_escaped(json_bytes(since), out);
    else if (json_write(since, &text) == QK_OK)
        replication_put_escaped(buf_bytes(&text), out);
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
