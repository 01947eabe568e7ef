/* One unit of re-encryption: some hundred records looked at, those under old versions opened and
 * sealed again in one command. While others write it is small, and the job rests for longer than it
 * works. */
#include "service/keys/reencrypt_private.h"

#include <string.h>

#include "consensus/consensus.h"
#include "service/period.h"
#include "service/submit.h"

#define UNIT_ROWS 4000
#define UNIT_BYTES (512 * KIB)
#define UNIT_US 4000        /* of the loop, at a time */
#define UNIT_US_SHARED 1000 /* while others write */
#define RECORDS_SHARED 32
#define REST_SHARED 4  /* times as long as it worked */
#define SHARED_MS 1000 /* somebody who wrote within that time is likely to write again */
#define REST_MS_MAX 100
#define PENDING_BYTES_HIGH (16 * MIB) /* of the store: writes of others need the rest */

struct unit {
    struct reencrypt *job;
    struct wire_command command;
    size_t rows_n, records_max;
    uint64_t until_us;
    bool end; /* of the pass */
};

/* Somebody else's writes: this node has begun more commands than the job itself. */
static bool is_shared(struct reencrypt *job)
{
    uint64_t now_ms = timer_now_ms(job->service->loop);
    struct consensus_stats stats;

    consensus_stats(job->service->consensus, &stats);
    if (stats.commands_n > job->commands_before + 1 || submit_writes_n(job->service->submitter) > 0)
        job->shared_until_ms = now_ms + SHARED_MS;
    job->commands_before = stats.commands_n;
    return now_ms < job->shared_until_ms;
}

static void item_note(struct reencrypt *job, const struct reencrypt_counts *one)
{
    struct reencrypt_item *item = &job->items[job->items_n++];

    *item = (struct reencrypt_item){.version = 0};
    if (one->n == 1 && one->items[0].n == 1) {
        memcpy(item->key_id, one->items[0].key_id, KEY_ID_BYTES);
        item->version = one->items[0].version;
    }
}

/* The record as it is now: what is pending is newer than the file. */
static enum qk_err unit_seal(struct unit *unit, struct bytes key)
{
    struct service *service = unit->job->service;
    struct reencrypt_counts one = {0};
    struct record record;
    bool old = false;
    enum qk_err err = store_get(service->store, key, &record);

    if (err == QK_ERR_NOT_FOUND)
        return QK_OK;
    if (err == QK_OK)
        err = reencrypt_look(service, key, &record, 1, &one, &old);
    if (err == QK_OK && old)
        err = reencrypt_seal(service, key, &record, &unit->command);
    if (err == QK_OK && old)
        item_note(unit->job, &one);
    reencrypt_counts_fini(&one);
    return err;
}

static enum qk_err unit_row(struct unit *unit, const struct store_row *row)
{
    struct reencrypt *job = unit->job;
    bool walk = job->phase == PHASE_WALK, old = false;
    enum qk_err err;

    if (!reencrypt_concerns(row->key, row->record.flags))
        return QK_OK;
    err =
        reencrypt_look(job->service, row->key, &row->record, 1, walk ? NULL : &job->counting, &old);
    if (err == QK_OK && old) {
        job->pass_old_n++;
        if (walk)
            err = unit_seal(unit, row->key);
    }
    if (err == QK_ERR_CORRUPT || err == QK_ERR_NOT_FOUND || err == QK_ERR_UNSUPPORTED) {
        job->pass_damaged_n++;
        err = QK_OK;
    }
    return err;
}

static bool unit_is_full(const struct unit *unit)
{
    return unit->rows_n >= UNIT_ROWS || unit->job->items_n >= unit->records_max ||
           wire_command_size(&unit->command) >= UNIT_BYTES || timer_now_us() >= unit->until_us;
}

static enum qk_err unit_rows(struct unit *unit)
{
    struct reencrypt *job = unit->job;
    struct store_cursor *cursor;
    struct store_row row;
    uint8_t space[DATABASE_ID_BYTES];
    struct bytes from = bytes_of(job->next, job->next_len);
    enum qk_err err;

    record_space_id(RECORD_CATALOG, space);
    if (from.len == 0)
        from = bytes_of(space, sizeof(space));
    err = store_cursor_open(job->service->store, from, BYTES_NONE, false, &cursor);
    if (err != QK_OK)
        return err;
    while (err == QK_OK && !unit_is_full(unit)) {
        err = store_cursor_next(cursor, &row);
        if (err == QK_OK) {
            memcpy(job->next, row.key.data, row.key.len);
            job->next[row.key.len] = 0;
            job->next_len = row.key.len + 1;
            unit->rows_n++;
            err = unit_row(unit, &row);
            if (err == QK_ERR_KEY_FULL)
                job->next_len--; /* this one again */
        }
    }
    store_cursor_close(cursor);
    unit->end = err == QK_ERR_NOT_FOUND;
    return unit->end ? QK_OK : err;
}

static void rate_update(struct reencrypt *job)
{
    uint64_t now_ms = timer_now_ms(job->service->loop), ms = now_ms - job->rate_from_ms;

    if (ms < 1000)
        return;
    job->rate = (double)(job->record.done_n - job->rate_done_n) * 1000.0 / (double)ms;
    if (ms < 10000)
        return; /* a window of ten seconds */
    job->rate_from_ms = now_ms;
    job->rate_done_n = job->record.done_n;
}

/* How long to rest: several times as long as it worked, while others write, since each of their
 * writes waits for the same processors and disks; or until the store is not behind. */
static uint64_t rest_ms(struct reencrypt *job, bool shared)
{
    uint64_t ms = REST_SHARED * ((timer_now_us() - job->unit_began_us) / 1000 + 1);

    if (store_pending_bytes(job->service->store) > PENDING_BYTES_HIGH)
        return REST_MS_MAX;
    return !shared ? 0 : ms < REST_MS_MAX ? ms : REST_MS_MAX;
}

static void unit_applied(void *arg, enum qk_err err, uint64_t index, struct bytes results)
{
    struct reencrypt *job = arg;
    struct wire_result result;

    (void)index;
    job->busy = false;
    for (size_t i = 0; err == QK_OK && i < job->items_n; i++) {
        const struct reencrypt_item *item = &job->items[i];

        err = wire_result_get(results, i, &result);
        if (err != QK_OK || !result.ok)
            continue; /* a foreground write was quicker: it is sealed under the active version */
        job->record.done_n++;
        if (item->version != 0)
            err = reencrypt_counts_add(&job->counts, item->key_id, item->version, -1);
    }
    job->items_n = 0;
    if (err != QK_OK || !reencrypt_may_work(job)) {
        reencrypt_idle(job);
        return;
    }
    rate_update(job);
    reencrypt_go_on(job, rest_ms(job, is_shared(job)));
}

static enum qk_err unit_submit(struct unit *unit)
{
    struct reencrypt *job = unit->job;
    struct bytes bytes;
    enum qk_err err = wire_command_end(&unit->command, &bytes);

    if (err == QK_OK)
        err = consensus_submit(job->service->consensus, bytes, unit_applied, job);
    job->busy = err == QK_OK;
    return err;
}

static void unit_rotated(void *arg, enum qk_err err)
{
    struct reencrypt *job = arg;

    job->busy = false;
    if (err != QK_OK || !reencrypt_may_work(job))
        reencrypt_idle(job);
    else
        reencrypt_go_on(job, 0);
}

/* The version under which it seals has no room for another body. */
static enum qk_err unit_wait(struct unit *unit)
{
    struct reencrypt *job = unit->job;
    enum qk_err err;

    job->busy = true;
    err = period_wait(job->service, unit_rotated, job);
    if (err != QK_OK)
        job->busy = false;
    return err;
}

/* Work was done; a pass that came to its end goes over at the next tick, once the command is
 * applied. */
void reencrypt_unit_run(struct reencrypt *job)
{
    bool shared = is_shared(job);
    struct unit unit = {.job = job,
                        .records_max = shared ? RECORDS_SHARED : REENCRYPT_UNIT_RECORDS};
    enum qk_err err;

    job->items_n = 0;
    job->unit_began_us = timer_now_us();
    unit.until_us = job->unit_began_us + (shared ? UNIT_US_SHARED : UNIT_US);
    wire_command_begin(&unit.command, WIRE_WRITE);
    period_begin(job->service);
    secret_scope_begin();
    err = unit_rows(&unit);
    secret_scope_end();
    if ((err == QK_OK || err == QK_ERR_KEY_FULL) && job->items_n > 0)
        err = unit_submit(&unit);
    else if (err == QK_ERR_KEY_FULL)
        err = unit_wait(&unit);
    wire_command_fini(&unit.command);
    if (err != QK_OK)
        reencrypt_idle(job);
    else if (!job->busy && unit.end)
        reencrypt_pass_ended(job);
    else if (!job->busy)
        reencrypt_go_on(job, rest_ms(job, shared));
}
