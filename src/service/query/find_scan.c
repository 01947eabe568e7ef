/* Where the documents of a _find come from: the rows of a Mango index, which is a view in memory
 * (views.h), brought up to date first. A row brings a document's id; the document is read as it is
 * now, and the selector asked again, since it may have changed since. */
#include <assert.h>
#include <string.h>

#include "doc/collate.h"
#include "service/doc_name.h"
#include "service/query/find_private.h"
#include "service/read.h"
#include "service/service.h"

#define BEHIND_ALL 0xff /* no sort key has this byte where a value begins */

/* --- the group --- */

static const struct catalog_database *database_of(const struct find *find)
{
    const struct catalog_database *database;

    database = catalog_database_find(find->service->catalog, find->exchange->request.segments[0]);
    if (database != NULL && memcmp(database->id, find->visible.database, DATABASE_ID_BYTES) == 0)
        return database;
    return NULL;
}

enum qk_err find_scan_open(struct find *find, void (*current)(void *arg, enum qk_err err))
{
    const struct find_index *index = find->plan.index;
    const struct catalog_database *database = database_of(find);
    struct doc_problem problem = {0};
    struct view_design *design = NULL;
    struct store_stats stats;
    enum qk_err err;

    if (database == NULL)
        return QK_ERR_NOT_FOUND;
    err = view_design_parse(index->design, &problem, &design);
    if (err != QK_OK)
        return err;
    find->view = (size_t)(view_find(design, index->name) - design->views);
    err = views_open(find->service, database, index->design_id, design, &find->group);
    if (err != QK_OK) {
        view_design_free(design);
        return err;
    }
    store_database_stats(find->service->store, find->visible.database, &stats);
    return views_wait(find->group, find->wish.update ? stats.seq : 0, current, find);
}

/* --- where it begins and ends --- */

/* What all rows at that end have in front of their sort keys; empty: there is no such end. Where
 * all columns have one value (find_plan.c sees to it for a blind index) it is the sort key. */
static enum qk_err edge_put(const struct find *find, bool high, struct buf *out)
{
    bool whole = find->plan.index->kind == VIEW_BLIND;
    enum qk_err err = QK_OK;
    size_t i, n = 0;

    collate_array_open(out);
    for (i = 0; i < find->plan.columns_n && err == QK_OK; i++, n++) {
        const json_t *bound = high ? find->plan.columns[i]->high : find->plan.columns[i]->low;

        if (bound == NULL)
            break;
        err = collate_key(bound, out);
    }
    if (n == 0)
        buf_reset(out);
    else if (whole)
        collate_array_close(out);
    else if (high)
        buf_put_u8(out, BEHIND_ALL);
    return err == QK_OK ? buf_error(out) : err;
}

static enum qk_err begin_put(const struct find *find, struct buf *out)
{
    struct doc_problem problem = {0};
    json_t *key = NULL;
    enum qk_err err;

    if (!find->has_begin)
        return QK_OK;
    err = json_parse(buf_bytes(&find->begin_key), JSON_DEPTH_MAX + 1, &problem, &key);
    if (err == QK_OK)
        err = collate_key(key, out);
    json_decref(key);
    return err;
}

/* Behind the row of the bookmark, unless the range begins later. */
static void begin_later(const struct find *find, struct bytes begin, struct bytes id,
                        struct index_bound *from, bool *has_from)
{
    bool descending = find->wish.descending;
    int order = *has_from ? bytes_compare(begin, from->sort) : descending ? -1 : 1;

    if (!find->has_begin || (descending ? order > 0 : order < 0))
        return;
    *from = (struct index_bound){begin, true, id, !descending};
    *has_from = true;
}

/* As the index knows the document of the bookmark: on the disk by its record's name. */
static enum qk_err begin_id(const struct find *find, struct record_key *memory,
                            struct bytes *ret_id)
{
    enum qk_err err = QK_OK;

    *ret_id = buf_bytes(&find->begin_id);
    if (!find->has_begin || !index_is_on_disk(views_index(find->group, find->view)))
        return QK_OK;
    err = doc_name_of_id(find->service, find->visible.database, find->visible.ids_hidden, *ret_id,
                         memory);
    *ret_id = record_key_name(record_key_bytes(memory));
    return err;
}

static enum qk_err cursor_open(struct find *find)
{
    struct buf edges[2] = {BUF_SECRET_INIT(FIND_KEY_BYTES_MAX),
                           BUF_SECRET_INIT(FIND_KEY_BYTES_MAX)};
    struct buf begin = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);
    bool descending = find->wish.descending, has_from, has_to;
    struct index_bound from = {0}, to = {0};
    struct record_key name;
    struct bytes id = BYTES_NONE;
    enum qk_err err = edge_put(find, false, &edges[0]);

    if (err == QK_OK)
        err = edge_put(find, true, &edges[1]);
    if (err == QK_OK)
        err = begin_put(find, &begin);
    from.sort = buf_bytes(&edges[descending ? 1 : 0]);
    to.sort = buf_bytes(&edges[descending ? 0 : 1]);
    has_from = from.sort.len > 0;
    has_to = to.sort.len > 0;
    to.behind = find->plan.index->kind == VIEW_BLIND && !descending;
    from.behind = find->plan.index->kind == VIEW_BLIND && descending;
    if (err == QK_OK)
        err = begin_id(find, &name, &id);
    begin_later(find, buf_bytes(&begin), id, &from, &has_from);
    if (err == QK_OK)
        err = index_cursor_open(&find->rows, views_index(find->group, find->view),
                                has_from ? &from : NULL, has_to ? &to : NULL, descending);
    find->rows_open = err == QK_OK;
    buf_fini(&edges[0]);
    buf_fini(&edges[1]);
    buf_fini(&begin);
    return err;
}

enum qk_err find_scan_begin(struct find *find)
{
    return views_is_dead(find->group) ? QK_ERR_BUSY : cursor_open(find);
}

/* --- rows --- */

/* The document as it is now. QK_ERR_NOT_FOUND: it is gone, or not the reader's to see any more. */
static enum qk_err document_get(struct find *find, struct bytes id, struct find_hit *ret_hit)
{
    struct store_row row;
    enum qk_err err;
    bool shown;

    err = doc_name_of_id(find->service, find->visible.database, find->visible.ids_hidden, id,
                         &find->key);
    if (err != QK_OK)
        return err;
    row.key = record_key_bytes(&find->key);
    err = store_get(find->service->store, row.key, &row.record);
    if (err != QK_OK)
        return err;
    ret_hit->name = record_key_name(row.key);
    ret_hit->version = row.record.version;
    ret_hit->value = row.record.value;
    err = visible_row(&find->visible, &row, &ret_hit->leaf, &shown);
    if (err == QK_ERR_CORRUPT) {
        find->counts.unreadable_n += shown ? 1 : 0;
        return QK_ERR_NOT_FOUND;
    }
    if (err == QK_OK && (!shown || ret_hit->leaf.deleted))
        err = QK_ERR_NOT_FOUND;
    return err;
}

enum qk_err find_scan_next(struct find *find, struct find_hit *ret_hit, bool *ret_last)
{
    struct index_row row;
    bool shown;
    enum qk_err err = index_cursor_next(&find->rows, &row);

    if (err == QK_ERR_CORRUPT)
        views_damaged(find->group);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        err = visible_key(&find->visible, row.key_id, &shown);
    if (err != QK_OK)
        return err;
    if (!shown)
        return QK_ERR_NOT_FOUND;
    find->counts.keys_n++;
    *ret_hit = (struct find_hit){.id = row.id, .key = row.key};
    return document_get(find, row.id, ret_hit);
}

void find_scan_close(struct find *find)
{
    if (find->rows_open)
        index_cursor_fini(&find->rows);
    find->rows_open = false;
    views_release(find->group);
    find->group = NULL;
}
