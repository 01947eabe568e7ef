/* One unit of re-encryption: some hundred records looked at, those under old versions opened and
 * sealed again in one command. Several commands are under way at a time, or one while others write:
 * reencrypt_pace.c. */
#include "service/keys/reencrypt_private.h"

#include <string.h>

#include "consensus/consensus.h"
#include "service/period.h"
#include "service/submit.h"

#define UNIT_ROWS 4000
#define UNIT_BYTES (512 * KIB)

struct unit {
    struct reencrypt *job;
    struct reencrypt_command *under_way;
    struct wire_command command;
    const struct reencrypt_pace *pace;
    size_t rows_n;
    bool end; /* of the pass */
};

static void item_note(struct reencrypt_command *command, const struct reencrypt_counts *one)
{
    struct reencrypt_item *item = &command->items[command->items_n++];

    *item = (struct reencrypt_item){.version = 0};
    if (one->n == 1 && one->items[0].n == 1) {
        memcpy(item->key_id, one->items[0].key_id, KEY_ID_BYTES);
        item->version = one->items[0].version;
    }
}

/* Of the record as it is now: what is pending is newer than the file. */
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
        item_note(unit->under_way, &one);
    reencrypt_counts_fini(&one);
    return err;
}

static enum qk_err unit_row(struct unit *unit, const struct store_row *row)
{
    struct reencrypt *job = unit->job;
    bool old = false;
    enum qk_err err;

    if (!reencrypt_concerns(row->key, row->record.flags))
        return QK_OK;
    if (job->phase == PHASE_WALK)
        err = unit_seal(unit, row->key);
    else
        err = reencrypt_look(job->service, row->key, &row->record, 1, &job->counting, &old);
    job->pass_old_n += err == QK_OK && old;
    if (err == QK_ERR_CORRUPT || err == QK_ERR_NOT_FOUND || err == QK_ERR_UNSUPPORTED) {
        job->pass_damaged_n++;
        err = QK_OK;
    }
    return err;
}

static bool unit_is_full(const struct unit *unit)
{
    return unit->rows_n >= UNIT_ROWS || unit->under_way->items_n >= unit->pace->records ||
           wire_command_size(&unit->command) >= UNIT_BYTES ||
           timer_now_us() >= unit->under_way->began_us + unit->pace->unit_us;
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

/* 1 and not 0, with which a timer's own callback is called again before anybody else. */
static void rest(struct reencrypt *job)
{
    uint64_t ms = reencrypt_pace_rest_ms(job);

    reencrypt_go_on(job, ms > 0 ? ms : 1);
}

static enum qk_err results_take(struct reencrypt_command *command, struct bytes results)
{
    struct reencrypt *job = command->job;
    struct wire_result result;
    enum qk_err err = QK_OK;

    for (size_t i = 0; err == QK_OK && i < command->items_n; i++) {
        const struct reencrypt_item *item = &command->items[i];

        err = wire_result_get(results, i, &result);
        if (err != QK_OK || !result.ok)
            continue; /* a foreground write was quicker: it is sealed under the active version */
        job->record.done_n++;
        if (item->version != 0)
            err = reencrypt_counts_add(&job->counts, item->key_id, item->version, -1);
    }
    return err;
}

static void unit_applied(void *arg, enum qk_err err, uint64_t index, struct bytes results)
{
    struct reencrypt_command *command = arg;
    struct reencrypt *job = command->job;

    (void)index;
    if (err == QK_OK)
        err = results_take(command, results);
    command->busy = false;
    job->commands_n--;
    reencrypt_pace_took(job, command->worked_us, timer_now_us() - command->began_us);
    if (err != QK_OK || !reencrypt_may_work(job)) {
        reencrypt_idle(job);
        return;
    }
    rate_update(job);
    rest(job);
}

static enum qk_err unit_submit(struct unit *unit)
{
    struct reencrypt *job = unit->job;
    struct bytes bytes;
    enum qk_err err = wire_command_end(&unit->command, &bytes);

    if (err == QK_OK)
        err = consensus_submit(job->service->consensus, bytes, unit_applied, unit->under_way);
    if (err != QK_OK)
        return err;
    unit->under_way->busy = true;
    unit->under_way->worked_us = timer_now_us() - unit->under_way->began_us;
    job->commands_n++;
    job->own_commands_n++;
    return QK_OK;
}

static void unit_rotated(void *arg, enum qk_err err)
{
    struct reencrypt *job = arg;

    job->busy = false;
    if (err != QK_OK || !reencrypt_may_work(job))
        reencrypt_idle(job);
    else
        reencrypt_go_on(job, 1);
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

static enum qk_err unit_do(struct unit *unit)
{
    enum qk_err err;

    wire_command_begin(&unit->command, WIRE_WRITE);
    period_begin(unit->job->service);
    secret_scope_begin();
    err = unit_rows(unit);
    secret_scope_end();
    if ((err == QK_OK || err == QK_ERR_KEY_FULL) && unit->under_way->items_n > 0)
        err = unit_submit(unit);
    else if (err == QK_ERR_KEY_FULL)
        err = unit_wait(unit);
    wire_command_fini(&unit->command);
    return err;
}

static struct reencrypt_command *command_free(struct reencrypt *job)
{
    struct reencrypt_command *command = job->commands;

    while (command->busy)
        command++;
    command->job = job;
    command->items_n = 0;
    command->began_us = timer_now_us();
    return command;
}

/* Work was done; a pass that came to its end goes over at a tick at which all commands are
 * applied. */
void reencrypt_unit_run(struct reencrypt *job)
{
    struct unit unit = {.job = job, .pace = reencrypt_pace(job)};
    enum qk_err err;

    if (job->commands_n >= unit.pace->commands)
        return; /* one of them goes on */
    unit.under_way = command_free(job);
    err = unit_do(&unit);
    if (err != QK_OK)
        reencrypt_idle(job);
    else if (job->busy)
        return;
    else if (unit.end && job->commands_n == 0)
        reencrypt_pass_ended(job);
    else if (job->commands_n < unit.pace->commands && !unit.end)
        rest(job);
}
