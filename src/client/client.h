/* Private to client/: the handle of libquorumkeep, and one request to whichever node serves it. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <jansson.h>

#include "client/call.h"
#include "quorumkeep/client.h"

#define CLIENT_PATIENCE_MS 10000
#define CLIENT_MESSAGE_BYTES_MAX 8192

struct quorumkeep {
    struct client_target targets[NODES_MAX];
    size_t targets_n;
    size_t at;                     /* the node to ask next */
    struct client_channel channel; /* kept open to targets[at]; its fd is -1 if none is */
    struct buf authorization;      /* secret */
    struct buf message;            /* terminated by client_settle */
    char *ca, *cert, *cert_key;
    bool clear_allowed;
    unsigned timeout_ms, patience_ms;
    int status;
    const char *node;
};

/* One request of the library's. */
struct client_order {
    const char *method;
    const struct buf *path;
    const char *body;                               /* JSON; NULL: none */
    struct client_source *source;                   /* in place of it; NULL: none */
    bool safe;                                      /* may be sent twice */
    bool (*on_body)(void *arg, struct bytes piece); /* NULL: into the reply */
    void *arg;
    unsigned timeout_ms; /* 0: the handle's */
};

/* nodes.c: asks until a node serves. QUORUMKEEP_OK: a 2xx; else the message is made. The caller
 * frees the reply with client_reply_fini in any case. */
enum quorumkeep_error client_ask(struct quorumkeep *client, const struct client_order *order,
                                 struct client_reply *ret_reply);
void client_rest(unsigned ms);
/* Begins a call: no message, no status. */
void client_begin(struct quorumkeep *client);
/* Sets the message and returns `error`. */
enum quorumkeep_error client_fail(struct quorumkeep *client, enum quorumkeep_error error,
                                  const char *format, ...) __attribute__((format(printf, 3, 4)));

/* reply.c: what a reply that is none of 2xx means; `ret_again`: nothing was written, and another
 * node may serve. Sets the message. */
enum quorumkeep_error client_judge(struct quorumkeep *client, const struct client_reply *reply,
                                   bool *ret_again);
/* The reply's body as JSON, NULL if it is none. The caller decrefs. */
json_t *client_reply_json(const struct client_reply *reply);
/* Copies into memory of the caller's, which quorumkeep_text_free frees. */
enum quorumkeep_error client_text(struct quorumkeep *client, struct bytes bytes,
                                  struct quorumkeep_text *ret_text);

/* options.c: parses an object of parameters, NULL: an empty one. The caller decrefs. */
enum quorumkeep_error client_options(struct quorumkeep *client, const char *options,
                                     json_t **ret_options);
/* Appends them as a query: texts as they are, all else as JSON. */
void client_options_put(struct buf *path, const json_t *options);

/* rows.c: the elements of the reply's array `name` to `row`, and what stood around them.
 * `ret_rest` may be NULL. */
struct client_rows {
    const char *name;
    quorumkeep_row_cb row;
    void *arg;
};
enum quorumkeep_error client_rows(struct quorumkeep *client, const struct client_order *order,
                                  const struct client_rows *rows, json_t **ret_rest);

#endif
