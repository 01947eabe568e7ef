/* TLS of a connection to a node, by OpenSSL over the connected socket. */
#ifndef CLIENT_TLS_H
#define CLIENT_TLS_H

#include <sys/types.h>

#include "client/target.h"

struct client_tls;

/* The handshake on `fd` (not blocking, stays the caller's). The node's certificate must be of one
 * of the issuers in target->ca, or of those that the system trusts, and name the host asked for.
 * QK_ERR_DENIED: it is not, with the reason appended to `message`; QK_ERR_INVALID: a file of ours;
 * QK_ERR_TIMEOUT, QK_ERR_CLOSED, QK_ERR_NOMEM. The caller frees with client_tls_free. */
MUST_USE enum qk_err client_tls_open(const struct client_target *target, int fd,
                                     unsigned timeout_ms, struct client_tls **ret_tls,
                                     struct buf *message);
void client_tls_free(struct client_tls *tls);

/* As send(2) and recv(2) of a socket that does not block. -1 with `ret_events` 0: it failed, else
 * what poll(2) is to wait for first. */
ssize_t client_tls_send(struct client_tls *tls, const void *data, size_t len, short *ret_events);
ssize_t client_tls_recv(struct client_tls *tls, void *data, size_t len, short *ret_events);
/* Nothing to read and no end of the session; records without data (a ticket) count for nothing. */
bool client_tls_is_idle(struct client_tls *tls);

/* call.c: waits for `fd`; false after `timeout_ms` or on an error. */
bool client_wait(int fd, short events, unsigned timeout_ms);

#endif
