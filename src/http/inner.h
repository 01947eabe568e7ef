/* Requests that the node makes of itself: service/inner.h. */
#ifndef HTTP_INNER_H
#define HTTP_INNER_H

struct http;
struct inner_hook;

/* Good as long as `http` is. */
void http_inner_hook(struct http *http, struct inner_hook *ret_hook);

#endif
