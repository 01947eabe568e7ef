/* What is answered by rows: _bulk_docs, _find, _all_docs and views. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define PATH_BYTES_MAX (2 * HTTP_URI_BYTES_MAX)

static int nobody(void *arg, const char *json, size_t len)
{
    (void)arg;
    (void)json;
    (void)len;
    return 0;
}

/* {"docs": [...]} around an array of documents. */
static enum quorumkeep_error wrap(struct quorumkeep *client, const char *documents,
                                  struct buf *ret_body)
{
    const char *first = documents + strspn(documents, " \t\r\n");

    if (*first != '[' && *first != '{')
        return client_fail(client, QUORUMKEEP_INVALID, "the documents are no JSON array");
    buf_put_str(ret_body, *first == '[' ? "{\"docs\":" : "");
    buf_put_str(ret_body, first);
    buf_put_str(ret_body, *first == '[' ? "}" : "");
    buf_put_u8(ret_body, 0);
    return buf_error(ret_body) == QK_OK
               ? QUORUMKEEP_OK
               : client_fail(client, QUORUMKEEP_TOO_BIG, "the documents are over 64 MiB");
}

enum quorumkeep_error quorumkeep_bulk(struct quorumkeep *client, const char *db,
                                      const char *documents, quorumkeep_row_cb result, void *arg)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX), body = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX + 1);
    struct client_order order = {.method = "POST", .path = &path};
    struct client_rows rows = {.row = result == NULL ? nobody : result, .arg = arg};
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    client_path_put(&path, "_bulk_docs");
    error = wrap(client, documents, &body);
    order.body = (const char *)body.data;
    if (error == QUORUMKEEP_OK)
        error = client_rows(client, &order, &rows, NULL);
    buf_fini(&path);
    buf_fini(&body);
    return error;
}

enum quorumkeep_error quorumkeep_find(struct quorumkeep *client, const char *db, const char *query,
                                      quorumkeep_row_cb document, void *arg,
                                      struct quorumkeep_text *ret_bookmark)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "POST", .path = &path, .body = query, .safe = true};
    struct client_rows rows = {.name = "docs", .row = document, .arg = arg};
    json_t *rest = NULL;
    enum quorumkeep_error error;
    const char *bookmark;

    client_begin(client);
    client_path_put(&path, db);
    client_path_put(&path, "_find");
    error = client_rows(client, &order, &rows, &rest);
    bookmark = json_string_value(json_object_get(rest, "bookmark"));
    if (error == QUORUMKEEP_OK && ret_bookmark != NULL)
        error = client_text(client, bytes_str(bookmark == NULL ? "" : bookmark), ret_bookmark);
    json_decref(rest);
    buf_fini(&path);
    return error;
}

static enum quorumkeep_error rows_of(struct quorumkeep *client, const struct buf *path,
                                     const char *options, quorumkeep_row_cb row, void *arg)
{
    struct client_order order = {.method = "POST", .path = path, .safe = true};
    struct client_rows rows = {.name = "rows", .row = row, .arg = arg};
    json_t *checked = NULL;
    enum quorumkeep_error error = client_options(client, options, &checked);

    order.body = options == NULL ? "{}" : options;
    if (error == QUORUMKEEP_OK)
        error = client_rows(client, &order, &rows, NULL);
    json_decref(checked);
    return error;
}

enum quorumkeep_error quorumkeep_list(struct quorumkeep *client, const char *db,
                                      const char *options, quorumkeep_row_cb row, void *arg)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    client_path_put(&path, "_all_docs");
    error = rows_of(client, &path, options, row, arg);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_view(struct quorumkeep *client, const char *db, const char *design,
                                      const char *view, const char *options, quorumkeep_row_cb row,
                                      void *arg)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    client_path_put(&path, "_design");
    client_path_put(&path, design);
    client_path_put(&path, "_view");
    client_path_put(&path, view);
    error = rows_of(client, &path, options, row, arg);
    buf_fini(&path);
    return error;
}
