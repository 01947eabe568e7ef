/* The store that is in a backup, without any key: what a thief of backups has.
 *
 *     unpack DIR FILE [INCREMENT...]
 *
 * Writes DIR/store.mdb, which must not be there. Exit 0, or 2 with the reason. */
#include <limits.h>
#include <stdio.h>

#include "service/backup/backup_chain.h"
#include "service/backup/offline_store_uv.h"

static enum qk_err unpack(const char *dir, const char *const *files, size_t n, struct buf *message)
{
    struct backup_chain *chain = NULL;
    struct offline_store *store = NULL;
    struct rows *rows = NULL;
    char path[PATH_MAX];
    enum qk_err err = backup_chain_open(files, n, &chain, message);

    (void)snprintf(path, sizeof path, "%s/store.mdb", dir);
    if (err == QK_OK)
        err = backup_chain_rows(chain, &rows, message);
    if (err == QK_OK)
        err = offline_store_open(path, &store, message);
    if (err == QK_OK)
        err = offline_store_take(store, rows);
    rows_free(rows);
    if (offline_store_close(store) != QK_OK && err == QK_OK)
        err = QK_ERR_IO;
    backup_chain_close(chain);
    return err;
}

int main(int argc, char **argv)
{
    struct buf message = BUF_INIT(8192);
    enum qk_err err;

    if (argc < 3) {
        fprintf(stderr, "usage: unpack DIR FILE [INCREMENT...]\n");
        return 2;
    }
    err = unpack(argv[1], (const char *const *)argv + 2, (size_t)argc - 2, &message);
    if (err != QK_OK)
        fprintf(stderr, "unpack: %s %.*s\n", qk_err_text(err), (int)message.len,
                message.len > 0 ? (const char *)message.data : "");
    buf_fini(&message);
    return err == QK_OK ? 0 : 2;
}
