/* The happy path: a write -> on_change marks its database -> (next turn) one flush for all that are
 * marked -> their feeds are queued -> FEEDS_TURN_N of them are woken a turn.
 *
 * A feed that works while its database is written to is not woken: it keeps the mark, and is queued
 * when it rests. Marks that come during a flush wait for the next one, since the file may lack what
 * they tell of; so nothing is ever missed. A disk without room leaves the marks, and the flush is
 * tried again. */
#include "service/feeds/feeds.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/feeds/db_events.h"
#include "service/service.h"
#include "service/timer_uv.h"
#include "store/store.h"
#include "wire/records.h"

#define FEEDS_TURN_N 64u    /* feeds woken in one turn of the loop */
#define FEEDS_GRAIN_MS 20u  /* how often at most the list is looked through for who is due */
#define FEEDS_RETRY_MS 500u /* after a flush that failed */
/* From one flush to the next: the first write is told of at once, and a stream of them causes no
 * more commits than the store makes by itself. */
#define FEEDS_FLUSH_GAP_MS 50u

/* The id of no database. */
static const uint8_t ALL_DATABASES[DATABASE_ID_BYTES] = {0};

struct feeds_database {
    uint8_t id[DATABASE_ID_BYTES];
    unsigned feeds_n;
    bool marked;   /* written to since the last flush began */
    bool flushing; /* and before that */
};

struct feeds {
    struct service *service;
    struct timer *timer;
    uint64_t armed_ms; /* when it fires; FEED_NEVER */
    uint64_t due_ms;   /* no feed is due before */
    uint64_t flush_ms; /* no flush before */
    bool open, flushing, rights;
    struct feed *first;
    struct feed *ready_first, *ready_last;
    struct feeds_database *databases; /* those with feeds, ascending */
    size_t databases_n, databases_cap;
    unsigned n;
};

/* --- the timer --- */

static void feeds_arm(struct feeds *feeds, uint64_t at_ms)
{
    uint64_t now_ms = timer_now_ms(feeds->service->loop);

    if (at_ms >= feeds->armed_ms)
        return;
    feeds->armed_ms = at_ms;
    timer_start(feeds->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

/* In the loop's next turn; 0 ms set by a timer's own callback would still be of this one. */
static void feeds_soon(struct feeds *feeds)
{
    feeds_arm(feeds, timer_now_ms(feeds->service->loop) + 1);
}

/* --- databases --- */

static size_t database_place(const struct feeds *feeds, const uint8_t *id, bool *ret_found)
{
    size_t low = 0, high = feeds->databases_n;

    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(feeds->databases[middle].id, id, DATABASE_ID_BYTES);

        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

static struct feeds_database *database_find(struct feeds *feeds, const uint8_t *id)
{
    bool found;
    size_t at = database_place(feeds, id, &found);

    return found ? &feeds->databases[at] : NULL;
}

static enum qk_err database_add(struct feeds *feeds, const uint8_t *id)
{
    size_t cap = feeds->databases_cap == 0 ? 8 : 2 * feeds->databases_cap;
    struct feeds_database *databases;
    bool found;
    size_t at = database_place(feeds, id, &found);

    if (found) {
        feeds->databases[at].feeds_n++;
        return QK_OK;
    }
    if (feeds->databases_n == feeds->databases_cap) {
        databases = reallocarray(feeds->databases, cap, sizeof(*databases));
        if (databases == NULL)
            return QK_ERR_NOMEM;
        feeds->databases = databases;
        feeds->databases_cap = cap;
    }
    memmove(feeds->databases + at + 1, feeds->databases + at,
            (feeds->databases_n - at) * sizeof(*feeds->databases));
    feeds->databases[at] = (struct feeds_database){.feeds_n = 1};
    memcpy(feeds->databases[at].id, id, DATABASE_ID_BYTES);
    feeds->databases_n++;
    return QK_OK;
}

static void database_drop(struct feeds *feeds, const uint8_t *id)
{
    bool found;
    size_t at = database_place(feeds, id, &found);

    assert(found);
    if (--feeds->databases[at].feeds_n > 0)
        return;
    feeds->databases_n--;
    memmove(feeds->databases + at, feeds->databases + at + 1,
            (feeds->databases_n - at) * sizeof(*feeds->databases));
}

/* --- who is to be woken --- */

static void ready_put(struct feeds *feeds, struct feed *feed)
{
    if (feed->queued)
        return;
    feed->queued = true;
    feed->ready_next = NULL;
    feed->ready_previous = feeds->ready_last;
    if (feeds->ready_last == NULL)
        feeds->ready_first = feed;
    else
        feeds->ready_last->ready_next = feed;
    feeds->ready_last = feed;
    feeds_soon(feeds);
}

static void ready_remove(struct feeds *feeds, struct feed *feed)
{
    if (!feed->queued)
        return;
    feed->queued = false;
    if (feed->ready_previous == NULL)
        feeds->ready_first = feed->ready_next;
    else
        feed->ready_previous->ready_next = feed->ready_next;
    if (feed->ready_next == NULL)
        feeds->ready_last = feed->ready_previous;
    else
        feed->ready_next->ready_previous = feed->ready_previous;
}

static void feed_tell(struct feed *feed, unsigned why)
{
    feed->why |= why;
    if (feed->resting)
        ready_put(feed->feeds, feed);
}

static void run_ready(struct feeds *feeds)
{
    unsigned n;

    for (n = 0; n < FEEDS_TURN_N && feeds->ready_first != NULL; n++) {
        struct feed *feed = feeds->ready_first;
        unsigned why = feed->why;

        ready_remove(feeds, feed);
        feed->resting = false;
        feed->why = 0;
        if ((why & FEED_DUE) != 0)
            feed->due_ms = FEED_NEVER;
        feed->wake(feed, why);
    }
    if (feeds->ready_first != NULL)
        feeds_soon(feeds);
}

/* --- news --- */

static void mark(struct feeds *feeds, struct feeds_database *database)
{
    if (database == NULL || database->marked)
        return;
    database->marked = true;
    feeds_soon(feeds);
}

static void on_change(void *arg, struct bytes key)
{
    struct feeds *feeds = arg;
    enum record_space space;
    size_t i;

    if (feeds->n == 0)
        return;
    if (key.len == 0) { /* another store was swapped in */
        for (i = 0; i < feeds->databases_n; i++)
            feeds->databases[i].marked = true;
        feeds->rights = true;
        feeds_soon(feeds);
    } else if (!record_key_space(key, &space)) {
        mark(feeds, database_find(feeds, key.data));
        mark(feeds, database_find(feeds, ALL_DATABASES));
    } else if (space == RECORD_CATALOG) {
        feeds->rights = true;
        feeds_soon(feeds);
        mark(feeds, database_find(feeds, ALL_DATABASES));
    }
}

static void flush_done(struct feeds *feeds)
{
    struct feed *feed;
    size_t i;

    for (feed = feeds->first; feed != NULL; feed = feed->next) {
        const struct feeds_database *database = database_find(feeds, feed->database);

        assert(database != NULL);
        if (database->flushing)
            feed_tell(feed, FEED_NEWS);
    }
    for (i = 0; i < feeds->databases_n; i++)
        feeds->databases[i].flushing = false;
}

static void on_flushed(void *arg, enum qk_err err)
{
    struct feeds *feeds = arg;
    size_t i;

    feeds->flushing = false;
    if (err == QK_OK) {
        flush_done(feeds);
    } else {
        for (i = 0; i < feeds->databases_n; i++)
            feeds->databases[i].marked |= feeds->databases[i].flushing;
        feeds->flush_ms = timer_now_ms(feeds->service->loop) + FEEDS_RETRY_MS;
    }
    feeds_soon(feeds);
}

static void flush_marked(struct feeds *feeds, uint64_t now_ms)
{
    bool any = false;
    size_t i;

    for (i = 0; i < feeds->databases_n; i++)
        any = any || feeds->databases[i].marked;
    if (!any || feeds->flushing || !feeds->open)
        return;
    if (now_ms < feeds->flush_ms) {
        feeds_arm(feeds, feeds->flush_ms);
        return;
    }
    for (i = 0; i < feeds->databases_n; i++) {
        feeds->databases[i].flushing = feeds->databases[i].marked;
        feeds->databases[i].marked = false;
    }
    feeds->flushing = true;
    feeds->flush_ms = now_ms + FEEDS_FLUSH_GAP_MS;
    store_flush_to_read(feeds->service->store, on_flushed, feeds);
}

/* --- the loop's turn --- */

static void tell_rights(struct feeds *feeds)
{
    struct feed *feed;

    feeds->rights = false;
    for (feed = feeds->first; feed != NULL; feed = feed->next)
        feed_tell(feed, FEED_RIGHTS);
}

static void tell_due(struct feeds *feeds, uint64_t now_ms)
{
    uint64_t next_ms = FEED_NEVER;
    struct feed *feed;

    if (feeds->due_ms > now_ms)
        return;
    for (feed = feeds->first; feed != NULL; feed = feed->next) {
        if (feed->due_ms <= now_ms)
            feed_tell(feed, FEED_DUE);
        else if (feed->due_ms < next_ms)
            next_ms = feed->due_ms;
    }
    if (next_ms < now_ms + FEEDS_GRAIN_MS)
        next_ms = now_ms + FEEDS_GRAIN_MS;
    feeds->due_ms = next_ms;
}

static void on_tick(void *arg)
{
    struct feeds *feeds = arg;
    uint64_t now_ms = timer_now_ms(feeds->service->loop);

    feeds->armed_ms = FEED_NEVER;
    if (feeds->rights)
        tell_rights(feeds);
    flush_marked(feeds, now_ms);
    tell_due(feeds, now_ms);
    run_ready(feeds);
    if (feeds->n > 0 && feeds->due_ms != FEED_NEVER)
        feeds_arm(feeds, feeds->due_ms);
}

/* --- the registry's life --- */

enum qk_err feeds_new(struct service *service, struct feeds **ret_feeds)
{
    struct feeds *feeds = calloc(1, sizeof(*feeds));
    enum qk_err err;

    if (feeds == NULL)
        return QK_ERR_NOMEM;
    feeds->service = service;
    feeds->armed_ms = FEED_NEVER;
    feeds->due_ms = FEED_NEVER;
    err = timer_new(service->loop, on_tick, feeds, &feeds->timer);
    if (err != QK_OK) {
        free(feeds);
        return err;
    }
    *ret_feeds = feeds;
    return QK_OK;
}

static void on_timer_closed(void *arg)
{
    struct feeds *feeds = arg;

    free(feeds->databases);
    free(feeds);
}

void feeds_free(struct feeds *feeds)
{
    if (feeds == NULL)
        return;
    assert(feeds->n == 0);
    timer_free(feeds->timer, on_timer_closed, feeds);
}

void feeds_open(struct service *service)
{
    struct feeds *feeds = service->feeds;

    if (feeds == NULL || feeds->open)
        return;
    if (store_watch(service->store, BYTES_NONE, on_change, feeds) != QK_OK) {
        log_error("feeds", "no memory to follow the store: feeds of changes will not wait");
        return;
    }
    feeds->open = true;
    feeds->flush_ms = 0;
}

void feeds_close(struct service *service, enum qk_err err)
{
    struct feeds *feeds = service->feeds;
    struct feed *feed, *next;

    if (feeds == NULL || !feeds->open)
        return;
    feeds->open = false;
    db_events_drop(service);
    store_unwatch(service->store, on_change, feeds);
    for (feed = feeds->first; feed != NULL; feed = next) {
        next = feed->next; /* closing one touches no other */
        if (feed->resting)
            feed->closed(feed, err);
    }
}

unsigned feeds_n(const struct feeds *feeds)
{
    return feeds == NULL ? 0 : feeds->n;
}

/* --- one feed --- */

enum qk_err feed_enter(struct service *service, struct feed *feed)
{
    struct feeds *feeds = service->feeds;
    enum qk_err err;

    assert(feed->feeds == NULL && feed->wake != NULL && feed->closed != NULL);

    if (feeds == NULL || !feeds->open)
        return QK_ERR_CLOSED;
    err = database_add(feeds, feed->database);
    if (err != QK_OK)
        return err;
    feed->feeds = feeds;
    feed->due_ms = FEED_NEVER;
    feed->next = feeds->first;
    if (feeds->first != NULL)
        feeds->first->previous = feed;
    feeds->first = feed;
    feeds->n++;
    return QK_OK;
}

void feed_leave(struct feed *feed)
{
    struct feeds *feeds = feed->feeds;

    if (feeds == NULL)
        return;
    ready_remove(feeds, feed);
    if (feed->previous == NULL)
        feeds->first = feed->next;
    else
        feed->previous->next = feed->next;
    if (feed->next != NULL)
        feed->next->previous = feed->previous;
    database_drop(feeds, feed->database);
    feed->feeds = NULL;
    feeds->n--;
}

static void feed_set_due(struct feed *feed, uint64_t ms)
{
    struct feeds *feeds = feed->feeds;

    feed->due_ms = ms == FEED_NEVER ? FEED_NEVER : timer_now_ms(feeds->service->loop) + ms;
    if (feed->due_ms < feeds->due_ms)
        feeds->due_ms = feed->due_ms;
    if (feed->due_ms != FEED_NEVER)
        feeds_arm(feeds, feeds->due_ms);
}

bool feed_rest(struct feed *feed, uint64_t ms)
{
    feed->why &= ~FEED_DUE; /* of the time before */
    feed_set_due(feed, ms);
    return feed_rest_on(feed);
}

bool feed_rest_on(struct feed *feed)
{
    assert(feed->feeds != NULL && !feed->resting);

    if (!feed->feeds->open)
        return false;
    feed->resting = true;
    if (feed->why != 0)
        ready_put(feed->feeds, feed);
    return true;
}

bool feed_take_due(struct feed *feed, uint64_t ms)
{
    if ((feed->why & FEED_DUE) == 0)
        return false;
    feed->why &= ~FEED_DUE;
    feed_set_due(feed, ms);
    return true;
}
