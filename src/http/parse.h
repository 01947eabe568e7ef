/* Requests of one connection, parsed as their bytes arrive. Pure: bytes in, events out.
 *
 *     init · feed until PARSE_HEAD · look at head, parse_take_body(limit) · feed until PARSE_DONE
 *     · parse_next · feed … · fini
 *
 * The head (with its passwords) and the body lie in secret buffers. The head is http-parser's; what
 * it lets pass and a proxy in front could read differently is refused here: any transfer coding but
 * one "chunked", that coding in HTTP/1.0, a name with a space, a folded line, more than one Host.
 * Once the head is complete, bodies are counted and decoded here (see chunk.h for why).
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include <http_parser.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "http/chunk.h"
#include "service/exchange.h"

enum parse_event {
    PARSE_MORE,  /* all was taken, more is needed */
    PARSE_HEAD,  /* the head is complete: once a request */
    PARSE_DONE,  /* the request is complete: nothing is taken until parse_next */
    PARSE_FAILED /* see failure: answer it and close; nothing is taken any more */
};

enum parse_phase { PARSE_AT_START, PARSE_IN_HEAD, PARSE_AT_HEAD, PARSE_IN_BODY, PARSE_AT_END };

struct parse_span {
    uint16_t at, len; /* in `head` */
};

struct parse_failure {
    int status; /* 0: none */
    const char *error, *reason;
};

struct parse {
    http_parser parser;
    enum parse_phase phase;
    unsigned list_matched; /* bytes of "LIST " held back at the start of a message */
    size_t head_bytes;     /* of the head as they came */
    uint8_t last;          /* the byte before the next one */
    bool in_value;         /* the last field's value has begun */
    struct buf head;       /* target, names and values, without what was between them */
    struct buf body;
    struct chunk chunk;
    struct parse_span target;
    struct parse_span names[HTTP_FIELDS_MAX], values[HTTP_FIELDS_MAX];
    unsigned fields_n;
    struct parse_failure failure;

    /* From PARSE_HEAD on. */
    enum method method;
    bool method_known; /* false: a method that no route has */
    bool list;         /* it was LIST */
    bool keep_alive;   /* the client wants to go on */
    bool minor_0;      /* HTTP/1.0: no chunked replies */
    bool expects_continue;
    bool has_body; /* bytes follow */
    bool chunked;
    uint64_t body_left; /* of one that is not chunked */
};

void parse_init(struct parse *parse);
/* Wipes and frees. */
void parse_fini(struct parse *parse);
/* Takes bytes of `in` up to the next event and says how many; never 0 of some with PARSE_MORE. */
enum parse_event parse_feed(struct parse *parse, struct bytes in, size_t *ret_taken);
/* After PARSE_HEAD: go on, with at most `bytes_max` of body. PARSE_FAILED (413) if the head says
 * more already. */
enum parse_event parse_take_body(struct parse *parse, size_t bytes_max);
/* The same of a body without end: the caller takes what has come out of `body` after each
 * parse_feed, and offers at most `room` bytes at a time. */
enum parse_event parse_stream_body(struct parse *parse, size_t room);
/* After PARSE_DONE: forget this request and begin the next. */
void parse_next(struct parse *parse);
/* Nothing of a request has come yet. */
bool parse_is_idle(const struct parse *parse);
struct bytes parse_target(const struct parse *parse);
/* How many fields have `name` (lower case); `ret_value` is the first one's, trimmed. */
unsigned parse_field(const struct parse *parse, const char *name, struct bytes *ret_value);

#endif
