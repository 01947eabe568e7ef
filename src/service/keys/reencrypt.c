/* tick: leader, unsealed, all from before applied? -> the record -> a pass, in units.
 *
 *     COUNT --old?--> WALK --end--> VERIFY --none--> DONE in the record
 *       (of a new leader too)  ^        |some
 *                              +--------+
 *
 * A unit looks at some hundred records; one of WALK ends in a command, and its callback begins the
 * next. Whatever fails (leadership lost, sealed, the disk full) ends in PHASE_IDLE, from which a
 * tick begins again at the cursor of the record. The record is read at every unit: a deal that
 * gives keys new versions, a pause, another round take effect there. */
#include "service/keys/reencrypt.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/bodies.h"
#include "service/keys/keys_change.h"
#include "service/keys_current.h"
#include "service/keys/reencrypt_private.h"
#include "service/query/views_file.h"

#define TICK_MS 500
#define COMPACT_RETRY_MS 5000
#define LOCAL_NAME "compacted"
#define LOCAL_BYTES 16 /* round and version of the order to erase */
#define SAVE_MS 2000
#define READ_MS 5000
#define DAMAGED_RETRY_MS 60000 /* records that do not open are tried again so often */

static void tick(void *arg);

static uint64_t now_s(void)
{
    return (uint64_t)time(NULL);
}

/* --- life ------------------------------------------------------------------------------------ */

enum qk_err reencrypt_new(struct service *service, struct reencrypt **ret_reencrypt)
{
    struct reencrypt *job = calloc(1, sizeof(*job));
    enum qk_err err;

    assert(service != NULL && ret_reencrypt != NULL);

    if (job == NULL)
        return QK_ERR_NOMEM;
    job->service = service;
    err = timer_new(service->loop, tick, job, &job->timer);
    if (err != QK_OK) {
        free(job);
        return err;
    }
    timer_start(job->timer, TICK_MS);
    *ret_reencrypt = job;
    return QK_OK;
}

void reencrypt_stop(struct reencrypt *job)
{
    if (job == NULL)
        return;
    job->stopped = true;
    timer_stop(job->timer);
}

static void timer_gone(void *arg)
{
    free(arg);
}

void reencrypt_free(struct reencrypt *job)
{
    if (job == NULL)
        return;
    assert(!job->busy && job->commands_n == 0);
    reencrypt_stop(job);
    reencrypt_counts_fini(&job->counting);
    reencrypt_counts_fini(&job->counts);
    timer_free(job->timer, timer_gone, job);
}

void reencrypt_go_on(struct reencrypt *job, uint64_t ms)
{
    if (!job->stopped)
        timer_start(job->timer, ms);
}

void reencrypt_idle(struct reencrypt *job)
{
    job->phase = PHASE_IDLE;
    reencrypt_go_on(job, TICK_MS);
}

/* What an earlier leadership knew. */
static void forget(struct reencrypt *job)
{
    job->counted = false;
    job->version = 0;
    job->retry_ms = 0;
}

/* --- leadership ------------------------------------------------------------------------------ */

bool reencrypt_may_work(const struct reencrypt *job)
{
    const struct service *service = job->service;

    return !job->stopped && service->consensus != NULL && service->store != NULL &&
           service_is_open(service) && keys_are_current(service) &&
           consensus_role(service->consensus) == CONSENSUS_LEADER;
}

static void settled(void *arg, enum qk_err err, uint64_t index)
{
    struct reencrypt *job = arg;

    (void)index;
    job->busy = false;
    if (err == QK_OK && reencrypt_may_work(job))
        job->term = consensus_term(job->service->consensus);
    reencrypt_idle(job);
}

/* A leader just elected may not have applied yet what its predecessors committed. */
static bool is_settled(struct reencrypt *job)
{
    struct consensus *consensus = job->service->consensus;

    if (job->term == consensus_term(consensus))
        return true;
    forget(job);
    job->busy = consensus_read(consensus, READ_MS, settled, job) == QK_OK;
    if (!job->busy)
        reencrypt_idle(job);
    return false;
}

/* --- the record ------------------------------------------------------------------------------ */

/* What was not saved is not so: `record` is to be read again, though its version is the same. */
static void unsaved(struct reencrypt *job)
{
    job->version = 0;
}

static void saved(void *arg, enum qk_err err, uint64_t index, struct bytes results)
{
    struct reencrypt *job = arg;

    (void)index;
    job->busy = false;
    if (err != QK_OK)
        job->phase = PHASE_IDLE;
    if (err != QK_OK || wire_result_single(results, NULL) != QK_OK)
        unsaved(job);
    reencrypt_go_on(job, job->phase == PHASE_IDLE ? TICK_MS : 0);
}

/* Proposes `job->record`; the tick goes on when it is applied. */
static void save(struct reencrypt *job)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct buf value = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err = QK_OK;

    reencrypt_record_encode(&job->record, &value);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), job->version + 1, 0, buf_bytes(&value));
    if (job->record.state == REENCRYPT_DONE)
        err = bodies_put_sealed(job->service, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(job->service->consensus, bytes, saved, job);
    job->busy = err == QK_OK;
    job->own_commands_n += err == QK_OK;
    job->saved_ms = timer_now_ms(job->service->loop);
    if (err != QK_OK) {
        unsaved(job);
        reencrypt_idle(job);
    }
    wire_command_fini(&command);
    buf_fini(&value);
}

static void save_cursor(struct reencrypt *job)
{
    /* next is the last key done and a zero byte behind it, or the beginning */
    job->record.cursor_len = job->next_len > 0 ? job->next_len - 1 : 0;
    memcpy(job->record.cursor, job->next, job->record.cursor_len);
    save(job);
}

/* False: there is none, or it cannot be read. A record that somebody else wrote ends the pass. */
static bool load_record(struct reencrypt *job)
{
    struct reencrypt_record record;
    uint64_t version;
    enum qk_err err = reencrypt_record_get(job->service->store, &record, &version);

    if (err != QK_OK) {
        log_error("keys", "the record of the re-encryption is damaged: %s", qk_err_text(err));
        return false;
    }
    if (version != job->version) {
        bool mine = record.round == job->record.round && record.paused == job->record.paused &&
                    record.state == job->record.state;

        if (!mine || job->phase == PHASE_IDLE) {
            job->phase = PHASE_IDLE;
            job->counted = job->counted && record.round == job->record.round;
            job->retry_ms = 0;
            job->record = record;
        }
        job->record.fresh_n = record.fresh_n; /* others add to them */
        memcpy(job->record.fresh, record.fresh, sizeof(record.fresh));
        job->version = version;
    }
    return version > 0;
}

/* --- passes ---------------------------------------------------------------------------------- */

/* From the catalog's first record: below lie the clear records alone. */
static void pass_begin(struct reencrypt *job, enum reencrypt_phase phase)
{
    job->phase = phase;
    job->pass_old_n = 0;
    job->pass_damaged_n = 0;
    job->next_len = 0;
    reencrypt_counts_fini(&job->counting);
}

static void flushed(void *arg, enum qk_err err)
{
    struct reencrypt *job = arg;

    job->busy = false;
    if (err != QK_OK)
        job->phase = PHASE_IDLE;
    reencrypt_go_on(job, job->phase == PHASE_IDLE ? TICK_MS : 0);
}

/* Cursors read the file: what is applied at the beginning of a count is in it then. What comes
 * later is sealed under active versions. */
static void pass_flush(struct reencrypt *job, enum reencrypt_phase phase)
{
    pass_begin(job, phase);
    job->pass_index = store_applied(job->service->store);
    job->busy = true;
    store_flush(job->service->store, flushed, job);
}

static void walk_begin(struct reencrypt *job)
{
    pass_begin(job, PHASE_WALK);
    if (job->record.cursor_len > 0) {
        memcpy(job->next, job->record.cursor, job->record.cursor_len);
        job->next[job->record.cursor_len] = 0;
        job->next_len = job->record.cursor_len + 1;
    }
    job->rate_from_ms = timer_now_ms(job->service->loop);
    job->rate_done_n = job->record.done_n;
    job->rate = 0;
}

static void counts_take(struct reencrypt *job)
{
    reencrypt_counts_fini(&job->counts);
    job->counts = job->counting;
    job->counting = (struct reencrypt_counts){0};
    job->counted = true;
    job->record.damaged_n = job->pass_damaged_n;
    if (job->record.old_n < job->pass_old_n + job->record.done_n)
        job->record.old_n = job->pass_old_n + job->record.done_n;
    job->record.done_n = job->record.old_n - job->pass_old_n;
}

static void count_ended(struct reencrypt *job)
{
    if (job->record.began_s == 0) {
        job->record.old_n = 0;
        job->record.done_n = 0;
    }
    counts_take(job);
    if (job->record.state != REENCRYPT_WANTED || job->record.paused) {
        reencrypt_idle(job);
        return;
    }
    walk_begin(job);
    if (job->record.began_s == 0) {
        job->record.began_s = now_s();
        log_info("keys", "re-encryption: %" PRIu64 " records are under old key versions",
                 job->record.old_n);
    }
    save_cursor(job);
}

static void done(struct reencrypt *job)
{
    job->phase = PHASE_IDLE;
    job->record.state = REENCRYPT_DONE;
    job->record.ended_s = now_s();
    job->record.index = job->pass_index;
    job->next_len = 0;
    log_info("keys",
             "re-encryption: done, %" PRIu64 " records sealed again, none is under an old version",
             job->record.done_n);
    audit_event(job->service->audit, "reencrypted", NULL);
    save_cursor(job);
}

static void verify_ended(struct reencrypt *job)
{
    counts_take(job);
    if (job->pass_old_n == 0 && job->pass_damaged_n == 0) {
        done(job);
        return;
    }
    if (job->pass_old_n <= job->walk_damaged_n) {
        job->record.damaged_n = job->walk_damaged_n;
        log_error("keys",
                  "re-encryption: %" PRIu64 " records do not open and stay as they are: see the "
                  "log for which",
                  job->walk_damaged_n);
        job->retry_ms = timer_now_ms(job->service->loop) + DAMAGED_RETRY_MS;
        reencrypt_idle(job);
        return;
    }
    job->record.cursor_len = 0;
    walk_begin(job);
    save_cursor(job);
}

void reencrypt_pass_ended(struct reencrypt *job)
{
    if (job->phase == PHASE_WALK) {
        job->walk_damaged_n = job->pass_damaged_n;
        pass_flush(job, PHASE_VERIFY);
    } else if (job->phase == PHASE_COUNT)
        count_ended(job);
    else
        verify_ended(job);
}

/* --- the file --------------------------------------------------------------------------------- */

/* Once nothing is under an old version, or a version was destroyed, each node copies its file
 * without the free pages, in which old envelopes and wrapped keys still stand: once for each round
 * and order, which a node-local fact remembers. Needs no key. */
static void remember_compacted(struct reencrypt *job)
{
    uint8_t done[LOCAL_BYTES];

    put_u64(done, job->compact_round);
    put_u64(done + 8, job->compact_erase);
    if (store_local_put(job->service->store, LOCAL_NAME, bytes_of(done, sizeof(done)), NULL,
                        NULL) != QK_OK)
        log_warn("keys", "that the store was compacted could not be noted");
    log_info("keys", "store.mdb was compacted: nothing old is in its free pages");
}

static void compacted(void *arg, enum qk_err err)
{
    struct reencrypt *job = arg;

    job->compacting = false;
    if (err == QK_OK) {
        views_file_wipe(job->service); /* before it is noted: else it would be done again */
        remember_compacted(job);
    } else if (err != QK_ERR_BUSY && err != QK_ERR_CLOSED)
        log_warn("keys", "store.mdb was not compacted: %s: to be tried again", qk_err_text(err));
    job->compact_next_ms = timer_now_ms(job->service->loop) + COMPACT_RETRY_MS;
}

/* For which round, and for which order to erase; zeros: for none. */
static void compacted_for(const struct reencrypt *job, uint64_t *ret_round, uint64_t *ret_erase)
{
    struct bytes value;
    bool known = store_local_get(job->service->store, LOCAL_NAME, &value) == QK_OK &&
                 value.len == LOCAL_BYTES;

    *ret_round = known ? get_u64(value.data) : 0;
    *ret_erase = known ? get_u64(value.data + 8) : 0;
}

/* What was sealed again may be applied and not yet in the file, which still holds the old then. */
static void compact_flushed(void *arg, enum qk_err err)
{
    struct reencrypt *job = arg;

    if (err == QK_OK)
        err = store_compact(job->service->store, compacted, job);
    if (err != QK_OK)
        compacted(job, err);
}

static void compact(struct reencrypt *job)
{
    struct reencrypt_record record;
    uint64_t version, round, erase;

    if (job->service->store == NULL || job->compacting ||
        timer_now_ms(job->service->loop) < job->compact_next_ms ||
        reencrypt_record_get(job->service->store, &record, &version) != QK_OK)
        return;
    compacted_for(job, &round, &erase);
    job->compact_round = record.state == REENCRYPT_DONE ? record.round : round;
    job->compact_erase = keys_erase_version(job->service);
    if (job->compact_round == round && job->compact_erase == erase)
        return;
    job->compacting = true;
    store_flush(job->service->store, compact_flushed, job);
}

/* --- the tick -------------------------------------------------------------------------------- */

/* What to begin with, from the record. */
static void begin(struct reencrypt *job)
{
    if (job->record.state == REENCRYPT_DONE || job->retry_ms > timer_now_ms(job->service->loop) ||
        (job->counted && (job->record.state == REENCRYPT_DECLINED || job->record.paused))) {
        if (job->record.state == REENCRYPT_DONE && !job->counted) {
            reencrypt_counts_fini(&job->counts);
            job->counted = true; /* none, as the record says */
        }
        reencrypt_go_on(job, TICK_MS);
        return;
    }
    pass_flush(job, PHASE_COUNT);
}

static void tick(void *arg)
{
    struct reencrypt *job = arg;
    bool save_due;

    if (job->stopped || job->busy)
        return;
    compact(job);
    if (!reencrypt_may_work(job)) {
        job->term = 0;
        forget(job);
        reencrypt_idle(job);
        return;
    }
    if (!is_settled(job))
        return;
    if (!load_record(job)) {
        reencrypt_idle(job);
        return;
    }
    save_due =
        job->phase == PHASE_WALK && timer_now_ms(job->service->loop) - job->saved_ms >= SAVE_MS;
    if (job->commands_n > 0 && (job->phase != PHASE_WALK || save_due))
        return; /* the last of them to be applied goes on */
    if (job->phase == PHASE_IDLE)
        begin(job);
    else if (store_admit(job->service->store) != QK_OK)
        reencrypt_go_on(job, TICK_MS);
    else if (save_due)
        save_cursor(job);
    else
        reencrypt_unit_run(job);
}

/* --- figures --------------------------------------------------------------------------------- */

void reencrypt_figures(const struct service *service, struct reencrypt_figures *ret_figures)
{
    struct reencrypt_record record;
    uint64_t version;

    *ret_figures = (struct reencrypt_figures){0};
    if (service->store == NULL || reencrypt_record_get(service->store, &record, &version) != QK_OK)
        return;
    ret_figures->old_n = record.old_n;
    ret_figures->done_n = record.done_n;
    ret_figures->running = record.state == REENCRYPT_WANTED && !record.paused;
}
