/* GET /_db_updates: the databases that were made, written to and dropped, for administrators. The
 * life of a feed is that of _changes (changes.c); what it tells comes from db_events.
 *
 *     HEAD -> LOOK -> ROWS -> REST -> news: LOOK; too long without: BEAT -> REST, or TAIL
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "service/authorize.h"
#include "service/feeds/db_events.h"
#include "service/feeds/feed_form.h"
#include "service/feeds/feeds.h"
#include "service/handlers.h"
#include "service/keys_current.h"
#include "service/params.h"
#include "service/read.h"
#include "service/seq.h"
#include "service/stream.h"
#include "service/submit.h"
#include "store/store.h"

/* The catalog is being read anew, so nobody's rights are known: asked again after this. */
#define RIGHTS_RETRY_MS 100u

enum phase { PHASE_HEAD, PHASE_LOOK, PHASE_ROWS, PHASE_REST, PHASE_BEAT, PHASE_TAIL };

struct updates {
    struct stream stream;
    struct feed feed;
    struct service *service;
    struct feed_form form;
    enum phase phase;
    struct db_events_list events; /* those to be told, from `at` on */
    size_t at;
    uint64_t last, limit, rows_n;
    bool since_now, descending;
    unsigned retry; /* FEED_*: what it was woken for when nobody's rights were known */
};

static void updates_free(struct updates *updates)
{
    feed_leave(&updates->feed);
    db_events_list_fini(&updates->events);
    stream_fini(&updates->stream);
    free(updates);
}

static enum qk_err updates_turn(void *arg)
{
    struct updates *updates = arg;

    return authorize_user(updates->service, &updates->stream.exchange->request.who, ACCESS_CLUSTER);
}

static void updates_ended(void *arg)
{
    updates_free(arg);
}

/* --- rows --- */

/* The text names the cluster, as those of _changes name their database. */
static void put_seq(struct updates *updates, uint64_t stamp)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];

    seq_format(updates->service->origin_id, stamp, text);
    buf_printf(&updates->stream.out, "\"%s\"", text);
}

static void put_row(struct updates *updates, const struct db_event *event)
{
    struct buf *out = &updates->stream.out;

    feed_form_row(&updates->form, updates->rows_n++ == 0, out);
    buf_put_str(out, "{\"db_name\":");
    json_write_string(bytes_str(event->name), out);
    buf_printf(out, ",\"type\":\"%s\",\"seq\":", event->type);
    put_seq(updates, event->stamp);
    buf_put_u8(out, '}');
    if (updates->form.kind == FEED_EVENTSOURCE) {
        buf_put_str(out, "\nid: ");
        put_seq(updates, event->stamp);
        buf_put_str(out, "\n\n");
    } else if (updates->form.kind == FEED_CONTINUOUS) {
        buf_put_u8(out, '\n');
    }
}

static enum qk_err step_look(struct updates *updates)
{
    bool more;
    enum qk_err err = db_events_refresh(updates->service, &more);

    if (err != QK_OK)
        return err;
    if (more) { /* the next part in another turn */
        stream_spend(&updates->stream, STREAM_TURN_STEPS);
        return QK_OK;
    }
    db_events_list_fini(&updates->events);
    err = db_events_since(updates->service, updates->last, &updates->events);
    if (updates->since_now)
        updates->events.n = 0;
    updates->since_now = false;
    updates->at = 0;
    updates->phase = PHASE_ROWS;
    return err;
}

static enum phase phase_after_rows(struct updates *updates, bool full)
{
    bool told = full || updates->form.kind == FEED_NORMAL ||
                (updates->form.kind == FEED_LONGPOLL && updates->rows_n > 0);

    if (!full && updates->events.covered > updates->last)
        updates->last = updates->events.covered;
    db_events_list_fini(&updates->events);
    return told ? PHASE_TAIL : PHASE_REST;
}

/* Events of one stamp are not parted by the limit: who goes on behind it would miss the others. */
static void step_row(struct updates *updates)
{
    const struct db_events_list *events = &updates->events;
    const struct db_event *event;

    if (updates->at == events->n) {
        updates->phase = phase_after_rows(updates, false);
        return;
    }
    event = &events->items[updates->descending ? events->n - 1 - updates->at : updates->at];
    if (updates->rows_n >= updates->limit && event->stamp != updates->last) {
        updates->phase = phase_after_rows(updates, true);
        return;
    }
    put_row(updates, event);
    updates->last = event->stamp;
    updates->at++;
}

static void put_tail(struct updates *updates)
{
    if (updates->form.kind == FEED_EVENTSOURCE)
        return;
    feed_form_tail(&updates->form, &updates->stream.out);
    buf_put_str(&updates->stream.out, "\"last_seq\":");
    put_seq(updates, updates->last);
    buf_put_str(&updates->stream.out, "}\n");
}

/* --- rest --- */

static void step_rest(struct updates *updates)
{
    if (!updates->stream.started && updates->stream.out.len == 0)
        buf_put_u8(&updates->stream.out, '\n');
    updates->stream.rest = feed_rest(&updates->feed, updates->form.wait_ms);
    updates->descending = false;
    if (!updates->stream.rest)
        updates->phase = PHASE_TAIL;
}

static enum qk_err updates_step(void *arg, bool *ret_end)
{
    struct updates *updates = arg;
    enum qk_err err = QK_OK;

    switch (updates->phase) {
    case PHASE_HEAD:
        feed_form_head(&updates->form, &updates->stream.out);
        updates->phase = PHASE_LOOK;
        break;
    case PHASE_LOOK:
        err = step_look(updates);
        break;
    case PHASE_ROWS:
        step_row(updates);
        break;
    case PHASE_REST:
        step_rest(updates);
        break;
    case PHASE_BEAT:
        feed_form_beat(&updates->form, &updates->stream.out);
        updates->phase = PHASE_REST;
        break;
    case PHASE_TAIL:
        put_tail(updates);
        *ret_end = true;
        break;
    }
    return err;
}

static struct updates *of_feed(struct feed *feed)
{
    return (struct updates *)(void *)((char *)feed - offsetof(struct updates, feed));
}

static enum phase phase_awake(const struct updates *updates, unsigned why)
{
    if ((why & FEED_NEWS) != 0)
        return PHASE_LOOK;
    if ((why & FEED_DUE) != 0)
        return updates->form.heartbeat ? PHASE_BEAT : PHASE_TAIL;
    return PHASE_REST; /* its rights have been looked at, and are there */
}

static void updates_wake(struct feed *feed, unsigned why)
{
    struct updates *updates = of_feed(feed);
    enum qk_err err = service_is_open(updates->service) ? updates_turn(updates) : QK_ERR_SEALED;

    if (updates->retry != 0)
        why = (why & ~FEED_DUE) | updates->retry;
    updates->retry = 0;
    if (err == QK_ERR_BUSY && feed_rest(feed, RIGHTS_RETRY_MS)) {
        updates->retry = why;
        return;
    }
    if (err != QK_OK) {
        stream_abandon(&updates->stream, err);
        return;
    }
    updates->phase = phase_awake(updates, why);
    if (updates->phase == PHASE_REST && feed_rest_on(feed))
        return;
    if (updates->phase == PHASE_REST)
        updates->phase = PHASE_TAIL;
    stream_wake(&updates->stream);
}

static void updates_closed(struct feed *feed, enum qk_err err)
{
    struct updates *updates = of_feed(feed);

    if (err == QK_ERR_CLOSED && service_is_open(updates->service) &&
        keys_are_current(updates->service)) {
        updates->phase = PHASE_TAIL;
        stream_wake(&updates->stream);
    } else {
        stream_abandon(&updates->stream, err);
    }
}

static void updates_gone(void *arg)
{
    struct updates *updates = arg;

    if (updates->stream.rest)
        stream_abandon(&updates->stream, QK_ERR_CLOSED);
}

/* --- the request --- */

static enum qk_err read_wish(const struct request *request, struct updates *updates,
                             struct doc_problem *problem)
{
    struct bytes text;
    enum qk_err err = feed_form_read(request, &updates->form, problem);

    updates->limit = UINT64_MAX;
    if (err == QK_OK)
        err = param_u64(request, "limit", &updates->limit, problem);
    updates->descending =
        request_param(request, "descending", &text) && bytes_equal(text, bytes_str("true"));
    if (updates->limit == 0)
        updates->limit = 1;
    if (err != QK_OK || !feed_form_since(request, &updates->form, &text))
        return err;
    updates->since_now = bytes_equal(text, bytes_str("now"));
    if (updates->since_now || seq_parse(updates->service->origin_id, text, &updates->last) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "Malformed sequence supplied in 'since' parameter.");
}

static enum qk_err updates_enter(struct updates *updates)
{
    if (updates->form.kind == FEED_NORMAL)
        return QK_OK;
    updates->feed.wake = updates_wake;
    updates->feed.closed = updates_closed;
    exchange_on_gone(updates->stream.exchange, updates_gone, updates);
    updates->stream.content_type = feed_form_type(&updates->form, updates->stream.exchange);
    return feed_enter(updates->service, &updates->feed);
}

static void updates_flushed(void *arg, enum qk_err err)
{
    struct updates *updates = arg;

    if (err == QK_OK && !service_is_open(updates->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK) {
        stream_start(&updates->stream);
        return;
    }
    submit_reply_err(updates->service, updates->stream.exchange, err);
    updates_free(updates);
}

static void updates_ready(struct service *service, struct exchange *exchange)
{
    struct updates *updates = calloc(1, sizeof(*updates));
    struct doc_problem problem = {0};
    enum qk_err err;

    if (updates == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    updates->service = service;
    stream_init(&updates->stream, service, exchange, updates_step, updates_ended, updates);
    updates->stream.turn = updates_turn;
    err = read_wish(&exchange->request, updates, &problem);
    if (err == QK_OK)
        err = updates_enter(updates);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        updates_free(updates);
        return;
    }
    store_flush_to_read(service->store, updates_flushed, updates);
}

void handle_db_updates(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, updates_ready);
}
