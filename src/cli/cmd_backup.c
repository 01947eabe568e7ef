/* backup save, backup verify. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "cli/making.h"
#include "service/backup/backup_chain.h"

#define SAVE_TIMEOUT_MS 120000
#define PROGRESS_BYTES (8 * MIB)

/* The file in progress: removed by whatever ends the program early. */
static char part_path[PATH_MAX];

static void on_end_signal(int number)
{
    (void)unlink(part_path);
    _exit(128 + number);
}

static void signals_catch(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = on_end_signal};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)sigaction(numbers[i], &action, NULL);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, and said */
}

static void id_text(const uint8_t *id, char *ret_text)
{
    hex_encode(id, BACKUP_ID_BYTES, ret_text);
}

/* --- save ------------------------------------------------------------------------------------ */

struct save {
    int fd;
    struct backup_reader reader;
    uint64_t bytes, shown;
    bool show;
    enum qk_err err; /* of what was read */
    int write_errno;
};

static void save_write(struct save *save, struct bytes piece)
{
    while (piece.len > 0 && save->write_errno == 0) {
        ssize_t put = write(save->fd, piece.data, piece.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            save->write_errno = errno == 0 ? EIO : errno;
        else
            piece = bytes_slice(piece, (size_t)put, SIZE_MAX);
    }
}

static bool on_piece(void *arg, struct bytes piece)
{
    struct save *save = arg;
    struct bytes in = piece, chunk;

    save_write(save, piece);
    save->bytes += piece.len;
    while (save->err == QK_OK && in.len > 0)
        save->err = backup_reader_next(&save->reader, &in, &chunk);
    if (save->show && save->bytes - save->shown >= PROGRESS_BYTES) {
        save->shown = save->bytes;
        fprintf(stderr, "\r\033[K%" PRIu64 " MiB", save->bytes / MIB);
    }
    return true;
}

/* The directory that the file is in, opened; for syncing its new entry. */
static enum cli_exit sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    int fd;
    bool good;

    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good ? CLI_OK : cli_fail(CLI_ERROR, "'%s': %s", folder, strerror(errno));
}

static enum cli_exit part_open(const char *path, int *ret_fd)
{
    const char *slash = strrchr(path, '/');
    int prefix = slash == NULL ? 0 : (int)(slash - path) + 1;

    if (access(path, F_OK) == 0)
        return cli_fail(CLI_CONFLICT, "'%s' is there already: a backup overwrites nothing", path);
    if ((size_t)snprintf(part_path, sizeof part_path, "%.*s.%s.part", prefix, path,
                         path + prefix) >= sizeof part_path)
        return cli_fail(CLI_USAGE, "the path is too long");
    (void)unlink(part_path); /* of one that was killed */
    *ret_fd = open(part_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*ret_fd < 0)
        return cli_fail(CLI_ERROR, "'%s': %s", part_path, strerror(errno));
    signals_catch();
    return CLI_OK;
}

/* link() because it fails where rename() would overwrite; where a file system has no links, the
 * name is taken first. */
static int give_name(const char *path)
{
    int fd;

    if (link(part_path, path) == 0)
        return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    close(fd);
    return rename(part_path, path);
}

/* Durable before it has its name. */
static enum cli_exit part_finish(int fd, const char *path)
{
    if (fsync(fd) != 0)
        return cli_fail(CLI_ERROR, "'%s': %s", part_path, strerror(errno));
    if (give_name(path) != 0)
        return cli_fail(errno == EEXIST ? CLI_CONFLICT : CLI_ERROR, "'%s': %s", path,
                        strerror(errno));
    return sync_folder(path);
}

static enum cli_exit base_query(const char *base, struct buf *target)
{
    struct backup_reader reader;
    uint8_t head[BACKUP_HEAD_BYTES];
    char text[2 * BACKUP_ID_BYTES + 1];
    struct bytes in, chunk;
    enum cli_exit code = CLI_OK;
    int fd = open(base, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof head);

    backup_reader_init(&reader);
    in = bytes_of(head, got < 0 ? 0 : (size_t)got);
    if (got < 0)
        code = cli_fail(CLI_ERROR, "'%s': %s", base, strerror(errno));
    else if (backup_reader_next(&reader, &in, &chunk) != QK_OK || reader.part == BACKUP_AT_HEAD)
        code = cli_fail(CLI_ERROR, "'%s' is no backup that this version can go on from", base);
    if (fd >= 0)
        close(fd);
    if (code == CLI_OK) {
        id_text(reader.head.id, text);
        client_query_put(target, "base", text);
        id_text(reader.head.cluster, text);
        client_query_put(target, "cluster", text);
        buf_printf(target, "&base_stamp=%" PRIu64 "&base_index=%" PRIu64, reader.head.stamp,
                   reader.head.index);
    }
    backup_reader_fini(&reader);
    return code;
}

static void save_report(struct cli *cli, const struct save *save, const char *path)
{
    const struct backup_head *head = &save->reader.head;
    char id[2 * BACKUP_ID_BYTES + 1], cluster[2 * CLUSTER_ID_BYTES + 1];

    id_text(head->id, id);
    id_text(head->cluster, cluster);
    if (cli->options.json) {
        json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b}", "file", path, "id", id,
                                 "cluster_id", cluster, "index", (json_int_t)head->index, "bytes",
                                 (json_int_t)save->bytes, "full", backup_is_full(head));

        print_json(json, 2);
        json_decref(json);
        return;
    }
    printf("%s: %s backup of cluster %s at index %" PRIu64 ", %" PRIu64 " bytes\n", path,
           backup_is_full(head) ? "full" : "incremental", cluster, head->index, save->bytes);
}

static enum cli_exit save_run(struct cli *cli, struct save *save, const struct buf *target)
{
    struct buf message = BUF_INIT(8192);
    struct client_request request = {.method = "GET",
                                     .target = buf_bytes(target),
                                     .authorization = buf_bytes(&cli->authorization),
                                     .timeout_ms = SAVE_TIMEOUT_MS,
                                     .on_body = on_piece,
                                     .arg = save};
    struct client_reply reply;
    char text[256];
    enum cli_exit code = CLI_OK;

    if (client_call(&cli->target, &request, &reply, &message) != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    else
        code = cli_judge(cli, &reply);
    if (save->show)
        fprintf(stderr, "\r\033[K");
    if (code == CLI_OK && save->write_errno != 0)
        code = cli_fail(CLI_ERROR, "'%s': %s", part_path, strerror(save->write_errno));
    if (code == CLI_OK && (save->err != QK_OK || backup_reader_end(&save->reader) != QK_OK)) {
        backup_reader_text(&save->reader, text, sizeof text);
        code = cli_fail(CLI_ERROR, "the node ended the backup early (%s): its log says why", text);
    }
    client_reply_fini(&reply);
    buf_fini(&message);
    return code;
}

enum cli_exit cli_backup_save(struct cli *cli)
{
    const char *path = cli->options.args[0];
    struct buf target = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct save save = {.fd = -1, .show = isatty(STDERR_FILENO) && !cli->options.json};
    enum cli_exit code = CLI_OK;

    backup_reader_init(&save.reader);
    buf_put_str(&target, "/_quorumkeep/backup");
    if (cli->options.base != NULL)
        code = base_query(cli->options.base, &target);
    if (code == CLI_OK)
        code = part_open(path, &save.fd);
    if (code == CLI_OK) {
        code = save_run(cli, &save, &target);
        if (code == CLI_OK)
            code = part_finish(save.fd, path);
        (void)unlink(part_path);
        close(save.fd);
    }
    if (code == CLI_OK)
        save_report(cli, &save, path);
    backup_reader_fini(&save.reader);
    buf_fini(&target);
    return code;
}

/* --- verify ---------------------------------------------------------------------------------- */

static void verify_report(struct cli *cli, const struct backup_chain *chain,
                          const struct backup_summary *summary, bool genuine)
{
    const struct backup_head *head = backup_chain_head(chain);
    char cluster[2 * CLUSTER_ID_BYTES + 1], when[32];

    id_text(head->cluster, cluster);
    print_time(head->created_s, when);
    if (cli->options.json) {
        json_t *json = json_pack(
            "{s:b, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "ok", 1, "cluster_id",
            cluster, "cluster_name", summary->cluster_name, "index", (json_int_t)head->index,
            "created", when, "bytes", (json_int_t)backup_chain_bytes(chain), "records",
            (json_int_t)summary->records_n, "databases", (json_int_t)summary->databases_n,
            "documents", (json_int_t)summary->documents_n, "tombstones",
            (json_int_t)summary->tombstones_n, "keys", (json_int_t)summary->keys_n,
            "recovery_shares", summary->recovery_len > 0);
        /* Without shares nobody can say: that is not to be read as forged. */
        (void)json_object_set_new(json, "genuine", genuine ? json_true() : json_null());
        print_json(json, 2);
        json_decref(json);
        return;
    }
    printf("whole: cluster %s ('%s') at index %" PRIu64 ", made %s\n", cluster,
           summary->cluster_name, head->index, when);
    printf("%" PRIu64 " documents (and %" PRIu64 " deleted) in %" PRIu64 " databases, %" PRIu64
           " data keys, %" PRIu64 " records in all\n",
           summary->documents_n, summary->tombstones_n, summary->databases_n, summary->keys_n,
           summary->records_n);
    if (summary->recovery_len == 0)
        printf("it has no recovery shares: nobody can open it\n");
    else if (genuine)
        printf("it opens with these recovery shares, and was made by a node of its cluster\n");
    else
        printf("it opens with the recovery shares of its cluster; --recovery asks for them, and "
               "tells whether it is forged\n");
}

/* The MAC, by MK, by recovery shares. */
static enum cli_exit verify_mac(struct cli *cli, const struct backup_chain *chain,
                                const struct backup_summary *summary)
{
    const struct backup_head *head = backup_chain_head(chain);
    struct buf message = BUF_INIT(8192);
    struct recovery_set set;
    struct secret *mk = NULL;
    enum cli_exit code;

    if (recovery_set_decode(bytes_of(summary->recovery, summary->recovery_len), &set) != QK_OK)
        return cli_fail(CLI_ERROR, "it has no recovery shares that this version can read");
    code = making_harden();
    if (code != CLI_OK)
        return code;
    code = making_shares(cli, &set, head->cluster, &mk);
    if (code == CLI_OK && backup_chain_check(chain, mk, &message) != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    secret_free(mk);
    secret_arena_fini();
    buf_fini(&message);
    return code;
}

enum cli_exit cli_backup_verify(struct cli *cli)
{
    struct buf message = BUF_INIT(8192);
    struct backup_chain *chain = NULL;
    struct backup_summary *summary = calloc(1, sizeof *summary);
    enum cli_exit code = CLI_OK;
    enum qk_err err = QK_ERR_NOMEM;

    if (summary != NULL)
        err = backup_chain_open(cli->options.args, cli->options.args_n, &chain, &message);
    if (err == QK_OK)
        err = backup_chain_walk(chain, summary, &message);
    if (err == QK_OK && cli->options.recovery)
        code = verify_mac(cli, chain, summary);
    if (err == QK_OK && code == CLI_OK)
        verify_report(cli, chain, summary, cli->options.recovery);
    else if (err != QK_OK)
        code = cli_fail(err == QK_ERR_INVALID ? CLI_USAGE : CLI_ERROR, "%.*s", (int)message.len,
                        message.len > 0 ? (const char *)message.data : "");
    backup_chain_close(chain);
    free(summary);
    buf_fini(&message);
    return code;
}
