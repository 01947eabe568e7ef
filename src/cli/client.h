/* A blocking HTTP/1.1 client for one request at a time, over a node's control socket or its
 * address for clients. It knows nothing of verbs; what it says of failures is for people. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

#define CLIENT_TARGET_BYTES 512
#define CLIENT_TIMEOUT_MS 60000
#define CLIENT_ALARM_BYTES 512
#define CLIENT_REPLY_BYTES_MAX (256 * MIB)

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

struct client_request {
    const char *method;
    struct bytes target;        /* path and query, encoded (client_path_put) */
    struct bytes body;          /* JSON, of PATCH a merge patch; none if empty */
    struct bytes authorization; /* value of the header; none if empty */
    unsigned timeout_ms;        /* without a byte from the node; 0: CLIENT_TIMEOUT_MS */
    /* Given the pieces of a 2xx body as they come; then the reply's body stays empty. */
    void (*on_body)(void *arg, struct bytes piece);
    void *arg;
};

struct client_reply {
    int status;
    char alarm[CLIENT_ALARM_BYTES]; /* X-Quorumkeep-Alarm; empty if there is none */
    struct buf body;                /* may hold documents: wiped by client_reply_fini */
};

/* QK_OK: there is a reply, whatever its status. QK_ERR_CLOSED: not reached; QK_ERR_TIMEOUT;
 * QK_ERR_UNKNOWN_OUTCOME: the request was sent, but no whole reply came; QK_ERR_INVALID: what came
 * is not HTTP; QK_ERR_TOO_BIG. On errors a sentence is appended to `message`. The caller frees the
 * reply in any case. */
MUST_USE enum qk_err client_call(const struct client_target *target,
                                 const struct client_request *request,
                                 struct client_reply *ret_reply, struct buf *message);
void client_reply_fini(struct client_reply *reply);

/* Appends "/segment", percent-encoded. */
void client_path_put(struct buf *path, const char *segment);
/* Appends "?name=value" or "&name=value", percent-encoded. */
void client_query_put(struct buf *path, const char *name, const char *value);

#endif
