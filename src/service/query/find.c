/* POST /{db}/_find and /_explain.
 *
 *     read point -> the wish -> the indexes that the reader may know (find_indexes.h) -> the plan
 *         -> _explain: reply
 *         -> an index is brought up to date (views.h)
 *         -> rows of the source, each opened, asked and written -> bookmark, figures, warnings
 *
 * A wish that is wrong, and one that no index can serve, end before the plan; the rows stream in
 * bounded memory. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "service/query/find_private.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/timer_uv.h"

/* CouchDB's index_scan_warning_threshold. */
#define SCAN_WARNING_RATIO 10

static void find_free(struct find *find)
{
    find_source_close(find);
    find_plan_fini(&find->plan);
    find_indexes_fini(&find->indexes);
    find_wish_fini(&find->wish);
    visible_fini(&find->visible);
    stream_fini(&find->stream);
    buf_fini(&find->begin_key);
    buf_fini(&find->begin_id);
    buf_fini(&find->last_key);
    buf_fini(&find->last_id);
    buf_fini(&find->id);
    buf_fini(&find->plain);
    buf_fini(&find->text);
    free(find);
}

/* --- the end of the reply --- */

static void put_stats(const struct find *find, struct buf *out)
{
    const struct find_counts *counts = &find->counts;

    buf_printf(out,
               ",\r\n\"execution_stats\": {\"total_keys_examined\":%" PRIu64
               ",\"total_docs_examined\":%" PRIu64
               ",\"total_quorum_docs_examined\":0,\"results_returned\":%" PRIu64
               ",\"execution_time_ms\":%.3f}",
               counts->keys_n, counts->docs_n, counts->returned_n,
               (double)(timer_now_us() - counts->began_us) / 1000.0);
}

static void warn_next(struct buf *warning)
{
    if (warning->len > 0)
        buf_put_u8(warning, '\n');
}

static void put_warning(const struct find *find, struct buf *out)
{
    const struct find_counts *counts = &find->counts;
    struct buf warning = BUF_INIT(16 * KIB);
    uint64_t returned_n = counts->returned_n > 0 ? counts->returned_n : 1;

    find_plan_warn(&find->wish, &find->plan, &warning);
    if (counts->docs_n / returned_n > SCAN_WARNING_RATIO) {
        warn_next(&warning);
        buf_put_str(&warning,
                    "The number of documents examined is high in proportion to the number of "
                    "results returned. Consider adding a more specific index to improve this.");
    }
    if (counts->unreadable_n > 0) {
        warn_next(&warning);
        buf_printf(&warning,
                   "%" PRIu64 " documents could not be read: damaged, or their data key was "
                   "destroyed.",
                   counts->unreadable_n);
    }
    if (counts->costly_n > 0) {
        warn_next(&warning);
        buf_printf(&warning,
                   "%" PRIu64 " documents are left out: the selector takes too long on them.",
                   counts->costly_n);
    }
    if (warning.len > 0 && buf_error(&warning) == QK_OK) {
        buf_put_str(out, ",\r\n\"warning\": ");
        json_write_string(buf_bytes(&warning), out);
    }
    buf_fini(&warning);
}

static enum qk_err put_tail(struct find *find)
{
    struct buf *out = &find->stream.out;
    enum qk_err err;

    buf_put_str(out, "\r\n],\r\n\"bookmark\": ");
    err = find_bookmark_put(find, out);
    if (find->wish.execution_stats)
        put_stats(find, out);
    put_warning(find, out);
    buf_put_str(out, "}\r\n");
    return err;
}

/* --- the rows --- */

static enum qk_err step_rows(struct find *find)
{
    struct find_hit hit;
    bool last = find->left == 0;
    enum qk_err err = QK_ERR_NOT_FOUND;

    if (!last)
        err = find_source_next(find, &hit, &last);
    if (err == QK_OK)
        err = find_row_take(find, &hit);
    if (err == QK_ERR_NOT_FOUND)
        err = QK_OK;
    if (last)
        find->phase = FIND_TAIL;
    return err;
}

static enum qk_err find_step(void *arg, bool *ret_end)
{
    struct find *find = arg;
    enum qk_err err;
    bool ready;

    switch (find->phase) {
    case FIND_GATHER:
        err = find_source_gather(find, &ready);
        if (err == QK_OK && ready)
            find->phase = FIND_HEAD;
        return err;
    case FIND_HEAD:
        buf_put_str(&find->stream.out, "{\"docs\":[");
        find->phase = find->plan.empty ? FIND_TAIL : FIND_ROWS;
        return QK_OK;
    case FIND_ROWS:
        return step_rows(find);
    case FIND_TAIL:
        *ret_end = true;
        return put_tail(find);
    }
    return QK_OK;
}

static enum qk_err find_turn(void *arg)
{
    struct find *find = arg;
    enum qk_err err = visible_turn(&find->visible);

    return err == QK_OK && find->group != NULL && views_is_dead(find->group) ? QK_ERR_BUSY : err;
}

static void find_ended(void *arg)
{
    find_free(arg);
}

/* --- before them --- */

static void find_fail(struct find *find, const struct doc_problem *problem, enum qk_err err)
{
    if (err == QK_ERR_INVALID && problem->status != 0)
        exchange_reply_problem(find->exchange, problem);
    else if (err == QK_ERR_TOO_BIG && find->plan.index == NULL)
        exchange_reply_error(find->exchange, 500, "too_many_indexes",
                             "The database has more indexes than can be looked through.");
    else if (err == QK_ERR_UNSUPPORTED)
        exchange_reply_error(find->exchange, 400, "key_too_long", "%s", VIEWS_KEY_TOO_LONG);
    else
        submit_reply_err(find->service, find->exchange, err);
    find_free(find);
}

static void reply_explain(struct find *find)
{
    json_t *json = find_explain_json(find);

    if (json == NULL)
        exchange_reply_err(find->exchange, QK_ERR_NOMEM);
    else
        exchange_reply_json(find->exchange, 200, json);
    find_free(find);
}

static void start_rows(void *arg, enum qk_err err)
{
    static const struct doc_problem no_problem = {0};
    struct find *find = arg;

    if (err == QK_OK && !service_is_open(find->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = find_source_open(find);
    if (err != QK_OK) {
        find_fail(find, &no_problem, err);
        return;
    }
    find->phase = FIND_GATHER;
    stream_start(&find->stream);
}

static void start(struct find *find)
{
    enum qk_err err;

    if (find->plan.empty) {
        find->phase = FIND_HEAD;
        stream_start(&find->stream);
        return;
    }
    if (find->plan.index == NULL) {
        start_rows(find, QK_OK);
        return;
    }
    err = find_scan_open(find, start_rows);
    if (err != QK_OK)
        start_rows(find, err);
}

static void find_gathered(void *arg, enum qk_err err)
{
    struct find *find = arg;
    struct doc_problem problem = {0};

    if (err == QK_OK)
        err = find_plan_make(&find->wish, &find->indexes, &find->plan, &problem);
    if (find->explain && (err == QK_OK || find->plan.unusable)) {
        reply_explain(find);
        return;
    }
    if (err == QK_OK)
        err = find_bookmark_check(find, &problem);
    if (err == QK_OK)
        start(find);
    else
        find_fail(find, &problem, err);
}

static struct find *find_new(struct service *service, struct exchange *exchange, bool explain)
{
    struct find *find = calloc(1, sizeof(*find));

    if (find == NULL)
        return NULL;
    find->service = service;
    find->exchange = exchange;
    find->explain = explain;
    find->counts.began_us = timer_now_us();
    find->begin_key = find->last_key = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);
    find->begin_id = find->last_id = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);
    find->id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX);
    find->plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    find->text = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    stream_init(&find->stream, service, exchange, find_step, find_ended, find);
    find->stream.turn = find_turn;
    return find;
}

static void find_ready(struct service *service, struct exchange *exchange, bool explain)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct find *find;
    enum qk_err err;

    if (database == NULL)
        return;
    find = find_new(service, exchange, explain);
    if (find == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    err = visible_init(&find->visible, service, exchange, database);
    if (err == QK_OK)
        err = find_wish_parse(&exchange->request, &find->wish, &problem);
    if (err == QK_OK)
        err = find_bookmark_parse(find, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        find_free(find);
        return;
    }
    find->skip = find->wish.skip;
    find->left = find->wish.limit;
    find_indexes_gather(&find->indexes, &find->visible, find_gathered, find);
}

static void find_ready_rows(struct service *service, struct exchange *exchange)
{
    find_ready(service, exchange, false);
}

static void find_ready_explain(struct service *service, struct exchange *exchange)
{
    find_ready(service, exchange, true);
}

void handle_find(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, find_ready_rows);
}

void handle_explain(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, find_ready_explain);
}
