/* IDLE --timer--> settled in this term? --> flush --> walk the databases' records, some a turn
 *  ^                                                    |  ^
 *  |                            one that is nobody's: flush |
 *  |                                                    v  |
 *  +---- end of the walk            a command deletes some of its chunks, or the last of them and
 *                                   the record */
#include "service/documents/unnamed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "service/catalog.h"
#include "service/keys_current.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/timer_uv.h"
#include "service/unnamed_record.h"
#include "store/store.h"

#define TICK_MS 1000u
#define WHOLE_MS 60000u /* a look at everything, for whatever was missed */
/* An edit says that a content will be unnamed before it is so, and may be slow: it is looked for
 * after one, two, four ... seconds. */
#define LOOKS 5
#define READ_MS 5000u
#define DATABASES_TURN 64 /* looked at in one turn of the loop */
/* Apply reads each record that it deletes: this much a command, as of an upload's. */
#define CHUNKS_COMMAND 16

struct unnamed {
    struct service *service;
    struct timer *timer;
    struct unnamed_active *active;
    bool stopped;
    unsigned looks;   /* still to come before the long wait */
    bool again;       /* something came up during the walk */
    uint64_t term;    /* settled in; 0: none */
    uint64_t next_ms; /* of the next walk */
    /* The walk. */
    bool walking;
    uint8_t (*databases)[DATABASE_ID_BYTES];
    size_t databases_n, at;
    struct record_key from; /* in that database, where to go on */
    /* The content under way. */
    uint8_t database[DATABASE_ID_BYTES], id[ATTACHMENT_ID_BYTES];
    bool whole;   /* the command takes the last of it */
    bool applied; /* it is */
    struct unnamed_figures figures;
};

/* --- the registry ---------------------------------------------------------------------------- */

static bool is_active(const struct unnamed *unnamed, const uint8_t *id)
{
    const struct unnamed_active *active = unnamed->active;

    while (active != NULL && memcmp(active->id, id, ATTACHMENT_ID_BYTES) != 0)
        active = active->next;
    return active != NULL;
}

void unnamed_soon(struct unnamed *unnamed)
{
    if (unnamed == NULL)
        return;
    unnamed->looks = LOOKS;
    unnamed->next_ms = 0;
    unnamed->again = true;
}

void unnamed_written(struct unnamed *unnamed, uint64_t bytes)
{
    if (unnamed != NULL)
        unnamed->figures.written_bytes += bytes;
}

void unnamed_begin(struct unnamed *unnamed, struct unnamed_active *active)
{
    assert(unnamed != NULL);

    active->next = unnamed->active;
    unnamed->active = active;
    unnamed->figures.active_n++;
}

void unnamed_end(struct unnamed *unnamed, struct unnamed_active *active)
{
    struct unnamed_active **at;

    if (unnamed == NULL) /* the node has ended */
        return;
    at = &unnamed->active;
    while (*at != active)
        at = &(*at)->next;
    *at = active->next;
    unnamed->figures.active_n--;
    unnamed_soon(unnamed);
}

void unnamed_figures(const struct unnamed *unnamed, struct unnamed_figures *ret_figures)
{
    *ret_figures = unnamed->figures;
}

/* --- who may --------------------------------------------------------------------------------- */

static bool may_work(const struct unnamed *unnamed)
{
    const struct service *service = unnamed->service;

    return !unnamed->stopped && service->consensus != NULL && service->store != NULL &&
           service_is_open(service) && keys_are_current(service) &&
           consensus_role(service->consensus) == CONSENSUS_LEADER;
}

static void rest(struct unnamed *unnamed)
{
    if (!unnamed->stopped)
        timer_start(unnamed->timer, TICK_MS);
}

static void walk_end(struct unnamed *unnamed, bool done)
{
    free(unnamed->databases);
    unnamed->databases = NULL;
    unnamed->walking = false;
    if (done && unnamed->looks > 0)
        unnamed->looks--;
    if (!done || unnamed->again)
        unnamed->next_ms = 0;
    else
        unnamed->next_ms = timer_now_ms(unnamed->service->loop) +
                           (unnamed->looks > 0 ? TICK_MS << (LOOKS - unnamed->looks) : WHOLE_MS);
    rest(unnamed);
}

static void settled(void *arg, enum qk_err err, uint64_t index)
{
    struct unnamed *unnamed = arg;

    (void)index;
    if (err == QK_OK && may_work(unnamed)) {
        unnamed->term = consensus_term(unnamed->service->consensus);
        unnamed_soon(unnamed); /* what the leader before left behind */
    }
    rest(unnamed);
}

/* --- one content ----------------------------------------------------------------------------- */

static void say_damaged(struct unnamed *unnamed)
{
    char database[2 * DATABASE_ID_BYTES + 1], id[2 * ATTACHMENT_ID_BYTES + 1];

    hex_encode(unnamed->database, DATABASE_ID_BYTES, database);
    hex_encode(unnamed->id, ATTACHMENT_ID_BYTES, id);
    unnamed->figures.damaged_n++;
    log_error("attachment",
              "store.mdb: the record of unnamed content %s in database %s does not authenticate; "
              "its chunks stay",
              id, database);
}

/* Whether a leaf of the one document that may names the content. */
static enum qk_err is_named(struct unnamed *unnamed, struct bytes name, bool *ret_named)
{
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    enum qk_err err = stored_get(unnamed->service, unnamed->database, name, &stored);

    *ret_named = false;
    for (unsigned i = 0; err == QK_OK && i < stored.record.leaves_n; i++) {
        struct bytes ids = stored.record.leaves[i].attachments;

        for (size_t at = 0; at + ATTACHMENT_ID_BYTES <= ids.len; at += ATTACHMENT_ID_BYTES)
            if (memcmp(ids.data + at, unnamed->id, ATTACHMENT_ID_BYTES) == 0)
                *ret_named = true;
    }
    stored_fini(&stored);
    return err;
}

/* Into the open batch: the end of the first chunks that the file has. */
static enum qk_err delete_chunks(struct unnamed *unnamed, struct wire_command *command)
{
    struct record_key prefix = record_attachment(unnamed->database, unnamed->id);
    struct store_cursor *cursor;
    struct store_row row;
    unsigned n = 0;
    enum qk_err err = store_cursor_open_prefix(unnamed->service->store, record_key_bytes(&prefix),
                                               false, &cursor);

    if (err != QK_OK)
        return err;
    while (n < CHUNKS_COMMAND && (err = store_cursor_next(cursor, &row)) == QK_OK) {
        wire_command_delete(command, row.key);
        n++;
    }
    store_cursor_close(cursor);
    unnamed->whole = err == QK_ERR_NOT_FOUND;
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static enum qk_err content_evaluate(void *arg, struct wire_command *command)
{
    struct unnamed *unnamed = arg;
    struct record_key key = record_unnamed(unnamed->database, unnamed->id);
    struct record record;
    struct bytes name;
    bool named;
    enum qk_err err;

    if (unnamed->applied)
        return QK_OK;
    err = store_get(unnamed->service->store, record_key_bytes(&key), &record);

    unnamed->whole = true; /* a record without chunks, or one that a leaf names */
    if (err == QK_ERR_NOT_FOUND || is_active(unnamed, unnamed->id))
        return QK_OK;
    if (err == QK_OK)
        err = unnamed_record_decode(unnamed->service, unnamed->database, unnamed->id, record.value,
                                    &name);
    if (err == QK_OK)
        err = is_named(unnamed, name, &named);
    if (err == QK_ERR_CORRUPT) {
        say_damaged(unnamed);
        return QK_OK;
    }
    if (err != QK_OK)
        return err;
    wire_command_batch(command);
    wire_command_cond(command, record_key_bytes(&key), record.version);
    if (!named)
        err = delete_chunks(unnamed, command);
    if (unnamed->whole)
        wire_command_delete(command, record_key_bytes(&key));
    return err;
}

static void content_result(void *arg, size_t at, const struct wire_result *result)
{
    struct unnamed *unnamed = arg;

    (void)at;
    unnamed->applied = result->ok;
    if (result->ok && unnamed->whole)
        unnamed->figures.removed_n++;
}

static void walk(struct unnamed *unnamed);

/* What is read of the file is as of now at least. */
static void flushed(void *arg, enum qk_err err)
{
    struct unnamed *unnamed = arg;

    if (err == QK_OK && may_work(unnamed))
        walk(unnamed);
    else
        walk_end(unnamed, false);
}

/* One that has chunks left comes again; one that nothing could be done about does not. */
static void content_done(void *arg, enum qk_err err)
{
    struct unnamed *unnamed = arg;

    if (!unnamed->applied || unnamed->whole)
        unnamed->from = record_unnamed(unnamed->database, unnamed->id);
    if (err != QK_OK || !may_work(unnamed))
        walk_end(unnamed, false);
    else
        walk(unnamed);
}

static const struct submit_ops content_ops = {content_evaluate, content_result, content_done};

/* --- the walk -------------------------------------------------------------------------------- */

static bool walk_add(void *arg, const struct catalog_database *database)
{
    struct unnamed *unnamed = arg;

    memcpy(unnamed->databases[unnamed->databases_n++], database->id, DATABASE_ID_BYTES);
    return true;
}

static void walk_begin(struct unnamed *unnamed)
{
    const struct catalog *catalog = unnamed->service->catalog;

    unnamed->databases = calloc(catalog_databases_n(catalog) + 1, sizeof(*unnamed->databases));
    if (unnamed->databases == NULL) {
        rest(unnamed);
        return;
    }
    unnamed->databases_n = unnamed->at = 0;
    unnamed->from.len = 0;
    unnamed->walking = true;
    unnamed->again = false;
    catalog_databases_each(catalog, walk_add, unnamed);
    store_flush(unnamed->service->store, flushed, unnamed);
}

/* The next record of the present database that is nobody's; QK_ERR_NOT_FOUND: there is none. */
static enum qk_err find_next(struct unnamed *unnamed)
{
    struct record_key prefix = record_unnamed_prefix(unnamed->databases[unnamed->at]);
    struct bytes behind = record_key_bytes(&unnamed->from);
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err = store_cursor_open_prefix(unnamed->service->store, record_key_bytes(&prefix),
                                               false, &cursor);

    if (err != QK_OK)
        return err;
    while ((err = store_cursor_next(cursor, &row)) == QK_OK) {
        if (bytes_compare(row.key, behind) > 0 && record_key_unnamed(row.key, unnamed->id) &&
            !is_active(unnamed, unnamed->id))
            break;
    }
    store_cursor_close(cursor);
    memcpy(unnamed->database, unnamed->databases[unnamed->at], DATABASE_ID_BYTES);
    return err;
}

static void content_begin(struct unnamed *unnamed)
{
    struct record_key key = record_unnamed(unnamed->database, unnamed->id);
    struct bytes view = record_key_bytes(&key);
    enum qk_err err;

    unnamed->whole = unnamed->applied = false;
    err = submit_start(unnamed->service, &view, 1, &content_ops, unnamed);
    if (err != QK_OK)
        walk_end(unnamed, false);
}

/* The chunks are looked for in the file, and all of them must be there. The upload may have ended
 * after the flush that the walk began with: hence one of its own, now that no more can come. */
static void content_flushed(void *arg, enum qk_err err)
{
    struct unnamed *unnamed = arg;

    if (err == QK_OK && may_work(unnamed))
        content_begin(unnamed);
    else
        walk_end(unnamed, false);
}

static void walk(struct unnamed *unnamed)
{
    for (unsigned n = 0; n < DATABASES_TURN && unnamed->at < unnamed->databases_n; n++) {
        enum qk_err err = find_next(unnamed);

        if (err == QK_OK) {
            store_flush(unnamed->service->store, content_flushed, unnamed);
            return;
        }
        if (err != QK_ERR_NOT_FOUND) {
            walk_end(unnamed, false);
            return;
        }
        unnamed->at++;
        unnamed->from.len = 0;
    }
    if (unnamed->at < unnamed->databases_n)
        timer_start(unnamed->timer, 1);
    else
        walk_end(unnamed, true);
}

/* --- the tick -------------------------------------------------------------------------------- */

static void tick(void *arg)
{
    struct unnamed *unnamed = arg;
    struct service *service = unnamed->service;

    if (unnamed->stopped)
        return;
    if (!may_work(unnamed)) {
        unnamed->term = 0;
        walk_end(unnamed, false);
    } else if (unnamed->walking) {
        walk(unnamed);
    } else if (unnamed->term != consensus_term(service->consensus)) {
        if (consensus_read(service->consensus, READ_MS, settled, unnamed) != QK_OK)
            rest(unnamed);
    } else if (timer_now_ms(service->loop) >= unnamed->next_ms) {
        walk_begin(unnamed);
    } else {
        rest(unnamed);
    }
}

enum qk_err unnamed_new(struct service *service, struct unnamed **ret_unnamed)
{
    struct unnamed *unnamed = calloc(1, sizeof(*unnamed));
    enum qk_err err;

    if (unnamed == NULL)
        return QK_ERR_NOMEM;
    unnamed->service = service;
    err = timer_new(service->loop, tick, unnamed, &unnamed->timer);
    if (err != QK_OK) {
        free(unnamed);
        return err;
    }
    timer_start(unnamed->timer, TICK_MS);
    *ret_unnamed = unnamed;
    return QK_OK;
}

void unnamed_stop(struct unnamed *unnamed)
{
    if (unnamed == NULL)
        return;
    unnamed->stopped = true;
    timer_stop(unnamed->timer);
}

static void unnamed_gone(void *arg)
{
    free(arg);
}

void unnamed_free(struct unnamed *unnamed)
{
    if (unnamed == NULL)
        return;
    unnamed_stop(unnamed);
    free(unnamed->databases);
    timer_free(unnamed->timer, unnamed_gone, unnamed);
}
