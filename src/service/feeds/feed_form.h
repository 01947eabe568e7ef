/* How CouchDB's feeds are asked for and what they look like, whatever they tell of (_changes,
 * _db_updates). */
#ifndef SERVICE_FEEDS_FEED_FORM_H
#define SERVICE_FEEDS_FEED_FORM_H

#include "doc/problem.h"
#include "service/exchange.h"

enum feed_kind {
    FEED_NORMAL,     /* what there is */
    FEED_LONGPOLL,   /* the same, once there is something */
    FEED_CONTINUOUS, /* a line a row, without end; "live" too */
    FEED_EVENTSOURCE /* server-sent events, without end */
};

struct feed_form {
    enum feed_kind kind;
    uint64_t wait_ms; /* without news, until a heartbeat or else the end */
    bool heartbeat;
};

/* The parameters `feed`, `heartbeat` and `timeout`. QK_ERR_INVALID with the problem, in CouchDB's
 * words. */
MUST_USE enum qk_err feed_form_read(const struct request *request, struct feed_form *form,
                                    struct doc_problem *ret_problem);
/* Where it is to begin, if the request says so. Of an event source that connects again the header
 * counts: it knows better than the address that it was given at first. */
bool feed_form_since(const struct request *request, const struct feed_form *form,
                     struct bytes *ret_text);

/* The type of the reply's content; adds the header fields that go with it. */
const char *feed_form_type(const struct feed_form *form, struct exchange *exchange);
/* What comes before the first row, before each row's JSON, before "last_seq" (not in an event
 * source), and instead of rows when there is nothing to say. */
void feed_form_head(const struct feed_form *form, struct buf *out);
void feed_form_row(const struct feed_form *form, bool first, struct buf *out);
void feed_form_tail(const struct feed_form *form, struct buf *out);
void feed_form_beat(const struct feed_form *form, struct buf *out);

#endif
