/* Replies that wait for what is yet to be written: one registry a node.
 *
 * The registry watches the store once, whatever the number of feeds, and keeps one timer. A write
 * marks its database; then all marked ones share one flush, after which the feeds of these
 * databases are woken, some at a time, so that a thousand of them do not hold up the loop. A feed
 * at rest holds its place in a list and nothing else: no cursor, no flush, no timer of its own. */
#ifndef SERVICE_FEEDS_FEEDS_H
#define SERVICE_FEEDS_FEEDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

struct service;
struct feeds;
struct feed;

/* Why a feed is woken; several may come together. */
#define FEED_NEWS 0x01u /* its database was written to, and the file has it */
#define FEED_RIGHTS                                                                                \
    0x02u              /* users, rights or databases changed: is it still allowed, and there?      \
                        */
#define FEED_DUE 0x04u /* the time that it asked for is over */

#define FEED_NEVER UINT64_MAX

struct feed {
    struct feed *next, *previous;             /* all feeds */
    struct feed *ready_next, *ready_previous; /* those to be woken */
    struct feeds *feeds;                      /* NULL: not in the registry */
    uint8_t database[DATABASE_ID_BYTES];      /* zeros: all databases, and that they come and go */
    uint64_t due_ms;                          /* the loop's clock; FEED_NEVER */
    unsigned why;                             /* FEED_*, gathered since it was woken last */
    bool resting, queued;
    /* From the loop, while it rests: it works and rests again, or leaves. */
    void (*wake)(struct feed *feed, unsigned why);
    /* The registry closes while it rests: it must leave inside this call. QK_ERR_SEALED, or
     * QK_ERR_CLOSED when the node stops. */
    void (*closed)(struct feed *feed, enum qk_err err);
};

MUST_USE enum qk_err feeds_new(struct service *service, struct feeds **ret_feeds);
/* Every feed must have left. NULL is fine. */
void feeds_free(struct feeds *feeds);

/* Documents are open now: begins to watch the store. */
void feeds_open(struct service *service);
/* They are closed, or the node stops: ends every feed at rest; the others meet the end when they
 * want to rest. Fine when nothing is open. */
void feeds_close(struct service *service, enum qk_err err);

/* Joins, at work: `wake`, `closed` and `database` are set. QK_ERR_NOMEM, QK_ERR_CLOSED. */
MUST_USE enum qk_err feed_enter(struct service *service, struct feed *feed);
/* Fine if it never joined. */
void feed_leave(struct feed *feed);
/* All is told: sleeps for up to `ms` (FEED_NEVER) or, if the time that was set before is to stay,
 * as long as that says. What came meanwhile wakes it in the loop's next turn. False: the registry
 * has closed, and nothing will ever come. */
bool feed_rest(struct feed *feed, uint64_t ms);
bool feed_rest_on(struct feed *feed);
/* For one at work: time to show a sign of life? Then the next one is due `ms` later. */
bool feed_take_due(struct feed *feed, uint64_t ms);

unsigned feeds_n(const struct feeds *feeds);

#endif
