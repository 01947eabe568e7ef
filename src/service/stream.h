/* A long reply made row by row in bounded memory: rows are gathered in a secret buffer and handed
 * on in pieces; after each STREAM_TURN_* it waits until the client has taken what it got, which
 * also lets the loop serve others. */
#ifndef SERVICE_STREAM_H
#define SERVICE_STREAM_H

#include "base/bytes.h"
#include "doc/problem.h"
#include "service/exchange.h"
#include "service/service.h"

#define STREAM_PIECE_BYTES (32 * KIB)
#define STREAM_TURN_BYTES (128 * KIB)
#define STREAM_TURN_STEPS 512

struct stream {
    struct service *service;
    struct exchange *exchange;
    struct buf out;           /* secret: what is not yet handed on */
    int status;               /* 200 */
    const char *content_type; /* application/json */
    size_t length;            /* of the whole, if known: then no error is told inside of it */
    bool started;             /* the status is sent */
    bool hand_on;             /* set by a step: what is there goes out with the end of the turn */
    bool
        rest; /* set by a step: nothing more for now, stream_wake goes on; what is there goes out */
    bool wait; /* the same for a moment: what is there stays, and no status is sent for it */
    struct doc_problem problem; /* set by a step that fails: what is said instead of the error */
    size_t turn_bytes;
    unsigned turn_steps;
    /* Appends to `out`; sets `*ret_end` after the last. An error ends the reply: with its status
     * if nothing was sent yet, else with its name after the rows that are whole. */
    enum qk_err (*step)(void *arg, bool *ret_end);
    /* At the start of each turn, before its first step; not QK_OK ends the reply as an error of a
     * step does. NULL: nothing to ask. */
    enum qk_err (*turn)(void *arg);
    void (*ended)(void *arg); /* frees; the exchange is gone */
    void *arg;
};

void stream_init(struct stream *stream, struct service *service, struct exchange *exchange,
                 enum qk_err (*step)(void *arg, bool *ret_end), void (*ended)(void *arg),
                 void *arg);
/* Replies (200) to the end, or until it rests. `ended` may fire inside. */
void stream_start(struct stream *stream);
/* For a step that was as much work as so many others: the turn of the loop ends the sooner. */
void stream_spend(struct stream *stream, size_t steps);
/* For one that rests: goes on, from the loop. `ended` may fire inside. */
void stream_wake(struct stream *stream);
/* For one that waits: goes on, or ends with the error. `ended` may fire inside. */
void stream_go_on(struct stream *stream, enum qk_err err);
/* For one that rests: ends it with the error, or without a word where the client is gone. `ended`
 * fires inside. */
void stream_abandon(struct stream *stream, enum qk_err err);
void stream_fini(struct stream *stream);

#endif
