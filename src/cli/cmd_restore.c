/* backup restore, recover: a new cluster from a backup, or from one surviving disk. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/making.h"
#include "consensus/offline.h"
#include "service/backup/backup_chain.h"

#define PENDING_FLUSH_BYTES (16 * MIB)

static enum cli_exit say(struct making *making, enum qk_err err)
{
    if (making->message.len == 0)
        buf_put_str(&making->message, qk_err_text(err));
    return cli_fail(err == QK_ERR_INVALID ? CLI_USAGE : CLI_ERROR, "%.*s", (int)making->message.len,
                    (const char *)making->message.data);
}

/* --- from a backup --------------------------------------------------------------------------- */

static enum qk_err load(struct making *making, struct backup_chain *chain)
{
    struct rows *rows = NULL;
    enum qk_err err = backup_chain_rows(chain, &rows, &making->message);

    if (err != QK_OK)
        return err;
    err = offline_store_take(making->store, rows);
    if (err != QK_OK && rows_error(rows) != QK_OK)
        backup_chain_explain(chain, rows, &making->message);
    else if (err != QK_OK)
        buf_printf(&making->message, "'%s': %s", making->dir.path, qk_err_text(err));
    rows_free(rows);
    return err;
}

/* What the MAC covers must be what the records say. */
static enum qk_err check(struct making *making, const struct backup_chain *chain)
{
    const struct backup_head *head = backup_chain_head(chain);
    const struct old_cluster *old = &making->old;
    enum qk_err err = backup_chain_check(chain, making->mk, &making->message);

    if (err != QK_OK)
        return err;
    if (memcmp(head->cluster, old->info.id, CLUSTER_ID_BYTES) == 0 &&
        memcmp(head->origin, system_cluster_origin(&old->info), CLUSTER_ID_BYTES) == 0 &&
        head->mk_version == old->recovery.mk_version)
        return QK_OK;
    buf_put_str(&making->message, "the backup's head is not that of its records");
    return QK_ERR_CORRUPT;
}

static enum cli_exit restore(struct making *making, struct backup_chain *chain)
{
    enum cli_exit code;
    enum qk_err err = load(making, chain);

    if (err != QK_OK)
        return say(making, err);
    code = making_open(making);
    if (code != CLI_OK)
        return code;
    err = check(making, chain);
    return err == QK_OK ? making_finish(making, "backup") : say(making, err);
}

enum cli_exit cli_backup_restore(struct cli *cli)
{
    struct backup_chain *chain = NULL;
    struct making making;
    enum cli_exit code = making_begin(&making, cli);
    enum qk_err err;

    if (code == CLI_OK) {
        err = backup_chain_open(cli->options.args, cli->options.args_n, &chain, &making.message);
        code = err == QK_OK ? restore(&making, chain) : say(&making, err);
    }
    backup_chain_close(chain);
    making_fini(&making);
    return code;
}

/* --- from a disk ----------------------------------------------------------------------------- */

static enum qk_err take_store(struct making *making, const char *old)
{
    char from[PATH_MAX], path[PATH_MAX], what[512] = "";
    struct offline_store *source = NULL;
    struct rows *rows = NULL;
    enum qk_err err;

    (void)snprintf(from, sizeof from, "%s/store.mdb", old);
    (void)snprintf(path, sizeof path, "%s/source.mdb", making->dir.path);
    err = new_dir_copy(from, path, &making->message);
    if (err == QK_OK)
        err = store_check(path, what, sizeof what);
    if (err == QK_ERR_CORRUPT)
        buf_printf(&making->message, "'%s' is damaged: %s", from, what);
    if (err == QK_OK)
        err = offline_store_open(path, &source, &making->message);
    if (err == QK_OK)
        err = offline_store_rows(source, &rows);
    if (err == QK_OK)
        err = offline_store_take(making->store, rows);
    if (err != QK_OK && err != QK_ERR_STALE && making->message.len == 0)
        buf_printf(&making->message, "the records of '%s' could not be copied to '%s': %s", from,
                   making->dir.path,
                   rows != NULL && rows_error(rows) != QK_OK ? rows_fault(rows) : qk_err_text(err));
    if (err == QK_ERR_STALE)
        buf_printf(&making->message, "'%s' holds nothing", from);
    rows_free(rows);
    if (offline_store_close(source) != QK_OK && err == QK_OK)
        err = QK_ERR_IO;
    return err;
}

static enum qk_err replay(void *arg, uint64_t index, uint64_t term, bool last, struct bytes command)
{
    struct making *making = arg;
    struct store *store = offline_store(making->store);
    enum qk_err err = store_apply(store, index, term, last, command, NULL);

    if (err == QK_OK && last && store_pending_bytes(store) > PENDING_FLUSH_BYTES)
        err = offline_store_flush(making->store);
    return err;
}

/* What the log holds behind the store: written later, so acknowledged for all that can be known. */
static enum qk_err take_log(struct making *making, const char *old, uint64_t *ret_tail_n)
{
    char from[PATH_MAX], path[PATH_MAX], reason[OFFLINE_REASON_BYTES] = "";
    uint64_t applied = store_applied(offline_store(making->store)), last = applied;
    enum qk_err err;

    (void)snprintf(from, sizeof from, "%s/raft", old);
    (void)snprintf(path, sizeof path, "%s/raft-source", making->dir.path);
    err = new_dir_copy_all(from, path, "lock", &making->message);
    if (err == QK_OK) {
        err = consensus_replay(path, applied, replay, making, &last, reason);
        if (err != QK_OK)
            buf_printf(&making->message, "'%s': %s", old, reason);
    }
    if (err == QK_OK)
        err = offline_store_flush(making->store);
    *ret_tail_n = last > applied ? last - applied : 0;
    return err;
}

static enum qk_err remove_copies(const struct making *making)
{
    static const char *const names[] = {"source.mdb", "source.mdb-lock", "source.mdb-open",
                                        "raft-source"};
    char path[PATH_MAX];
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < sizeof names / sizeof names[0] && err == QK_OK; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", making->dir.path, names[i]);
        err = new_dir_remove(path);
    }
    return err;
}

static enum cli_exit recover(struct making *making, const char *old)
{
    uint64_t tail_n = 0;
    enum cli_exit code;
    enum qk_err err = take_store(making, old);

    if (err == QK_OK)
        err = take_log(making, old, &tail_n);
    if (err == QK_OK)
        err = remove_copies(making);
    if (err != QK_OK)
        return say(making, err);
    if (!making->cli->options.json)
        fprintf(stderr,
                "This disk holds everything up to entry %" PRIu64 " (the last %" PRIu64
                " from its log).\nWrites that were acknowledged by other nodes after it last heard "
                "of them are not there;\nwrites that were under way when it stopped may be.\n",
                store_applied(offline_store(making->store)), tail_n);
    code = making_open(making);
    return code == CLI_OK ? making_finish(making, "disk") : code;
}

enum cli_exit cli_recover(struct cli *cli)
{
    const char *old = cli->options.args[0];
    struct making making;
    int lock_fd = -1;
    enum cli_exit code;

    if (!cli->options.new_cluster)
        return cli_fail(CLI_USAGE,
                        "--new-cluster says that you know: what is made is another cluster, which "
                        "the old nodes cannot join and whose data goes its own way from here");
    code = making_begin(&making, cli);
    if (code == CLI_OK)
        code = making_lock(old, &lock_fd);
    if (code == CLI_OK)
        code = recover(&making, old);
    if (lock_fd >= 0)
        close(lock_fd);
    making_fini(&making);
    return code;
}
