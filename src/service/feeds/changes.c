/* _changes. All feeds: read point -> flush -> rows from the cursor by sequence, each document once
 * at its newest. A normal one then ends. The others rest when all is told (service/feeds/feeds.h)
 * and, when their database was written to, read on from where they stood:
 *
 *     HEAD -> ROWS -> REST -> news: ROWS; too long without: BEAT -> REST, or TAIL
 *              +-> limit reached: PENDING -> TAIL
 *
 * They end by the limit, by their time, when the client has gone, and at once when the node seals,
 * or login, right, a grant that rows were shown by, or the database is gone. What is told later is
 * shown by the rights of the moment at which this node has applied it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/key_uses.h"
#include "service/feeds/changes_private.h"
#include "service/handlers.h"
#include "service/keys_current.h"
#include "service/params.h"
#include "service/read.h"
#include "service/request.h"
#include "service/submit.h"

/* `pending` is counted up to here and estimated from the sequences beyond. */
#define PENDING_ROWS_MAX 10000
#define PENDING_ROWS_STEP 100u /* cost less than a row that is shown */
/* The catalog is being read anew, so nobody's rights are known: asked again after this. */
#define RIGHTS_RETRY_MS 100u

static void changes_free(struct changes *changes)
{
    feed_leave(&changes->feed);
    store_cursor_close(changes->cursor);
    visible_fini(&changes->visible);
    changes_script_free(changes->script);
    changes_filter_fini(&changes->filter);
    changes_contents_free(changes);
    stream_fini(&changes->stream);
    buf_fini(&changes->id);
    free(changes);
}

static enum qk_err changes_turn(void *arg)
{
    return visible_turn(&((struct changes *)arg)->visible);
}

static void changes_ended(void *arg)
{
    changes_free(arg);
}

static bool changes_waits(const struct changes *changes)
{
    return changes->wish.form.kind != FEED_NORMAL;
}

/* --- rows --- */

/* The rows end where the newest is, taken in the turn of the loop whose view of the store the first
 * of them are of: a document that was written again since the read point has moved behind it, and
 * must not be missed for that. A list of one turn is therefore one moment. */
static enum qk_err rows_begin(struct changes *changes)
{
    struct store_stats now;

    store_database_stats(changes->service->store, changes->database, &now);
    changes->end = now.seq;
    changes->read_on = true;
    return store_changes_open(changes->service->store, changes->database, changes->last_seq,
                              changes->wish.descending, &changes->cursor);
}

/* Rows that wait for the judgement of a filter in JavaScript. */
static size_t gathered_n(const struct changes *changes)
{
    return changes->script == NULL ? 0 : changes_script_rows_n(changes->script);
}

static enum qk_err step_row(struct changes *changes, bool *ret_last)
{
    struct store_row row;
    enum qk_err err;

    *ret_last = changes->rows_n >= changes->wish.limit;
    if (*ret_last)
        return QK_OK;
    if (gathered_n(changes) > 0 && changes_script_is_judged(changes->script))
        return changes_script_put_next(changes->script, &changes->last_seq);
    err = changes->read_on ? store_cursor_next(changes->cursor, &row) : QK_ERR_NOT_FOUND;
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    /* Made since the rows began: the next request's, or a slow reader's feed would never end. */
    if (row.record.seq > changes->end) {
        *ret_last = !changes->wish.descending;
        return QK_OK;
    }
    err = changes_row_put(changes, &row);
    if (err == QK_OK && gathered_n(changes) == 0)
        changes->last_seq = row.record.seq;
    if (err == QK_OK && gathered_n(changes) > 0)
        err = changes_script_go(changes->script, false);
    return err;
}

/* The end of the rows is one once all that were gathered are judged and put. */
static enum qk_err step_last(struct changes *changes, bool *ret_last)
{
    if (gathered_n(changes) == 0 || changes->rows_n >= changes->wish.limit)
        return QK_OK;
    changes->read_on = false;
    *ret_last = false;
    return changes_script_go(changes->script, true);
}

static enum changes_phase phase_after_rows(struct changes *changes)
{
    bool full = changes->rows_n >= changes->wish.limit;
    bool told = changes->wish.form.kind == FEED_NORMAL ||
                (changes->wish.form.kind == FEED_LONGPOLL && changes->rows_n > 0);

    if (full) { /* what was gathered past the limit is behind the cursor */
        changes->pending = gathered_n(changes);
        return CHANGES_PENDING;
    }
    /* All was read: what was committed at the read point is covered, shown or superseded. */
    if (changes->last_seq < changes->read_seq && !(changes->wish.descending && told))
        changes->last_seq = changes->read_seq;
    return told ? CHANGES_TAIL : CHANGES_REST;
}

static enum qk_err step_rows(struct changes *changes)
{
    bool last = false;
    enum qk_err err = QK_OK;

    if (changes_waits(changes) && feed_take_due(&changes->feed, changes->wish.form.wait_ms) &&
        changes->wish.form.heartbeat) {
        feed_form_beat(&changes->wish.form, &changes->stream.out);
        changes->stream.hand_on = true;
    }
    if (changes->cursor == NULL)
        err = rows_begin(changes);
    if (err == QK_OK)
        err = step_row(changes, &last);
    if (err == QK_OK && last)
        err = step_last(changes, &last);
    if (err == QK_OK && last)
        changes->phase = phase_after_rows(changes);
    return err;
}

/* --- pending --- */

/* By the list of the keys in front of it, which names the keys of all leaves: what is no more than
 * counted needs no authentication. */
static enum qk_err pending_row(struct changes *changes, const struct store_row *row)
{
    struct key_uses uses;
    struct key_use use;
    bool shown = true;
    enum qk_err err = key_uses_open(row->record.value, &uses, NULL);

    if (err != QK_OK)
        return QK_ERR_CORRUPT;
    while (err == QK_OK && shown && key_uses_next(&uses, &use))
        err = visible_key(&changes->visible, use.key_id, &shown);
    changes->pending += err == QK_OK && shown ? 1 : 0;
    return err;
}

/* Who does not see everything is told of the rows shown alone, and nothing is estimated: the
 * sequences count what is hidden. For all others the rows are not read. */
static enum qk_err pending_some(struct changes *changes, bool *ret_last)
{
    struct store_row row;
    enum qk_err err;
    size_t n = 1;

    if (changes->visible.everything) {
        err = store_cursor_skip(changes->cursor, PENDING_ROWS_STEP, &n);
        changes->pending += n;
        *ret_last = n < PENDING_ROWS_STEP;
    } else {
        err = store_cursor_next(changes->cursor, &row);
        *ret_last = err == QK_ERR_NOT_FOUND;
        if (err == QK_OK)
            err = pending_row(changes, &row);
    }
    changes->walked += n;
    return *ret_last && err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static enum qk_err count_pending(struct changes *changes, bool *ret_last)
{
    uint64_t left =
        changes->stats.seq > changes->last_seq ? changes->stats.seq - changes->last_seq : 0;

    /* Documents behind the last row are at most as many as the sequences there. */
    *ret_last = changes->wish.descending || changes->walked >= PENDING_ROWS_MAX ||
                (left > PENDING_ROWS_MAX && changes->visible.everything);
    if (!*ret_last)
        return pending_some(changes, ret_last);
    if (changes->visible.everything)
        changes->pending = changes->wish.descending ? 0 : left;
    return QK_OK;
}

static enum qk_err step_pending(struct changes *changes)
{
    bool last = false;
    enum qk_err err = count_pending(changes, &last);

    if (err == QK_OK && last)
        changes->phase = CHANGES_TAIL;
    return err;
}

/* --- rest --- */

/* A client that waits gets the head of the reply at once, so something has to follow it. */
static void step_rest(struct changes *changes)
{
    if (!changes->stream.started && changes->stream.out.len == 0)
        buf_put_u8(&changes->stream.out, '\n');
    if (!feed_rest(&changes->feed, changes->wish.form.wait_ms)) {
        changes->phase = CHANGES_TAIL;
        return;
    }
    if (changes->script != NULL)
        changes_script_rest(changes->script);
    store_cursor_close(changes->cursor);
    changes->cursor = NULL;
    changes->wish.descending = false; /* what comes later comes in its order */
    buf_fini(&changes->id);
    visible_rest(&changes->visible);
    changes->stream.rest = true;
}

/* What the feed has to do now that it is awake; CHANGES_REST: nothing. */
static enum changes_phase phase_awake(struct changes *changes, unsigned why)
{
    store_database_stats(changes->service->store, changes->database, &changes->stats);
    if (!visible_database_is_there(&changes->visible))
        return CHANGES_TAIL;
    if ((why & FEED_NEWS) != 0 && changes->stats.seq > changes->last_seq)
        return CHANGES_ROWS;
    if ((why & FEED_DUE) != 0)
        return changes->wish.form.heartbeat ? CHANGES_BEAT : CHANGES_TAIL;
    return CHANGES_REST;
}

static void changes_go_on(struct changes *changes, unsigned why)
{
    enum changes_phase phase = phase_awake(changes, why);

    if (phase == CHANGES_REST && feed_rest_on(&changes->feed)) {
        visible_rest(&changes->visible);
        return;
    }
    changes->phase = phase == CHANGES_REST ? CHANGES_TAIL : phase;
    stream_wake(&changes->stream);
}

static void changes_wake(struct feed *feed, unsigned why)
{
    struct changes *changes =
        (struct changes *)(void *)((char *)feed - offsetof(struct changes, feed));
    enum qk_err err = QK_ERR_SEALED;

    if (changes->retry != 0)
        why = (why & ~FEED_DUE) | changes->retry;
    changes->retry = 0;
    if (service_is_open(changes->service))
        err = visible_renew(&changes->visible);
    if (err == QK_ERR_BUSY && feed_rest(feed, RIGHTS_RETRY_MS))
        changes->retry = why;
    else if (err != QK_OK)
        stream_abandon(&changes->stream, err);
    else
        changes_go_on(changes, why);
}

/* A node that stops says goodbye, so that its clients ask another one for what follows. */
static void changes_closed(struct feed *feed, enum qk_err err)
{
    struct changes *changes =
        (struct changes *)(void *)((char *)feed - offsetof(struct changes, feed));

    if (err == QK_ERR_CLOSED && service_is_open(changes->service) &&
        keys_are_current(changes->service) && visible_renew(&changes->visible) == QK_OK) {
        changes->phase = CHANGES_TAIL;
        stream_wake(&changes->stream);
    } else {
        stream_abandon(&changes->stream, err);
    }
}

static void changes_gone(void *arg)
{
    struct changes *changes = arg;

    if (changes->stream.rest)
        stream_abandon(&changes->stream, QK_ERR_CLOSED);
}

/* --- the phases --- */

static enum qk_err changes_step(void *arg, bool *ret_end)
{
    struct changes *changes = arg;
    enum qk_err err = QK_OK;

    switch (changes->phase) {
    case CHANGES_HEAD:
        feed_form_head(&changes->wish.form, &changes->stream.out);
        changes->phase = CHANGES_ROWS;
        break;
    case CHANGES_ROWS:
        err = step_rows(changes);
        break;
    case CHANGES_CONTENTS:
        err = changes_row_step(changes);
        break;
    case CHANGES_REST:
        step_rest(changes);
        break;
    case CHANGES_BEAT:
        feed_form_beat(&changes->wish.form, &changes->stream.out);
        changes->phase = CHANGES_REST;
        break;
    case CHANGES_PENDING:
        err = step_pending(changes);
        break;
    case CHANGES_TAIL:
        err = changes_tail_put(changes);
        *ret_end = true;
        break;
    }
    return err;
}

static void changes_flushed(void *arg, enum qk_err err)
{
    struct changes *changes = arg;

    if (err == QK_OK && !service_is_open(changes->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK) {
        stream_start(&changes->stream);
        return;
    }
    submit_reply_err(changes->service, changes->stream.exchange, err);
    changes_free(changes);
}

/* --- the request --- */

static enum qk_err changes_enter(struct changes *changes)
{
    struct exchange *exchange = changes->stream.exchange;

    if (!changes_waits(changes))
        return QK_OK;
    memcpy(changes->feed.database, changes->database, DATABASE_ID_BYTES);
    changes->feed.wake = changes_wake;
    changes->feed.closed = changes_closed;
    exchange_on_gone(exchange, changes_gone, changes);
    changes->stream.content_type = feed_form_type(&changes->wish.form, exchange);
    return feed_enter(changes->service, &changes->feed);
}

/* A sequence that was told once and is ahead of all that is committed is of a time before a backup
 * was restored: what was written since then would be missed by going on there. */
static uint64_t changes_first(const struct changes *changes)
{
    const struct changes_wish *wish = &changes->wish;
    struct bytes consistency;
    bool is_local =
        request_param(&changes->stream.exchange->request, "consistency", &consistency) &&
        bytes_equal(consistency, bytes_str("local"));

    if (wish->since_now)
        return changes->read_seq;
    return wish->since_ours && wish->since > changes->read_seq && !is_local ? 0 : wish->since;
}

static enum qk_err changes_begin(struct changes *changes, const struct catalog_database *database,
                                 struct doc_problem *problem)
{
    struct exchange *exchange = changes->stream.exchange;
    enum qk_err err = visible_init(&changes->visible, changes->service, exchange, database);

    if (err == QK_OK)
        err = changes_wish_read(&exchange->request, changes, problem);
    if (err == QK_OK)
        err = changes_filter_read(changes->service, exchange, database, &changes->filter, problem);
    if (err == QK_OK && changes->filter.kind == CHANGES_FILTER_SCRIPT)
        err = changes_script_new(changes, &changes->script);
    if (err == QK_OK)
        err = changes_enter(changes);
    if (err != QK_OK)
        return err;
    store_database_stats(changes->service->store, changes->database, &changes->stats);
    changes->read_seq = changes->stats.seq;
    changes->last_seq = changes_first(changes);
    return QK_OK;
}

static void changes_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct changes *changes;
    enum qk_err err;

    if (database == NULL)
        return;
    changes = calloc(1, sizeof(*changes));
    if (changes == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    changes->service = service;
    changes->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    memcpy(changes->database, database->id, DATABASE_ID_BYTES);
    stream_init(&changes->stream, service, exchange, changes_step, changes_ended, changes);
    changes->stream.turn = changes_turn;
    err = changes_begin(changes, database, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        changes_free(changes);
        return;
    }
    store_flush_to_read(service->store, changes_flushed, changes);
}

void handle_changes(struct service *service, struct exchange *exchange)
{
    if (exchange->request.method != METHOD_POST || request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, changes_ready);
}
