#include "service/backup/backup_chain.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secret/crypto.h"
#include "service/system.h"
#include "wire/records.h"

#define READ_BYTES (256 * KIB)
#define FAULT_BYTES 256

struct chain_file {
    const char *path;
    int fd;
    uint64_t bytes;
    struct backup_reader reader;
    uint8_t *data; /* READ_BYTES */
    struct bytes left;
    enum qk_err failed; /* while its records were read */
};

struct backup_chain {
    struct chain_file files[BACKUP_CHAIN_MAX];
    size_t n;
};

/* --- one file -------------------------------------------------------------------------------- */

static enum qk_err fill(struct chain_file *file)
{
    ssize_t got;

    do {
        got = read(file->fd, file->data, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return QK_ERR_IO;
    file->left = bytes_of(file->data, (size_t)got);
    file->bytes += (size_t)got;
    return QK_OK;
}

/* The next chunk's data, none at the end. */
static enum qk_err pull(void *arg, struct bytes *ret_bytes)
{
    struct chain_file *file = arg;
    enum qk_err err = QK_OK;

    *ret_bytes = BYTES_NONE;
    while (err == QK_OK && ret_bytes->len == 0) {
        if (file->left.len == 0) {
            err = fill(file);
            if (err == QK_OK && file->left.len == 0)
                return backup_reader_end(&file->reader);
        }
        if (err == QK_OK)
            err = backup_reader_next(&file->reader, &file->left, ret_bytes);
    }
    file->failed = err;
    return err;
}

static void file_say(const struct chain_file *file, enum qk_err err, struct buf *message)
{
    char text[FAULT_BYTES];

    if (err == QK_ERR_IO) {
        buf_printf(message, "'%s': %s", file->path, strerror(errno));
        return;
    }
    backup_reader_text(&file->reader, text, sizeof text);
    buf_printf(message, "'%s': %s", file->path, text);
}

static enum qk_err rewind_file(struct chain_file *file)
{
    backup_reader_fini(&file->reader);
    backup_reader_init(&file->reader);
    file->left = BYTES_NONE;
    file->bytes = 0;
    return lseek(file->fd, 0, SEEK_SET) == 0 ? QK_OK : QK_ERR_IO;
}

static enum qk_err file_open(struct chain_file *file, const char *path, struct buf *message)
{
    struct bytes chunk;
    enum qk_err err = QK_OK;

    file->path = path;
    backup_reader_init(&file->reader);
    file->data = malloc(READ_BYTES);
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->data == NULL)
        err = QK_ERR_NOMEM;
    else if (file->fd < 0)
        err = QK_ERR_IO;
    do {
        if (err == QK_OK)
            err = pull(file, &chunk);
    } while (err == QK_OK && chunk.len > 0);
    if (err != QK_OK)
        file_say(file, err, message);
    return err;
}

/* --- the chain ------------------------------------------------------------------------------- */

static enum qk_err check_link(const struct backup_chain *chain, size_t at, struct buf *message)
{
    const struct chain_file *file = &chain->files[at];
    const struct backup_head *head = &file->reader.head, *before;

    if (at == 0) {
        if (backup_is_full(head))
            return QK_OK;
        buf_printf(message,
                   "'%s' is an increment: name the full backup first, then each increment in the "
                   "order they were made",
                   file->path);
        return QK_ERR_INVALID;
    }
    before = &chain->files[at - 1].reader.head;
    if (memcmp(head->base, before->id, BACKUP_ID_BYTES) == 0 &&
        memcmp(head->cluster, before->cluster, CLUSTER_ID_BYTES) == 0 &&
        head->base_stamp == before->stamp)
        return QK_OK;
    buf_printf(message, "'%s' %s '%s'", file->path,
               backup_is_full(head) ? "is a full backup and does not go on from"
                                    : "was made to go on from another backup than",
               chain->files[at - 1].path);
    return QK_ERR_INVALID;
}

enum qk_err backup_chain_open(const char *const *paths, size_t n, struct backup_chain **ret_chain,
                              struct buf *message)
{
    struct backup_chain *chain;
    enum qk_err err = QK_OK;

    if (n == 0 || n > BACKUP_CHAIN_MAX) {
        buf_printf(message, "1 to %d files make a backup", BACKUP_CHAIN_MAX);
        return QK_ERR_INVALID;
    }
    chain = calloc(1, sizeof *chain);
    if (chain == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < n && err == QK_OK; i++) {
        chain->n++;
        err = file_open(&chain->files[i], paths[i], message);
        if (err == QK_OK)
            err = check_link(chain, i, message);
    }
    if (err != QK_OK) {
        backup_chain_close(chain);
        return err;
    }
    *ret_chain = chain;
    return QK_OK;
}

void backup_chain_close(struct backup_chain *chain)
{
    if (chain == NULL)
        return;
    for (size_t i = 0; i < chain->n; i++) {
        struct chain_file *file = &chain->files[i];

        backup_reader_fini(&file->reader);
        free(file->data);
        if (file->path != NULL && file->fd >= 0)
            close(file->fd);
    }
    free(chain);
}

const struct backup_head *backup_chain_head(const struct backup_chain *chain)
{
    return &chain->files[chain->n - 1].reader.head;
}

uint64_t backup_chain_bytes(const struct backup_chain *chain)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < chain->n; i++)
        bytes += chain->files[i].bytes;
    return bytes;
}

/* What the head says and what the stream begins with must be one moment. */
static bool same_moment(const struct chain_file *file, const struct rows *rows)
{
    const struct backup_head *head = &file->reader.head;
    struct rows_moment moment = rows_moment(rows);

    return moment.index == head->index && moment.term == head->term &&
           moment.stamp == head->stamp && rows_is_increment(rows) == !backup_is_full(head);
}

static enum qk_err rows_of(struct chain_file *file, struct rows **ret_rows, struct buf *message)
{
    struct rows *rows;
    enum qk_err err = rewind_file(file);

    if (err == QK_OK)
        err = rows_open(pull, file, &rows);
    if (err != QK_OK) {
        file_say(file, err, message);
        return err;
    }
    if (same_moment(file, rows)) {
        *ret_rows = rows;
        return QK_OK;
    }
    rows_free(rows);
    buf_printf(message, "'%s': its head and its records are of different moments", file->path);
    return QK_ERR_CORRUPT;
}

enum qk_err backup_chain_rows(struct backup_chain *chain, struct rows **ret_rows,
                              struct buf *message)
{
    struct rows *rows = NULL, *next = NULL;
    enum qk_err err = rows_of(&chain->files[0], &rows, message);

    for (size_t i = 1; i < chain->n && err == QK_OK; i++) {
        err = rows_of(&chain->files[i], &next, message);
        if (err != QK_OK)
            break;
        err = rows_merge(rows, next, &next);
        if (err == QK_OK)
            rows = next;
    }
    if (err == QK_OK)
        *ret_rows = rows;
    else
        rows_free(rows);
    return err;
}

void backup_chain_explain(const struct backup_chain *chain, const struct rows *rows,
                          struct buf *message)
{
    for (size_t i = 0; i < chain->n; i++)
        if (chain->files[i].failed != QK_OK) {
            file_say(&chain->files[i], chain->files[i].failed, message);
            return;
        }
    buf_printf(message, "'%s': %s", chain->files[chain->n - 1].path, rows_fault(rows));
}

/* --- without keys ---------------------------------------------------------------------------- */

static void count_record(const struct rows_item *item, struct backup_summary *summary)
{
    struct record_key cluster = record_system(RECORD_SYS, RECORD_CLUSTER);
    struct record_key recovery = record_system(RECORD_SYS, RECORD_RECOVERY);
    struct record_key keys = record_data_keys_prefix();
    struct system_cluster info;

    summary->records_n++;
    summary->bytes += item->key.len + item->record.value.len;
    if (bytes_equal(item->key, record_key_bytes(&recovery)) &&
        item->record.value.len <= sizeof summary->recovery) {
        memcpy(summary->recovery, item->record.value.data, item->record.value.len);
        summary->recovery_len = item->record.value.len;
    }
    if (bytes_starts_with(item->key, record_key_bytes(&keys)) &&
        item->key.len == keys.len + (size_t)KEY_ID_BYTES)
        summary->keys_n++;
    if (bytes_equal(item->key, record_key_bytes(&cluster)) &&
        system_cluster_decode(item->record.value, &info) == QK_OK)
        memcpy(summary->cluster_name, info.name, sizeof info.name);
}

static void count_item(const struct rows_item *item, struct backup_summary *summary)
{
    enum record_space space;

    if (item->kind != ROWS_ROW)
        return;
    if (item->table == ROWS_RECORDS)
        count_record(item, summary);
    if (item->table != ROWS_STATS || record_key_space(item->key, &space))
        return;
    summary->databases_n++;
    summary->documents_n += item->stats.doc_count;
    summary->tombstones_n += item->stats.del_count;
}

enum qk_err backup_chain_walk(struct backup_chain *chain, struct backup_summary *ret_summary,
                              struct buf *message)
{
    struct rows_item item = {.kind = ROWS_ROW};
    struct rows *rows;
    enum qk_err err = backup_chain_rows(chain, &rows, message);

    memset(ret_summary, 0, sizeof *ret_summary);
    if (err != QK_OK)
        return err;
    while (err == QK_OK && item.kind != ROWS_END) {
        err = rows_next(rows, &item);
        if (err == QK_OK)
            count_item(&item, ret_summary);
    }
    if (err != QK_OK)
        backup_chain_explain(chain, rows, message);
    rows_free(rows);
    return err;
}

/* --- with keys ------------------------------------------------------------------------------- */

enum qk_err backup_chain_check(const struct backup_chain *chain, const struct secret *mk,
                               struct buf *message)
{
    const struct chain_file *file = &chain->files[chain->n - 1];
    const struct backup_head *head = &file->reader.head;
    struct bytes bound[2] = {bytes_of(head->cluster, CLUSTER_ID_BYTES),
                             bytes_of(head->id, BACKUP_ID_BYTES)};
    struct secret *key = NULL;
    struct bytes parts[2];
    const uint8_t *mac;
    enum qk_err err = kdf_derive_parts(mk, BACKUP_MAC_KEY, bound, 2, &key);

    backup_reader_mac(&file->reader, parts, &mac);
    if (err == QK_OK)
        err = mac_verify(key, BACKUP_MAC, parts, 2, mac);
    secret_free(key);
    if (err == QK_ERR_CORRUPT)
        buf_printf(message,
                   "'%s' is forged: it is whole, but was not made by a node of its cluster",
                   file->path);
    else if (err != QK_OK)
        buf_printf(message, "'%s': %s", file->path, qk_err_text(err));
    return err;
}
