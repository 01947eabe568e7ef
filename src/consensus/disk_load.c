/* Opening: what a crash left is made whole, what is damaged is an error that names its place.
 *
 * Segments of an older epoch were replaced by a snapshot before a crash could remove them: they go.
 * The rest is read in order. Where the records stop being sound, a later group anywhere after means
 * damage (it was only written once the place was synced), and so do bytes that are wrong rather
 * than absent; otherwise the last group was interrupted and what is left of it is cut off.
 *
 * Over 500 lines: the whole of recovery, in its order. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consensus/disk_private.h"

#define SEGMENTS_MAX 65536

struct loader {
    struct disk_files *files;
    struct disk_state *state;
    char *reason;
    struct segment_image {
        struct disk_segment *segment;
        uint8_t *data;
        struct segment_head head;
    } * images;
    size_t images_n;
    uint64_t *sequences;
    size_t sequences_n;
    uint64_t group; /* of the last sound record */
    bool group_whole;
    size_t last_at; /* where it is, in last_image */
    size_t last_image;
    bool has_last;
    uint64_t bad_group; /* of the record that was not sound, if its head tells */
};

static void explain(struct loader *loader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void explain(struct loader *loader, const char *format, ...)
{
    va_list args;

    if (loader->reason == NULL)
        return;
    va_start(args, format);
    vsnprintf(loader->reason, DISK_REASON_BYTES, format, args);
    va_end(args);
}

static enum qk_err io_failed(struct loader *loader, const char *name)
{
    enum qk_err err = errno == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;

    explain(loader, "raft/%s: %s", name, strerror(errno));
    return err;
}

/* --- directory ----------------------------------------------------------------------------- */

static enum qk_err open_directory(struct loader *loader, const char *dir)
{
    struct disk_files *files = loader->files;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return io_failed(loader, ".");
    files->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->dir_fd < 0)
        return io_failed(loader, ".");
    files->lock_fd = openat(files->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (files->lock_fd < 0)
        return io_failed(loader, "lock");
    if (flock(files->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        explain(loader, "raft/lock: another process uses this directory");
        return QK_ERR_BUSY;
    }
    return QK_OK;
}

static int compare_sequences(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Collects the segments' sequences and removes spare files. */
static enum qk_err list_segments(struct loader *loader)
{
    int fd = openat(loader->files->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    enum qk_err err = QK_OK;

    if (dir == NULL)
        return io_failed(loader, ".");
    loader->sequences = calloc(SEGMENTS_MAX, sizeof(*loader->sequences));
    if (loader->sequences == NULL)
        err = QK_ERR_NOMEM;
    while (err == QK_OK && (entry = readdir(dir)) != NULL) {
        uint64_t sequence;
        char tail;
        if (strncmp(entry->d_name, "spare-", 6) == 0)
            (void)unlinkat(loader->files->dir_fd, entry->d_name, 0);
        if (sscanf(entry->d_name, "log-%16" SCNx64 "%c", &sequence, &tail) != 1)
            continue;
        if (loader->sequences_n == SEGMENTS_MAX)
            err = QK_ERR_TOO_BIG;
        else
            loader->sequences[loader->sequences_n++] = sequence;
    }
    closedir(dir);
    if (err == QK_OK)
        qsort(loader->sequences, loader->sequences_n, sizeof(*loader->sequences),
              compare_sequences);
    return err;
}

/* --- term and snapshot --------------------------------------------------------------------- */

static enum qk_err open_ab(struct loader *loader, const char *name, bool small,
                           struct ab_file *ret_file, struct buf *content)
{
    int half = 0;
    enum qk_err err = ab_file_open(loader->files->dir_fd, name, small, ret_file, content, &half);

    if (err == QK_ERR_CORRUPT)
        explain(loader, "raft/%s: the half at offset %d is damaged", name, half * AB_HALF_BYTES);
    else if (err != QK_OK)
        return io_failed(loader, name);
    return err;
}

static enum qk_err load_term(struct loader *loader)
{
    struct buf content = BUF_INIT(AB_CONTENT_BYTES_MAX);
    struct reader reader;
    enum qk_err err = open_ab(loader, "term", true, &loader->files->term_file, &content);

    if (err == QK_OK && content.len > 0) {
        reader = reader_of(buf_bytes(&content));
        loader->state->term = reader_u64(&reader);
        loader->state->vote = reader_u64(&reader);
        if (reader_end(&reader) != QK_OK) {
            explain(loader, "raft/term: malformed");
            err = QK_ERR_CORRUPT;
        }
    }
    buf_fini(&content);
    return err;
}

static enum qk_err load_snapshot(struct loader *loader)
{
    struct buf content = BUF_INIT(AB_CONTENT_BYTES_MAX);
    struct reader reader;
    struct bytes token;
    enum qk_err err = open_ab(loader, "snapshot", false, &loader->files->snapshot_file, &content);

    if (err == QK_OK && content.len > 0) {
        reader = reader_of(buf_bytes(&content));
        loader->files->epoch = reader_u64(&reader);
        token = reader_rest(&reader);
        err = snapshot_decode(token, &loader->state->snapshot);
        loader->state->has_snapshot = err == QK_OK;
        if (err != QK_OK) {
            explain(loader, "raft/snapshot: malformed");
            err = QK_ERR_CORRUPT;
        }
    }
    buf_fini(&content);
    return err;
}

/* --- segments ------------------------------------------------------------------------------ */

static enum qk_err read_file(struct loader *loader, const char *name, struct segment_image *image)
{
    struct stat st;
    size_t at = 0;

    image->segment->fd = openat(loader->files->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (image->segment->fd < 0 || fstat(image->segment->fd, &st) != 0)
        return io_failed(loader, name);
    image->segment->size = (size_t)st.st_size;
    image->data = malloc(image->segment->size + 1);
    if (image->data == NULL)
        return QK_ERR_NOMEM;
    while (at < image->segment->size) {
        ssize_t n =
            pread(image->segment->fd, image->data + at, image->segment->size - at, (off_t)at);
        if (n <= 0)
            return io_failed(loader, name);
        at += (size_t)n;
    }
    return QK_OK;
}

static struct bytes image_bytes(const struct segment_image *image)
{
    return bytes_of(image->data, image->segment->size);
}

/* Reads one segment; one of an older epoch is removed. */
static enum qk_err load_segment(struct loader *loader, uint64_t sequence)
{
    struct segment_image *image = &loader->images[loader->images_n];
    char name[DISK_NAME_BYTES];
    enum qk_err err;

    disk_segment_name(sequence, name);
    memset(image, 0, sizeof(*image));
    image->segment = calloc(1, sizeof(*image->segment));
    if (image->segment == NULL)
        return QK_ERR_NOMEM;
    image->segment->fd = -1;
    image->segment->sequence = sequence;
    image->segment->named = true;
    loader->images_n++;
    err = read_file(loader, name, image);
    if (err != QK_OK)
        return err;
    if (segment_head_decode(image_bytes(image), &image->head) != QK_OK ||
        image->head.sequence != sequence || image->head.size != image->segment->size ||
        image->head.epoch > loader->files->epoch) {
        explain(loader, "raft/%s: damaged at offset 0", name);
        return QK_ERR_CORRUPT;
    }
    if (image->head.epoch == loader->files->epoch)
        return QK_OK;
    loader->images_n--;
    free(image->data);
    disk_segment_free(image->segment);
    return unlinkat(loader->files->dir_fd, name, 0) == 0 ? QK_OK : io_failed(loader, name);
}

static enum qk_err load_segments(struct loader *loader)
{
    enum qk_err err = list_segments(loader);

    if (err != QK_OK)
        return err;
    loader->images = calloc(loader->sequences_n + 1, sizeof(*loader->images));
    if (loader->images == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < loader->sequences_n && err == QK_OK; i++)
        err = load_segment(loader, loader->sequences[i]);
    for (size_t i = 1; i < loader->images_n && err == QK_OK; i++) {
        uint64_t expected = loader->images[i - 1].segment->sequence + 1;
        if (loader->images[i].segment->sequence != expected) {
            char name[DISK_NAME_BYTES];
            disk_segment_name(expected, name);
            explain(loader, "raft/%s: missing", name);
            err = QK_ERR_CORRUPT;
        }
    }
    if (loader->sequences_n > 0)
        loader->files->sequence_next = loader->sequences[loader->sequences_n - 1] + 1;
    return err;
}

/* Takes one sound record into the log. False if it cannot follow. */
static bool take_record(struct loader *loader, const struct record *record, enum qk_err *ret_err)
{
    struct entry_log *log = &loader->state->log;

    if (log->n == 0 && !loader->has_last)
        entry_log_init(log, record->index);
    if (record->index > entry_log_last(log) + 1 || record->index < log->first ||
        record->term == 0 || (loader->has_last && record->group < loader->group))
        return false;
    entry_log_truncate(log, record->index);
    *ret_err = entry_log_append(log, record->term, record->type, record->payload);
    return true;
}

/* Walks all records until something is not as it must be. */
static enum qk_err walk(struct loader *loader, size_t *ret_image, size_t *ret_at,
                        enum record_state *ret_state)
{
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < loader->images_n; i++) {
        struct segment_image *image = &loader->images[i];
        size_t at = SEGMENT_HEAD_BYTES;
        struct record record;
        enum record_state state;
        while ((state = record_decode(image_bytes(image), at, &record)) == RECORD_SOUND) {
            if (!take_record(loader, &record, &err)) {
                record.group = 0;
                state = RECORD_ABSENT; /* what came before it never got here */
                break;
            }
            if (err != QK_OK)
                return err;
            loader->group = record.group;
            loader->group_whole = (record.flags & RECORD_FLAG_LAST) != 0;
            loader->has_last = true;
            loader->last_at = at;
            loader->last_image = i;
            if (record.index > image->segment->index_max)
                image->segment->index_max = record.index;
            at += record.bytes;
        }
        loader->bad_group = state == RECORD_SOUND ? 0 : record.group;
        image->segment->used = at;
        *ret_image = i;
        *ret_at = at;
        *ret_state = state;
        if (state != RECORD_NONE)
            return QK_OK;
    }
    return QK_OK;
}

/* Removes what an interrupted group left from `at` of segment `first` on. */
static enum qk_err cut(struct loader *loader, size_t first, size_t at)
{
    struct segment_image *image = &loader->images[first];
    size_t len = image->segment->size - at;
    char name[DISK_NAME_BYTES];

    disk_segment_name(image->segment->sequence, name);
    memset(image->data + at, 0, len);
    if (disk_write_all(image->segment->fd, image->data + at, len, at) != QK_OK)
        return io_failed(loader, name);
    while (loader->images_n > first + 1) {
        struct segment_image *last = &loader->images[loader->images_n - 1];
        disk_segment_name(last->segment->sequence, name);
        if (unlinkat(loader->files->dir_fd, name, 0) != 0)
            return io_failed(loader, name);
        loader->images_n--;
        free(last->data);
        disk_segment_free(last->segment);
    }
    return fdatasync(image->segment->fd) == 0 ? QK_OK : io_failed(loader, name);
}

/* The last record that stays ends its group from now on: groups are told apart by that. */
static enum qk_err end_group(struct loader *loader)
{
    struct segment_image *image = &loader->images[loader->last_image];
    uint8_t *record = image->data + loader->last_at;

    if (!loader->has_last || loader->group_whole)
        return QK_OK;
    record_mark_last(record);
    if (disk_write_all(image->segment->fd, record, RECORD_HEAD_BYTES, loader->last_at) != QK_OK ||
        fdatasync(image->segment->fd) != 0)
        return io_failed(loader, "log");
    return QK_OK;
}

/* The group that a crash may have interrupted here: nothing of a later one can be there. */
static uint64_t interrupted_group(const struct loader *loader, size_t image, size_t at)
{
    uint64_t group = 0;

    if (loader->bad_group != 0)
        return loader->bad_group;
    if (loader->has_last)
        return loader->group_whole ? loader->group + 1 : loader->group;
    /* Nothing before to go by: the first group that can be read is taken for it. */
    for (size_t i = image; i < loader->images_n && group == 0; i++)
        group = segment_later_group(image_bytes(&loader->images[i]),
                                    i == image ? at : SEGMENT_HEAD_BYTES, 0);
    return group;
}

static enum qk_err recover(struct loader *loader)
{
    enum record_state state = RECORD_NONE;
    size_t image = 0;
    size_t at = 0;
    uint64_t interrupted;
    char name[DISK_NAME_BYTES];
    enum qk_err err = walk(loader, &image, &at, &state);

    loader->files->group_next = loader->group + 1;
    if (err != QK_OK || state == RECORD_NONE)
        return err == QK_OK ? end_group(loader) : err;
    interrupted = interrupted_group(loader, image, at);
    for (size_t i = image; i < loader->images_n && state != RECORD_DAMAGED; i++) {
        if (segment_later_group(image_bytes(&loader->images[i]),
                                i == image ? at : SEGMENT_HEAD_BYTES, interrupted) != 0)
            state = RECORD_DAMAGED;
    }
    if (state == RECORD_DAMAGED) {
        disk_segment_name(loader->images[image].segment->sequence, name);
        explain(loader, "raft/%s: damaged at offset %zu", name, at);
        return QK_ERR_CORRUPT;
    }
    err = cut(loader, image, at);
    return err == QK_OK ? end_group(loader) : err;
}

/* Log and snapshot must fit together. */
static enum qk_err check_whole(struct loader *loader)
{
    struct disk_state *state = loader->state;
    uint64_t base = state->has_snapshot ? state->snapshot.index : 0;

    if (state->log.n == 0)
        entry_log_reset(&state->log, base + 1);
    if (state->term == 0 && !state->has_snapshot && state->log.n <= 1)
        return QK_OK; /* empty, or a bootstrap that was interrupted: see disk_load */
    if (state->log.first > base + 1 || entry_log_last(&state->log) < base) {
        explain(loader, "raft/: entries %" PRIu64 " to %" PRIu64 " are missing", base + 1,
                state->log.first - 1);
        return QK_ERR_CORRUPT;
    }
    if (state->term < entry_log_term(&state->log, entry_log_last(&state->log))) {
        explain(loader, "raft/term: older than the log");
        return QK_ERR_CORRUPT;
    }
    return QK_OK;
}

/* The first entry is written before the term: without the term there was no bootstrap. */
static enum qk_err undo_bootstrap(struct loader *loader)
{
    enum qk_err err = QK_OK;

    if (loader->state->term != 0)
        return QK_OK;
    entry_log_reset(&loader->state->log, 1);
    while (loader->images_n > 0 && err == QK_OK) {
        struct segment_image *image = &loader->images[--loader->images_n];
        char name[DISK_NAME_BYTES];
        disk_segment_name(image->segment->sequence, name);
        if (unlinkat(loader->files->dir_fd, name, 0) != 0)
            err = io_failed(loader, name);
        free(image->data);
        disk_segment_free(image->segment);
    }
    loader->files->group_next = 1;
    return err;
}

static void link_segments(struct loader *loader)
{
    struct disk_files *files = loader->files;

    for (size_t i = 0; i < loader->images_n; i++) {
        struct disk_segment *segment = loader->images[i].segment;
        if (files->last == NULL)
            files->first = segment;
        else
            files->last->next = segment;
        files->last = segment;
        free(loader->images[i].data);
    }
    loader->images_n = 0;
}

enum qk_err disk_load(const char *dir, char *ret_reason, struct disk_files *ret_files,
                      struct disk_state *ret_state)
{
    struct loader loader = {.files = ret_files, .state = ret_state, .reason = ret_reason};
    enum qk_err err;

    memset(ret_files, 0, sizeof(*ret_files));
    memset(ret_state, 0, sizeof(*ret_state));
    ret_files->dir_fd = ret_files->lock_fd = -1;
    ret_files->term_file.fd = ret_files->snapshot_file.fd = -1;
    ret_files->group_next = 1;
    entry_log_init(&ret_state->log, 1);
    explain(&loader, "raft/: out of memory");
    err = open_directory(&loader, dir);
    if (err == QK_OK)
        err = load_term(&loader);
    if (err == QK_OK)
        err = load_snapshot(&loader);
    if (err == QK_OK)
        err = load_segments(&loader);
    if (err == QK_OK)
        err = recover(&loader);
    if (err == QK_OK)
        err = check_whole(&loader);
    if (err == QK_OK)
        err = undo_bootstrap(&loader);
    link_segments(&loader);
    free(loader.images);
    free(loader.sequences);
    if (err != QK_OK) {
        disk_files_close(ret_files);
        entry_log_fini(&ret_state->log);
    }
    return err;
}

void disk_files_close(struct disk_files *files)
{
    while (files->first != NULL) {
        struct disk_segment *segment = files->first;
        files->first = segment->next;
        disk_segment_free(segment);
    }
    files->last = NULL;
    ab_file_close(&files->term_file);
    ab_file_close(&files->snapshot_file);
    if (files->lock_fd >= 0)
        close(files->lock_fd);
    if (files->dir_fd >= 0)
        close(files->dir_fd);
    files->lock_fd = files->dir_fd = -1;
}
