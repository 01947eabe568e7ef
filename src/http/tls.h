/* TLS of the clients' address, by OpenSSL over memory: bytes in, bytes out, no socket. One
 * `tls_server` a process holds certificate and key; one `tls` a connection.
 *
 * TLS 1.2 and 1.3 with OpenSSL's own choice of suites. No renegotiation, no compression, no session
 * tickets (their key would have to be kept and changed; a handshake is cheap). The certificate's
 * private key is OpenSSL's to keep, in ordinary memory: it opens no document and no disk. */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>

#include "base/bytes.h"

struct tls_server;
struct tls;

struct tls_files {
    const char *cert;      /* PEM: the server's certificate, then those of its issuers */
    const char *key;       /* PEM, readable by its owner alone */
    const char *client_ca; /* PEM: clients must show a certificate of one of these; NULL: none */
};

/* QK_ERR_INVALID: a file is no certificate or key, or they do not belong together; QK_ERR_DENIED:
 * the key is readable by others; `ret_reason` (`size` bytes) names the file. The paths are copied.
 * The caller frees with tls_server_free. */
MUST_USE enum qk_err tls_server_new(const struct tls_files *files, char *ret_reason, size_t size,
                                    struct tls_server **ret_server);
/* Reads the files again, for the connections to come; on an error all stays as it was. */
MUST_USE enum qk_err tls_server_reload(struct tls_server *server, char *ret_reason, size_t size);
/* Takes NULL. Connections in progress keep what they need. */
void tls_server_free(struct tls_server *server);

/* NULL without memory. */
struct tls *tls_new(struct tls_server *server);
void tls_free(struct tls *tls);

enum tls_state {
    TLS_GOING_ON,
    TLS_ENDED, /* the client has said that it sends no more */
    TLS_FAILED /* the handshake or a record is wrong; an alert may wait to be sent */
};

/* Bytes from the socket. QK_ERR_NOMEM. */
MUST_USE enum qk_err tls_feed(struct tls *tls, struct bytes in);
/* Goes on with the handshake and appends at most `room` bytes of plaintext to `out`, a secret
 * buffer. */
enum tls_state tls_read(struct tls *tls, size_t room, struct buf *out);
/* The handshake is over: tls_write may be called. */
bool tls_is_ready(const struct tls *tls);
/* QK_ERR_CLOSED when the session has failed. */
MUST_USE enum qk_err tls_write(struct tls *tls, struct bytes plain);
/* Says that nothing more will be sent. */
void tls_end(struct tls *tls);
/* Appends what is to be sent over the socket. */
void tls_take(struct tls *tls, struct buf *out);

#endif
