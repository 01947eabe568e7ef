#include "service/query/find_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "_design/"

/* --- what an index can do --- */

static struct bytes without_prefix(struct bytes design)
{
    return bytes_starts_with(design, bytes_str(PREFIX))
               ? bytes_slice(design, sizeof(PREFIX) - 1, design.len)
               : design;
}

/* NULL: all documents, which nobody can wish for. */
static bool is_wished(const struct find_wish *wish, const struct find_index *index)
{
    return wish->use_design.len > 0 && index != NULL &&
           bytes_equal(without_prefix(wish->use_design), without_prefix(index->design_id)) &&
           (wish->use_view.len == 0 || bytes_equal(wish->use_view, index->name));
}

static bool is_prefix(const struct find_wish *wish, const struct bytes *columns, size_t n)
{
    size_t i;

    if (wish->sort_n > n)
        return false;
    for (i = 0; i < wish->sort_n; i++)
        if (!bytes_equal(wish->sort[i], columns[i]))
            return false;
    return true;
}

/* Columns in front of the wished ones do no harm where all matches have the same value in them. */
static bool has_order(const struct find_wish *wish, const struct find_index *index)
{
    size_t i;

    if (wish->sort_n == 0)
        return true;
    for (i = 0; i < index->columns_n; i++) {
        if (bytes_equal(index->columns[i], wish->sort[0]))
            return is_prefix(wish, index->columns + i, index->columns_n - i);
        if (!selector_is_constant(wish->selector, index->columns[i]))
            return false;
    }
    return false;
}

static bool is_sorted_by(const struct find_wish *wish, struct bytes column)
{
    size_t i;

    for (i = 0; i < wish->sort_n; i++)
        if (bytes_equal(wish->sort[i], column))
            return true;
    return false;
}

/* Every match has its columns: a document without one of them is not in it. Those that are sorted
 * by are taken to be wished to be there, and every document has _id and _rev. */
static bool has_all(const struct find_wish *wish, const struct find_index *index)
{
    struct bytes must[FIND_COLUMNS_MAX];
    size_t i, n = 0;

    for (i = 0; i < index->columns_n; i++) {
        struct bytes column = index->columns[i];

        if (!is_sorted_by(wish, column) && !bytes_equal(column, bytes_str("_id")) &&
            !bytes_equal(column, bytes_str("_rev")))
            must[n++] = column;
    }
    return n == 0 || selector_requires(wish->selector, must, n);
}

static bool all_docs_usable(const struct find_wish *wish, const struct find_plan *plan)
{
    const struct bytes id = bytes_str("_id");

    return wish->sort_n == 0 ||
           (selector_range_of(&plan->ranges, id) != NULL && is_prefix(wish, &id, 1));
}

/* Of a blind index the rows of one key can be found, and no others. */
static bool is_one_key(const struct find_plan *plan, const struct find_index *index)
{
    size_t i;

    for (i = 0; i < index->columns_n; i++) {
        const struct selector_range *range = selector_range_of(&plan->ranges, index->columns[i]);

        if (range == NULL || range->low == NULL || range->high == NULL ||
            !json_equal(range->low, range->high))
            return false;
    }
    return true;
}

static bool is_usable(const struct find_wish *wish, const struct find_plan *plan,
                      const struct find_index *index)
{
    return (index->kind != VIEW_BLIND || is_one_key(plan, index)) &&
           (!index->partial || is_wished(wish, index)) && has_all(wish, index) &&
           has_order(wish, index);
}

/* --- the choice --- */

static size_t narrowed_n(const struct find_plan *plan, const struct find_index *index)
{
    size_t i;

    for (i = 0; i < index->columns_n; i++)
        if (selector_range_of(&plan->ranges, index->columns[i]) == NULL)
            break;
    return i;
}

/* <0: `a` is the better one. Both are in the order of their names. */
static int by_worth(const struct find_plan *plan, const struct find_index *a,
                    const struct find_index *b)
{
    size_t narrowed_a = narrowed_n(plan, a), narrowed_b = narrowed_n(plan, b);

    if (narrowed_a != narrowed_b)
        return narrowed_a > narrowed_b ? -1 : 1;
    if (a->columns_n != b->columns_n)
        return a->columns_n < b->columns_n ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* The best of those that can, or of those of them that the client wishes for. */
static const struct find_index *best(const struct find_wish *wish,
                                     const struct find_indexes *indexes,
                                     const struct find_plan *plan, bool wished)
{
    const struct find_index *found = NULL;
    size_t i;

    for (i = 0; i < indexes->n; i++) {
        const struct find_index *index = &indexes->list[i];

        if ((wished && !is_wished(wish, index)) || !is_usable(wish, plan, index))
            continue;
        if (found == NULL || by_worth(plan, index, found) < 0)
            found = index;
    }
    return found;
}

static void set_columns(struct find_plan *plan)
{
    size_t i;

    if (plan->index == NULL)
        return;
    plan->columns_n = narrowed_n(plan, plan->index);
    for (i = 0; i < plan->columns_n; i++)
        plan->columns[i] = selector_range_of(&plan->ranges, plan->index->columns[i]);
}

static enum qk_err no_fallback(const struct find_wish *wish, struct find_plan *plan,
                               struct doc_problem *problem)
{
    struct buf text = BUF_INIT(4 * KIB);
    enum qk_err err;

    find_plan_warn(wish, plan, &text);
    plan->unusable = true;
    err = doc_problem_set(problem, 400, "no_usable_index", "%.*s", (int)text.len,
                          (const char *)text.data);
    buf_fini(&text);
    return err;
}

enum qk_err find_plan_make(const struct find_wish *wish, const struct find_indexes *indexes,
                           struct find_plan *ret_plan, struct doc_problem *ret_problem)
{
    enum qk_err err;
    size_t i;

    assert(wish->selector != NULL);

    *ret_plan = (struct find_plan){0};
    err = selector_ranges(wish->selector, &ret_plan->ranges);
    if (err != QK_OK)
        return err;
    ret_plan->empty = selector_is_void(wish->selector);
    for (i = 0; i < ret_plan->ranges.n; i++)
        ret_plan->empty = ret_plan->empty || ret_plan->ranges.ranges[i].empty;
    ret_plan->index = best(wish, indexes, ret_plan, true);
    if (ret_plan->index == NULL)
        ret_plan->index = best(wish, indexes, ret_plan, false);
    if (ret_plan->index == NULL && !all_docs_usable(wish, ret_plan)) {
        ret_plan->unusable = true;
        return doc_problem_set(ret_problem, 400, "no_usable_index",
                               "No index exists for this sort, try indexing by the sort fields.");
    }
    if (!wish->allow_fallback && (ret_plan->index == NULL ||
                                  (wish->use_design.len > 0 && !is_wished(wish, ret_plan->index))))
        return no_fallback(wish, ret_plan, ret_problem);
    set_columns(ret_plan);
    return QK_OK;
}

void find_plan_fini(struct find_plan *plan)
{
    selector_ranges_fini(&plan->ranges);
}

/* --- what is said about it --- */

void find_plan_warn(const struct find_wish *wish, const struct find_plan *plan, struct buf *out)
{
    struct bytes design = without_prefix(wish->use_design);

    if (wish->use_design.len > 0 && !is_wished(wish, plan->index)) {
        buf_put_str(out, PREFIX);
        buf_put_bytes(out, design);
        if (wish->use_view.len > 0) {
            buf_put_str(out, ", ");
            buf_put_bytes(out, wish->use_view);
            buf_put_str(out, " was not used because it is not a valid index for this query.");
        } else {
            buf_put_str(out, " was not used because it does not contain a valid index for this "
                             "query.");
        }
    }
    if (plan->index == NULL) {
        buf_put_str(out, out->len > 0 ? "\n" : "");
        buf_put_str(out, "No matching index found, create an index to optimize query time.");
    }
}

/* Why it was not taken; NULL: it was. */
static const char *reason(const struct find_wish *wish, const struct find_plan *plan,
                          const struct find_index *index)
{
    if (index->partial && !is_wished(wish, index))
        return "is_partial";
    if (selector_is_empty(wish->selector))
        return "empty_selector";
    if (!has_all(wish, index))
        return "field_mismatch";
    if (index->kind == VIEW_BLIND && !is_one_key(plan, index))
        return "blind_needs_equality";
    if (!has_order(wish, index))
        return "sort_order_mismatch";
    if (plan->index == NULL)
        return "field_mismatch";
    if (is_wished(wish, plan->index) && !is_wished(wish, index))
        return "excluded_by_user";
    if (narrowed_n(plan, index) < plan->columns_n)
        return "less_overlap";
    return index->columns_n > plan->index->columns_n ? "too_many_fields"
                                                     : "alphabetically_comes_after";
}

static json_t *candidate(json_t *index, bool usable, const char *why, size_t ranking,
                         json_t *covering)
{
    return json_pack("{s:o,s:{s:b,s:[{s:s}],s:I,s:o}}", "index", index, "analysis", "usable",
                     usable ? 1 : 0, "reasons", "name", why, "ranking", (json_int_t)ranking,
                     "covering", covering);
}

/* Those that could have been taken are ranked behind the one that was; the others are all last. */
static size_t usable_before(const struct find_wish *wish, const struct find_indexes *indexes,
                            const struct find_plan *plan, const struct find_index *index)
{
    size_t i, n = 0;

    for (i = 0; i < indexes->n; i++) {
        const struct find_index *other = &indexes->list[i];

        if (other != plan->index && is_usable(wish, plan, other) &&
            (index == NULL || by_worth(plan, other, index) < 0))
            n++;
    }
    return n;
}

json_t *find_plan_candidates(const struct find_wish *wish, const struct find_indexes *indexes,
                             const struct find_plan *plan)
{
    bool all_docs = plan->index != NULL || plan->unusable;
    bool all_docs_can = all_docs_usable(wish, plan);
    size_t usable_n = usable_before(wish, indexes, plan, NULL), last, i;
    json_t *list = json_array();

    last = usable_n + (all_docs && all_docs_can ? 1 : 0) + 1;
    for (i = indexes->n; i > 0; i--) {
        const struct find_index *index = &indexes->list[i - 1];
        bool usable = is_usable(wish, plan, index);

        if (index != plan->index)
            json_array_append_new(
                list, candidate(find_index_json(index), usable, reason(wish, plan, index),
                                usable ? usable_before(wish, indexes, plan, index) + 1 : last,
                                json_false()));
    }
    if (all_docs)
        json_array_append_new(list, candidate(find_index_json(NULL), all_docs_can,
                                              all_docs_can ? "unfavored_type" : "field_mismatch",
                                              all_docs_can ? usable_n + 1 : last, json_null()));
    return list;
}

struct hints {
    const struct find_plan *plan;
    json_t *indexable, *unindexable;
};

static void hint(void *arg, struct bytes field)
{
    struct hints *hints = arg;
    json_t *list = selector_range_of(&hints->plan->ranges, field) != NULL ? hints->indexable
                                                                          : hints->unindexable;
    size_t i;

    for (i = 0; i < json_array_size(list); i++)
        if (bytes_equal(json_bytes(json_array_get(list, i)), field))
            return;
    json_array_append_new(list, json_stringn((const char *)field.data, field.len));
}

json_t *find_plan_hints(const struct find_wish *wish, const struct find_plan *plan)
{
    struct hints hints = {plan, json_array(), json_array()};

    selector_fields_each(wish->selector, hint, &hints);
    return json_pack("[{s:s,s:o,s:o}]", "type", "json", "indexable_fields", hints.indexable,
                     "unindexable_fields", hints.unindexable);
}
