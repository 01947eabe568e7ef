/* The addresses listened on: one TCP address and the control socket. */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include "http/server.h"

struct sockaddr;

/* Opens what `config` asks for and adds it to http->listeners. Errors as http_new; those already
 * open stay, to be closed with http_close. */
MUST_USE enum qk_err listener_open_tcp(struct http *http, const char *address, bool insecure_http,
                                       char *ret_reason);
/* Mode 0600; a socket left over from a process that is gone is replaced. */
MUST_USE enum qk_err listener_open_control(struct http *http, const char *path, char *ret_reason);
/* Frees it from the loop, then http_settle. */
void listener_close(struct listener *listener);
uint16_t listener_port(const struct listener *listener); /* 0: no TCP */
/* 127.0.0.0/8, ::1, and the former mapped into IPv6. */
bool listener_is_loopback(const struct sockaddr *address);

#endif
