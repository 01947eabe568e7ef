/* The parameters of _changes as CouchDB reads them: what it does not know, and a flag that is not
 * "true", counts as absent. */
#include <string.h>

#include "service/changes_private.h"
#include "service/params.h"

#define WAIT_MS_MAX 60000u /* CouchDB's changes_timeout: the default and the most */
/* No limit, as CouchDB counts: seq_interval goes by what is left of it. */
#define LIMIT_NONE UINT64_C(1000000000000000)

static bool flag(const struct request *request, const char *name)
{
    struct bytes text;

    return request_param(request, name, &text) && bytes_equal(text, bytes_str("true"));
}

static enum qk_err read_feed(const struct request *request, struct changes_wish *wish,
                             struct doc_problem *problem)
{
    static const struct {
        const char *name;
        enum changes_feed feed;
    } NAMES[] = {{"normal", CHANGES_NORMAL},
                 {"longpoll", CHANGES_LONGPOLL},
                 {"continuous", CHANGES_CONTINUOUS},
                 {"live", CHANGES_CONTINUOUS},
                 {"eventsource", CHANGES_EVENTSOURCE}};
    struct bytes text;
    size_t i;

    if (!request_param(request, "feed", &text))
        return QK_OK;
    for (i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (bytes_equal(text, bytes_str(NAMES[i].name))) {
            wish->feed = NAMES[i].feed;
            return QK_OK;
        }
    }
    return doc_problem_set(
        problem, 400, "bad_request",
        "Supported `feed` types: normal, continuous, live, longpoll, eventsource");
}

/* A browser that connects again knows better than the address that it was given at first. */
static enum qk_err read_since(const struct request *request, struct changes *changes,
                              struct doc_problem *problem)
{
    struct changes_wish *wish = &changes->wish;
    struct bytes text = request->last_event_id;

    if ((wish->feed != CHANGES_EVENTSOURCE || text.len == 0) &&
        !request_param(request, "last-event-id", &text) && !request_param(request, "since", &text))
        return QK_OK;
    wish->since_now = bytes_equal(text, bytes_str("now"));
    if (wish->since_now || visible_seq_parse(&changes->visible, text, &wish->since) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "Malformed sequence supplied in 'since' parameter.");
}

static bool is_integer(struct bytes text)
{
    uint64_t value;

    if (text.len > 1 && text.data[0] == '-')
        text = bytes_slice(text, 1, text.len);
    return parse_u64(text, &value);
}

static enum qk_err read_heartbeat(const struct request *request, struct changes_wish *wish,
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
    wish->heartbeat = true;
    wish->wait_ms = ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX;
    return QK_OK;
}

/* Of the two the heartbeat counts. */
static enum qk_err read_wait(const struct request *request, struct changes_wish *wish,
                             struct doc_problem *problem)
{
    struct bytes text;
    enum qk_err err;

    wish->wait_ms = WAIT_MS_MAX;
    if (request_param(request, "timeout", &text) && bytes_equal(text, bytes_str("infinity")))
        return read_heartbeat(request, wish, problem);
    err = param_u64(request, "timeout", &wish->wait_ms, problem);
    if (wish->wait_ms > WAIT_MS_MAX)
        wish->wait_ms = WAIT_MS_MAX;
    return err == QK_OK ? read_heartbeat(request, wish, problem) : err;
}

static enum qk_err read_style(const struct request *request, struct changes_wish *wish,
                              struct doc_problem *problem)
{
    struct bytes text;

    if (!request_param(request, "style", &text) || bytes_equal(text, bytes_str("main_only")))
        return QK_OK;
    wish->all_leaves = bytes_equal(text, bytes_str("all_docs"));
    return wish->all_leaves ? QK_OK
                            : doc_problem_set(problem, 400, "bad_request",
                                              "Supported `style` values: main_only, all_docs");
}

static enum qk_err read_interval(const struct request *request, struct changes_wish *wish,
                                 struct doc_problem *problem)
{
    struct bytes text;

    if (!request_param(request, "seq_interval", &text) ||
        (parse_u64(text, &wish->seq_interval) && wish->seq_interval > 0))
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request", "invalid_seq_interval");
}

static void read_flags(const struct request *request, struct changes_wish *wish)
{
    wish->descending = flag(request, "descending");
    wish->include_docs = flag(request, "include_docs");
    wish->conflicts = flag(request, "conflicts");
}

enum qk_err changes_wish_read(const struct request *request, struct changes *changes,
                              struct doc_problem *ret_problem)
{
    struct changes_wish *wish = &changes->wish;
    enum qk_err err;

    wish->limit = LIMIT_NONE;
    read_flags(request, wish);
    err = read_feed(request, wish, ret_problem);
    if (err == QK_OK)
        err = read_since(request, changes, ret_problem);
    if (err == QK_OK)
        err = param_u64(request, "limit", &wish->limit, ret_problem);
    if (err == QK_OK)
        err = read_wait(request, wish, ret_problem);
    if (err == QK_OK)
        err = read_style(request, wish, ret_problem);
    if (err == QK_OK)
        err = read_interval(request, wish, ret_problem);
    if (err == QK_OK)
        err = changes_filter_read(request, &changes->filter, ret_problem);
    if (wish->limit == 0)
        wish->limit = 1; /* as CouchDB has it */
    return err;
}
