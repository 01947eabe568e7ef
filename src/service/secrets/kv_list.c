/* LIST: read point -> flush -> the records of one folder, whose bodies tell their names -> sorted.
 * The records stand in the order of hashes, so the whole folder is read before the first name can
 * be sent; in turns, so that the loop serves others meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "service/authorize.h"
#include "service/keys_current.h"
#include "service/secrets/kv_read.h"
#include "service/submit.h"
#include "service/vault.h"
#include "store/store.h"

#define LIST_TURN_ROWS 256
#define LIST_NAMES_BYTES_MAX (64 * MIB)

struct list {
    struct service *service;
    struct exchange *exchange;
    uint8_t database[DATABASE_ID_BYTES];
    struct buf folder; /* its path, "" or with a slash at the end */
    struct store_cursor *cursor;
    struct buf names; /* secret: each with its length before it */
    size_t names_n;
};

static void list_free(struct list *list)
{
    store_cursor_close(list->cursor);
    buf_fini(&list->folder);
    buf_fini(&list->names);
    free(list);
}

static void list_fail(struct list *list, enum qk_err err)
{
    if (err == QK_ERR_TOO_BIG)
        vault_reply_error(list->exchange, 413,
                          "there are more than %d names in this folder: too many for one list",
                          KV_LIST_MAX);
    else
        kv_reply_err(list->service, list->exchange, err);
    list_free(list);
}

/* --- the end --- */

static int name_compare(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum qk_err names_put(const struct bytes *names, size_t n, struct buf *out)
{
    buf_put_str(out, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        json_write_string(names[i], out);
    }
    buf_put_str(out, "]}");
    return buf_error(out);
}

static enum qk_err list_sorted(struct list *list, struct buf *out)
{
    struct bytes *names = calloc(list->names_n, sizeof(*names));
    struct reader reader = reader_of(buf_bytes(&list->names));
    enum qk_err err;

    if (names == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < list->names_n; i++)
        names[i] = reader_blob(&reader, KV_PATH_BYTES_MAX + 1);
    qsort(names, list->names_n, sizeof(*names), name_compare);
    err = names_put(names, list->names_n, out);
    free(names);
    return err;
}

static void list_reply(struct list *list)
{
    struct buf text = BUF_SECRET_INIT(2 * LIST_NAMES_BYTES_MAX);
    enum qk_err err;

    if (list->names_n == 0) {
        vault_reply_error(list->exchange, 404, "%s", "");
        list_free(list);
        return;
    }
    err = list_sorted(list, &text);
    if (err == QK_OK) {
        vault_reply_text(list->exchange, 200, buf_bytes(&text));
        list_free(list);
    } else {
        list_fail(list, err);
    }
    buf_fini(&text);
}

/* --- rows --- */

/* "c" of the secret "a/b/c", "c/" of the folder "a/b/c/". */
static enum qk_err name_add(struct list *list, struct bytes path)
{
    if (!bytes_equal(kv_path_folder(path), buf_bytes(&list->folder)))
        return QK_ERR_CORRUPT;
    buf_put_blob(&list->names, bytes_slice(path, list->folder.len, path.len));
    return ++list->names_n > KV_LIST_MAX ? QK_ERR_TOO_BIG : buf_error(&list->names);
}

static enum qk_err row_open(struct list *list, struct bytes id, const struct doc_leaf *leaf)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct buf path = BUF_SECRET_INIT(KV_PATH_BYTES_MAX + 1);
    struct document_parts parts;
    enum qk_err err = stored_open(list->service, list->database, id, leaf, &plain, &parts);

    if (err == QK_OK)
        err = kv_path_decode(parts.body, &path);
    if (err == QK_OK)
        err = name_add(list, buf_bytes(&path));
    buf_fini(&plain);
    buf_fini(&path);
    return err;
}

/* A name under a key that the reader has no grant for, or whose key is destroyed, is as if it were
 * not there; one that is damaged ends the list: it would be taken for the whole. */
static enum qk_err list_record(struct list *list, struct bytes id, const struct doc_leaf *leaf)
{
    enum qk_err err = authorize_key(list->service, &list->exchange->request.who, leaf->key_id,
                                    ACCESS_KEY_DECRYPT);

    if (err == QK_OK)
        err = row_open(list, id, leaf);
    if (err == QK_ERR_NOT_FOUND) /* no such data key: not the end of the rows */
        err = QK_ERR_CORRUPT;
    return err == QK_ERR_DENIED || err == QK_ERR_DESTROYED ? QK_OK : err;
}

/* QK_ERR_NOT_FOUND at the end. */
static enum qk_err list_row(struct list *list)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    struct store_row row;
    struct bytes id;
    enum qk_err err = store_cursor_next(list->cursor, &row);

    if (err != QK_OK)
        return err;
    id = record_key_name(row.key);
    err = stored_decode(list->service, list->database, id, row.record.version, row.record.value,
                        &record);
    if (err == QK_OK && record.leaves_n > 0)
        err = list_record(list, id, &record.leaves[0]);
    doc_record_fini(&record);
    return err;
}

/* Rights may have gone between two turns. */
static enum qk_err list_may(struct list *list)
{
    const struct catalog_database *database;

    if (!service_is_open(list->service))
        return QK_ERR_SEALED;
    database = catalog_database_find(list->service->catalog, bytes_str(KV_DATABASE));
    return authorize_database(list->service, &list->exchange->request.who, database,
                              ACCESS_DB_READ);
}

static void list_turn(void *arg);

static void list_keys(void *arg, enum qk_err err)
{
    if (err == QK_OK)
        list_turn(arg);
    else
        list_fail(arg, err);
}

static void list_turn(void *arg)
{
    struct list *list = arg;
    enum qk_err err = list_may(list);

    if (err == QK_OK && !keys_are_current(list->service)) {
        err = keys_wait(list->service, list_keys, list);
        if (err == QK_OK)
            return;
    }
    for (unsigned n = 0; err == QK_OK && n < LIST_TURN_ROWS; n++)
        err = list_row(list);
    if (err == QK_OK && list->exchange->closed)
        err = QK_ERR_CLOSED;
    if (err == QK_OK)
        exchange_on_drain(list->exchange, list_turn, list);
    else if (err == QK_ERR_NOT_FOUND)
        list_reply(list);
    else
        list_fail(list, err);
}

/* --- the beginning --- */

static enum qk_err list_open(struct list *list)
{
    struct record_key prefix;
    struct kv_id id;
    enum qk_err err;

    err = kv_id_names(list->service, list->database, buf_bytes(&list->folder), &id);
    if (err != QK_OK)
        return err;
    prefix = record_document(list->database, kv_id_bytes(&id));
    return store_cursor_open_prefix(list->service->store, record_key_bytes(&prefix), false,
                                    &list->cursor);
}

static void list_flushed(void *arg, enum qk_err err)
{
    struct list *list = arg;

    if (err == QK_OK && !service_is_open(list->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = list_open(list);
    if (err == QK_OK)
        list_turn(list);
    else
        list_fail(list, err);
}

/* The folder that is to be listed; false after an answer. */
static bool list_folder(struct exchange *exchange, struct buf *out)
{
    struct buf path = BUF_SECRET_INIT(KV_PATH_BYTES_MAX);
    const char *reason = NULL;

    if (exchange->request.segments_n > KV_PATH_SEGMENT &&
        kv_path_take(&exchange->request, KV_PATH_SEGMENT, &path, &reason) == QK_OK) {
        buf_put_bytes(out, buf_bytes(&path));
        buf_put_u8(out, '/');
    }
    buf_fini(&path);
    if (reason != NULL)
        vault_reply_error(exchange, 400, "%s", reason);
    return reason == NULL;
}

static void list_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = kv_read_database(service, exchange);
    struct list *list;

    if (database == NULL)
        return;
    list = calloc(1, sizeof(*list));
    if (list == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *list = (struct list){.service = service,
                          .exchange = exchange,
                          .folder = BUF_SECRET_INIT(KV_PATH_BYTES_MAX + 1),
                          .names = BUF_SECRET_INIT(LIST_NAMES_BYTES_MAX)};
    memcpy(list->database, database->id, DATABASE_ID_BYTES);
    if (list_folder(exchange, &list->folder))
        store_flush_to_read(service->store, list_flushed, list);
    else
        list_free(list);
}

void handle_kv_list(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, list_ready);
}
