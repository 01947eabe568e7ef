/* Where a node is reached, and how paths and queries are written. Pure. */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

#define CLIENT_TARGET_BYTES 512

/* Where a node is reached. */
struct client_target {
    bool local; /* the control socket at `path` */
    bool tls;
    char path[108];                   /* sockaddr_un's size */
    char host[ADDRESS_BYTES_MAX + 1]; /* without brackets */
    char port[6];
    char text[CLIENT_TARGET_BYTES]; /* as it was given, for messages */
    /* With `tls`, borrowed: PEM files of trusted issuers (NULL: the system's), of an own
     * certificate (NULL: none) and its key (NULL: in the same file). */
    const char *ca, *cert, *cert_key;
};

/* "unix:PATH", "/PATH", "HOST:PORT", "http://HOST:PORT[/]", "https://HOST:PORT[/]", "[V6]:PORT". A
 * sentence is appended to `message` on QK_ERR_INVALID. */
MUST_USE enum qk_err client_target_parse(const char *text, struct client_target *ret_target,
                                         struct buf *message);
/* What is sent to it stays on this machine: a socket file or a loopback address. */
bool client_target_is_private(const struct client_target *target);

/* Appends "/segment", percent-encoded. */
void client_path_put(struct buf *path, const char *segment);
/* Appends a document's id as a path: "_design/x" and "_local/x" are two segments, a slash in any
 * other id is a character of it. */
void client_path_put_id(struct buf *path, const char *id);
/* Appends "?name=value" or "&name=value", percent-encoded. */
void client_query_put(struct buf *path, const char *name, const char *value);

/* Appends the value of an Authorization header, "Basic ...". */
MUST_USE enum qk_err client_basic(const char *user, struct bytes password, struct buf *out);

#endif
