/* How CouchDB's feeds are asked for and what they look like, whatever they tell of. */
#include "service/feeds/feed_form.h"

#include "service/params.h"

#define WAIT_MS_MAX 60000u /* CouchDB's changes_timeout: the default and the most */

/* --- asking --- */

static enum qk_err read_feed(const struct request *request, struct feed_form *form,
                             struct doc_problem *problem)
{
    static const struct {
        const char *name;
        enum feed_kind kind;
    } NAMES[] = {{"normal", FEED_NORMAL},
                 {"longpoll", FEED_LONGPOLL},
                 {"continuous", FEED_CONTINUOUS},
                 {"live", FEED_CONTINUOUS},
                 {"eventsource", FEED_EVENTSOURCE}};
    struct bytes text;
    size_t i;

    if (!request_param(request, "feed", &text))
        return QK_OK;
    for (i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (bytes_equal(text, bytes_str(NAMES[i].name))) {
            form->kind = NAMES[i].kind;
            return QK_OK;
        }
    }
    return doc_problem_set(
        problem, 400, "bad_request",
        "Supported `feed` types: normal, continuous, live, longpoll, eventsource");
}

static bool is_integer(struct bytes text)
{
    uint64_t value;

    if (text.len > 1 && text.data[0] == '-')
        text = bytes_slice(text, 1, text.len);
    return parse_u64(text, &value);
}

static enum qk_err read_heartbeat(const struct request *request, struct feed_form *form,
                                  struct doc_problem *problem)
{
    struct bytes text;
    uint64_t ms = WAIT_MS_MAX;

    if (!request_param(request, "heartbeat", &text))
        return QK_OK;
    if (!bytes_equal(text, bytes_str("true")) && (!parse_u64(text, &ms) || ms == 0))
        return doc_problem_set(
            problem, 400, "bad_request",
            is_integer(text) ? "The heartbeat value should be a positive integer (in milliseconds)."
                             : "Invalid heartbeat value. Expecting a positive integer value (in "
                               "milliseconds).");
    form->heartbeat = true;
    form->wait_ms = ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX;
    return QK_OK;
}

/* Of the two the heartbeat counts. */
static enum qk_err read_wait(const struct request *request, struct feed_form *form,
                             struct doc_problem *problem)
{
    struct bytes text;
    enum qk_err err;

    form->wait_ms = WAIT_MS_MAX;
    if (request_param(request, "timeout", &text) && bytes_equal(text, bytes_str("infinity")))
        return read_heartbeat(request, form, problem);
    err = param_u64(request, "timeout", &form->wait_ms, problem);
    if (form->wait_ms > WAIT_MS_MAX)
        form->wait_ms = WAIT_MS_MAX;
    return err == QK_OK ? read_heartbeat(request, form, problem) : err;
}

enum qk_err feed_form_read(const struct request *request, struct feed_form *form,
                           struct doc_problem *ret_problem)
{
    enum qk_err err = read_feed(request, form, ret_problem);

    return err == QK_OK ? read_wait(request, form, ret_problem) : err;
}

bool feed_form_since(const struct request *request, const struct feed_form *form,
                     struct bytes *ret_text)
{
    *ret_text = request->last_event_id;
    return (form->kind == FEED_EVENTSOURCE && ret_text->len > 0) ||
           request_param(request, "last-event-id", ret_text) ||
           request_param(request, "since", ret_text);
}

/* --- telling --- */

const char *feed_form_type(const struct feed_form *form, struct exchange *exchange)
{
    if (form->kind != FEED_EVENTSOURCE)
        return "application/json";
    exchange_field(exchange, "Cache-Control", "no-cache");
    return "text/event-stream";
}

void feed_form_head(const struct feed_form *form, struct buf *out)
{
    if (form->kind == FEED_NORMAL || form->kind == FEED_LONGPOLL)
        buf_put_str(out, "{\"results\":[");
}

void feed_form_row(const struct feed_form *form, bool first, struct buf *out)
{
    if (form->kind == FEED_EVENTSOURCE)
        buf_put_str(out, "data: ");
    else if (form->kind != FEED_CONTINUOUS)
        buf_put_str(out, first ? "\n" : ",\n");
}

void feed_form_tail(const struct feed_form *form, struct buf *out)
{
    buf_put_str(out, form->kind == FEED_CONTINUOUS ? "{" : "\n],\n");
}

void feed_form_beat(const struct feed_form *form, struct buf *out)
{
    buf_put_str(out, form->kind == FEED_EVENTSOURCE ? "event: heartbeat\ndata: \n\n" : "\n");
}
