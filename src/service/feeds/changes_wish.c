/* The parameters of _changes as CouchDB reads them: what it does not know, and a flag that is not
 * "true", counts as absent. */
#include <string.h>

#include "service/feeds/changes_private.h"
#include "service/params.h"

/* No limit, as CouchDB counts: seq_interval goes by what is left of it. */
#define LIMIT_NONE UINT64_C(1000000000000000)

static bool flag(const struct request *request, const char *name)
{
    struct bytes text;

    return request_param(request, name, &text) && bytes_equal(text, bytes_str("true"));
}

static enum qk_err read_since(const struct request *request, struct changes *changes,
                              struct doc_problem *problem)
{
    struct changes_wish *wish = &changes->wish;
    struct bytes text;

    if (!feed_form_since(request, &wish->form, &text))
        return QK_OK;
    wish->since_now = bytes_equal(text, bytes_str("now"));
    wish->since_ours = text.len > 0 && memchr(text.data, '-', text.len) != NULL;
    if (wish->since_now || visible_seq_parse(&changes->visible, text, &wish->since) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "Malformed sequence supplied in 'since' parameter.");
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
    wish->attachments = flag(request, "attachments");
}

enum qk_err changes_wish_read(const struct request *request, struct changes *changes,
                              struct doc_problem *ret_problem)
{
    struct changes_wish *wish = &changes->wish;
    enum qk_err err;

    wish->limit = LIMIT_NONE;
    read_flags(request, wish);
    err = feed_form_read(request, &wish->form, ret_problem);
    if (err == QK_OK)
        err = read_since(request, changes, ret_problem);
    if (err == QK_OK)
        err = param_u64(request, "limit", &wish->limit, ret_problem);
    if (err == QK_OK)
        err = read_style(request, wish, ret_problem);
    if (err == QK_OK)
        err = read_interval(request, wish, ret_problem);
    if (wish->limit == 0)
        wish->limit = 1; /* as CouchDB has it */
    return err;
}
