#include "service/backup/offline_store_uv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"

#define PIECE_BYTES (256 * KIB)
#define ROW_BYTES_MAX (RECORD_VALUE_BYTES_MAX + RECORD_KEY_BYTES_MAX + 64 * KIB)

struct offline_store {
    uv_loop_t loop;
    struct store *store;
    char *path;
    bool done;
    enum qk_err err, fatal;
    struct store_snapshot *snapshot;
    struct buf piece;
};

static void on_fatal(void *arg, enum qk_err err, const char *what)
{
    struct offline_store *store = arg;

    log_error("store", "%s: %s", what, qk_err_text(err));
    store->fatal = err;
}

/* Nobody makes room while a tool waits. */
static void on_full(void *arg, bool full)
{
    struct offline_store *store = arg;

    if (full)
        store->fatal = QK_ERR_FULL;
}

static void on_done(void *arg, enum qk_err err)
{
    struct offline_store *store = arg;

    store->done = true;
    store->err = err;
}

static enum qk_err wait_done(struct offline_store *store)
{
    while (!store->done && store->fatal == QK_OK)
        (void)uv_run(&store->loop, UV_RUN_ONCE);
    return store->fatal != QK_OK ? store->fatal : store->err;
}

enum qk_err offline_store_open(const char *path, struct offline_store **ret_store,
                               struct buf *message)
{
    struct offline_store *store = calloc(1, sizeof *store);
    struct store_callbacks callbacks = {.arg = store, .fatal = on_fatal, .full = on_full};
    char what[512] = "";
    enum qk_err err;

    if (store == NULL)
        return QK_ERR_NOMEM;
    store->piece = BUF_INIT(PIECE_BYTES);
    store->path = strdup(path);
    if (store->path == NULL || uv_loop_init(&store->loop) != 0) {
        free(store->path);
        free(store);
        return QK_ERR_NOMEM;
    }
    err = store_open(&store->loop, path, NULL, &callbacks, &store->store, what, sizeof what);
    if (err == QK_OK) {
        *ret_store = store;
        return QK_OK;
    }
    buf_printf(message, "'%s': %s", path, what[0] != '\0' ? what : qk_err_text(err));
    (void)uv_run(&store->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&store->loop);
    free(store->path);
    free(store);
    return err;
}

struct store *offline_store(const struct offline_store *store)
{
    return store->store;
}

enum qk_err offline_store_flush(struct offline_store *store)
{
    store->done = false;
    store_flush(store->store, on_done, store);
    return wait_done(store);
}

/* --- taking ---------------------------------------------------------------------------------- */

static enum qk_err stage(struct store_staging *staging, struct rows *rows)
{
    struct buf out = BUF_INIT(ROW_BYTES_MAX + PIECE_BYTES);
    struct rows_moment moment = rows_moment(rows);
    struct rows_item item = {.kind = ROWS_ROW};
    enum qk_err err = QK_OK;

    rows_write_head(&moment, &out);
    while (err == QK_OK && item.kind != ROWS_END) {
        err = rows_next(rows, &item);
        if (err != QK_OK)
            break;
        rows_write_item(&item, &out);
        err = buf_error(&out);
        if (err == QK_OK && (out.len >= PIECE_BYTES || item.kind == ROWS_END)) {
            err = store_staging_write(staging, buf_bytes(&out));
            buf_reset(&out);
        }
    }
    buf_fini(&out);
    return err == QK_OK ? store_staging_finish(staging) : err;
}

enum qk_err offline_store_take(struct offline_store *store, struct rows *rows)
{
    struct store_staging *staging = NULL;
    enum qk_err err = store_staging_begin(store->path, &staging);

    if (err != QK_OK)
        return err;
    err = stage(staging, rows);
    if (err == QK_OK) {
        store->done = false;
        store_swap(store->store, staging, on_done, store);
        err = wait_done(store);
    }
    store_staging_free(staging);
    return err;
}

/* --- giving ---------------------------------------------------------------------------------- */

static enum qk_err pull(void *arg, struct bytes *ret_bytes)
{
    struct offline_store *store = arg;
    enum qk_err err;

    buf_reset(&store->piece);
    err = store_snapshot_read(store->snapshot, PIECE_BYTES, &store->piece);
    *ret_bytes = buf_bytes(&store->piece);
    return err;
}

enum qk_err offline_store_rows(struct offline_store *store, struct rows **ret_rows)
{
    enum qk_err err;

    assert(store->snapshot == NULL);
    err = store_snapshot_open(store->store, &store->snapshot);
    return err == QK_OK ? rows_open(pull, store, ret_rows) : err;
}

/* --- the end --------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    struct offline_store *store = arg;

    store->done = true;
    store->store = NULL;
}

enum qk_err offline_store_close(struct offline_store *store)
{
    enum qk_err err;

    if (store == NULL)
        return QK_OK;
    err = store->fatal;
    store_snapshot_close(store->snapshot);
    if (err == QK_OK)
        err = offline_store_flush(store);
    store->done = false;
    store_close(store->store, on_closed, store);
    while (!store->done)
        (void)uv_run(&store->loop, UV_RUN_ONCE);
    (void)uv_run(&store->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&store->loop);
    buf_fini(&store->piece);
    free(store->path);
    free(store);
    return err;
}
