#include "cli/making.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/shares.h"

#define OUTPUT_BYTES_MAX (32 * KIB)

enum cli_exit making_harden(void)
{
    struct rlimit no_core = {0, 0};
    enum qk_err err = QK_ERR_IO;

    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, and said */
    /* Not process_harden: a share file may be a descriptor that the shell has passed on. */
    if (prctl(PR_SET_DUMPABLE, 0) == 0 && setrlimit(RLIMIT_CORE, &no_core) == 0)
        err = secret_arena_init(SECRET_ARENA_AUTO, SECRET_ARENA_BYTES_DEFAULT);
    if (err == QK_ERR_LOCKED_MEMORY)
        return cli_fail(CLI_ERROR,
                        "memory for keys could not be locked: raise 'ulimit -l' to 8192");
    return err == QK_OK ? CLI_OK : cli_fail(CLI_ERROR, "memory for keys: %s", qk_err_text(err));
}

enum cli_exit making_shares(struct cli *cli, const struct recovery_set *set,
                            const uint8_t cluster[static CLUSTER_ID_BYTES], struct secret **ret_mk)
{
    struct secret *secret = NULL;
    enum cli_exit code = shares_secret(cli, set, cluster, &secret);
    enum qk_err err = code == CLI_OK ? recovery_open(set, cluster, secret, ret_mk) : QK_OK;

    secret_free(secret);
    if (err != QK_OK)
        code = cli_fail(CLI_ERROR, "the record of the recovery shares was altered: %s",
                        qk_err_text(err));
    return code;
}

enum cli_exit making_lock(const char *dir, int *ret_fd)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/lock", dir);
    *ret_fd = open(path, O_RDWR | O_CLOEXEC);
    if (*ret_fd < 0 && errno != ENOENT)
        return cli_fail(CLI_ERROR, "'%s': %s", path, strerror(errno));
    if (*ret_fd >= 0 && flock(*ret_fd, LOCK_EX | LOCK_NB) != 0)
        return cli_fail(CLI_CONFLICT, "'%s' is in use by a quorumkeepd: stop it first", dir);
    return CLI_OK;
}

/* --- beginning ------------------------------------------------------------------------------- */

static enum cli_exit said(struct making *making, enum qk_err err)
{
    enum cli_exit code = err == QK_ERR_CONFLICT || err == QK_ERR_BUSY ? CLI_CONFLICT : CLI_ERROR;

    if (making->message.len == 0)
        buf_put_str(&making->message, qk_err_text(err));
    return cli_fail(code, "%.*s", (int)making->message.len, (const char *)making->message.data);
}

enum cli_exit making_begin(struct making *making, struct cli *cli)
{
    char path[PATH_MAX];
    enum cli_exit code;
    enum qk_err err;

    memset(making, 0, sizeof *making);
    making->cli = cli;
    making->message = BUF_INIT(8192);
    making->made.shares = BUF_SECRET_INIT(OUTPUT_BYTES_MAX);
    if (cli->options.data == NULL)
        return cli_fail(CLI_USAGE,
                        "--data DIR names the directory of the new cluster's first node");
    code = making_harden();
    if (code != CLI_OK)
        return code;
    making->has_arena = true;
    err = new_dir_begin(cli->options.data, &making->dir, &making->message);
    making->has_dir = err == QK_OK;
    (void)snprintf(path, sizeof path, "%s/store.mdb", making->dir.path);
    if (err == QK_OK)
        err = offline_store_open(path, &making->store, &making->message);
    return err == QK_OK ? CLI_OK : said(making, err);
}

enum cli_exit making_open(struct making *making)
{
    enum qk_err err =
        old_cluster_read(offline_store(making->store), &making->old, &making->message);

    if (err != QK_OK)
        return said(making, err);
    return making_shares(making->cli, &making->old.recovery, making->old.info.id, &making->mk);
}

/* --- end ------------------------------------------------------------------------------------- */

/* A line each becomes an array of texts, which have nothing to escape. */
static void write_shares(struct bytes texts, struct buf *out)
{
    buf_put_str(out, "[\"");
    for (size_t i = 0; i < texts.len; i++) {
        if (texts.data[i] != '\n')
            buf_put_u8(out, texts.data[i]);
        else if (i + 1 < texts.len)
            buf_put_str(out, "\",\"");
    }
    buf_put_str(out, "\"]");
}

/* By hand: the shares stay in a buffer that is wiped. */
static void write_json(const struct making *making, struct buf *out)
{
    char cluster[2 * CLUSTER_ID_BYTES + 1], node[2 * NODE_ID_BYTES + 1];

    hex_encode(making->made.cluster_id, CLUSTER_ID_BYTES, cluster);
    hex_encode(making->made.node_id, NODE_ID_BYTES, node);
    buf_put_str(out, "{\"cluster_id\":\"");
    buf_put_str(out, cluster);
    buf_put_str(out, "\",\"node_id\":\"");
    buf_put_str(out, node);
    buf_printf(out, "\",\"index\":%" PRIu64 ",\"recovery_threshold\":%u,\"recovery_shares\":",
               making->made.index, making->made.t);
    write_shares(buf_bytes(&making->made.shares), out);
    buf_put_str(out, "}\n");
}

static void write_text(const struct making *making, struct buf *out)
{
    struct bytes shares = buf_bytes(&making->made.shares);
    char cluster[2 * CLUSTER_ID_BYTES + 1];

    hex_encode(making->made.cluster_id, CLUSTER_ID_BYTES, cluster);
    buf_printf(out, "cluster %s\n\n", cluster);
    buf_printf(out,
               "Its recovery shares, any %u of which open it (the old ones open only what is old). "
               "Give\nthem to different people, on paper; they are shown this once:\n\n",
               making->made.t);
    buf_put_bytes(out, shares);
    buf_printf(
        out,
        "\nNext: quorumkeepd with --data %s, then here 'quorumkeep unseal --recovery', then\n"
        "'quorumkeep node invite' for each other node: blank ones, the old cannot join.\n",
        making->dir.target);
}

/* Shown before the directory has its name: a cluster whose shares nobody has seen is of no use. */
static enum cli_exit show(const struct making *making)
{
    struct buf out = BUF_SECRET_INIT(OUTPUT_BYTES_MAX);
    bool good;

    if (making->cli->options.json)
        write_json(making, &out);
    else
        write_text(making, &out);
    good = buf_error(&out) == QK_OK && write(STDOUT_FILENO, out.data, out.len) == (ssize_t)out.len;
    buf_fini(&out);
    return good
               ? CLI_OK
               : cli_fail(CLI_ERROR, "the new recovery shares could not be shown: nothing is made");
}

enum cli_exit making_finish(struct making *making, const char *how)
{
    enum cli_exit code;
    enum qk_err err = new_cluster_make(offline_store(making->store), making->dir.path, &making->old,
                                       making->mk, how, &making->made, &making->message);

    if (err == QK_OK) {
        err = offline_store_close(making->store);
        making->store = NULL;
    }
    if (err != QK_OK)
        return said(making, err);
    code = show(making);
    if (code != CLI_OK)
        return code;
    err = new_dir_finish(&making->dir, &making->message);
    return err == QK_OK ? CLI_OK : said(making, err);
}

void making_fini(struct making *making)
{
    if (offline_store_close(making->store) != QK_OK)
        (void)cli_fail(CLI_ERROR, "'%s': the store could not be closed", making->dir.path);
    if (making->has_dir)
        new_dir_drop(&making->dir);
    new_cluster_fini(&making->made);
    secret_free(making->mk);
    buf_fini(&making->message);
    if (making->has_arena)
        secret_arena_fini();
}
