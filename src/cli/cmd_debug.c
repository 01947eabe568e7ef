/* debug store, debug log: what a stopped node has on its disk, read from a copy. Heads of records
 * and entries always; bodies only with enough recovery shares, or by a majority that is open. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/making.h"
#include "cli/number.h"
#include "consensus/offline.h"
#include "doc/json.h"
#include "keys/keyring.h"
#include "service/keys/debug_record.h"
#include "wire/command.h"
#include "wire/records.h"

struct debug {
    struct cli *cli;
    const char *dir;
    char temp[PATH_MAX];
    int lock_fd;
    bool has_temp, has_arena;
    struct offline_store *store;
    struct old_cluster old;
    struct service *keys; /* NULL: heads only */
    enum cli_exit live;   /* of the last request with --live: it has said what was wrong */
    uint64_t start, limit, shown;
    struct buf line;
    struct buf message;
};

static enum cli_exit debug_say(struct debug *debug, enum qk_err err)
{
    if (debug->live != CLI_OK)
        return debug->live;
    if (debug->message.len == 0)
        buf_put_str(&debug->message, qk_err_text(err));
    return cli_fail(CLI_ERROR, "%.*s", (int)debug->message.len, (const char *)debug->message.data);
}

/* --- beginning and end ----------------------------------------------------------------------- */

static enum cli_exit parse_number(const char *option, const char *text, uint64_t otherwise,
                                  uint64_t *ret_value)
{
    *ret_value = otherwise;
    if (text == NULL || number_parse(text, INT64_MAX, ret_value) == QK_OK)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: '%s' is not a number", option, text);
}

static enum cli_exit temp_make(struct debug *debug)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(debug->temp, sizeof debug->temp, "%s/quorumkeep-debug-XXXXXX",
                   base == NULL ? "/tmp" : base);
    debug->has_temp = mkdtemp(debug->temp) != NULL;
    if (debug->has_temp)
        return CLI_OK;
    return cli_fail(CLI_ERROR, "'%s' could not be made: TMPDIR names another place", debug->temp);
}

static enum cli_exit debug_begin(struct debug *debug, struct cli *cli)
{
    enum cli_exit code;

    memset(debug, 0, sizeof *debug);
    debug->cli = cli;
    debug->lock_fd = -1;
    debug->line = BUF_SECRET_INIT(2 * RECORD_VALUE_BYTES_MAX);
    debug->message = BUF_INIT(8192);
    debug->dir = cli->options.data != NULL ? cli->options.data : getenv("QUORUMKEEP_DATA");
    if (debug->dir == NULL)
        return cli_fail(CLI_USAGE, "--data DIR names the data directory of a stopped node");
    code = parse_number("--start", cli->options.start, 0, &debug->start);
    if (code == CLI_OK)
        code = parse_number("--limit", cli->options.limit, UINT64_MAX, &debug->limit);
    if (code == CLI_OK)
        code = making_lock(debug->dir, &debug->lock_fd);
    return code == CLI_OK ? temp_make(debug) : code;
}

static void debug_end(struct debug *debug)
{
    if (debug->keys != NULL)
        keyring_close(debug->keys->keyring);
    free(debug->keys);
    if (offline_store_close(debug->store) != QK_OK)
        (void)cli_fail(CLI_ERROR, "the copy of the store could not be closed");
    if (debug->has_temp && new_dir_remove(debug->temp) != QK_OK)
        (void)cli_fail(CLI_ERROR, "'%s' could not be removed", debug->temp);
    if (debug->lock_fd >= 0)
        (void)close(debug->lock_fd);
    buf_fini(&debug->line);
    buf_fini(&debug->message);
    if (debug->has_arena)
        secret_arena_fini();
}

static enum cli_exit store_take(struct debug *debug)
{
    char from[PATH_MAX], path[PATH_MAX + 16];
    enum qk_err err;

    (void)snprintf(from, sizeof from, "%s/store.mdb", debug->dir);
    (void)snprintf(path, sizeof path, "%s/store.mdb", debug->temp);
    err = new_dir_copy(from, path, &debug->message);
    if (err == QK_OK)
        err = offline_store_open(path, &debug->store, &debug->message);
    return err == QK_OK ? CLI_OK : debug_say(debug, err);
}

/* Enough recovery shares open the keyring; nothing of it is printed. With --live there is none
 * here. */
static enum cli_exit keys_open(struct debug *debug)
{
    struct secret *mk = NULL;
    enum cli_exit code;
    enum qk_err err;

    if (debug->cli->options.recovery && debug->cli->options.live)
        return cli_fail(CLI_USAGE, "--recovery or --live, not both");
    if (debug->cli->options.live)
        return cli_connect(debug->cli);
    if (!debug->cli->options.recovery)
        return CLI_OK;
    code = making_harden();
    if (code != CLI_OK)
        return code;
    debug->has_arena = true;
    err = old_cluster_read(offline_store(debug->store), &debug->old, &debug->message);
    if (err != QK_OK)
        return debug_say(debug, err);
    code = making_shares(debug->cli, &debug->old.recovery, debug->old.info.id, &mk);
    if (code != CLI_OK)
        return code;
    debug->keys = calloc(1, sizeof *debug->keys);
    err = debug->keys == NULL ? QK_ERR_NOMEM
                              : old_cluster_keyring(offline_store(debug->store), &debug->old, mk,
                                                    &debug->keys->keyring);
    secret_free(mk);
    if (err != QK_OK)
        return debug_say(debug, err);
    memcpy(debug->keys->origin_id, system_cluster_origin(&debug->old.info), CLUSTER_ID_BYTES);
    return CLI_OK;
}

/* --- printing -------------------------------------------------------------------------------- */

static void line_print(struct debug *debug)
{
    (void)fwrite(debug->line.data, 1, debug->line.len, stdout);
    (void)fputc('\n', stdout);
    buf_reset(&debug->line);
    debug->shown++;
}

static json_t *live_body(const struct debug_record *record)
{
    struct buf key = BUF_INIT(2 * RECORD_KEY_BYTES_MAX);
    struct buf value = BUF_INIT(2 * RECORD_VALUE_BYTES_MAX);
    json_t *body = NULL;

    base64_encode(record->key, &key);
    base64_encode(record->value, &value);
    if (buf_error(&key) == QK_OK && buf_error(&value) == QK_OK)
        body = json_pack("{s:s%, s:s%, s:I, s:i}", "key", (const char *)key.data, key.len, "value",
                         (const char *)value.data, value.len, "version",
                         (json_int_t)record->version, "flags", record->flags);
    buf_fini(&key);
    buf_fini(&value);
    return body;
}

/* What the cluster says of the record, without the braces: `,"revision":...,"body":{...}`. */
static enum qk_err live_put(struct debug *debug, const struct debug_record *record)
{
    struct buf target = BUF_INIT(64);
    struct buf text = BUF_SECRET_INIT(2 * RECORD_VALUE_BYTES_MAX);
    json_t *reply = NULL, *body = live_body(record);
    enum qk_err err = body == NULL ? QK_ERR_NOMEM : QK_OK;

    buf_put_str(&target, "/_quorumkeep/debug/open");
    if (err == QK_OK) {
        debug->live = cli_request(debug->cli, "POST", &target, body, &reply);
        err = debug->live == CLI_OK ? QK_OK : QK_ERR_DENIED;
    }
    if (err == QK_OK && json_object_size(reply) > 1) {
        json_object_del(reply, "ok");
        err = json_write(reply, &text);
        buf_put_u8(&debug->line, ',');
        if (err == QK_OK)
            buf_put_bytes(&debug->line, bytes_slice(buf_bytes(&text), 1, text.len - 2));
    }
    json_decref(reply);
    buf_fini(&text);
    buf_fini(&target);
    return err;
}

/* Its head, and what is in it, if anybody opens that. */
static enum qk_err record_put(struct debug *debug, const struct debug_record *record, bool opened)
{
    enum record_space space;
    bool system = record_key_space(record->key, &space);
    bool has_body = (record->flags & WIRE_DOC) != 0 || (system && space == RECORD_CATALOG);
    enum qk_err err = debug_record_put(opened ? debug->keys : NULL, record, &debug->line);

    if (err == QK_OK && opened && has_body && debug->cli->options.live)
        err = live_put(debug, record);
    return err;
}

static enum qk_err record_print(struct debug *debug, const struct store_row *row)
{
    struct debug_record record = {.key = row->key,
                                  .version = row->record.version,
                                  .seq = row->record.seq,
                                  .stamp = row->record.stamp,
                                  .flags = row->record.flags,
                                  .value = row->record.value};
    enum qk_err err;

    buf_put_str(&debug->line, "{");
    err = record_put(debug, &record, true);
    buf_put_str(&debug->line, "}");
    if (err == QK_OK)
        line_print(debug);
    return err;
}

static enum cli_exit store_print(struct debug *debug)
{
    struct store *store = offline_store(debug->store);
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err = store_cursor_open(store, BYTES_NONE, BYTES_NONE, false, &cursor);

    if (err != QK_OK)
        return debug_say(debug, err);
    printf("{\"index\":%" PRIu64 ",\"term\":%" PRIu64 ",\"writes\":%" PRIu64 "}\n",
           store_applied(store), store_applied_term(store), store_stamp(store));
    while (err == QK_OK && debug->shown < debug->limit) {
        err = store_cursor_next(cursor, &row);
        if (err == QK_OK)
            err = record_print(debug, &row);
    }
    store_cursor_close(cursor);
    if (err == QK_ERR_CORRUPT)
        buf_put_str(&debug->message, store_error(store));
    return err == QK_OK || err == QK_ERR_NOT_FOUND ? CLI_OK : debug_say(debug, err);
}

enum cli_exit cli_debug_store(struct cli *cli)
{
    struct debug debug;
    enum cli_exit code = debug_begin(&debug, cli);

    if (code == CLI_OK)
        code = store_take(&debug);
    if (code == CLI_OK)
        code = keys_open(&debug);
    if (code == CLI_OK)
        code = store_print(&debug);
    debug_end(&debug);
    return code;
}

/* --- the log --------------------------------------------------------------------------------- */

static const char *kind_text(enum wire_kind kind)
{
    static const char *const kinds[] = {[WIRE_WRITE] = "write",
                                        [WIRE_DEAL] = "deal",
                                        [WIRE_DEAL_FINAL] = "deal_final",
                                        [WIRE_MEMBER] = "member",
                                        [WIRE_TOKEN] = "token",
                                        [WIRE_KEYRING] = "keyring",
                                        [WIRE_HOLD] = "hold",
                                        [WIRE_TICK] = "tick",
                                        [WIRE_AUDIT] = "audit",
                                        [WIRE_DEAL_BEGIN] = "deal_begin"};

    return (size_t)kind < sizeof kinds / sizeof kinds[0] && kinds[kind] != NULL ? kinds[kind] : "?";
}

static void head_print(void *arg, const struct consensus_list_head *head)
{
    (void)arg;
    printf("{\"term\":%" PRIu64 ",\"vote\":%" PRIu64 ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
           ",\"snapshot_index\":%" PRIu64 ",\"snapshot_term\":%" PRIu64 "}\n",
           head->term, head->vote, head->first, head->last, head->snapshot_index,
           head->snapshot_term);
}

static enum qk_err put_op(struct debug *debug, const struct wire_op *op)
{
    static const char *const types[] = {
        [WIRE_PUT] = "put", [WIRE_DELETE] = "delete", [WIRE_DELETE_RANGE] = "delete_range"};
    struct debug_record record = {
        .key = op->key, .version = op->version, .flags = op->flags, .value = op->value};

    buf_printf(&debug->line, "{\"op\":\"%s\",", types[op->type]);
    enum qk_err err;

    err = record_put(debug, &record, op->type == WIRE_PUT);
    buf_put_str(&debug->line, "}");
    return err;
}

static enum qk_err put_command(struct debug *debug, struct bytes command)
{
    struct wire_reader reader;
    struct wire_op op;
    const char *comma = "";
    uint32_t conds_n = 0;
    struct wire_cond cond;
    enum qk_err err = wire_reader_open(command, &reader);

    if (err != QK_OK) { /* applied as nothing, everywhere */
        buf_printf(&debug->line, ",\"malformed\":%zu", command.len);
        return QK_OK;
    }
    buf_printf(&debug->line, ",\"kind\":\"%s\",\"bytes\":%zu,\"ops\":[", kind_text(reader.kind),
               command.len);
    while (err == QK_OK && wire_reader_batch(&reader)) {
        while (wire_reader_cond(&reader, &cond))
            conds_n++;
        for (; err == QK_OK && wire_reader_op(&reader, &op); comma = ",") {
            buf_put_str(&debug->line, comma);
            err = put_op(debug, &op);
        }
    }
    buf_printf(&debug->line, "],\"conditions\":%" PRIu32, conds_n);
    return err == QK_OK ? buf_error(&debug->line) : err;
}

static enum qk_err entry_print(void *arg, const struct consensus_listed *entry)
{
    static const char *const types[] = {[CONSENSUS_COMMAND] = "command",
                                        [CONSENSUS_BARRIER] = "barrier",
                                        [CONSENSUS_CONFIGURATION] = "configuration"};
    struct debug *debug = arg;
    enum qk_err err = QK_OK;

    if (debug->shown >= debug->limit)
        return QK_ERR_NOT_FOUND; /* enough */
    buf_printf(&debug->line, "{\"index\":%" PRIu64 ",\"term\":%" PRIu64 ",\"entry\":\"%s\"",
               entry->index, entry->term, types[entry->type]);
    if (entry->type == CONSENSUS_COMMAND && entry->command.len > 0)
        err = put_command(debug, entry->command);
    buf_put_str(&debug->line, "}");
    if (err == QK_OK)
        line_print(debug);
    return err;
}

static enum cli_exit log_print(struct debug *debug)
{
    char from[PATH_MAX], path[PATH_MAX + 16], reason[OFFLINE_REASON_BYTES] = "";
    enum qk_err err;

    (void)snprintf(from, sizeof from, "%s/raft", debug->dir);
    (void)snprintf(path, sizeof path, "%s/raft", debug->temp);
    err = new_dir_copy_all(from, path, "lock", &debug->message);
    if (err != QK_OK)
        return debug_say(debug, err);
    err = consensus_list(path, debug->start, head_print, entry_print, debug, reason);
    if (reason[0] != '\0')
        buf_printf(&debug->message, "'%s': %s", debug->dir, reason);
    err = err == QK_ERR_NOT_FOUND ? QK_OK : err;
    if (new_dir_remove(path) != QK_OK && err == QK_OK)
        err = QK_ERR_IO;
    return err == QK_OK ? CLI_OK : debug_say(debug, err);
}

/* The store is only needed for the keys. */
enum cli_exit cli_debug_log(struct cli *cli)
{
    struct debug debug;
    enum cli_exit code = debug_begin(&debug, cli);

    if (code == CLI_OK && cli->options.recovery)
        code = store_take(&debug);
    if (code == CLI_OK)
        code = keys_open(&debug);
    if (code == CLI_OK)
        code = log_print(&debug);
    debug_end(&debug);
    return code;
}
