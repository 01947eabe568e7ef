/* What has become of the databases: which were made, written to and dropped, each with the stamp of
 * the write that did it (store.h), so that what one node tells goes on at another.
 *
 * Nothing is kept for it at rest: that databases are there, and when each was written to last, is
 * looked up in the store; only what was dropped is remembered, by each node since it opened, and
 * the newest DB_EVENTS_DROPPED_MAX of those. Names are in memory while the node is open, as in the
 * catalog. */
#ifndef SERVICE_FEEDS_DB_EVENTS_H
#define SERVICE_FEEDS_DB_EVENTS_H

#include "service/catalog.h"

#define DB_EVENTS_DROPPED_MAX 1000

struct db_event {
    uint64_t stamp;
    const char *type; /* "created", "updated", "deleted" */
    char name[DATABASE_NAME_BYTES_MAX + 1];
};

struct db_events_list {
    struct db_event *items; /* ascending by stamp */
    size_t n, cap;
    uint64_t covered; /* all events up to this stamp are known */
};

/* Looks at what has changed; *ret_more: not at all yet, call again in a later turn of the loop.
 * What was written since the last flush may be missing, and is not covered. */
MUST_USE enum qk_err db_events_refresh(struct service *service, bool *ret_more);
/* The events after `since` that are covered, as of a refresh in the same turn. Names are wiped by
 * db_events_list_fini, which the caller calls on errors too. */
MUST_USE enum qk_err db_events_since(struct service *service, uint64_t since,
                                     struct db_events_list *ret_list);
void db_events_list_fini(struct db_events_list *list);
/* The node is closed. */
void db_events_drop(struct service *service);

#endif
