/* The head of a reply as text. Pure. */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <time.h>

#include "base/bytes.h"
#include "service/exchange.h"

struct reply_head {
    int status;
    const char *content_type;
    const struct reply_field *fields;
    unsigned fields_n;
    size_t length;   /* SIZE_MAX: unknown */
    bool chunked;    /* with an unknown length */
    bool close;      /* Connection: close */
    bool keep_alive; /* Connection: keep-alive, for HTTP/1.0 */
    time_t now;
};

/* Appends the head. Control bytes in fields become '?', so that no value can end a line. */
void reply_write_head(const struct reply_head *head, struct buf *out);
/* The status has no body, whatever the handler writes. */
bool reply_is_bodyless(int status);
/* Appends one chunk (not the last); nothing for no bytes. */
void reply_write_chunk(struct bytes body, struct buf *out);
void reply_write_last_chunk(struct buf *out);

#endif
