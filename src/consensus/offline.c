#include "consensus/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consensus/apply.h"
#include "consensus/disk_private.h"

_Static_assert(OFFLINE_REASON_BYTES == DISK_REASON_BYTES, "one size of reasons");

static enum qk_err write_snapshot(struct disk_files *files, uint64_t id, const char *address,
                                  uint64_t index, uint64_t term)
{
    struct snapshot snapshot = {.index = index, .term = term, .members_index = index};
    struct buf token = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    struct buf content = BUF_INIT(AB_CONTENT_BYTES_MAX);
    enum qk_err err = members_add(&snapshot.members, id, bytes_str(address), true);

    if (err == QK_OK) {
        snapshot_encode(&snapshot, &token);
        disk_snapshot_encode(files->epoch, buf_bytes(&token), &content);
        err = buf_error(&token) != QK_OK ? buf_error(&token) : buf_error(&content);
    }
    if (err == QK_OK)
        err = ab_file_write(&files->snapshot_file, buf_bytes(&content));
    buf_fini(&token);
    buf_fini(&content);
    return err;
}

static enum qk_err write_term(struct disk_files *files, uint64_t term)
{
    uint8_t content[16] = {0}; /* term, and no vote */

    put_u64(content, term);
    return ab_file_write(&files->term_file, bytes_of(content, sizeof content));
}

enum qk_err consensus_found(const char *dir, uint64_t id, const char *address, uint64_t index,
                            uint64_t term, char *ret_reason)
{
    struct disk_files files;
    struct disk_state state;
    enum qk_err err = disk_load(dir, ret_reason, &files, &state);

    if (err != QK_OK)
        return err;
    snprintf(ret_reason, OFFLINE_REASON_BYTES, "raft/: could not be written");
    if (state.term != 0 || state.has_snapshot || state.log.n > 0)
        err = QK_ERR_EXISTS;
    /* The snapshot first: without a term it is a log that nobody has voted in. */
    if (err == QK_OK)
        err = write_snapshot(&files, id, address, index, term);
    if (err == QK_OK)
        err = write_term(&files, term);
    if (err == QK_OK && fsync(files.dir_fd) != 0)
        err = QK_ERR_IO;
    disk_files_close(&files);
    entry_log_fini(&state.log);
    return err;
}

static enum qk_err replay_entry(const struct log_entry *entry, uint64_t index,
                                consensus_replay_cb cb, void *arg)
{
    struct apply_cursor cursor;
    struct bytes command;
    enum qk_err err = QK_OK;
    bool last;

    if (entry->type != RAFT_COMMAND)
        return cb(arg, index, entry->term, true, BYTES_NONE);
    if (apply_cursor_open(bytes_of(entry->data, entry->len), &cursor) != QK_OK)
        return QK_ERR_CORRUPT;
    while (err == QK_OK && apply_cursor_next(&cursor, &command, &last))
        err = cb(arg, index, entry->term, last, command);
    return err;
}

enum qk_err consensus_replay(const char *dir, uint64_t after, consensus_replay_cb cb, void *arg,
                             uint64_t *ret_last, char *ret_reason)
{
    struct disk_files files;
    struct disk_state state;
    uint64_t last;
    enum qk_err err = disk_load(dir, ret_reason, &files, &state);

    if (err != QK_OK)
        return err;
    last = entry_log_last(&state.log);
    if (state.log.first > after + 1) {
        snprintf(ret_reason, OFFLINE_REASON_BYTES,
                 "raft/: the log begins at %" PRIu64 ", behind the store's %" PRIu64,
                 state.log.first, after);
        err = QK_ERR_NOT_FOUND;
    }
    for (uint64_t index = after + 1; err == QK_OK && index <= last; index++) {
        err = replay_entry(entry_log_get(&state.log, index), index, cb, arg);
        if (err != QK_OK)
            snprintf(ret_reason, OFFLINE_REASON_BYTES, "raft/: entry %" PRIu64 ": %s", index,
                     qk_err_text(err));
    }
    disk_files_close(&files);
    entry_log_fini(&state.log);
    *ret_last = last;
    return err;
}

static enum qk_err list_entry(const struct log_entry *from, uint64_t index,
                              enum qk_err (*entry)(void *arg, const struct consensus_listed *entry),
                              void *arg)
{
    struct consensus_listed listed = {
        .index = index, .term = from->term, .type = CONSENSUS_BARRIER};
    struct apply_cursor cursor;
    enum qk_err err = QK_OK;
    bool last;

    if (from->type == RAFT_CHANGE)
        listed.type = CONSENSUS_CONFIGURATION;
    if (from->type != RAFT_COMMAND)
        return entry(arg, &listed);
    listed.type = CONSENSUS_COMMAND;
    if (apply_cursor_open(bytes_of(from->data, from->len), &cursor) != QK_OK)
        return QK_ERR_CORRUPT;
    while (err == QK_OK && apply_cursor_next(&cursor, &listed.command, &last))
        err = entry(arg, &listed);
    return err;
}

enum qk_err consensus_list(const char *dir, uint64_t from,
                           void (*head)(void *arg, const struct consensus_list_head *head),
                           enum qk_err (*entry)(void *arg, const struct consensus_listed *entry),
                           void *arg, char *ret_reason)
{
    struct consensus_list_head facts = {0};
    struct disk_files files;
    struct disk_state state;
    enum qk_err err = disk_load(dir, ret_reason, &files, &state);

    if (err != QK_OK)
        return err;
    facts.term = state.term;
    facts.vote = state.vote;
    facts.snapshot_index = state.has_snapshot ? state.snapshot.index : 0;
    facts.snapshot_term = state.has_snapshot ? state.snapshot.term : 0;
    facts.first = state.log.first;
    facts.last = entry_log_last(&state.log);
    head(arg, &facts);
    for (uint64_t i = from > facts.first ? from : facts.first; err == QK_OK && i <= facts.last;
         i++) {
        err = list_entry(entry_log_get(&state.log, i), i, entry, arg);
        if (err == QK_ERR_CORRUPT)
            snprintf(ret_reason, OFFLINE_REASON_BYTES, "raft/: entry %" PRIu64 " is damaged", i);
    }
    disk_files_close(&files);
    entry_log_fini(&state.log);
    return err;
}
