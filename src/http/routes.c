#include "http/routes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const METHOD_NAMES[] = {
    [METHOD_GET] = "GET",   [METHOD_HEAD] = "HEAD",     [METHOD_PUT] = "PUT",
    [METHOD_POST] = "POST", [METHOD_DELETE] = "DELETE", [METHOD_COPY] = "COPY",
    [METHOD_LIST] = "LIST", [METHOD_PATCH] = "PATCH",
};
#define METHODS_N (sizeof METHOD_NAMES / sizeof METHOD_NAMES[0])

const char *route_method_name(enum method method)
{
    return METHOD_NAMES[method];
}

/* Whether `segment` is the literal that `*pattern` begins with, past which it then moves. */
static bool take_literal(const char **pattern, struct bytes segment)
{
    const char *at = *pattern;

    for (size_t i = 0; i < segment.len; i++) {
        if (at[i] == '\0' || at[i] == '/' || (uint8_t)at[i] != segment.data[i])
            return false;
    }
    *pattern = at + segment.len;
    return **pattern == '\0' || **pattern == '/';
}

static bool is_rest(const char *name, const char *end)
{
    return end - name > 5 && memcmp(end - 4, "...}", 4) == 0;
}

/* `ret_openness` has a bit for each segment that takes names with a leading underscore or a rest of
 * any length, the first one highest: of two patterns that match, the one with the smaller number
 * names the path. Asked of each row for each request: most rows end at the first byte. */
static bool path_matches(const char *pattern, const struct request *request, uint32_t *ret_openness)
{
    uint32_t openness = 0;
    unsigned i = 0;

    _Static_assert(REQUEST_SEGMENTS_MAX <= 32, "a bit for each segment");
    assert(pattern[0] == '/');
    for (; pattern[0] == '/' && pattern[1] != '\0'; i++) {
        const char *name = ++pattern;

        if (i == request->segments_n)
            return false;
        if (name[0] != '{') {
            if (!take_literal(&pattern, request->segments[i]))
                return false;
            continue;
        }
        while (pattern[0] != '\0' && pattern[0] != '/')
            pattern++;
        if (name[1] == '*' || is_rest(name, pattern))
            openness |= 0x80000000u >> i;
        else if (request->segments[i].len == 0 || request->segments[i].data[0] == '_')
            return false;
        if (is_rest(name, pattern))
            i = request->segments_n - 1; /* all that is left */
    }
    *ret_openness = openness;
    return i == request->segments_n;
}

static void allow_put(char *allow, enum method method)
{
    size_t len = strlen(allow);

    (void)snprintf(allow + len, ROUTE_ALLOW_BYTES - len, "%s%s", len == 0 ? "" : ",",
                   METHOD_NAMES[method]);
}

static void write_allow(const bool *allowed, char *ret_allow)
{
    ret_allow[0] = '\0';
    for (unsigned method = 0; method < METHODS_N; method++) {
        if (allowed[method])
            allow_put(ret_allow, (enum method)method);
    }
}

/* The rows of the patterns that name the path most closely. */
struct found {
    uint32_t openness;
    const struct route *exact, *get;
    bool allowed[METHODS_N];
};

static void found_note(struct found *found, const struct route *route, enum method method)
{
    found->allowed[route->method] = true;
    if (route->method == method && found->exact == NULL)
        found->exact = route;
    if (route->method != METHOD_GET)
        return;
    found->allowed[METHOD_HEAD] = true;
    if (found->get == NULL)
        found->get = route;
}

/* What is open more widely than the closest is not meant: GET of /db/_bulk_docs is a wrong method,
 * and no document. */
const struct route *route_find(const struct route *routes, unsigned routes_n,
                               const struct request *request, bool method_known,
                               char ret_allow[static ROUTE_ALLOW_BYTES])
{
    struct found found = {.openness = UINT32_MAX};
    uint32_t openness;

    ret_allow[0] = '\0';
    for (unsigned i = 0; i < routes_n; i++) {
        if (!path_matches(routes[i].pattern, request, &openness) || openness > found.openness)
            continue;
        if (openness < found.openness)
            found = (struct found){.openness = openness};
        found_note(&found, &routes[i], request->method);
    }
    if (method_known && found.exact != NULL)
        return found.exact;
    if (method_known && request->method == METHOD_HEAD && found.get != NULL)
        return found.get;
    write_allow(found.allowed, ret_allow);
    return NULL;
}
