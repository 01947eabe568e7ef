#include <criterion/criterion.h>

#include <string.h>

#include "http/routes.h"

static const struct route ROUTES[] = {
    {.method = METHOD_GET, .pattern = "/"},
    {.method = METHOD_GET, .pattern = "/_up"},
    {.method = METHOD_GET, .pattern = "/v1/sys/health"},
    {.method = METHOD_PUT, .pattern = "/{db}"},
    {.method = METHOD_GET, .pattern = "/{db}"},
    {.method = METHOD_POST, .pattern = "/{db}/_bulk_docs"},
    {.method = METHOD_GET, .pattern = "/{db}/{doc}"},
    {.method = METHOD_DELETE, .pattern = "/{db}/{doc}"},
    {.method = METHOD_GET, .pattern = "/{db}/_design/{*name}"},
    {.method = METHOD_LIST, .pattern = "/{db}/{doc}"},
    {.method = METHOD_PATCH, .pattern = "/v1/secret/{path...}"},
    {.method = METHOD_POST, .pattern = "/open/_many"},
    {.method = METHOD_GET, .pattern = "/open/{*doc}"},
    {.method = METHOD_GET, .pattern = "/open/{*doc}/{name...}"},
    {.method = METHOD_PUT, .pattern = "/open/_local/{*doc}"},
};

static char allow[ROUTE_ALLOW_BYTES];

static const char *find(enum method method, const char *a, const char *b, const char *c)
{
    struct request request = {.method = method};
    const char *const parts[] = {a, b, c};
    const struct route *route;

    for (int i = 0; i < 3 && parts[i] != NULL; i++)
        request.segments[request.segments_n++] = bytes_str(parts[i]);
    route = route_find(ROUTES, sizeof ROUTES / sizeof ROUTES[0], &request, true, allow);
    return route == NULL ? "" : route->pattern;
}

Test(routes, literals_and_names_match)
{
    cr_assert_str_eq(find(METHOD_GET, NULL, NULL, NULL), "/");
    cr_assert_str_eq(find(METHOD_GET, "_up", NULL, NULL), "/_up");
    cr_assert_str_eq(find(METHOD_GET, "v1", "sys", "health"), "/v1/sys/health");
    cr_assert_str_eq(find(METHOD_GET, "db", NULL, NULL), "/{db}");
    cr_assert_str_eq(find(METHOD_GET, "v1", "sys", NULL), "/{db}/{doc}");
    cr_assert_str_eq(find(METHOD_POST, "db", "_bulk_docs", NULL), "/{db}/_bulk_docs");
    cr_assert_str_eq(find(METHOD_GET, "db", "_design", "_x"), "/{db}/_design/{*name}");
    cr_assert_str_eq(find(METHOD_LIST, "db", "x", NULL), "/{db}/{doc}");
}

Test(routes, a_rest_is_one_segment_or_more)
{
    cr_assert_str_eq(find(METHOD_PATCH, "v1", "secret", "a"), "/v1/secret/{path...}");
    cr_assert_str_eq(find(METHOD_PATCH, "v1", "secret", "_a"), "/v1/secret/{path...}");
    cr_assert_str_eq(find(METHOD_PATCH, "v1", "secret", NULL), "");
    cr_assert_str_eq(find(METHOD_GET, "v1", "secret", "a"), "");
    cr_assert_str_eq(allow, "PATCH");
}

Test(routes, the_closest_pattern_says_which_methods_there_are)
{
    cr_assert_str_eq(find(METHOD_POST, "open", "_many", NULL), "/open/_many");
    cr_assert_str_eq(find(METHOD_GET, "open", "_many", NULL), "");
    cr_assert_str_eq(allow, "POST");
    cr_assert_str_eq(find(METHOD_GET, "open", "_else", NULL), "/open/{*doc}");
    cr_assert_str_eq(find(METHOD_GET, "open", "_local", "x"), "");
    cr_assert_str_eq(allow, "PUT");
    cr_assert_str_eq(find(METHOD_GET, "open", "doc", "x"), "/open/{*doc}/{name...}");
}

Test(routes, get_answers_head)
{
    cr_assert_str_eq(find(METHOD_HEAD, "db", "x", NULL), "/{db}/{doc}");
    cr_assert_str_eq(find(METHOD_HEAD, "_up", NULL, NULL), "/_up");
}

Test(routes, unknown_paths_have_no_allow)
{
    cr_assert_str_eq(find(METHOD_GET, "_nothing", NULL, NULL), "");
    cr_assert_str_eq(allow, "");
    cr_assert_str_eq(find(METHOD_GET, "db", "_nothing", NULL), "");
    cr_assert_str_eq(allow, "");
    cr_assert_str_eq(find(METHOD_GET, "db", "a", "b"), "");
    cr_assert_str_eq(allow, "");
}

Test(routes, a_wrong_method_names_the_right_ones)
{
    cr_assert_str_eq(find(METHOD_DELETE, "db", NULL, NULL), "");
    cr_assert_str_eq(allow, "GET,HEAD,PUT");
    cr_assert_str_eq(find(METHOD_GET, "db", "_bulk_docs", NULL), "");
    cr_assert_str_eq(allow, "POST");
    cr_assert_str_eq(find(METHOD_COPY, "db", "x", NULL), "");
    cr_assert_str_eq(allow, "GET,HEAD,DELETE,LIST");
}

Test(routes, an_unknown_method_matches_nothing_but_names_the_path)
{
    struct request request = {.method = METHOD_GET};

    cr_assert_null(route_find(ROUTES, sizeof ROUTES / sizeof ROUTES[0], &request, false, allow));
    cr_assert_str_eq(allow, "GET,HEAD");
}
