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

static bool segment_matches(const char *pattern, size_t len, struct bytes segment)
{
    if (len > 2 && pattern[0] == '{')
        return segment.len > 0 && (pattern[1] == '*' || segment.data[0] != '_');
    return segment.len == len && memcmp(segment.data, pattern, len) == 0;
}

static bool is_rest(const char *pattern, size_t len)
{
    return len > 5 && pattern[0] == '{' && memcmp(pattern + len - 4, "...}", 4) == 0;
}

static bool path_matches(const char *pattern, const struct request *request)
{
    unsigned i = 0;

    assert(pattern[0] == '/');
    while (pattern[0] == '/' && pattern[1] != '\0') {
        size_t len = strcspn(pattern + 1, "/");

        if (is_rest(pattern + 1, len))
            return i < request->segments_n;
        if (i == request->segments_n || !segment_matches(pattern + 1, len, request->segments[i]))
            return false;
        i++;
        pattern += 1 + len;
    }
    return i == request->segments_n;
}

/* A bit for each segment that takes names with a leading underscore or a rest of any length, the
 * first one highest: of two patterns that match, the one with the smaller number names the path. */
static uint32_t pattern_openness(const char *pattern)
{
    uint32_t openness = 0, bit = 0x80000000u;

    _Static_assert(REQUEST_SEGMENTS_MAX <= 32, "a bit for each segment");
    for (; pattern[0] == '/' && pattern[1] != '\0'; bit >>= 1) {
        size_t len = strcspn(pattern + 1, "/");

        if (pattern[1] == '{' && (pattern[2] == '*' || is_rest(pattern + 1, len)))
            openness |= bit;
        pattern += 1 + len;
    }
    return openness;
}

/* The smallest openness of the patterns that match; what is open more widely is not meant: GET of
 * /db/_bulk_docs is a wrong method, and no document. */
static uint32_t least_openness(const struct route *routes, unsigned routes_n,
                               const struct request *request)
{
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i < routes_n; i++) {
        if (path_matches(routes[i].pattern, request)) {
            uint32_t openness = pattern_openness(routes[i].pattern);

            least = openness < least ? openness : least;
        }
    }
    return least;
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

const struct route *route_find(const struct route *routes, unsigned routes_n,
                               const struct request *request, bool method_known,
                               char ret_allow[static ROUTE_ALLOW_BYTES])
{
    bool allowed[METHODS_N] = {false};
    enum method method = request->method;
    const struct route *get = NULL;
    uint32_t openness = least_openness(routes, routes_n, request);

    ret_allow[0] = '\0';
    for (unsigned i = 0; i < routes_n; i++) {
        if (!path_matches(routes[i].pattern, request) ||
            pattern_openness(routes[i].pattern) != openness)
            continue;
        if (method_known && routes[i].method == method)
            return &routes[i];
        allowed[routes[i].method] = true;
        if (routes[i].method == METHOD_GET) {
            allowed[METHOD_HEAD] = true;
            get = get == NULL ? &routes[i] : get;
        }
    }
    if (method_known && method == METHOD_HEAD && get != NULL)
        return get;
    write_allow(allowed, ret_allow);
    return NULL;
}
