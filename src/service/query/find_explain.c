/* _explain: how a query would be answered, in the shape of CouchDB 3.4. */
#include "service/query/find_private.h"

#define MAX_TEXT "<MAX>"

static json_t *text_json(struct bytes text)
{
    return json_stringn(text.len == 0 ? "" : (const char *)text.data, text.len);
}

/* --- mrargs --- */

/* Of all documents: ids. */
static json_t *id_key(const struct find *find, bool high)
{
    const struct selector_range *range = selector_range_of(&find->plan.ranges, bytes_str("_id"));
    json_t *bound = range == NULL ? NULL : high ? range->high : range->low;

    if (bound != NULL)
        return json_incref(bound);
    return high ? json_string(MAX_TEXT) : json_null();
}

/* Of an index: its columns as far as the selector narrows them. */
static json_t *index_key(const struct find *find, bool high)
{
    json_t *key = json_array();
    size_t i;

    for (i = 0; i < find->plan.columns_n; i++) {
        const struct selector_range *range = find->plan.columns[i];
        json_t *bound = high ? range->high : range->low;

        if (bound == NULL)
            break;
        json_array_append(key, bound);
    }
    if (high)
        json_array_append_new(key, json_string(MAX_TEXT));
    return key;
}

static json_t *end_key(const struct find *find, bool high)
{
    if (find->plan.empty)
        return json_null();
    return find->plan.index == NULL ? id_key(find, high) : index_key(find, high);
}

static json_t *mrargs_json(const struct find *find)
{
    const struct find_wish *wish = &find->wish;

    return json_pack("{s:b,s:s,s:b,s:n,s:o,s:o,s:s,s:b,s:b,s:o}", "include_docs", 1, "view_type",
                     "map", "reduce", 0, "partition", "start_key", end_key(find, wish->descending),
                     "end_key", end_key(find, !wish->descending), "direction",
                     wish->descending ? "rev" : "fwd", "stable",
                     wish->stable || wish->stale ? 1 : 0, "update", wish->update ? 1 : 0,
                     "conflicts", wish->conflicts ? json_true() : json_null());
}

/* --- opts --- */

static json_t *fields_json(const struct find_wish *wish)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < wish->fields_n; i++)
        json_array_append_new(list, text_json(wish->fields[i].text));
    return list;
}

static json_t *fields_or_all(const struct find_wish *wish)
{
    return wish->fields_n == 0 ? json_string("all_fields") : fields_json(wish);
}

static json_t *use_index_json(const struct find_wish *wish)
{
    json_t *list = json_array();

    if (wish->use_design.len > 0)
        json_array_append_new(list, text_json(wish->use_design));
    if (wish->use_view.len > 0)
        json_array_append_new(list, text_json(wish->use_view));
    return list;
}

static json_t *sort_json(const struct find_wish *wish)
{
    json_t *sort = json_object();
    size_t i;

    for (i = 0; i < wish->sort_n; i++)
        json_object_setn_new(sort, (const char *)wish->sort[i].data, wish->sort[i].len,
                             json_string(wish->descending ? "desc" : "asc"));
    return sort;
}

static json_t *opts_json(const struct find_wish *wish)
{
    return json_pack("{s:o,s:o,s:I,s:I,s:o,s:o,s:s,s:I,s:b,s:b,s:b,s:b,s:b,s:b}", "use_index",
                     use_index_json(wish), "bookmark",
                     wish->bookmark.len == 0 ? json_string("nil") : text_json(wish->bookmark),
                     "limit", (json_int_t)wish->limit, "skip", (json_int_t)wish->skip, "sort",
                     sort_json(wish), "fields", fields_or_all(wish), "partition", "", "r",
                     (json_int_t)wish->r, "conflicts", wish->conflicts ? 1 : 0, "stale",
                     wish->stale ? 1 : 0, "update", wish->update ? 1 : 0, "stable",
                     wish->stable ? 1 : 0, "execution_stats", wish->execution_stats ? 1 : 0,
                     "allow_fallback", wish->allow_fallback ? 1 : 0);
}

json_t *find_explain_json(const struct find *find)
{
    const struct find_wish *wish = &find->wish;
    const struct find_plan *plan = &find->plan;

    return json_pack("{s:s%,s:o,s:b,s:o,s:o,s:I,s:I,s:o,s:o,s:o,s:o,s:b}", "dbname",
                     (const char *)find->exchange->request.segments[0].data,
                     find->exchange->request.segments[0].len, "index",
                     plan->unusable ? json_null() : find_index_json(plan->index), "partitioned", 0,
                     "selector", selector_json(wish->selector), "opts", opts_json(wish), "limit",
                     (json_int_t)wish->limit, "skip", (json_int_t)wish->skip, "fields",
                     fields_or_all(wish), "index_candidates",
                     find_plan_candidates(wish, &find->indexes, plan), "selector_hints",
                     find_plan_hints(wish, plan), "mrargs",
                     plan->unusable ? json_null() : mrargs_json(find), "covering", 0);
}
