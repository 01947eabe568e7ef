/* A blocking HTTP/1.1 client for one request at a time, over a node's control socket or its
 * address for clients. What it says of failures is for people. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/target.h"

#define CLIENT_TIMEOUT_MS 60000
#define CLIENT_ALARM_BYTES 512
#define CLIENT_REPLY_BYTES_MAX (256 * MIB)

struct client_tls;

/* A body that is given piece by piece. Nothing of it is asked for before the node says that it will
 * take it (100 Continue). */
struct client_source {
    const char *content_type;
    uint64_t length; /* UINT64_MAX: not known */
    /* Fills `room` bytes at most: how many; 0: that was all; below 0: give up. */
    ptrdiff_t (*give)(void *arg, void *out, size_t room);
    void *arg;
    uint64_t given; /* so far */
    bool begun, ended, stopped;
};

struct client_request {
    const char *method;
    struct bytes target;          /* path and query, encoded (client_path_put) */
    struct bytes body;            /* JSON, of PATCH a merge patch; none if empty */
    struct client_source *source; /* in place of `body`; NULL: none */
    struct bytes authorization;   /* value of the header; none if empty */
    unsigned timeout_ms;          /* without a byte from the node; 0: CLIENT_TIMEOUT_MS */
    bool keep;                    /* the connection, for another request */
    /* Given the pieces of a 2xx body as they come; then the reply's body stays empty. False: no
     * more of it is wanted, and the reply ends here. */
    bool (*on_body)(void *arg, struct bytes piece);
    void *arg;
};

struct client_reply {
    int status;
    bool kept;                      /* the connection can take another request */
    char alarm[CLIENT_ALARM_BYTES]; /* X-Quorumkeep-Alarm; empty if there is none */
    struct buf body;                /* may hold documents: wiped by client_reply_fini */
};

/* A connection to a node. */
struct client_channel {
    const struct client_target *target; /* borrowed */
    struct client_tls *tls;             /* NULL: none */
    int fd;
};

/* QK_ERR_CLOSED: not reached; QK_ERR_TIMEOUT, QK_ERR_DENIED: its certificate is not trusted;
 * QK_ERR_INVALID: a file of ours. On errors a sentence is appended to `message`. The caller closes
 * with client_channel_close. */
MUST_USE enum qk_err client_channel_open(const struct client_target *target, unsigned timeout_ms,
                                         struct client_channel *ret_channel, struct buf *message);
/* Also for one that never opened, of which all is zero but `fd`, -1. */
void client_channel_close(struct client_channel *channel);
/* The node has not closed it, as far as this side can tell. */
bool client_channel_is_open(struct client_channel *channel);
/* QK_OK: there is a reply, whatever its status. QK_ERR_TIMEOUT, QK_ERR_UNKNOWN_OUTCOME: the request
 * was sent, but no whole reply came; QK_ERR_CLOSED: it could not be sent as a whole, or its source
 * gave up; QK_ERR_INVALID: what came is not HTTP; QK_ERR_TOO_BIG. On
 * errors a sentence is appended to `message`. The caller frees the reply in any case, and closes
 * the channel unless the reply is `kept`. */
MUST_USE enum qk_err client_channel_call(struct client_channel *channel,
                                         const struct client_request *request,
                                         struct client_reply *ret_reply, struct buf *message);

/* The same over a connection of its own, with the errors of both. */
MUST_USE enum qk_err client_call(const struct client_target *target,
                                 const struct client_request *request,
                                 struct client_reply *ret_reply, struct buf *message);
void client_reply_fini(struct client_reply *reply);

#endif
