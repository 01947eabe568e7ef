#include "service/query/views_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "index/disk.h"
#include "keys/keyring.h"
#include "service/doc_name.h"
#include "service/offload_uv.h"
#include "service/query/views_private.h"
#include "store/index_file.h"

#define PATH_BYTES_MAX 1024
#define DATABASE_HEX (2 * DATABASE_ID_BYTES)
#define MAC_BYTES 16
#define SUFFIX ".mdb"
#define FILE_NAME_BYTES (DATABASE_HEX + 1 + 2 * MAC_BYTES + sizeof(SUFFIX))
#define LOAD_ROWS 512
/* Each open file is a descriptor and a map: those that nobody reads are closed, and kept. */
#define OPEN_FILES_MAX 64

/* --- names -------------------------------------------------------------------------------------
 */

static enum qk_err folder_of(const struct service *service, char ret_path[static PATH_BYTES_MAX])
{
    char copy[PATH_BYTES_MAX];
    int n = snprintf(copy, sizeof(copy), "%s", store_path(service->store));

    if (n < 0 || (size_t)n >= sizeof(copy))
        return QK_ERR_TOO_BIG;
    n = snprintf(ret_path, PATH_BYTES_MAX, "%s/index", dirname(copy));
    return n < 0 || n >= PATH_BYTES_MAX ? QK_ERR_TOO_BIG : QK_OK;
}

static enum qk_err name_of(const struct view_group *group, char ret_name[static FILE_NAME_BYTES])
{
    const struct bytes parts[] = {bytes_of(group->database, DATABASE_ID_BYTES),
                                  bytes_of(group->design->signature, HASH_BYTES)};
    char database[DATABASE_HEX + 1], hex[2 * MAC_BYTES + 1];
    uint8_t mac[HASH_BYTES];
    enum qk_err err;

    if (group->service->keyring == NULL)
        return QK_ERR_SEALED;
    err = mac_compute(keyring_index_key(group->service->keyring), "index file", parts, 2, mac);
    if (err != QK_OK)
        return err;
    hex_encode(group->database, DATABASE_ID_BYTES, database);
    hex_encode(mac, MAC_BYTES, hex);
    (void)snprintf(ret_name, FILE_NAME_BYTES, "%s-%s" SUFFIX, database, hex);
    return QK_OK;
}

/* --- all files ---------------------------------------------------------------------------------
 */

static bool is_file_name(const char *name)
{
    size_t len = strlen(name);

    return len == FILE_NAME_BYTES - 1 && name[DATABASE_HEX] == '-' &&
           strcmp(name + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* Removes those that `wanted` says no to. */
static void files_remove(const struct service *service,
                         bool (*wanted)(void *arg, const struct service *service, const char *name),
                         void *arg)
{
    char folder[PATH_BYTES_MAX], path[PATH_BYTES_MAX + FILE_NAME_BYTES + 1];
    struct dirent *entry;
    DIR *dir;

    if (service->store == NULL || folder_of(service, folder) != QK_OK)
        return;
    dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!is_file_name(entry->d_name) || wanted(arg, service, entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        index_file_remove(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

static bool wants_none(void *arg, const struct service *service, const char *name)
{
    (void)arg;
    (void)service;
    (void)name;
    return false;
}

void views_file_wipe(struct service *service)
{
    struct view_group *group = service->view_groups, *next;

    for (; group != NULL; group = next) {
        next = group->next;
        if (group->disk != NULL)
            views_kill(group, QK_ERR_BUSY);
    }
    files_remove(service, wants_none, NULL);
}

static bool wants_known(void *arg, const struct service *service, const char *name)
{
    uint8_t id[DATABASE_ID_BYTES];

    (void)arg;
    return hex_decode(bytes_of(name, DATABASE_HEX), id, sizeof(id)) == QK_OK &&
           catalog_database_of(service->catalog, id) != NULL;
}

void views_file_sweep(const struct service *service)
{
    if (service->catalog != NULL && catalog_check(service->catalog) == QK_OK)
        files_remove(service, wants_known, NULL);
}

static bool wants_open(void *arg, const struct service *service, const char *name)
{
    const struct view_group *group;
    char database[DATABASE_HEX + 1], known[FILE_NAME_BYTES];

    hex_encode(arg, DATABASE_ID_BYTES, database);
    if (strncmp(name, database, DATABASE_HEX) != 0)
        return true;
    for (group = service->view_groups; group != NULL; group = group->next)
        if (group->disk != NULL && name_of(group, known) == QK_OK && strcmp(known, name) == 0)
            return true;
    return false;
}

void views_file_clean(const struct service *service,
                      const uint8_t database[static DATABASE_ID_BYTES])
{
    uint8_t id[DATABASE_ID_BYTES];

    memcpy(id, database, sizeof(id));
    files_remove(service, wants_open, id);
}

/* --- one group ---------------------------------------------------------------------------------
 */

/* The one used last is first in the list: of those that nobody reads the others are closed. */
static void close_idle(const struct service *service)
{
    struct view_group *group = service->view_groups, *next;
    size_t n = 0;

    for (; group != NULL; group = next) {
        next = group->next;
        if (group->disk == NULL || ++n < OPEN_FILES_MAX || group->refs > 0)
            continue;
        group->keeps_file = true;
        views_kill(group, QK_ERR_CLOSED);
    }
}

static enum qk_err path_of(const struct view_group *group, char *ret_path, size_t size)
{
    char folder[PATH_BYTES_MAX], name[FILE_NAME_BYTES];
    enum qk_err err = folder_of(group->service, folder);
    int n;

    if (err == QK_OK)
        err = name_of(group, name);
    if (err != QK_OK)
        return err;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return errno == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;
    n = snprintf(ret_path, size, "%s/%s", folder, name);
    return n < 0 || (size_t)n >= size ? QK_ERR_TOO_BIG : QK_OK;
}

enum qk_err views_file_open(struct view_group *group)
{
    struct service *service = group->service;
    char path[PATH_BYTES_MAX];
    const struct index_disk_options options = {.path = path,
                                               .cluster = service->origin_id,
                                               .database = group->database,
                                               .signature = group->design->signature,
                                               .blind = group->design->kind == VIEW_BLIND,
                                               .views_n = group->design->views_n,
                                               .keyring = &service->keyring};
    enum qk_err err = path_of(group, path, sizeof(path));

    close_idle(service);
    if (err == QK_OK)
        err = index_disk_open(&options, &group->disk);
    if (err == QK_OK)
        group->seq = 0; /* until it is looked through */
    if (err == QK_ERR_IO || err == QK_ERR_FULL)
        log_error("index", "%s: an index was not opened: %s", path, qk_err_text(err));
    return err;
}

void views_file_close(struct view_group *group, bool keep)
{
    index_disk_close(group->disk, keep);
    group->disk = NULL;
}

enum qk_err views_file_reset(struct view_group *group)
{
    log_warn("index", "an index on the disk is thrown away and made anew: it does not fit the "
                      "documents, or was damaged");
    group->seq = 0;
    return index_disk_reset(group->disk);
}

/* Rows stay if their document is as it was, or is still to come in the walk. */
static enum qk_err doc_check(void *arg, struct bytes name, uint64_t seq)
{
    const struct view_group *group = arg;
    struct record_key key;
    struct record record;
    enum qk_err err;

    if (name.len == 0 || name.len > RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES)
        return QK_ERR_CORRUPT;
    key = record_document(group->database, name);
    err = store_get(group->service->store, record_key_bytes(&key), &record);
    if (err != QK_OK)
        return err;
    return record.seq == seq || record.seq > index_disk_seq(group->disk) ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err views_file_load(struct view_group *group, bool *ret_done)
{
    struct store_stats stats;
    enum qk_err err = QK_OK;

    *ret_done = index_disk_is_loaded(group->disk);
    if (!*ret_done)
        err = index_disk_load(group->disk, LOAD_ROWS, doc_check, group, ret_done);
    store_database_stats(group->service->store, group->database, &stats);
    if (err == QK_OK && *ret_done && index_disk_seq(group->disk) > stats.seq)
        err = QK_ERR_CORRUPT; /* rows of what this store does not know */
    if (err == QK_ERR_CORRUPT) {
        err = views_file_reset(group);
        *ret_done = true;
    }
    if (err == QK_OK && *ret_done)
        group->seq = index_disk_seq(group->disk);
    return err;
}

/* --- rows --------------------------------------------------------------------------------------
 */

static enum qk_err rows_put(struct view_group *group, const struct index_disk_doc *doc)
{
    const struct view_rows *rows = &group->rows;
    struct index_disk_row *puts = calloc(rows->n + 1, sizeof(*puts)); /* views of `rows` */
    const uint8_t *at = rows->data.data;
    enum qk_err err;
    size_t i;

    if (puts == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; i < rows->n; i++) {
        const struct view_row *row = &rows->rows[i];

        puts[i] = (struct index_disk_row){
            row->view,
            {bytes_of(at, row->sort_len), bytes_of(at + row->sort_len, row->key_len),
             bytes_of(at + row->sort_len + row->key_len, row->value_len)}};
        at += row->sort_len + row->key_len + row->value_len;
    }
    err = index_disk_put(group->disk, doc, puts, rows->n);
    if (err == QK_ERR_TOO_BIG) {
        log_error("index", "a document gives more rows than an index takes: it has none there");
        err = QK_OK;
    }
    free(puts);
    return err;
}

enum qk_err views_file_put(struct view_group *group, const struct view_source *source)
{
    struct record_key key;
    struct index_disk_doc doc = {.id = source->id,
                                 .seq = source->seq,
                                 .key_id = source->key_id,
                                 .key_version = source->key_version};
    enum qk_err err =
        doc_name_of_id(group->service, group->database, group->ids_hidden, source->id, &key);

    if (err != QK_OK)
        return err;
    doc.name = record_key_name(record_key_bytes(&key));
    return rows_put(group, &doc);
}

enum qk_err views_file_remove(struct view_group *group, struct bytes name)
{
    return index_disk_remove(group->disk, name);
}

enum qk_err views_file_commit(struct view_group *group, uint64_t seq, bool now)
{
    group->committed = now || index_disk_is_full(group->disk);
    return group->committed ? index_disk_commit(group->disk, seq) : QK_OK;
}

/* --- the pace of the disk ----------------------------------------------------------------------
 */

struct settling {
    struct view_group *group; /* held */
    int fd;
};

static void settle_work(void *arg)
{
    struct settling *settling = arg;

    (void)fdatasync(settling->fd); /* what became of it is found out when it matters: at the end */
    (void)close(settling->fd);
}

static void settle_done(void *arg, enum qk_err err)
{
    struct settling *settling = arg;
    struct view_group *group = settling->group;

    free(settling);
    group->settling = false;
    if (err == QK_OK && !group->dead)
        timer_start(group->timer, 0);
    views_release(group);
}

void views_file_settle(struct view_group *group)
{
    struct settling *settling = malloc(sizeof(*settling));
    int fd = index_disk_descriptor(group->disk);

    if (settling == NULL || fd < 0) { /* no harm: it only goes on without a pause */
        if (fd >= 0)
            (void)close(fd);
        free(settling);
        timer_start(group->timer, 1);
        return;
    }
    *settling = (struct settling){group, fd};
    group->settling = true;
    views_hold(group);
    offload_run(group->service, OFFLOAD_BYTES_MIN, settle_work, settle_done, settling);
}
