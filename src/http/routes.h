/* The table of routes: method and path to what must hold before the handler runs. Pure. */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include <stddef.h>

#include "access/access.h"
#include "service/exchange.h"

struct service;

enum route_flag {
    ROUTE_OPEN = 1,   /* documents: 503 with the reason until the node is open */
    ROUTE_LEADER = 2, /* runs on the leader; forwarded from elsewhere */
    ROUTE_LOGIN = 4,  /* its body is name and password, checked here; the handler has no body */
    ROUTE_WHO = 8,    /* needs no login, but takes note of one */
    ROUTE_PEER = 16,  /* runs here, also when another member asks */
    ROUTE_SAFE = 32,  /* the safe direction: runs also where it cannot be recorded */
    /* Its handler takes a long body as it comes, of whatever length: any, or multipart/related. */
    ROUTE_STREAM = 64,
    ROUTE_STREAM_PARTS = 128,
};

/* What requests are counted under in /metrics. */
enum route_class {
    ROUTE_CLASS_STATUS,
    ROUTE_CLASS_ADMIN,
    ROUTE_CLASS_DATABASE,
    ROUTE_CLASS_READ,
    ROUTE_CLASS_WRITE,
    ROUTE_CLASS_LIST, /* _all_docs, _changes */
    ROUTE_CLASS_LOGIN,
    ROUTE_CLASS_OTHER /* no route */
};
#define ROUTE_CLASSES_N 8

/* `pattern`: literal segments and `{name}`, which stands for any one segment that neither is empty
 * nor begins with an underscore; `{*name}` for any one that is not empty, and `{name...}`, at the
 * end, for one or more. A GET row answers HEAD too, unless a HEAD row comes first. */
struct route {
    enum method method;
    const char *pattern;
    enum access_right right;
    unsigned flags;
    enum route_class class;
    size_t body_bytes_max;
    void (*handler)(struct service *service, struct exchange *exchange);
};

#define ROUTE_ALLOW_BYTES 64

/* "GET"; static. */
const char *route_method_name(enum method method);

/* The row for `request`, or NULL with `ret_allow` empty (no such path, 404) or naming the methods
 * that the path has, "GET,HEAD,PUT" (405). `method_known` is false for a method outside the enum.
 */
const struct route *route_find(const struct route *routes, unsigned routes_n,
                               const struct request *request, bool method_known,
                               char ret_allow[static ROUTE_ALLOW_BYTES]);

#endif
