/* One client's connection, and requests that came over it. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "http/server.h"

struct connection;
struct uv_stream_s;

/* Accepts one from `listener`; over the limit of connections it is told so and closed. */
void connection_accept(struct http *http, struct uv_stream_s *listener, bool control);
/* Closes it now; a request in progress sees `closed`. */
void connection_abort(struct connection *connection);
/* The same, unless a request is in progress: then after its reply. */
void connection_finish(struct connection *connection);
struct connection *connection_next(const struct connection *connection);

/* --- for socket_exchange.c --- */
/* Where replies are written. A failure (memory, too much queued) aborts the connection later. */
struct buf *connection_out(struct connection *connection);
/* Bytes written and not yet taken by the socket. */
size_t connection_queued(const struct connection *connection);
/* Sends what has been written, soon. */
void connection_flush(struct connection *connection);
/* There may be room for more of a streamed body: goes on reading, soon. */
void connection_resume(struct connection *connection);
/* The reply is complete. `reusable`: another request may follow. */
void connection_request_ended(struct connection *connection, bool reusable);

/* --- socket_exchange.c: a request that came over a connection --- */
struct socket_exchange {
    struct http_exchange hx; /* first */
    struct admission admission;
    struct connection *connection; /* NULL once it is gone */
    bool keep_alive;               /* the client's wish, until the reply's head is written */
    bool minor_0;
    bool unread; /* bytes of the request may still come: the connection cannot go on */
    bool chunked, bodyless;
    size_t length, written; /* of the reply */
    bool waiting_login;     /* on_login will come, even when the connection is gone */
    bool running;           /* the handler has it, or had it */
    bool wants_packed;      /* replies in MessagePack */
    bool shuns_json;        /* its Accept has no room for JSON: CouchDB calls it plain text then */
    struct packed_reply *packed; /* NULL: the reply goes out as it is */
};

struct parse;
/* Takes the head of `parse` over. NULL: out of memory. */
struct socket_exchange *socket_exchange_new(struct http *http, struct connection *connection,
                                            struct parse *parse, const char *from);
/* The connection is gone. Frees what no handler and no login will end. */
void socket_exchange_orphan(struct socket_exchange *sx);

#endif
